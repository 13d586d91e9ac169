"""What is checked: a codec behind our interface, or commands that encode and decode files."""

from __future__ import annotations

import io
import math
import shlex
import subprocess
import tempfile
from abc import ABC, abstractmethod
from importlib import import_module
from pathlib import Path

import numpy as np
import torch

from speechlm import audio
from speechlm.codec import Codec
from speechlm.codec.load import load
from speechlm.codec.peers.random import with_random_weights
from speechlm.compression.encoder import write_codes
from speechlm.conformance.result import NotApplicable
from speechlm.errors import SpeechLMError
from speechlm.types import Wave

TIMEOUT = 300  # seconds of a command


class Subject(ABC):
    """A codec under check.

    Attributes:
        name: in the report.
        sample_rate: of its input and output, in Hz.
        trained: whether its weights were trained; what depends on them is not judged if not.
        latency: algorithmic latency that it states, in samples; infinite for a codec that runs on
            whole recordings, NaN where it states none.
    """

    name: str
    sample_rate: int
    trained: bool
    latency: float

    @abstractmethod
    def round_trip(self, wave: Wave) -> Wave:
        """``wave`` (samples,) encoded and decoded."""

    @abstractmethod
    def file_bytes(self, wave: Wave) -> int:
        """Bytes of a compressed file of ``wave``."""

    @abstractmethod
    def nominal_kbps(self) -> float:
        """The bitrate that it states."""

    def codec(self) -> Codec:
        """The codec itself, for checks that need its codes.

        Raises:
            NotApplicable: for commands.
        """
        raise NotApplicable("commands show no codes")

    def streaming_codec(self) -> Codec:
        """The codec, if it has output before the end of its input.

        Raises:
            NotApplicable: otherwise.
        """
        codec = self.codec()
        if math.isinf(codec.latency):
            raise NotApplicable("runs on whole recordings")
        return codec

    def require_trained(self) -> None:
        """Raises: NotApplicable, for random weights."""
        if not self.trained:
            raise NotApplicable("needs trained weights")


class CodecSubject(Subject):
    """A :class:`~speechlm.codec.Codec` at all its codebooks.

    ``name`` is what :func:`open_subject` opens it by, in another process too.
    """

    def __init__(self, codec: Codec, trained: bool = True, name: str | None = None) -> None:
        self._codec, self.trained, self.opened_by = codec, trained, name
        self.name = codec.model_id if trained else f"{codec.model_id} (random weights)"
        self.sample_rate, self.latency = codec.sample_rate, codec.latency

    def codec(self) -> Codec:
        return self._codec

    def encode(self, wave: Wave) -> torch.Tensor:
        """Codes (codebooks, frames)."""
        return self._codec.encode(torch.from_numpy(wave)[None])[0]

    def decode(self, codes: torch.Tensor, length: int) -> Wave:
        """Waveform (length,) of codes."""
        wave: Wave = self._codec.decode(codes[None], length)[0].numpy()
        return wave

    def round_trip(self, wave: Wave) -> Wave:
        return self.decode(self.encode(wave), len(wave))

    def file_bytes(self, wave: Wave) -> int:
        file = io.BytesIO()
        return write_codes(self.encode(wave).numpy(), len(wave), file, self._codec, None)

    def nominal_kbps(self) -> float:
        return self._codec.kbps()


class CommandSubject(Subject):
    """Two commands with ``{in}`` and ``{out}`` for files; no shell runs them.

    ``kbps`` is the bitrate that they are asked for.
    """

    trained = True
    latency = math.nan

    def __init__(self, encode: str, decode: str, sample_rate: int, kbps: float | None) -> None:
        for name, command in (("--encode", encode), ("--decode", decode)):
            if "{in}" not in command or "{out}" not in command:
                raise SpeechLMError(f"{name}: the command names {{in}} and {{out}}: {command!r}")
        self.name, self._encode, self._decode = encode.split()[0], encode, decode
        self.sample_rate, self._kbps = sample_rate, kbps

    def round_trip(self, wave: Wave) -> Wave:
        with tempfile.TemporaryDirectory() as folder:
            compressed = self._compress(wave, Path(folder))
            target = Path(folder, "out.wav")
            self._run(self._decode, compressed, target)
            return audio.read(target, self.sample_rate)[0]

    def file_bytes(self, wave: Wave) -> int:
        with tempfile.TemporaryDirectory() as folder:
            return self._compress(wave, Path(folder)).stat().st_size

    def nominal_kbps(self) -> float:
        if self._kbps is None:
            raise NotApplicable("no --kbps is stated for the commands")
        return self._kbps

    def _compress(self, wave: Wave, folder: Path) -> Path:
        source, compressed = folder / "in.wav", folder / "compressed"
        audio.write(source, wave, self.sample_rate)
        self._run(self._encode, source, compressed)
        return compressed

    def _run(self, command: str, source: Path, target: Path) -> None:
        words = [
            word.replace("{in}", str(source)).replace("{out}", str(target))
            for word in shlex.split(command)
        ]
        try:
            done = subprocess.run(words, capture_output=True, text=True, timeout=TIMEOUT)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise SpeechLMError(f"{words[0]}: {error}") from None
        if done.returncode or not target.is_file():
            lines = done.stderr.strip().splitlines() or ["wrote no output"]
            raise SpeechLMError(f"{words[0]}: status {done.returncode}: {lines[-1]}")


def open_subject(name: str, random_weights: bool = False) -> CodecSubject:
    """A codec by name: as for :func:`speechlm.codec.load`, or ``package.module:function``, which is
    called without arguments and returns a :class:`~speechlm.codec.Codec`.

    Raises:
        SpeechLMError: when there is no such codec.
    """
    if random_weights:
        return CodecSubject(with_random_weights(name), False, name)
    module, colon, function = name.partition(":")
    if not colon or not module.replace(".", "").isidentifier():
        return CodecSubject(load(name), name=name)
    try:
        made = getattr(import_module(module), function)()
    except (ImportError, AttributeError) as error:
        raise SpeechLMError(f"{name}: {error}") from None
    if not isinstance(made, Codec):
        raise SpeechLMError(f"{name}: gives a {type(made).__name__}, not a speechlm.Codec")
    return CodecSubject(made, name=name)


def padded(waves: list[Wave]) -> torch.Tensor:
    """Waveforms (n, samples) with zeros after the shorter ones."""
    longest = max(map(len, waves))
    return torch.from_numpy(np.stack([np.pad(wave, (0, longest - len(wave))) for wave in waves]))
