"""Tables of recordings: CSV and TSV with a header, Common Voice, and LJSpeech.

Tables of Hugging Face's audio folders are such tables, with the column ``file_name``.
"""

from __future__ import annotations

import csv
from io import StringIO
from pathlib import Path

from speechlm.data.layouts.base import COLUMNS, Listed, entry_of, find_audio, read_lines
from speechlm.errors import SpeechLMError
from speechlm.utils.text import read_text

ENDINGS = (".csv", ".tsv")


def find(folder: Path) -> list[Path]:
    """Tables in the folder that have a column of recordings."""
    tables = sorted(path for path in folder.iterdir() if path.suffix.lower() in ENDINGS)
    return [path for path in tables if _names_audio(path)]


def find_audiofolder(folder: Path) -> list[Path]:
    """``metadata.csv`` below the folder, one for each part (Hugging Face)."""
    found = sorted([*folder.rglob("metadata.csv"), *folder.rglob("metadata.tsv")])
    return [path for path in found if _names_audio(path)]


def find_common_voice(folder: Path) -> list[Path]:
    """``train.tsv``, ``dev.tsv`` and ``test.tsv``, or else ``validated.tsv``, beside ``clips/``."""
    if not (folder / "clips").is_dir():
        return []
    splits = [folder / f"{split}.tsv" for split in ("train", "dev", "test")]
    found = [path for path in splits if path.is_file()]
    return found or [path for path in [folder / "validated.tsv"] if path.is_file()]


def find_ljspeech(folder: Path) -> list[Path]:
    """``metadata.csv`` without a header, its columns between bars."""
    path = folder / "metadata.csv"
    return [path] if path.is_file() and is_ljspeech(path) else []


def is_ljspeech(path: Path) -> bool:
    """Whether the first line of a table is ``id|text`` or ``id|text|normalised text``."""
    first = read_lines(path)[0]
    return first.count("|") in (1, 2) and not _names_audio(path)


def read(path: Path) -> list[Listed]:
    """The rows of a table with a header.

    Raises:
        SpeechLMError: naming the line of a row that has more or fewer fields than the header, or
            names no recording.
    """
    text = read_text(path)
    delimiter = _delimiter(text)
    try:
        rows = _parse(text, delimiter, csv.QUOTE_MINIMAL)
    except csv.Error as error:
        if delimiter != "\t":
            raise SpeechLMError(f"{path}: {error}") from None
        rows = _parse(text, delimiter, csv.QUOTE_NONE)
    if delimiter == "\t" and any("\n" in field for _, row in rows for field in row):
        rows = _parse(text, delimiter, csv.QUOTE_NONE)  # quotes that are part of the text
    return _entries(path, rows)


def read_common_voice(path: Path) -> list[Listed]:
    """The rows of a table of Common Voice, which has quotes as they are."""
    return _entries(path, _parse(read_text(path), "\t", csv.QUOTE_NONE))


def read_ljspeech(path: Path) -> list[Listed]:
    """``id|text`` or ``id|text|normalised text``, of which the last column is what is said.

    Raises:
        SpeechLMError: naming a line of another number of columns.
    """
    entries = []
    for number, line in enumerate(read_lines(path), 1):
        if not line.strip():
            continue
        fields = line.split("|")
        if len(fields) not in (2, 3):
            raise SpeechLMError(f"{path}:{number}: needs id|text or id|text|normalised text")
        name = fields[0].strip()
        audio = find_audio(f"{name}.wav", path.parent)
        text = " ".join(fields[-1].split()) or " ".join(fields[1].split())
        entries.append(Listed(str(audio) if audio.is_file() else name, text or None))
    return entries


def _entries(path: Path, rows: list[tuple[int, list[str]]]) -> list[Listed]:
    if not rows:
        raise SpeechLMError(f"{path}: is empty; needs a header and a row for each recording")
    _, header = rows[0]
    names = {name.strip().lower() for name in header}
    if not names & set(COLUMNS["audio"]):
        raise SpeechLMError(
            f"{path}: needs a column of recordings ({', '.join(COLUMNS['audio'])}); its header "
            f"is {', '.join(header)}"
        )
    entries = []
    for number, row in rows[1:]:
        if len(row) != len(header):
            raise SpeechLMError(f"{path}:{number}: has {len(row)} fields, the header {len(header)}")
        entries.append(entry_of(dict(zip(header, row, strict=True)), path, number))
    return entries


def _parse(text: str, delimiter: str, quoting: int) -> list[tuple[int, list[str]]]:
    """Rows that are not empty, each with the number of its line."""
    lines = StringIO(text, newline="")
    quoted = quoting != csv.QUOTE_NONE
    reader = csv.reader(lines, delimiter=delimiter, quoting=quoting, strict=quoted)  # type: ignore[arg-type]
    return [(reader.line_num, row) for row in reader if any(field.strip() for field in row)]


def _delimiter(text: str) -> str:
    """The one that is most frequent in the header."""
    header = text.lstrip("\r\n").split("\n", 1)[0]
    return max("\t,;|", key=header.count)


def _names_audio(path: Path) -> bool:
    text = read_text(path)
    header = text.lstrip("\r\n").split("\n", 1)[0].strip("\r").split(_delimiter(text))
    names = {name.strip().strip('"').lower() for name in header}
    return bool(names & set(COLUMNS["audio"]))
