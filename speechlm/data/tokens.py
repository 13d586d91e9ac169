"""Tokenized corpora: flat arrays of units with an index, readable with NumPy alone.

``speechlm tokenize`` writes a folder::

    NAME/
      tokens.json       which units these are, of which utterances, in how many shards
      00000.npy         uint16 (frames, codebooks): the utterances of a shard, one after the other
      00000.jsonl       its index, an utterance a line; written last: the shard is finished
      00001.npy         ...
      index.npy, .json  of all shards together (``speechlm.data.index``)

A line of the index has ``id``, ``split``, ``first`` and ``frames`` (the utterance is
``array[first : first + frames]``) and, where known, ``text``, ``language``, ``speaker`` and
``segments``: ``[text, start, stop]`` in frames, words where the corpus is aligned and sentences
otherwise. An utterance that could not be read has ``dropped``, the reason, instead of frames.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from speechlm.data.index import Entries, Entry, Segment, read
from speechlm.data.utterance import Utterance
from speechlm.errors import SpeechLMError
from speechlm.tokenizers.base import Units
from speechlm.types import StoredCodes
from speechlm.utils.files import atomic_path

__all__ = ["Entries", "Entry", "Segment", "Tokens"]

FILE = "tokens.json"
FORMAT = 1


class Tokens:
    """A finished tokenized corpus. It opens at once and in constant memory, however large it is.

    Attributes:
        units: which units these are.
        entries: the utterances, in the order of the corpus.
        dropped: what could not be read, and why.

    Raises:
        SpeechLMError: when ``folder`` is not one, or is not finished.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        facts = read_facts(self.folder)
        self.units = Units(**facts["units"])
        index = read(self.folder, [index_path(self.folder, n) for n in range(facts["shards"])])
        self.entries = index.entries
        self.dropped = index.dropped
        self._frames = index.frames
        self._open: dict[int, StoredCodes] = {}

    @property
    def seconds(self) -> float:
        """Speech, in seconds."""
        return self._frames / self.units.frame_rate

    def codes(self, entry: Entry) -> StoredCodes:
        """Codes (codebooks, frames) of an utterance, mapped and not read."""
        array = self._shard(entry.shard)
        return array[entry.first : entry.first + entry.frames].T

    def utterance(self, entry: Entry) -> Utterance:
        """An utterance whose codes are read when they are asked for.

        Its id and speaker name the corpus, too, so that those of several corpora differ.
        """
        corpus = self.folder.name
        return Utterance(
            id=f"{corpus}/{entry.id}",
            split=entry.split,
            text=entry.text,
            speaker=None if entry.speaker is None else f"{corpus}/{entry.speaker}",
            language=entry.language,
            read_codes=partial(self.codes, entry),
        )

    def _shard(self, shard: int) -> StoredCodes:
        found = self._open.get(shard)
        if found is None:
            path = array_path(self.folder, shard)
            try:
                found = np.load(path, mmap_mode="r")
            except (OSError, ValueError, EOFError) as error:
                raise SpeechLMError(f"{path}: not an array of tokens: {error}") from None
            frames = self.entries.frames_of(shard)
            if found.dtype != np.uint16 or found.shape != (frames, self.units.num_codebooks):
                raise SpeechLMError(
                    f"{path}: {found.dtype} {found.shape}, not uint16 "
                    f"{(frames, self.units.num_codebooks)} as its index says"
                )
            self._open[shard] = found
        return found


def claim(folder: Path, units: Units, digest: str, shards: int) -> None:
    """Begin a tokenized corpus, or see that the one begun there is the same.

    Args:
        digest: of the utterances and their order.

    Raises:
        SpeechLMError: when it holds other units or utterances, or cannot be made.
    """
    facts = {"format": FORMAT, "units": asdict(units), "utterances": digest, "shards": shards}
    path = folder / FILE
    if path.exists():
        found = read_facts(folder)
        if found == facts:
            return
        other = Units(**found["units"])
        what = f"the units of {other}" if other != units else "other utterances"
        raise SpeechLMError(
            f"{folder}: holds {what}, not what is asked for; remove it or name another folder"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SpeechLMError(f"{folder}: cannot be made: {error.strerror}") from None
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(facts, indent=2) + "\n", "utf-8")


def read_facts(folder: Path) -> dict[str, Any]:
    """What ``tokens.json`` says.

    Raises:
        SpeechLMError: when there is none, or one of another format.
    """
    path = folder / FILE
    try:
        facts: dict[str, Any] = json.loads(path.read_text("utf-8"))
        if facts["format"] != FORMAT:
            raise ValueError(f"format {facts['format']}, and this version reads {FORMAT}")
        facts["units"] = asdict(Units.from_dict(facts["units"]))
        int(facts["shards"])
    except FileNotFoundError:
        raise SpeechLMError(
            f"{folder}: not a tokenized corpus; make one with speechlm tokenize CUTS {folder}"
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SpeechLMError(f"{path}: {error}") from None
    return facts


def array_path(folder: Path, shard: int) -> Path:
    return folder / f"{shard:05d}.npy"


def index_path(folder: Path, shard: int) -> Path:
    """The file that is there when a shard is finished."""
    return folder / f"{shard:05d}.jsonl"


class ShardWriter:
    """A shard in the making: codes go to its file as they come, lines to its index at the end.

    Attributes:
        frames: written so far.
        lines: of the index.
    """

    def __init__(self, file: BinaryIO, num_codebooks: int):
        self.frames = 0
        self.lines: list[dict[str, Any]] = []
        self._file, self._num_codebooks = file, num_codebooks
        # The header has one length, whatever the number of frames: it is written again.
        self._head()
        self._start = file.tell()

    def write(self, codes: NDArray[np.integer]) -> None:
        """Append codes (codebooks, frames)."""
        self._file.write(np.ascontiguousarray(codes.T, np.uint16).tobytes())
        self.frames += codes.shape[1]

    def cut(self, frames: int) -> None:
        """Take back all after so many frames."""
        self._file.seek(self._start + 2 * self._num_codebooks * frames)
        self._file.truncate()
        self.frames = frames

    def finish(self) -> None:
        self._file.seek(0)
        self._head()

    def _head(self) -> None:
        shape = (self.frames, self._num_codebooks)
        facts = {"descr": "<u2", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(self._file, facts)


@contextmanager
def shard_file(folder: Path, number: int, num_codebooks: int) -> Iterator[ShardWriter]:
    """Write a shard: its array, and when all went well its index, which says that it is there."""
    array, index = array_path(folder, number), index_path(folder, number)
    with atomic_path(array) as temporary, temporary.open("wb") as file:
        shard = ShardWriter(file, num_codebooks)
        yield shard
        shard.finish()
    with atomic_path(index) as temporary:
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in shard.lines)
        temporary.write_text(text, "utf-8")
