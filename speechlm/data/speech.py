"""What can be tokenized: a prepared corpus, any cuts of Lhotse, or a folder of recordings."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from speechlm.data.config import FolderConfig
from speechlm.data.corpus import PreparedCorpus
from speechlm.data.shar import Shar
from speechlm.data.sources import folder as recordings
from speechlm.data.splits import SPLITS, named_split
from speechlm.data.utterance import LONG, Pieces, Utterance
from speechlm.errors import SpeechLMError
from speechlm.utils.commands import check_command

if TYPE_CHECKING:
    from lhotse.cut import Cut


PIECE = 60
"""Seconds; whole ones, which are whole samples at any rate."""


def find(source: str | Path) -> list[Utterance]:
    """The utterances of a prepared corpus (all its splits), a cut manifest, or a folder.

    Recording paths in a manifest are relative to it, or absolute. One that is called after a split
    (``cuts-dev.jsonl.gz``) is that split; otherwise what has no split is ``train``. A folder of
    recordings is read as ``speechlm prepare data/folder.yaml`` reads it.

    Raises:
        SpeechLMError: when there is no such thing, it is none of these, or two have one id.
    """
    source = Path(source)
    if (source / "corpus.json").is_file():
        corpus = PreparedCorpus.open(source)
        found = [_of_cut(cut, split) for split in SPLITS for cut in corpus.cuts(split)]
    elif source.is_dir():
        found = list(_folder(source))
    else:
        found = list(_manifest(source))
    if not found:
        raise SpeechLMError(f"{source}: holds no recordings")
    seen: set[str] = set()
    for speech in found:
        if speech.id in seen:
            raise SpeechLMError(f"{source}: two recordings have the id {speech.id}")
        seen.add(speech.id)
    return found


def of_shard(shar: Shar, shard: int, split: str) -> list[Utterance]:
    """The utterances of a shard of Lhotse Shar, their recordings in memory as they are stored.

    Raises:
        SpeechLMError: when it cannot be read.
    """
    return [_of_cut(cut, split) for cut in shar.read(shard)]


def digest(found: list[Utterance]) -> str:
    """Names the utterances, their order and what is known of them."""
    lines = [f"{s.id} {s.split} {s.text} {s.language} {s.speaker} {s.segments}\n" for s in found]
    return hashlib.sha256("".join(lines).encode()).hexdigest()[:16]


def _folder(source: Path) -> Iterator[Utterance]:
    nothing = str(source / ".none")  # no output of our own is to be left out
    config = FolderConfig(name=source.name, kind="folder", path=str(source), output=nothing)
    for utterance in recordings.source(config).utterances:
        yield replace(utterance, split=utterance.split or "train")


def _manifest(source: Path) -> Iterator[Utterance]:
    from lhotse import CutSet

    if not source.is_file():
        raise SpeechLMError(f"{source}: no such prepared corpus, cut manifest or folder")
    split = named_split(source.name) or "train"
    try:
        cuts = CutSet.from_file(source).with_recording_path_prefix(str(source.parent.resolve()))
        yield from (_of_cut(cut, split) for cut in cuts)
    except SpeechLMError:
        raise
    except Exception as error:  # Lhotse raises assertions and errors of many kinds
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise SpeechLMError(f"{source}: not a manifest of cuts ({reason})") from None


def _of_cut(cut: Cut, split: str) -> Utterance:
    check_sources(cut)
    said = sorted(cut.supervisions, key=lambda supervision: supervision.start)
    texts = [supervision.text for supervision in said if supervision.text]
    segments: list[tuple[str, float, float]] = []
    aligned = sentences = False
    for supervision in said:
        words = (supervision.alignment or {}).get("word", [])
        if words:
            aligned = True
            segments += [(word.symbol, word.start, word.end) for word in words if word.symbol]
        elif supervision.text:
            sentences = True
            segments.append((supervision.text, supervision.start, supervision.end))
    first = said[0] if said else None
    return Utterance(
        id=cut.id,
        split=split,
        load=partial(loaded, cut),
        pieces=partial(_pieces, cut),
        text=" ".join(texts) or None,
        language=first.language if first else None,
        speaker=first.speaker if first else None,
        segments=tuple(segments) if aligned or len(segments) > 1 else (),
        aligned=aligned and not sentences,
    )


def loaded(cut: Cut) -> tuple[np.ndarray, int]:
    """Mono float32 (samples,) of a cut, and its rate.

    Raises:
        SpeechLMError: when it cannot be read.
    """
    return _wave(cut, cut.id), int(cut.sampling_rate)


def _pieces(cut: Cut) -> Pieces | None:
    if cut.duration <= LONG:
        return None

    def read() -> Iterator[np.ndarray]:
        start = 0
        while start < cut.duration:
            seconds = min(PIECE, cut.duration - start)
            yield _wave(cut.truncate(offset=start, duration=seconds), cut.id)
            start += PIECE

    return read(), int(cut.sampling_rate)


def check_sources(cut: Cut) -> None:
    """Raises: SpeechLMError, when a recording is the output of a command that may not run."""
    for track in getattr(cut, "tracks", None) or [cut]:
        cut = getattr(track, "cut", track)
        for source in cut.recording.sources if getattr(cut, "has_recording", False) else []:
            if source.type == "command" or str(source.source).startswith("pipe:"):
                check_command(cut.id, source.source)


def _wave(cut: Cut, name: str) -> np.ndarray:
    check_sources(cut)
    try:
        wave = np.asarray(cut.load_audio(), np.float32)
    except Exception as error:  # of any of Lhotse's backends
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise SpeechLMError(f"{name}: cannot be read: {reason}") from None
    return wave.mean(axis=0)
