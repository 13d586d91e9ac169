"""What a list of recordings says of each, in whatever format."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from speechlm.data.splits import named_split
from speechlm.errors import SpeechLMError
from speechlm.utils.text import read_text

COLUMNS = {
    "audio": (
        "audio",
        "audio_file",
        "audio_filepath",  # NeMo
        "audio_path",
        "file",
        "file_name",  # Hugging Face
        "filename",
        "filepath",
        "path",  # Common Voice
        "wav",
    ),
    "text": ("text", "sentence", "transcription", "transcript", "normalized_text"),
    "speaker": ("speaker", "speaker_id", "speaker_name", "client_id", "spk", "spk_id"),
    "language": ("language", "lang", "locale"),
    "split": ("split",),
}
"""Names of columns, and of keys of JSON lines, for each thing that is read; the first counts."""


@dataclass(frozen=True)
class Listed:
    """One entry of a list.

    ``audio`` is a path, or an id where the format gives only that. ``id`` names the utterance where
    it is not the whole recording, which is then taken from ``start`` for ``seconds``. ``load``
    gives float32 (samples,) and its sample rate, of what is no plain file.
    """

    audio: str
    text: str | None = None
    speaker: str | None = None
    language: str | None = None
    split: str | None = None
    id: str | None = None
    start: float = 0.0
    seconds: float | None = None
    load: Callable[[], tuple[np.ndarray, int]] | None = None


@dataclass(frozen=True)
class Layout:
    """A way to lay out recordings and what is said in them.

    Attributes:
        what: the files by which it is recognised, for messages.
        find: the lists in a folder; empty when it has another layout.
        read: the entries of a list.
        known: names of files that belong to the layout and hold nothing to read, as patterns.
    """

    what: str
    find: Callable[[Path], list[Path]]
    read: Callable[[Path], list[Listed]]
    known: tuple[str, ...] = ()


def read_lines(path: Path) -> list[str]:
    """The lines of a text file, which end at line breaks alone, not at other separators."""
    return [line.rstrip("\r") for line in read_text(path).split("\n")]


def entry_of(fields: Mapping[str, object], path: Path, number: int) -> Listed:
    """The entry of a row of a table or of a JSON object, at line ``number`` of ``path``.

    Raises:
        SpeechLMError: naming the line, when it names no recording or holds no plain values.
    """
    values: dict[str, str | None] = {}
    named = {name.strip().lower(): value for name, value in fields.items()}
    for field, names in COLUMNS.items():
        value = next((named[name] for name in names if named.get(name) is not None), None)
        if not isinstance(value, str | int | float | None):
            raise SpeechLMError(f"{path}:{number}: {field} is {value!r}, not a text")
        values[field] = None if value is None else " ".join(str(value).split()) or None
    audio, split = values["audio"], values["split"]
    if audio is None:
        raise SpeechLMError(
            f"{path}:{number}: names no recording; needs one of {', '.join(COLUMNS['audio'])}"
        )
    return Listed(
        audio=str(find_audio(audio, path.parent)),
        text=values["text"],
        speaker=values["speaker"],
        language=values["language"],
        split=(named_split(split) if split else None) or named_split(path.stem),
    )


def find_audio(name: str, folder: Path) -> Path:
    """The recording that a list in ``folder`` calls ``name``; as named where it is absent."""
    for written in dict.fromkeys((name, name.replace("\\", "/"))):
        for place in (folder, folder / "clips", folder / "wavs", folder / "wav", folder / "audio"):
            if (place / written).is_file():
                return place / written
    return folder / name
