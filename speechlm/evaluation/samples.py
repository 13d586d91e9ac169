"""Audio and text of an item by each system: what a report plays and shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from speechlm.types import Wave


@dataclass(frozen=True)
class Sample:
    """The output of one system for an item.

    Attributes:
        name: of the system.
        wave: (samples,); None for a system that gives text.
        texts: transcripts by who wrote them.
        note: a remark, such as why there is no audio.
    """

    name: str
    wave: Wave | None = None
    texts: Mapping[str, str] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True)
class ItemSamples:
    """An item with the samples of every system; ``text`` is its reference, where it has one."""

    id: str
    text: str | None
    samples: list[Sample]
