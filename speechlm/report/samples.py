"""What a language model said, wrote or went on with, as the page shows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from speechlm.report.assets import Shelf, loudest
from speechlm.types import Wave


@dataclass(frozen=True)
class Card:
    """What one system made of an item: sound, texts by who wrote them, and a remark."""

    name: str
    wave: Wave | None = None
    texts: Mapping[str, str] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True)
class Shown:
    """An item on the page."""

    id: str
    text: str | None
    cards: list[Card]


def laid_out(shelf: Shelf, kind: str, shown: Shown, rate: int) -> dict[str, Any]:
    """As the template wants it, with sound of a ``kind`` on the ``shelf``."""
    stem = "".join(each if each.isalnum() or each in "-_" else "-" for each in shown.id)
    cards = []
    for number, card in enumerate(shown.cards):
        media = {"audio": "", "picture": ""}
        if card.wave is not None and len(card.wave):
            wave = np.clip(card.wave, -1, 1)
            media = shelf.media(f"{stem}-{number}", wave, rate, kind, loudest(wave, rate))
        cards.append({"name": card.name, "texts": card.texts, "note": card.note, **media})
    return {"id": shown.id, "text": shown.text, "cards": cards}
