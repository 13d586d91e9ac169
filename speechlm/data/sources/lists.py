"""Lists of recordings with what is said in them: our jsonl, CMU Sphinx's and Kaldi's formats."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from speechlm.data.splits import named_split
from speechlm.errors import SpeechLMError
from speechlm.utils.text import read_text


@dataclass(frozen=True)
class Listed:
    """One line of a list. ``audio`` is a path, or an id where the format gives only that."""

    audio: str
    text: str | None = None
    speaker: str | None = None
    language: str | None = None
    split: str | None = None


def find(folder: Path) -> list[Path]:
    """Find the lists that a folder brings: the first of jsonl, Sphinx and Kaldi that is there."""
    for pattern in ("*.jsonl", "etc/*.transcription", "*/wav.scp"):
        found = sorted(folder.glob(pattern))
        if found:
            return found
    return []


def read(path: Path) -> list[Listed]:
    """Read a list in the format that its name says.

    Raises:
        SpeechLMError: naming the file and the line.
    """
    reader = {".jsonl": _jsonl, ".transcription": _sphinx, ".scp": _kaldi}.get(path.suffix)
    if reader is None:
        raise SpeechLMError(f"{path}: a list of recordings is .jsonl, .transcription or wav.scp")
    try:
        return list(reader(path))
    except FileNotFoundError as error:
        raise SpeechLMError(f"{error.filename}: no such list of recordings") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SpeechLMError(f"{path}: {error}") from None


def _jsonl(path: Path) -> Iterator[Listed]:
    """One object a line: ``audio`` (relative to the list), and what is known of ``text``,
    ``speaker``, ``language``, ``split`` (otherwise read off the name of the list)."""
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if not line.strip():
            continue
        try:
            given = json.loads(line)
            entry = Listed(
                audio=str(path.parent / given["audio"]),
                text=given.get("text"),
                speaker=given.get("speaker"),
                language=given.get("language"),
                split=given.get("split", named_split(path.stem)),
            )
        except (ValueError, KeyError, TypeError, AttributeError):
            raise SpeechLMError(
                f'{path}:{number}: needs a JSON object with at least "audio"'
            ) from None
        yield entry


def _sphinx(path: Path) -> Iterator[Listed]:
    """``<s> WORDS </s> (id)`` lines; the id is the name of the recording without its ending."""
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if not line.strip():
            continue
        found = re.fullmatch(r"(?:<s>)?(.*?)(?:</s>)?\s*\((\S+)\)", line.strip())
        if found is None:
            raise SpeechLMError(f"{path}:{number}: needs <s> WORDS </s> (id)")
        yield Listed(audio=found[2], text=found[1].strip(), split=named_split(path.stem))


def _kaldi(path: Path) -> Iterator[Listed]:
    """``wav.scp`` (``id path``, relative to the folder above) with ``text`` and ``utt2spk``."""
    texts, speakers = (
        _table(beside) if beside.exists() else {}
        for beside in (path.with_name("text"), path.with_name("utt2spk"))
    )
    for name, audio in _table(path).items():
        yield Listed(
            audio=str(path.parent.parent / audio),
            text=texts.get(name),
            speaker=speakers.get(name),
            split=named_split(path.parent.name),
        )


def _table(path: Path) -> dict[str, str]:
    rows = (line.split(None, 1) for line in read_text(path).splitlines() if line.strip())
    return {row[0]: row[1].strip() if len(row) > 1 else "" for row in rows}
