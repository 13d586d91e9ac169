"""The recordings of a suite, from a corpus, a cut manifest, a list or a folder."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from glob import glob
from pathlib import Path
from typing import Any

import numpy as np

from speechlm import audio, resources
from speechlm.errors import SpeechLMError
from speechlm.evaluation.config import ClipsConfig
from speechlm.utils.text import read_text

AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".mp3")


@dataclass(frozen=True)
class Clip:
    """A stretch of a recording: ``seconds`` from ``start``; ``text`` is what is said, if known."""

    id: str
    path: Path
    seconds: float
    start: float = 0.0
    text: str | None = None
    speaker: str | None = None

    def read(self, sample_rate: int) -> np.ndarray:
        """Mono float32 (samples,) at ``sample_rate`` Hz."""
        wave = _recording(self.path, sample_rate)
        first = round(self.start * sample_rate)
        return wave[first : first + max(1, round(self.seconds * sample_rate))]

    @cached_property
    def digest(self) -> str:
        """Names the audio by its content: the file's bytes and the stretch of them."""
        return f"{_digest(self.path)} {self.start:.6f} {self.seconds:.6f}"


def find(config: ClipsConfig) -> list[Clip]:
    """The clips of the first source that exists, or of all with ``combine``, in a fixed order.

    Raises:
        SpeechLMError: when no source exists or nothing in it is left to take.
    """
    paths: list[Path] = []
    for pattern in config.sources:
        paths += _matches(pattern)
        if paths and not config.combine:
            break
    if not paths:
        patterns = ", ".join(config.sources)
        raise SpeechLMError(
            f"no recordings at {patterns}: give clips.sources=[PATH], or prepare a corpus with "
            "speechlm prepare"
        )
    longest = config.max_seconds or float("inf")
    clips = sorted(
        (
            clip
            for path in paths
            for clip in read_source(path)
            if config.min_seconds <= clip.seconds <= longest
        ),
        key=lambda clip: clip.id,
    )
    if not clips:
        raise SpeechLMError(f"{paths[0]}: holds no recording of the lengths asked for")
    if len({clip.id for clip in clips}) < len(clips):
        clips = [replace(clip, id=f"{number:05d}-{clip.id}") for number, clip in enumerate(clips)]
    if config.limit is not None and config.limit < len(clips):
        chosen = np.linspace(0, len(clips) - 1, max(1, config.limit)).round().astype(int)
        clips = [clips[index] for index in chosen]
    return clips


def _matches(pattern: str) -> list[Path]:
    """Files and folders that a pattern matches; ``speechlm:PATH`` is a file of the package."""
    if pattern.startswith("speechlm:"):
        return [resources.PACKAGE / pattern.removeprefix("speechlm:")]
    return sorted(Path(path) for path in glob(pattern))  # noqa: PTH207 (may be absolute)


def read_source(path: Path) -> Iterator[Clip]:
    """The clips of a prepared corpus, a cut manifest, a JSONL list, a folder or a sound file.

    A list has a line ``{"audio": PATH, "text": ..., "speaker": ...}`` for each recording, with
    paths relative to it. ``NAME.txt`` beside the sound file ``NAME.wav`` is its text.
    """
    if (path / "corpus.json").is_file():
        from speechlm.data.corpus import PreparedCorpus

        return _cuts(PreparedCorpus.open(path).cuts("test"), path)
    if path.is_dir():
        found = sorted(each for each in path.rglob("*") if each.suffix.lower() in AUDIO_SUFFIXES)
        return (_file(each, each.relative_to(path)) for each in found)
    if path.suffix.lower() in AUDIO_SUFFIXES:
        return iter([_file(path, Path(path.name))])
    lines = _lines(path)
    if lines and "audio" in lines[0]:
        return _list(lines, path)
    from lhotse import CutSet

    try:
        return _cuts(CutSet.from_file(path), path.parent)
    except Exception as error:  # Lhotse raises assertions and errors of many kinds
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise SpeechLMError(
            f"{path}: neither a cut manifest nor a list of recordings ({reason})"
        ) from None


def _file(path: Path, name: Path) -> Clip:
    beside = path.with_suffix(".txt")
    text = read_text(beside).strip() if beside.is_file() else None
    return Clip(name.with_suffix("").as_posix(), path, audio.info(path).seconds, text=text)


def _list(lines: list[dict[str, Any]], path: Path) -> Iterator[Clip]:
    for number, line in enumerate(lines, 1):
        try:
            recording = path.parent / line["audio"]
        except (KeyError, TypeError):
            raise SpeechLMError(f"{path}: line {number} names no audio") from None
        seconds = audio.info(recording).seconds
        yield Clip(recording.stem, recording, seconds, 0.0, line.get("text"), line.get("speaker"))


def _cuts(cuts: Iterable[Any], folder: Path) -> Iterator[Clip]:
    for cut in cuts:
        if not cut.has_recording:
            raise SpeechLMError(f"{folder}: cut {cut.id} has no recording")
        source = Path(cut.recording.sources[0].source)
        path = source if source.is_absolute() else folder / source
        said = [supervision.text for supervision in cut.supervisions if supervision.text]
        speakers = [supervision.speaker for supervision in cut.supervisions]
        yield Clip(
            cut.id,
            path,
            cut.duration,
            cut.start,
            " ".join(said) or None,
            speakers[0] if speakers else None,
        )


def _lines(path: Path) -> list[dict[str, Any]]:
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rt", encoding="utf-8") as file:
            return [json.loads(line) for line in file if line.strip()]
    except (OSError, ValueError, EOFError) as error:
        raise SpeechLMError(f"{path}: not a list of recordings: {error}") from None


@lru_cache(maxsize=4)  # systems come clip by clip, and cuts of one recording one after the other
def _recording(path: Path, sample_rate: int) -> np.ndarray:
    wave, _ = audio.read(path, sample_rate)
    wave.flags.writeable = False
    return wave


@lru_cache(maxsize=4096)
def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise SpeechLMError(f"{path}: {error.strerror}") from None
