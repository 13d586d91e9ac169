"""A folder of recordings: one's own, or a corpus that was downloaded by hand.

Recordings are any files that ``speechlm.audio`` reads, at any depth. What is said in them comes
from the lists in ``transcripts`` or, when none is named, the lists that the folder brings
(``speechlm.data.layouts``), or else from a ``NAME.txt`` beside each recording. A list also says
which recordings to take. The speaker is the list's, or else the name of the folder that holds the
recording. Files that are neither recordings nor read are named in a warning.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import replace
from fnmatch import fnmatch
from functools import lru_cache, partial
from pathlib import Path

import numpy as np

from speechlm import audio
from speechlm.data import layouts
from speechlm.data.config import FolderConfig
from speechlm.data.corpus import CorpusSource
from speechlm.data.layouts import FILES, LAYOUTS
from speechlm.data.layouts.base import Listed
from speechlm.data.splits import named_split
from speechlm.data.utterance import LONG, Pieces, Utterance, short
from speechlm.errors import SpeechLMError
from speechlm.utils.text import read_text

log = logging.getLogger(__name__)

ENDINGS = {".aif", ".aifc", ".aiff", ".au", ".caf", ".flac", ".mp3", ".nist", ".oga", ".ogg"}
ENDINGS |= {".opus", ".rf64", ".sph", ".w64", ".wav"}
ENDINGS |= {".3gp", ".aac", ".amr", ".m4a", ".mka", ".mp4", ".webm", ".wma"}
NOTES = ("*.md", "*.pdf", "readme*", "licen[cs]e*", "copying*", "thumbs.db", "desktop.ini")
"""Files that are for people, not read and not named."""
NAMED = 5
"""How many files that are not read are named."""


def source(config: FolderConfig) -> CorpusSource:
    """Find the recordings of a folder.

    Raises:
        SpeechLMError: when there is no such folder, or a list in it cannot be read.
    """
    folder = Path(config.path)
    if not folder.is_dir():
        raise SpeechLMError(f"{folder}: no such folder of recordings; give path=FOLDER")
    everything = list(_files(folder, Path(config.output)))
    files = [path for path in everything if path.suffix.lower() in ENDINGS]
    if config.transcripts:
        named = [folder / name for name in config.transcripts]
        layout = config.layout or layouts.layout_of(named[0])
    else:
        layout, named = layouts.detect(folder, config.layout)
    if layout == FILES:
        entries = [Listed(audio=str(path), text=_beside(path)) for path in files]
        named = [path.with_suffix(".txt") for path in files]
    else:
        entries = [entry for path in named for entry in _read(path, folder, config.layout)]
    _name_unread(folder, everything, {*files, *named}, layout)
    return _utterances(entries, files, folder, config)


def _read(path: Path, folder: Path, layout: str | None) -> list[Listed]:
    """The entries of a list; of a split that a folder between is called after, unless they say."""
    parts = path.relative_to(folder).parent.parts if path.is_relative_to(folder) else ()
    split = next(filter(None, map(named_split, parts)), None)
    return [replace(entry, split=entry.split or split) for entry in layouts.read(path, layout)]


def _utterances(
    entries: list[Listed], files: list[Path], folder: Path, config: FolderConfig
) -> CorpusSource:
    by_stem: dict[str, list[Path]] = {}
    for path in files:
        by_stem.setdefault(path.stem, []).append(path)
    utterances: list[Utterance] = []
    skipped = dict.fromkeys(("listed but not there", "listed again", "of an ambiguous name"), 0)
    taken, seen = set[str](), set[tuple[str, float]]()
    # Of a recording in train.csv and in all.csv the former entry counts.
    for entry in sorted(entries, key=lambda one: one.split is None):
        path = Path(entry.audio)
        if entry.load is None and not path.is_file():
            same = by_stem.get(entry.audio, [])
            if len(same) != 1:
                skipped["of an ambiguous name" if same else "listed but not there"] += 1
                continue
            (path,) = same
        if (str(path), entry.start) in seen:
            skipped["listed again"] += 1
            continue
        seen.add((str(path), entry.start))
        name = _id(path, folder) if entry.id is None else entry.id.replace("/", "-")
        if name in taken:  # a.wav and a.mp3, or a/b.wav and a-b.wav
            name = f"{name}-{path.suffix[1:].lower()}"
        while name in taken:
            name += "-again"
        taken.add(name)
        whole = entry.load is None and entry.id is None
        utterances.append(
            Utterance(
                id=name,
                load=entry.load or partial(_load, path, config.sample_rate, entry),
                speaker=entry.speaker or path.parent.resolve().name,
                language=entry.language or config.language,
                text=entry.text,
                split=entry.split,
                pieces=partial(_pieces, path, config.sample_rate) if whole else short,
            )
        )
    used = {path for path, _ in seen}
    skipped["in no list"] = sum(str(path) not in used for path in files)
    return CorpusSource(utterances, skipped=skipped)


def _load(path: Path, sample_rate: int, entry: Listed) -> tuple[np.ndarray, int]:
    if entry.id is None:
        return audio.read(path, sample_rate, allow_cut=False)
    wave = _recording(path, sample_rate)
    start = round(entry.start * sample_rate)
    stop = len(wave) if entry.seconds is None else start + round(entry.seconds * sample_rate)
    return wave[start:stop], sample_rate


@lru_cache(maxsize=1)
def _recording(path: Path, sample_rate: int) -> np.ndarray:
    """A recording of which segments are taken, one after the other."""
    return audio.read(path, sample_rate, allow_cut=False)[0]


def _pieces(path: Path, sample_rate: int) -> Pieces | None:
    if audio.info(path).seconds <= LONG:
        return None
    return audio.blocks(path, sample_rate, allow_cut=False), sample_rate


def _files(folder: Path, output: Path) -> Iterator[Path]:
    """Give the files below ``folder``, without hidden ones and our own output."""
    output = output.resolve()
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        hidden = any(part.startswith(".") for part in inside.parts)
        if not hidden and output not in path.resolve().parents and path.is_file():
            yield path


def _name_unread(folder: Path, files: Iterable[Path], read: set[Path], layout: str) -> None:
    """Warn of files that may say something of the recordings and are not read."""
    known = (*NOTES, *(LAYOUTS[layout].known if layout in LAYOUTS else ()))
    unread = [
        str(path.relative_to(folder))
        for path in files
        if path not in read
        and not any(fnmatch(path.name, one) or fnmatch(path.name.lower(), one) for one in known)
    ]
    if unread:
        more = f" and {len(unread) - NAMED} more" if len(unread) > NAMED else ""
        log.warning(
            "%s: read as layout=%s, without %s%s (layouts: %s; transcripts=[FILE] names a list)",
            folder,
            layout,
            ", ".join(unread[:NAMED]),
            more,
            ", ".join([*LAYOUTS, FILES]),
        )


def _beside(path: Path) -> str | None:
    words = path.with_suffix(".txt")
    return " ".join(read_text(words).split()) or None if words.is_file() else None


def _id(path: Path, folder: Path) -> str:
    try:
        inside = path.resolve().relative_to(folder.resolve())
    except ValueError:
        inside = Path(path.name)
    return "-".join(inside.with_suffix("").parts)
