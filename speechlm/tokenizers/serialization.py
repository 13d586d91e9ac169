"""What a language model gets of the units of frames: all of them, their runs, or pieces of runs.

::

    units        7 7 7 3 3 9                 of frames
    runs         7 3 9                       level 0: which unit
                 2 1 0                       level 1: frames it lasts, less one
    pieces       12                          unit BPE: 12 stands for 7 3 9

Runs are what GSLM (Lakhotia et al. 2021) models; with their second level nothing is lost. Pieces
are sentencepiece's, over runs without durations.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import ClassVar

import numpy as np
import sentencepiece

from speechlm.errors import SpeechLMError
from speechlm.tokenizers.sentencepiece_utils import learn
from speechlm.types import Ints
from speechlm.utils.files import atomic_path

FILE = "pieces.model"
KINDS = ("frames", "runs", "pieces")
FIRST = 0xE000
"""The character that stands for unit 0 to sentencepiece: none that any text has."""


@dataclass
class SerializationConfig:
    """``kind`` is ``frames``, ``runs`` or ``pieces``; of these, ``pieces`` in all, at most.

    Training sets ``hop_length``: samples that one stands for, on average.
    """

    RENAMED_KEYS: ClassVar[dict[str, str]] = {"hop": "hop_length"}

    kind: str = "frames"
    pieces: int = 1000
    hop_length: int = 0


class UnitSerialization(ABC):
    """A way to write down the units (frames,) of frames, and to read them again.

    Attributes:
        num_codebooks: units that one column has.
        codebook_size: kinds of them.
        variable: whether columns differ in length.
    """

    num_codebooks: int
    codebook_size: int
    variable = True

    @abstractmethod
    def write(self, units: Ints) -> Ints:
        """Codes (codebooks, columns) of ``units`` (frames,)."""

    @abstractmethod
    def read(self, codes: Ints) -> tuple[Ints, Ints | None]:
        """Units (n,) and the frames (n,) that each lasts, if ``codes`` tell; levels may lack."""

    @abstractmethod
    def timed(self, num_codebooks: int) -> bool:
        """Whether so many levels tell how long each unit lasts."""


class FrameTokens(UnitSerialization):
    """A unit a frame."""

    num_codebooks, variable = 1, False

    def __init__(self, units: int):
        self.codebook_size = units

    def write(self, units: Ints) -> Ints:
        return units[None]

    def read(self, codes: Ints) -> tuple[Ints, Ints | None]:
        return codes[0], np.ones_like(codes[0])

    def timed(self, num_codebooks: int) -> bool:
        return True


class RunLength(UnitSerialization):
    """Runs of one unit, with their lengths: up to ``units`` frames, longer ones are several."""

    num_codebooks = 2

    def __init__(self, units: int):
        self.codebook_size = units

    def write(self, units: Ints) -> Ints:
        kept, lengths = runs(units)
        parts = -(-lengths // self.codebook_size)
        last = lengths - (parts - 1) * self.codebook_size
        whole = np.full(int(parts.sum()), self.codebook_size, np.int64)
        whole[np.cumsum(parts) - 1] = last
        return np.stack([np.repeat(kept, parts), whole - 1])

    def read(self, codes: Ints) -> tuple[Ints, Ints | None]:
        return codes[0], codes[1] + 1 if self.timed(len(codes)) else None

    def timed(self, num_codebooks: int) -> bool:
        return num_codebooks > 1


class UnitBPE(UnitSerialization):
    """Pieces of several runs, by a sentencepiece model (``model``)."""

    num_codebooks = 1

    def __init__(self, model: bytes):
        self.model = model
        self._processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        # Piece 0 is what no run is: all units are in the model.
        self.codebook_size = int(self._processor.get_piece_size()) - 1

    def write(self, units: Ints) -> Ints:
        found = self._processor.encode(_spelled(runs(units)[0]))
        return np.array(found, np.int64)[None] - 1

    def read(self, codes: Ints) -> tuple[Ints, Ints | None]:
        text = "".join(self._processor.id_to_piece(int(piece) + 1) for piece in codes[0])
        return np.array([ord(letter) - FIRST for letter in text], np.int64), None

    def timed(self, num_codebooks: int) -> bool:
        return False

    @classmethod
    def train(cls, utterances: Iterable[Ints], units: int, size: int) -> UnitBPE:
        """Learn ``size`` pieces of utterances' units of frames, of ``units`` kinds.

        Raises:
            SpeechLMError: when that is no size for so many units.
        """
        # Each unit once alone: none is unknown, whether training saw it or not.
        alone: Iterator[Iterable[int]] = ([unit] for unit in range(units))
        said = chain(alone, (runs(each)[0] for each in utterances))
        model = learn(
            map(_spelled, said),
            f"form.pieces={size} of {units} units",
            model_type="bpe",
            vocab_size=size + 1,
            normalization_rule_name="identity",
            add_dummy_prefix=False,
            remove_extra_whitespaces=False,
            split_by_unicode_script=False,
            split_by_whitespace=False,
            max_sentence_length=1 << 20,
        )
        return cls(model)

    def save(self, folder: Path) -> None:
        """Write the model into a model folder."""
        with atomic_path(folder / FILE) as path:
            path.write_bytes(self.model)


def check(config: SerializationConfig) -> None:
    """Raises: SpeechLMError, unless ``config`` names a form."""
    if config.kind not in KINDS:
        raise SpeechLMError(f"form.kind is one of {', '.join(KINDS)}, not {config.kind}")


def build(config: SerializationConfig, units: int, folder: Path | None = None) -> UnitSerialization:
    """The form that ``config`` names; pieces by the model that ``folder`` has.

    Raises:
        SpeechLMError: for another name, or when the folder has no model of pieces.
    """
    check(config)
    if config.kind == "pieces":
        path = (folder or Path()) / FILE
        try:
            return UnitBPE(path.read_bytes())
        except (OSError, RuntimeError):
            raise SpeechLMError(f"{path}: no model of pieces of units") from None
    return FrameTokens(units) if config.kind == "frames" else RunLength(units)


def runs(units: Ints) -> tuple[Ints, Ints]:
    """Units without repetition (n,), and the frames (n,) that each lasts."""
    starts = np.flatnonzero(np.diff(units, prepend=-1))
    return units[starts], np.diff(starts, append=len(units))


def _spelled(units: Iterable[int]) -> str:
    return "".join(chr(FIRST + int(unit)) for unit in units)
