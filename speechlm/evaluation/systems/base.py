"""What is compared: anything that turns a wave into bits and back."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import soundfile
from numpy.typing import NDArray

from speechlm.errors import SpeechLMError
from speechlm.types import Wave


class Absent(SpeechLMError):
    """The system cannot run on this machine; the message is what the table shows in its row."""


class Failed(SpeechLMError):
    """The system failed on one clip; the message is what every cell of that clip shows."""


@dataclass(frozen=True)
class Encoded:
    """A coded clip: whatever ``decode`` needs, and its price.

    ``payload_bits`` is what a transport must carry for the audio alone; ``file_bytes`` is the
    codec's own file, headers and all. ``codes`` are (codebooks, frames) where there are codebooks.
    """

    payload: Any
    payload_bits: int
    file_bytes: int
    codes: NDArray[np.int64] | None = None


class System(ABC):
    """A codec at one rate.

    Attributes:
        kbps: the rate that was asked for, 0 for the original.
        sample_rate: of the waves that ``encode`` takes and ``decode`` gives, in Hz.
        compared: whether its real bitrate counts ``payload_bits`` or ``file_bytes``.
        latency: algorithmic, in seconds; None where the codec's makers state none.
        codebook_size: entries of each of its codebooks; None where it has none.
        tokens_per_second: None where it has no codebooks.
        timed: whether what it gives back is in time with what it took.
        about: implementation, version and settings in one line.
        version: of the class: raised when it treats the same audio in another way.
    """

    kbps: float
    sample_rate: int
    compared: Literal["payload", "file"] = "payload"
    latency: float | None = None
    codebook_size: int | None = None
    tokens_per_second: float | None = None
    timed: bool = True
    about: str
    version: int = 1

    @abstractmethod
    def encode(self, wave: Wave) -> Encoded:
        """Wave (samples,) in [-1, 1] -> bits. Raises ``Failed`` with a reason to show."""

    @abstractmethod
    def decode(self, encoded: Encoded, samples: int) -> Wave:
        """Bits -> wave, (samples,) where the format can carry a length, else what comes out."""

    @property
    def fingerprint(self) -> str:
        """Changes whenever the same audio may come out differently."""
        name = f"{type(self).__name__}-{self.version}"
        return f"{name} {self.kbps} {self.sample_rate} {self.about}"


def program(name: str, package: str) -> str:
    """The path of a command-line program, or ``Absent`` naming the system package that has it."""
    found = shutil.which(name)
    if found is None:
        raise Absent(f"{name} is not installed (Debian package {package})")
    return found


def run(command: Sequence[str]) -> str:
    """Run a program to its end and give what it printed; ``Failed`` with its last line if not."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    except OSError as error:
        raise Failed(f"{command[0]}: {error.strerror}") from None
    output = (done.stderr + done.stdout).strip()
    if done.returncode:
        last = output.splitlines()[-1] if output else "no message"
        raise Failed(f"{Path(command[0]).name} ended with status {done.returncode}: {last}")
    return output


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder for the files of one run of a program."""
    with tempfile.TemporaryDirectory(prefix="speechlm-eval-") as folder:
        yield Path(folder)


def write_wav(path: Path, wave: Wave, rate: int) -> None:
    """16-bit WAV, as every program here reads it."""
    soundfile.write(path, wave, rate, subtype="PCM_16")


def read_wav(path: Path, program: str) -> Wave:
    """What ``program`` left at ``path`` (samples,), its first channel."""
    try:
        wave, _ = soundfile.read(path, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise Failed(f"{program} wrote no readable audio: {error.error_string}") from None
    return wave[:, 0]


def pcm16(wave: Wave) -> NDArray[np.int16]:
    """Float wave -> 16-bit samples, clipped as a file would be."""
    return np.clip(np.round(wave * 32768), -32768, 32767).astype(np.int16)
