"""The joint vocabulary: special tokens, pieces of text and units, in one range of ids.

::

    0             S             S + T                       S + T + C
    | S specials  | T pieces    | C units of level 0        | C units of level 1  | ...

The layout of a trained model never changes. It is written into the model folder as
``vocabulary.json``, special tokens by name, and read from there.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from speechlm.errors import SpeechLMError
from speechlm.lm.patterns import offset_codes
from speechlm.tokenizers.base import Units
from speechlm.types import Ids
from speechlm.utils.files import atomic_path

FILE = "vocabulary.json"
FORMAT = 1

PAD = "<pad>"
SPEECH, TEXT = "<speech>", "<text>"
GENERATE_SPEECH, GENERATE_TEXT = "<generate speech>", "<generate text>"
END_OF_SPEECH, END_OF_TEXT = "<end of speech>", "<end of text>"
END = "<end>"

SPECIALS = (
    PAD,  # no token: fills up sequences, and the rows under text
    SPEECH,  # units follow, given
    TEXT,  # text follows, given
    GENERATE_SPEECH,  # units follow, to be generated
    GENERATE_TEXT,  # text follows, to be generated
    END_OF_SPEECH,
    END_OF_TEXT,
    END,  # of a sequence that goes back and forth between speech and text
)


@dataclass(frozen=True)
class Vocabulary:
    """The ids of ``pieces`` pieces of text and of ``units``, after the ``specials``."""

    pieces: int
    units: Units
    specials: tuple[str, ...] = SPECIALS

    @property
    def size(self) -> int:
        """Number of ids."""
        return self.level(self.units.num_codebooks - 1).stop

    @property
    def text(self) -> range:
        """Ids of the pieces of text."""
        return range(len(self.specials), len(self.specials) + self.pieces)

    def level(self, level: int) -> range:
        """Ids of the units of a level, from 0."""
        if not 0 <= level < self.units.num_codebooks:
            raise IndexError(f"level {level} of {self.units.num_codebooks}")
        first = self.text.stop + level * self.units.codebook_size
        return range(first, first + self.units.codebook_size)

    def id(self, special: str) -> int:
        """The id of a special token.

        Raises:
            SpeechLMError: when there is none of the name, as in an older model.
        """
        try:
            return self.specials.index(special)
        except ValueError:
            raise SpeechLMError(
                f"this model has no {special}; it has {', '.join(self.specials)}"
            ) from None

    def from_pieces(self, pieces: list[int]) -> Ids:
        """Ids (n,) of pieces of text, as the text tokenizer numbers them."""
        return np.asarray(pieces, np.int64) + self.text.start

    def to_pieces(self, ids: Ids) -> list[int]:
        """The inverse of :meth:`from_pieces`."""
        return [int(each) for each in ids - self.text.start]

    def from_codes(self, codes: NDArray[np.integer]) -> Ids:
        """Ids (codebooks, frames) of codes (codebooks, frames); -1 where there is no code, below
        0."""
        return offset_codes(codes, self._firsts())

    def to_codes(self, ids: Ids) -> Ids:
        """The inverse of :meth:`from_codes`."""
        return ids - self._firsts()[:, None]

    def _firsts(self) -> Ids:
        return np.array(
            [self.level(level).start for level in range(self.units.num_codebooks)], np.int64
        )

    def save(self, folder: str | Path) -> Path:
        """Write ``vocabulary.json`` into a model folder."""
        path = Path(folder) / FILE
        content = {
            "format": FORMAT,
            "specials": list(self.specials),
            "text": [self.text.start, self.text.stop],
            "levels": [
                [self.level(level).start, self.level(level).stop]
                for level in range(self.units.num_codebooks)
            ],
            "units": asdict(self.units),
        }
        with atomic_path(path) as temporary:
            temporary.write_text(json.dumps(content, indent=2) + "\n", "utf-8")
        return path

    @classmethod
    def load(cls, folder: str | Path) -> Vocabulary:
        """Read the vocabulary of a model folder.

        Raises:
            SpeechLMError: when there is none, or one of another layout.
        """
        path = Path(folder) / FILE
        try:
            content = json.loads(path.read_text("utf-8"))
            start, stop = content["text"]
            units = Units.from_dict(content["units"])
            vocabulary = cls(stop - start, units, tuple(content["specials"]))
            levels = [
                [vocabulary.level(k).start, vocabulary.level(k).stop]
                for k in range(vocabulary.units.num_codebooks)
            ]
            if (content["format"], start, content["levels"]) != (
                FORMAT,
                vocabulary.text.start,
                levels,
            ):
                raise ValueError("another layout than this version's")
        except FileNotFoundError:
            raise SpeechLMError(f"{path}: no such file; is {folder} a language model?") from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise SpeechLMError(f"{path}: not a vocabulary: {error}") from None
        return vocabulary
