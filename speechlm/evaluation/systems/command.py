"""Any codec that has a command line."""

from __future__ import annotations

import hashlib
import shlex
import shutil
from pathlib import Path

from speechlm.errors import SpeechLMError
from speechlm.evaluation.systems.base import (
    Absent,
    Encoded,
    System,
    read_wav,
    run,
    scratch,
    write_wav,
)
from speechlm.types import Wave


class Command(System):
    """``encode: cmd {in} {out}`` and ``decode: cmd {in} {out}``; ``{kbps}`` is the asked rate.

    The encoder reads a 16-bit mono WAV and the decoder writes one, both at ``sample_rate``; no
    shell is involved. What counts is the size of the encoder's file.
    """

    compared = "file"

    def __init__(
        self, kbps: float, sample_rate: int, encode: str, decode: str, suffix: str
    ) -> None:
        self.kbps = kbps
        self.sample_rate = sample_rate
        self.suffix = suffix
        self.commands = {"encode": _words(encode), "decode": _words(decode)}
        contents = [_content(words[0]) for words in self.commands.values()]
        self._key = f"{encode} {decode} {suffix} {' '.join(contents)}"
        self.about = f"{encode} | {decode}"

    @property
    def fingerprint(self) -> str:
        return f"{super().fingerprint} {self._key}"

    def encode(self, wave: Wave) -> Encoded:
        with scratch() as folder:
            source, coded = folder / "in.wav", folder / f"out{self.suffix}"
            write_wav(source, wave, self.sample_rate)
            self._run("encode", source, coded)
            data = coded.read_bytes() if coded.exists() else b""
        return Encoded(data, 8 * len(data), len(data))

    def decode(self, encoded: Encoded, samples: int) -> Wave:
        with scratch() as folder:
            coded, target = folder / f"in{self.suffix}", folder / "out.wav"
            coded.write_bytes(encoded.payload)
            self._run("decode", coded, target)
            return read_wav(target, self.commands["decode"][0])

    def _run(self, direction: str, source: Path, target: Path) -> None:
        values = {"{in}": str(source), "{out}": str(target), "{kbps}": f"{self.kbps:g}"}
        words = []
        for word in self.commands[direction]:
            for placeholder, value in values.items():
                word = word.replace(placeholder, value)
            words.append(word)
        run(words)


def _words(command: str) -> list[str]:
    words = shlex.split(command)
    if not any("{in}" in word for word in words) or not any("{out}" in word for word in words):
        raise SpeechLMError(f"command {command!r}: needs {{in}} and {{out}}")
    return words


def _content(name: str) -> str:
    """A hash of the program, so that a rebuilt one is run again."""
    found = shutil.which(name)
    if found is None:
        raise Absent(f"program {name!r} is not found")
    with Path(found).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
