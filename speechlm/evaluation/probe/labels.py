"""Phones and their times, as Festival's tools write them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from speechlm.errors import SpeechLMError


@dataclass(frozen=True)
class Phone:
    """A phone that is heard from ``start`` to before ``end``, in seconds."""

    name: str
    start: float
    end: float


def read(path: Path) -> list[Phone]:
    """The phones of an xwaves label file: after a line ``#``, a line "end colour phone" each.

    Raises:
        SpeechLMError: when it cannot be read, or is none.
    """
    phones: list[Phone] = []
    try:
        lines = path.read_text("utf-8").split("#", 1)[1].splitlines()
        for line in filter(None, map(str.strip, lines)):
            end, _, name = line.split(maxsplit=2)
            phones.append(Phone(name, phones[-1].end if phones else 0.0, float(end)))
    except (OSError, IndexError, ValueError) as error:
        raise SpeechLMError(f"{path}: not a file of labels: {error}") from None
    return phones


def of_frames(phones: list[Phone], frames: int, rate: float) -> NDArray[np.int64]:
    """Which of ``phones`` is heard in the middle of each frame, (frames,); -1 after the last."""
    middles = (np.arange(frames) + 0.5) / rate
    found = np.searchsorted([phone.end for phone in phones], middles, side="right")
    return np.where(found < len(phones), found, -1)


def during(phone: Phone, units: NDArray[np.int64], rate: float) -> NDArray[np.int64]:
    """The ``units`` (frames,) whose middles hear ``phone``; where none does, that of its middle.

    Nothing, of a phone after the last.
    """
    first, last = (math.ceil(time * rate - 0.5) for time in (phone.start, phone.end))
    if first >= last:
        first = int((phone.start + phone.end) / 2 * rate)
    return units[first : max(last, first + 1)]


def find(folder: Path, utterance: str) -> Path | None:
    """The label file of an utterance: of its name, or of one that its name ends in."""
    parts = utterance.split("-")
    names = ("-".join(parts[first:]) for first in range(len(parts)))
    return next((path for name in names if (path := folder / f"{name}.lab").is_file()), None)
