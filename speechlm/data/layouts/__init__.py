"""Layouts of folders of recordings, recognised by their lists."""

from __future__ import annotations

from pathlib import Path

from speechlm.data.layouts import cuts, kaldi, lists, tables
from speechlm.data.layouts.base import Layout, Listed
from speechlm.errors import SpeechLMError

LAYOUTS = {
    "cuts": Layout("*.jsonl.gz or *.jsonl of Lhotse cuts", cuts.find, cuts.read),
    "jsonl": Layout("*.jsonl, metadata.jsonl", lists.find_jsonl, lists.read_jsonl),
    "sphinx": Layout(
        "etc/*.transcription", lists.find_sphinx, lists.read_sphinx, ("*.fileids", "*.phone")
    ),
    "kaldi": Layout("wav.scp", kaldi.find, kaldi.read, kaldi.KNOWN),
    "common-voice": Layout(
        "train.tsv or validated.tsv beside clips/",
        tables.find_common_voice,
        tables.read_common_voice,
        ("*.tsv",),  # the same recordings again, and those that were voted down
    ),
    "ljspeech": Layout("metadata.csv with id|text", tables.find_ljspeech, tables.read_ljspeech),
    "audiofolder": Layout("metadata.csv with file_name", tables.find_audiofolder, tables.read),
    "table": Layout("*.csv or *.tsv with a header", tables.find, tables.read),
    "librispeech": Layout(
        "*.trans.txt", lists.find_librispeech, lists.read_librispeech, ("*.TXT",)
    ),
}
"""The first one that a folder has is read, unless another is asked for."""
FILES = "files"
"""The layout without a list: recordings, and ``NAME.txt`` beside ``NAME.wav``."""


def detect(folder: Path, name: str | None = None) -> tuple[str, list[Path]]:
    """The layout of a folder and its lists; ``FILES``, without lists, where it has none of them.

    Args:
        name: the layout that is expected.

    Raises:
        SpeechLMError: when there is no such layout, or the folder has no list of it.
    """
    if name == FILES:
        return FILES, []
    if name is not None and name not in LAYOUTS:
        raise SpeechLMError(f"layout={name}: is one of {', '.join([*LAYOUTS, FILES])}")
    for known in [name] if name else LAYOUTS:
        found = LAYOUTS[known].find(folder)
        if found:
            return known, found
    if name is not None:
        raise SpeechLMError(f"{folder}: holds no {LAYOUTS[name].what}, which layout={name} has")
    return FILES, []


def layout_of(path: Path) -> str:
    """The layout of a list, by its name and first line.

    Raises:
        SpeechLMError: when it is none that is known.
    """
    suffix = path.suffix.lower()
    if path.name == kaldi.SCP:
        return "kaldi"
    if path.name.endswith(".trans.txt"):
        return "librispeech"
    if suffix == ".transcription":
        return "sphinx"
    if suffix in (".jsonl", ".gz"):
        return "cuts" if cuts.is_cuts(path) else "jsonl"
    if suffix in tables.ENDINGS:
        if (path.parent / "clips").is_dir() and suffix == ".tsv":
            return "common-voice"
        return "ljspeech" if tables.is_ljspeech(path) else "table"
    raise SpeechLMError(
        f"{path}: a list of recordings is .jsonl, .csv, .tsv, wav.scp, .trans.txt, .transcription "
        "or Lhotse cuts"
    )


def read(path: Path, layout: str | None = None) -> list[Listed]:
    """The entries of a list, in the format of a layout, or else in the one that its name says.

    Raises:
        SpeechLMError: naming the file and the line.
    """
    try:
        if not path.is_file():
            raise SpeechLMError(f"{path}: no such list of recordings")
        return LAYOUTS[layout or layout_of(path)].read(path)
    except OSError as error:
        raise SpeechLMError(f"{path}: {error}") from None
