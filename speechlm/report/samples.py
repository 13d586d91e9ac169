"""Samples as templates take them: the addresses of audio and picture, and the texts."""

from __future__ import annotations

from typing import Any

import numpy as np

from speechlm.audio.spectrogram import loudest
from speechlm.evaluation.samples import ItemSamples
from speechlm.report.assets import AssetStore


def sample_view(store: AssetStore, kind: str, item: ItemSamples, rate: int) -> dict[str, Any]:
    """An item for the template; its audio goes to the ``store`` in the format ``kind``."""
    stem = "".join(char if char.isalnum() or char in "-_" else "-" for char in item.id)
    cards = []
    for number, sample in enumerate(item.samples):
        media = {"audio": "", "picture": ""}
        if sample.wave is not None and len(sample.wave):
            wave = np.clip(sample.wave, -1, 1)
            media = store.media(f"{stem}-{number}", wave, rate, kind, loudest(wave, rate))
        cards.append({"name": sample.name, "texts": sample.texts, "note": sample.note, **media})
    return {"id": item.id, "text": item.text, "cards": cards}
