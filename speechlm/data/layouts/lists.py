"""Lists of recordings: JSON lines, transcripts of CMU Sphinx and of LibriSpeech."""

from __future__ import annotations

import json
import re
from pathlib import Path

from speechlm.data.layouts.base import Listed, entry_of, read_lines
from speechlm.data.layouts.cuts import is_cuts
from speechlm.data.splits import named_split
from speechlm.errors import SpeechLMError


def find_jsonl(folder: Path) -> list[Path]:
    """JSON lines in the folder, or ``metadata.jsonl`` below it (Hugging Face)."""
    found = sorted(folder.glob("*.jsonl")) or sorted(folder.rglob("metadata.jsonl"))
    return [path for path in found if not is_cuts(path)]


def read_jsonl(path: Path) -> list[Listed]:
    """One object a line, with the keys of :data:`~speechlm.data.layouts.base.COLUMNS`.

    Raises:
        SpeechLMError: naming the line.
    """
    entries = []
    for number, line in enumerate(read_lines(path), 1):
        if not line.strip():
            continue
        try:
            given = json.loads(line)
        except ValueError:
            given = None
        if not isinstance(given, dict):
            raise SpeechLMError(f'{path}:{number}: needs a JSON object with at least "audio"')
        entries.append(entry_of(given, path, number))
    return entries


def find_sphinx(folder: Path) -> list[Path]:
    """``etc/*.transcription``."""
    return sorted(folder.glob("etc/*.transcription"))


def read_sphinx(path: Path) -> list[Listed]:
    """``<s> WORDS </s> (id)`` lines; the id is the name of the recording without its ending.

    Raises:
        SpeechLMError: naming the line.
    """
    entries = []
    for number, line in enumerate(read_lines(path), 1):
        if not line.strip():
            continue
        found = re.fullmatch(r"(?:<s>)?(.*?)(?:</s>)?\s*\((\S+)\)", line.strip())
        if found is None:
            raise SpeechLMError(f"{path}:{number}: needs <s> WORDS </s> (id)")
        entries.append(Listed(found[2], found[1].strip(), split=named_split(path.stem)))
    return entries


def find_librispeech(folder: Path) -> list[Path]:
    """``SPEAKER-CHAPTER.trans.txt``, at any depth."""
    return sorted(folder.rglob("*.trans.txt"))


def read_librispeech(path: Path) -> list[Listed]:
    """``id WORDS`` lines, of the recordings ``id.flac`` beside; the id begins with the speaker.

    Raises:
        SpeechLMError: naming the line of an id that is not of the list.
    """
    chapter = path.name.removesuffix(".trans.txt")
    entries = []
    for number, line in enumerate(read_lines(path), 1):
        name, _, text = line.strip().partition(" ")
        if not name:
            continue
        if not name.startswith(chapter):
            raise SpeechLMError(f"{path}:{number}: {name} is no recording of {chapter}")
        beside = sorted(path.parent.glob(f"{name}.[!t]*"))
        audio = str(beside[0]) if beside else name
        entries.append(Listed(audio, " ".join(text.split()), name.split("-")[0]))
    return entries
