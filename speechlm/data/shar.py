"""Lhotse Shar: recordings in numbered shards that are read from their start, locally or by URL.

A source is a folder that Lhotse's ``SharWriter`` (``lhotse shar export``) wrote, or a JSON file
with the places of the shards: paths relative to it, URLs, or ``pipe:`` and a command, as Lhotse's
``open_best`` takes them::

    {"cuts": ["s3://bucket/cuts.000000.jsonl.gz"], "recording": ["s3://bucket/recording.000000.tar"]}
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from speechlm.errors import SpeechLMError
from speechlm.utils.commands import check_command

if TYPE_CHECKING:
    from lhotse.cut import Cut

T = TypeVar("T")


@dataclass(frozen=True)
class Shar:
    """The shards of a source: the places of their manifests and of their recordings."""

    cuts: tuple[str, ...]
    recordings: tuple[str, ...]

    @classmethod
    def find(cls, source: str | Path) -> Shar | None:
        """The shards that are there; None where there is no Shar.

        Raises:
            SpeechLMError: when not every manifest has its recordings.
        """
        source = Path(source)
        if source.is_dir():
            places = {
                field: sorted(str(path) for path in source.glob(f"{field}.*{suffix}*"))
                for field, suffix in (("cuts", ".jsonl"), ("recording", ".tar"))
            }
        elif source.suffix == ".json" and source.is_file():
            places = _listed(source)
        else:
            return None
        if not places["cuts"]:
            return None
        if len(places["cuts"]) != len(places["recording"]):
            raise SpeechLMError(
                f"{source}: {len(places['cuts'])} shards of cuts and {len(places['recording'])} of "
                "recordings; it needs as many of both"
            )
        for place in (*places["cuts"], *places["recording"]):
            if place.startswith("pipe:"):
                check_command(source, place)
        return cls(tuple(places["cuts"]), tuple(places["recording"]))

    def __len__(self) -> int:
        return len(self.cuts)

    @property
    def digest(self) -> str:
        """Names the shards: by their places, and sizes where they are files."""
        sizes = [path.stat().st_size if path.is_file() else 0 for path in map(Path, self.cuts)]
        return hashlib.sha256(repr((self.cuts, sizes)).encode()).hexdigest()[:16]

    def read(self, shard: int) -> list[Cut]:
        """The cuts of a shard, their recordings in memory as they are stored.

        Raises:
            SpeechLMError: when it cannot be read.
        """
        from lhotse.shar import LazySharIterator

        fields = {"cuts": [self.cuts[shard]], "recording": [self.recordings[shard]]}
        return _reading(self.cuts[shard], lambda: list(LazySharIterator(fields)))

    def seconds(self, shard: int) -> list[float]:
        """How long its cuts are; the recordings are not read.

        Raises:
            SpeechLMError: when it cannot be read.
        """
        from lhotse.serialization import load_jsonl

        lines = _reading(self.cuts[shard], lambda: list(load_jsonl(self.cuts[shard])))
        return [float(line["duration"]) for line in lines]


def named(source: str | Path) -> Shar:
    """The shards of a source.

    Raises:
        SpeechLMError: when there are none.
    """
    found = Shar.find(source)
    if found is None:
        raise SpeechLMError(
            f"{source}: no Lhotse Shar: neither a folder with cuts.*.jsonl.gz and recording.*.tar, "
            "nor a JSON file that lists such shards"
        )
    return found


def _listed(source: Path) -> dict[str, list[str]]:
    try:
        listed = json.loads(source.read_text("utf-8"))
        return {field: [_place(source, str(p)) for p in listed[field]] for field in _FIELDS}
    except (OSError, ValueError, KeyError, TypeError):
        raise SpeechLMError(
            f'{source}: lists no shards; it holds {{"cuts": [...], "recording": [...]}}'
        ) from None


def _place(source: Path, place: str) -> str:
    return place if "://" in place or place.startswith("pipe:") else str(source.parent / place)


def _reading(place: str, read: Callable[[], T]) -> T:
    try:
        return read()
    except Exception as error:  # of Lhotse's backends, of any kind
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise SpeechLMError(f"{place}: cannot be read as a shard: {reason}") from None


_FIELDS = ("cuts", "recording")
