"""The index of a tokenized corpus of any size: opened at once, in memory that does not grow.

Of the lines of all shards' indices one file tells where they are, mapped and not read::

    index.npy    a row an utterance: shard, first, frames, split, line (in bytes), bytes
    index.json   sizes of the shards' indices, frames in all, and what was dropped

They are made of the shards' indices, a shard at a time, once all are there.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from speechlm.data.splits import SPLITS
from speechlm.errors import SpeechLMError
from speechlm.utils.files import atomic_path

ROWS, FACTS = "index.npy", "index.json"
FORMAT = 1
ROW = np.dtype(
    [
        ("shard", np.uint32),
        ("first", np.uint64),
        ("frames", np.uint32),
        ("split", np.uint8),
        ("line", np.uint64),
        ("bytes", np.uint32),
    ]
)


class Segment(NamedTuple):
    """What is said from frame ``start`` to before frame ``stop``."""

    text: str
    start: int
    stop: int


@dataclass(frozen=True)
class Entry:
    """An utterance of a tokenized corpus."""

    id: str
    split: str
    first: int
    frames: int
    text: str | None = None
    language: str | None = None
    speaker: str | None = None
    segments: tuple[Segment, ...] = ()
    """Words, or two sentences and more."""
    shard: int = 0


class Entries(Sequence[Entry]):
    """The utterances of a corpus, in its order; each is read when it is asked for."""

    def __init__(self, rows: NDArray[np.void], paths: Sequence[Path]):
        self.rows = rows
        self._paths = paths
        self._lines: dict[int, NDArray[np.uint8]] = {}

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, index: int) -> Entry: ...
    @overload
    def __getitem__(self, index: slice) -> Entries: ...
    def __getitem__(self, index: int | slice) -> Entry | Entries:
        if isinstance(index, slice):
            return Entries(self.rows[index], self._paths)
        row = self.rows[index]
        shard, line = int(row["shard"]), int(row["line"])
        if shard not in self._lines:
            self._lines[shard] = np.memmap(self._paths[shard], np.uint8, "r")
        fields = json.loads(bytes(self._lines[shard][line : line + int(row["bytes"])]))
        segments = tuple(Segment(*each) for each in fields.pop("segments", ()))
        return Entry(**fields, segments=segments, shard=shard)

    def __iter__(self) -> Iterator[Entry]:
        return (self[index] for index in range(len(self)))

    def totals(self) -> dict[str, tuple[int, int]]:
        """Utterances and frames of each split that has some."""
        splits = np.asarray(self.rows["split"])
        utterances = np.bincount(splits, minlength=len(SPLITS))
        frames = np.bincount(splits, self.rows["frames"], minlength=len(SPLITS))
        return {
            split: (int(number), int(total))
            for split, number, total in zip(SPLITS, utterances, frames, strict=True)
            if number
        }

    def frames_of(self, shard: int) -> int:
        """Frames of a shard, in all."""
        end = bisect_right(self.rows, shard, key=lambda row: int(row["shard"]))
        last = self.rows[end - 1] if end else None
        if last is None or last["shard"] != shard:
            return 0
        return int(last["first"]) + int(last["frames"])


@dataclass(frozen=True)
class Index:
    """All that is known of a corpus besides its units: see the module."""

    entries: Entries
    frames: int
    dropped: dict[str, str]


def read(folder: Path, paths: Sequence[Path]) -> Index:
    """The index of the shards whose own indices are ``paths``; made first, if there is none.

    Raises:
        SpeechLMError: when a shard's is missing or no index, or the folder cannot be written.
    """
    sizes = _sizes(folder, paths)
    try:
        facts = json.loads((folder / FACTS).read_text("utf-8"))
        known = facts["format"] == FORMAT and facts["sizes"] == sizes
    except (OSError, ValueError, KeyError, TypeError):
        known = False
    if not known:
        facts = _make(folder, paths, sizes)
    rows = np.load(folder / ROWS, mmap_mode="r")
    return Index(Entries(rows, paths), facts["frames"], facts["dropped"])


def _sizes(folder: Path, paths: Sequence[Path]) -> list[int]:
    try:
        return [path.stat().st_size for path in paths]
    except OSError:
        missing = next(path for path in paths if not path.exists())
        raise SpeechLMError(
            f"{folder}: not finished, {missing.name} is missing; run speechlm tokenize again"
        ) from None


def _make(folder: Path, paths: Sequence[Path], sizes: list[int]) -> dict[str, Any]:
    dropped: dict[str, str] = {}
    frames = count = 0
    with atomic_path(folder / ROWS) as temporary, temporary.open("wb") as file:
        # The header has one length, whatever the number of rows: it is written again.
        _header(file, 0)
        for shard, path in enumerate(paths):
            rows = np.array(list(_rows(shard, path, dropped)), ROW)
            frames += int(rows["frames"].sum())
            count += len(rows)
            file.write(rows.tobytes())
        file.seek(0)
        _header(file, count)
    facts = {"format": FORMAT, "sizes": sizes, "frames": frames, "dropped": dropped}
    with atomic_path(folder / FACTS) as temporary:
        temporary.write_text(json.dumps(facts, ensure_ascii=False) + "\n", "utf-8")
    return facts


def _header(file: Any, count: int) -> None:
    descr = np.lib.format.dtype_to_descr(ROW)
    facts = {"descr": descr, "fortran_order": False, "shape": (count,)}
    np.lib.format.write_array_header_1_0(file, facts)


def _rows(shard: int, path: Path, dropped: dict[str, str]) -> Iterator[tuple[int, ...]]:
    line = 0
    try:
        for text in path.read_bytes().splitlines(keepends=True):
            fields = json.loads(text)
            if "dropped" in fields:
                dropped[fields["id"]] = fields["dropped"]
            else:
                Entry(**{**fields, "segments": ()})
                split = _code(fields["split"])
                yield shard, fields["first"], fields["frames"], split, line, len(text)
            line += len(text)
    except (OSError, ValueError, TypeError, AttributeError, KeyError) as error:
        raise SpeechLMError(f"{path}: not an index of tokens: {error}") from None


def _code(split: str) -> int:
    return SPLITS.index(split)
