"""Flight of the Amazon Queen: English game dialogue by a full cast, narrow-band (4.4 kHz)."""

from __future__ import annotations

import io
import struct
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile

from speechlm.data import debian
from speechlm.data.config import DebianConfig
from speechlm.data.corpus import CorpusSource
from speechlm.data.utterance import Utterance
from speechlm.errors import SpeechLMError

ARCHIVE = "usr/share/scummvm/flight-of-the-amazon-queen/queen.1c"
HEADER = struct.Struct(">4s6sxxBH")
ENTRY = struct.Struct(">12sBII")
MP3 = 1


class ArchiveMember(NamedTuple):
    """One file inside the archive: its place in bytes."""

    name: str
    offset: int
    size: int


def source(config: DebianConfig) -> CorpusSource:
    """Fetch the package and list the voices in the game's archive.

    A line is ``KEYn.SB``, n being its segment's hexadecimal number; the hero's keys are ``JOE...``
    and ``...J``, all others are the cast's. Sound effects have names filled up with ``S``.
    """
    root, versions = debian.unpacked(config.packages, Path(config.package_cache), config.name)
    path = root / ARCHIVE
    with path.open("rb") as archive:
        table = directory(archive.read(1 << 20), path)
    utterances, effects = [], 0
    for entry in table:
        name, _, ending = entry.name.partition(".")
        if ending != "SB":
            continue
        if name.endswith("SSS"):
            effects += 1
            continue
        hero = name.startswith("JOE") or name[-2:-1] == "J"
        utterances.append(
            Utterance(
                id=f"amazon-queen-{name.lower()}",
                load=partial(_read, path, entry),
                speaker="amazon-queen-joe" if hero else "amazon-queen-cast",
                language="en",
            )
        )
    return CorpusSource(utterances, versions, {"sound effects": effects})


def directory(head: bytes, path: Path) -> list[ArchiveMember]:
    """Parse ScummVM's compressed archive: ``QTBL``, version, two unknown bytes, compression, count.

    An entry is a name of 12 bytes, a flag, and a big-endian offset and size of 4 bytes each.
    """
    try:
        magic, _, compression, count = HEADER.unpack_from(head)
        if magic != b"QTBL" or compression != MP3:
            raise SpeechLMError(f"{path}: not the game's archive with MP3 voices")
        entries = (ENTRY.unpack_from(head, HEADER.size + i * ENTRY.size) for i in range(count))
        return [
            ArchiveMember(n.rstrip(b"\0").decode("ascii"), at, size) for n, _, at, size in entries
        ]
    except (struct.error, UnicodeDecodeError):
        raise SpeechLMError(f"{path}: the archive's directory is damaged") from None


def _read(path: Path, entry: ArchiveMember) -> tuple[np.ndarray, int]:
    with path.open("rb") as archive:
        archive.seek(entry.offset)
        voice = archive.read(entry.size)
    try:
        wave, rate = soundfile.read(io.BytesIO(voice), dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise SpeechLMError(f"{path}: {entry.name}: {error}") from None
    return wave.mean(axis=1), rate
