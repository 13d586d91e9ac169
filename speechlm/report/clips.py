"""What the page lets hear and see: some clips, each as the original and through every system."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import soundfile

from speechlm.audio.spectrogram import loudest
from speechlm.evaluation.clips import Clip
from speechlm.evaluation.results import ResultRow, Results
from speechlm.report.assets import AssetStore
from speechlm.types import Wave


def chosen(rows: list[ResultRow], count: int) -> dict[Clip, list[ResultRow]]:
    """The rows of ``count`` clips, evenly spread over the suite's."""
    by_clip: dict[Clip, list[ResultRow]] = {}
    for row in rows:
        by_clip.setdefault(row.clip, []).append(row)
    clips = list(by_clip)
    if count < len(clips):
        indices = np.unique(np.linspace(0, len(clips) - 1, count).round().astype(int))
        clips = [clips[index] for index in indices]
    return {clip: by_clip[clip] for clip in clips}


@dataclass(frozen=True)
class Gallery:
    """Makes the clips' part of the page, with sound of one ``kind`` placed on ``store``."""

    results: Results
    kind: str
    store: AssetStore

    def filled(self, rows: dict[Clip, list[ResultRow]], room: float) -> list[dict[str, Any]]:
        """As many clips as go into ``room`` bytes, in their order."""
        views = []
        for clip, clip_rows in rows.items():
            view = self._clip(clip, clip_rows)
            room -= sum(len(card["audio"]) + len(card["picture"]) for card in view["cards"])
            if room < 0:
                break
            views.append(view)
        return views

    def _clip(self, clip: Clip, rows: list[ResultRow]) -> dict[str, Any]:
        rate: int = self.results.data["config"]["sample_rate"]
        ids = [each["id"] for each in self.results.data["clips"]]
        position = ids.index(clip.id)
        reference = clip.read(rate)
        peak = loudest(reference, rate)
        cards = []
        if all(row.spec.kind != "original" for row in rows):
            media = self._media(f"{position:04d}-original", reference, rate, peak)
            cards.append({"name": "original", "row": None, **media})
        for row in sorted(rows, key=lambda row: row.spec.kind != "original"):
            name = row.spec.name
            shown = self.results.data["rows"][name][position]
            media = {"audio": "", "picture": ""}
            if row.outcome.coded is not None:
                wave, _ = soundfile.read(row.audio, dtype="float32")
                stem = f"{position:04d}-{name.replace(' ', '-').replace('/', '-')}"
                media = self._media(stem, wave, rate, peak)
            cards.append({"name": name, "row": shown, **media})
        return {
            "id": clip.id,
            "seconds": f"{clip.seconds:.1f}",
            "text": clip.text,
            "speaker": clip.speaker,
            "cards": cards,
        }

    def _media(self, stem: str, wave: Wave, rate: int, peak: float) -> dict[str, str]:
        return self.store.media(stem, wave, rate, self.kind, peak)
