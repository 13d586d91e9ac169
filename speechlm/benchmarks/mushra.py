"""Listening scores of a MUSHRA test (ITU-R BS.1534-3) and the audio that was rated."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from speechlm.errors import SpeechLMError

RATINGS = "ratings_formated_filtered.csv"
HIDDEN = "Reference", "Anchor"
"""Conditions that are no codec's."""


@dataclass(frozen=True)
class Stimulus:
    """One signal in one condition: its audio, the reference's, and its mean rating (0-100)."""

    signal: str
    condition: str
    audio: Path
    reference: Path
    rating: float
    ratings: int


def read_folder(folder: Path) -> list[Stimulus]:
    """The stimuli of ``folder``, without hidden reference and anchor.

    It holds ``ratings_formated_filtered.csv`` with the columns signal, condition, ratings (a JSON
    list) and file, and under ``audio/`` the files, as WAV or FLAC, as the neural codec MUSHRA data
    of Stahl et al. (2024, doi 10.1109/ACCESS.2024.3482359) does.

    Raises:
        SpeechLMError: where a file is missing or a line is none.
    """
    table = folder / RATINGS
    try:
        with table.open(newline="", encoding="utf-8") as file:
            lines = list(csv.DictReader(file))
    except OSError as error:
        raise SpeechLMError(
            f"{table}: {error.strerror}: not a folder of listening scores"
        ) from None
    try:
        references = {
            line["signal"]: _audio(folder, line["file"])
            for line in lines
            if line["condition"] == HIDDEN[0]
        }
        found = []
        for line in lines:
            if line["condition"] in HIDDEN:
                continue
            ratings = np.array(json.loads(line["ratings"]), float)
            found.append(
                Stimulus(
                    line["signal"],
                    line["condition"],
                    _audio(folder, line["file"]),
                    references[line["signal"]],
                    float(ratings.mean()),
                    len(ratings),
                )
            )
    except (KeyError, TypeError, ValueError) as error:
        raise SpeechLMError(f"{table}: a line is not as expected ({error})") from None
    if not found:
        raise SpeechLMError(f"{table}: has no rated stimulus")
    return found


def _audio(folder: Path, name: str) -> Path:
    path = folder / "audio" / name
    for candidate in (path, path.with_suffix(".flac")):
        if candidate.is_file():
            return candidate
    raise SpeechLMError(f"{path}: no such file, nor as FLAC")
