"""Sound files out: WAV, FLAC and OGG."""

from __future__ import annotations

import io
from contextlib import ExitStack
from hashlib import md5
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import soundfile as sf

from speechlm.audio.errors import AudioError
from speechlm.errors import SpeechLMError
from speechlm.utils.files import atomic_path

_FORMATS = {".wav": ("WAV", "PCM_16"), ".flac": ("FLAC", "PCM_16"), ".ogg": ("OGG", "VORBIS")}
_PIECE = 1 << 18  # values encoded at a time
_WAV_LIMIT = (1 << 32) - 4096  # bytes; sizes in a WAV header are 32 bits


class AudioWriter:
    """Write a sound file piece by piece; the format follows the suffix (WAV, FLAC, OGG).

    WAV and FLAC get 16 bits a sample, OGG is Vorbis. Samples beyond [-1, 1] are clipped. The file
    appears when the ``with`` block ends, and only if it ends well.

    Raises:
        AudioError: when the suffix is none of these, the file cannot be written, or a sample is
            NaN.
    """

    def __init__(self, path: str | Path, sample_rate: int) -> None:
        self._path = Path(path)
        self._sample_rate = sample_rate
        if self._path.suffix.lower() not in _FORMATS:
            suffixes = ", ".join(_FORMATS)
            raise AudioError(f"{path}: the name of an output must end in one of {suffixes}")
        if self._path.is_dir():
            raise AudioError(f"{path}: is a directory")
        self._format, self._subtype = _FORMATS[self._path.suffix.lower()]
        self._written = 0
        self._room = _WAV_LIMIT // 2 if self._format == "WAV" else None

    def __enter__(self) -> AudioWriter:
        with ExitStack() as stack:
            try:
                self._temporary = stack.enter_context(atomic_path(self._path))
                self._sink = stack.enter_context(_Sink(self._temporary))
                self._file = sf.SoundFile(
                    self._sink, "w", self._sample_rate, 1, self._subtype, format=self._format
                )
            except sf.LibsndfileError:
                raise AudioError(
                    f"{self._path}: cannot be written as {self._format} at {self._sample_rate} Hz"
                ) from None
            except SpeechLMError as error:
                raise AudioError(str(error)) from None
            self._stack = stack.pop_all()
        return self

    def write(self, wave: np.ndarray) -> None:
        """Append float samples, shape (samples,)."""
        if wave.ndim != 1:
            raise ValueError(f"expected samples of shape (samples,), got {wave.shape}")
        if np.isnan(wave).any():
            raise AudioError(f"{self._path}: the samples to write hold NaN")
        if self._room is not None:
            self._room -= len(wave)
            if self._room < 0:
                raise AudioError(f"{self._path}: longer than a WAV file can be: write .flac")
        self._written += len(wave)
        # libsndfile's Vorbis encoder overflows the stack on large writes.
        for start in range(0, len(wave), _PIECE):
            try:
                self._file.write(np.clip(wave[start : start + _PIECE], -1.0, 1.0))
            except sf.LibsndfileError:
                self._check()
                raise AudioError(f"{self._path}: cannot be written as {self._format}") from None
        self._check()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._file.close()  # writes what the encoder holds back, and the lengths in the header
            if error is None and self._format == "FLAC" and not self._written:
                self._sink.write(_empty_flac(self._sample_rate))
            if error is None:
                self._check()
        except BaseException as failure:
            self._stack.__exit__(type(failure), failure, failure.__traceback__)
            raise
        self._stack.__exit__(kind, error, trace)

    def _check(self) -> None:
        """Raises: AudioError, when the system refused to take what was written."""
        if self._sink.error is not None:
            reason = self._sink.error.strerror or self._sink.error
            raise AudioError(f"{self._path}: cannot be written: {reason}")


class _Sink(io.FileIO):
    """A file that keeps the error of a write, which libsndfile would hide.

    Attributes:
        error: of the first write that failed.
    """

    error: OSError | None = None

    def __init__(self, path: Path) -> None:
        super().__init__(path, "r+")

    def write(self, data: Any) -> int:
        rest = memoryview(data).cast("B")
        count = len(rest)
        try:
            while len(rest):
                rest = rest[super().write(rest) or 0 :]
        except OSError as error:
            self.error = self.error or error  # soundfile fails an assertion on a short count
        return count


def _empty_flac(sample_rate: int) -> bytes:
    """A FLAC file without samples, for which libsndfile writes nothing (RFC 9639, section 8.2)."""
    sizes = (4096).to_bytes(2, "big") * 2 + bytes(6)
    mono, bits = 0, 16
    fields = sample_rate << 44 | mono << 41 | (bits - 1) << 36
    return b"fLaC\x80\x00\x00\x22" + sizes + fields.to_bytes(8, "big") + md5(b"").digest()


def write(path: str | Path, wave: np.ndarray, sample_rate: int) -> None:
    """Write float samples (samples,) to a WAV, FLAC or OGG file, as :class:`AudioWriter` does."""
    with AudioWriter(path, sample_rate) as writer:
        writer.write(wave)
