"""A folder of recordings: one's own, or a corpus that was downloaded by hand.

Recordings are any files that ``speechlm.audio`` reads, at any depth. What is said in them comes
from the lists in ``transcripts`` or, when none is named, the lists that the folder brings
(``speechlm.data.sources.lists``), or else from a ``NAME.txt`` beside each recording. A list also
says which recordings to take. The speaker is the list's, or else the name of the folder that holds
the recording.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from speechlm import audio
from speechlm.data.config import FolderConfig
from speechlm.data.corpus import LONG, CorpusSource, Pieces, SourceUtterance
from speechlm.data.sources import lists
from speechlm.data.sources.lists import Listed
from speechlm.errors import SpeechLMError
from speechlm.utils.text import read_text

ENDINGS = {".aif", ".aifc", ".aiff", ".au", ".caf", ".flac", ".mp3", ".nist", ".oga", ".ogg"}
ENDINGS |= {".opus", ".rf64", ".sph", ".w64", ".wav"}
ENDINGS |= {".3gp", ".aac", ".amr", ".m4a", ".mka", ".mp4", ".webm", ".wma"}


def source(config: FolderConfig) -> CorpusSource:
    """Find the recordings of a folder."""
    folder = Path(config.path)
    if not folder.is_dir():
        raise SpeechLMError(f"{folder}: no such folder of recordings; give path=FOLDER")
    files = list(_recordings(folder, Path(config.output)))
    named = [folder / name for name in config.transcripts] or lists.find(folder)
    if not named:
        entries = [Listed(audio=str(path), text=_beside(path)) for path in files]
    else:
        entries = [entry for name in named for entry in lists.read(name)]
    by_stem = {path.stem: path for path in files}
    utterances: list[SourceUtterance] = []
    missing, taken = 0, set[str]()
    for entry in entries:
        path = Path(entry.audio)
        if not path.is_file():
            if entry.audio not in by_stem:
                missing += 1
                continue
            path = by_stem[entry.audio]
        name = _id(path, folder)
        if name in taken:  # a.wav and a.mp3, or a/b.wav and a-b.wav
            name = f"{name}-{path.suffix[1:].lower()}"
        while name in taken:
            name += "-again"
        taken.add(name)
        utterances.append(
            SourceUtterance(
                id=name,
                load=partial(audio.read, path, config.sample_rate, allow_cut=False),
                speaker=entry.speaker or path.parent.resolve().name,
                language=entry.language or config.language,
                text=entry.text,
                split=entry.split,
                pieces=partial(_pieces, path, config.sample_rate),
            )
        )
    return CorpusSource(utterances, skipped={"listed but not there": missing})


def _pieces(path: Path, sample_rate: int) -> Pieces | None:
    if audio.info(path).seconds <= LONG:
        return None
    return audio.blocks(path, sample_rate, allow_cut=False), sample_rate


def _recordings(folder: Path, output: Path) -> Iterator[Path]:
    """Give the audio files below ``folder``, without hidden ones and our own output."""
    output = output.resolve()
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        hidden = any(part.startswith(".") for part in inside.parts)
        if path.suffix.lower() in ENDINGS and not hidden and output not in path.resolve().parents:
            yield path


def _beside(path: Path) -> str | None:
    words = path.with_suffix(".txt")
    return " ".join(read_text(words).split()) or None if words.is_file() else None


def _id(path: Path, folder: Path) -> str:
    try:
        inside = path.resolve().relative_to(folder.resolve())
    except ValueError:
        inside = Path(path.name)
    return "-".join(inside.with_suffix("").parts)
