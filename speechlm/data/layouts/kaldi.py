"""Folders of Kaldi: ``wav.scp``, with ``text``, ``utt2spk``, ``utt2lang`` and ``segments``."""

from __future__ import annotations

from pathlib import Path

from speechlm.data.layouts.base import Listed, read_lines
from speechlm.errors import SpeechLMError

SCP = "wav.scp"
KNOWN = (
    "cmvn.scp",
    "feats.scp",
    "frame_shift",
    "reco2dur",
    "reco2file_and_channel",
    "segments",
    "spk2gender",
    "spk2utt",
    "text",
    "utt2dur",
    "utt2lang",
    "utt2num_frames",
    "utt2spk",
    "utt2uniq",
)


def find(folder: Path) -> list[Path]:
    """``wav.scp`` in the folder, in those in it, or in those of ``data/``."""
    for pattern in (SCP, f"*/{SCP}", f"data/*/{SCP}"):
        found = sorted(folder.glob(pattern))
        if found:
            return found
    return []


def read(path: Path) -> list[Listed]:
    """The recordings of a ``wav.scp``, or their segments.

    Paths are relative to its folder or to one of the two above it.

    Raises:
        SpeechLMError: naming the line, for a shell command in place of a path and for a segment
            that cannot be read or that is of no recording.
    """
    texts, speakers, languages = (
        _table(path.with_name(name)) for name in ("text", "utt2spk", "utt2lang")
    )
    recordings = _recordings(path)
    segments = path.with_name("segments")
    if not segments.is_file():
        return [
            Listed(audio, texts.get(name), speakers.get(name), languages.get(name))
            for name, audio in recordings.items()
        ]
    entries = []
    for name, (recording, start, seconds) in _segments(segments, recordings).items():
        known = texts.get(name), speakers.get(name), languages.get(name)
        entries.append(Listed(recordings[recording], *known, None, name, start, seconds))
    return entries


def _recordings(path: Path) -> dict[str, str]:
    recordings = {}
    for number, line in enumerate(read_lines(path), 1):
        fields = line.split(None, 1)
        if not fields:
            continue
        if len(fields) == 1:
            raise SpeechLMError(f"{path}:{number}: needs an id and the path of its recording")
        name, audio = fields[0], fields[1].strip()
        if audio.endswith("|"):
            raise SpeechLMError(
                f"{path}:{number}: is a shell command, which is not run; write its output to a "
                "sound file and name that"
            )
        recordings[name] = str(_find(audio, path))
    return recordings


def _find(audio: str, path: Path) -> Path:
    places = [folder / audio for folder in path.parents[:3]]
    return next((place for place in places if place.is_file()), places[min(1, len(places) - 1)])


def _segments(path: Path, recordings: dict[str, str]) -> dict[str, tuple[str, float, float | None]]:
    segments = {}
    for number, line in enumerate(read_lines(path), 1):
        fields = line.split()
        if not fields:
            continue
        try:
            (name, recording), (start, end) = fields[:2], map(float, fields[2:4])
        except ValueError:
            raise SpeechLMError(
                f"{path}:{number}: needs an id, a recording, start and end"
            ) from None
        if recording not in recordings:
            raise SpeechLMError(f"{path}:{number}: {SCP} has no recording {recording}")
        if not 0 <= start < float("inf") or not (end > start or end == -1):
            raise SpeechLMError(f"{path}:{number}: is no stretch of time: {start:g} to {end:g} s")
        segments[name] = (recording, start, None if end == -1 else end - start)
    return segments


def _table(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    rows = (line.split(None, 1) for line in read_lines(path) if line.strip())
    return {row[0]: row[1].strip() if len(row) > 1 else "" for row in rows}
