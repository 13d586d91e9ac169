"""Sound files: read, resample, write. The only module that knows file formats.

Sound is mono float32 with full scale at [-1, 1], shape (samples,); channels are averaged on the
way in. Files of any length pass through in constant memory by :func:`blocks` and :class:`Writer`.

Decoding and encoding is libsndfile's (``soundfile``). What it cannot tell apart, we cannot either:

- FLAC and MP3 state their length, so a file that is cut short or damaged is an error;
- WAV and OGG do not do so reliably (recorders that were killed leave the length unset), so a file
  cut short gives the samples, or the OGG pages, that are whole.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np
import soundfile as sf

from speechlm.errors import SpeechLMError
from speechlm.utils.files import atomic_path

if TYPE_CHECKING:
    import torch

_FORMATS = {".wav": ("WAV", "PCM_16"), ".flac": ("FLAC", "PCM_16"), ".ogg": ("OGG", "VORBIS")}
_PIECE = 1 << 18  # values decoded at a time, all channels together
_UNKNOWN_LENGTH = (1 << 63) - 1  # libsndfile's frame count for a FLAC that was written to a pipe
LOUDEST = 16.0  # decoders overshoot full scale a little; 24 dB over it is a file of another scale
_WAV_LIMIT = (1 << 32) - 4096  # bytes; sizes in a WAV header are 32 bits
_KERNEL_LIMIT = 1 << 24  # coefficients of a resampling kernel


class AudioError(SpeechLMError):
    """A sound file that cannot be read or written, said in one line."""


@dataclass(frozen=True)
class AudioInfo:
    """What a sound file holds: ``frames`` samples per channel at ``sample_rate`` Hz."""

    sample_rate: int
    channels: int
    frames: int

    @property
    def seconds(self) -> float:
        return self.frames / self.sample_rate


def info(path: str | Path) -> AudioInfo:
    """Describe a file from its header (a file that does not state its length is decoded once).

    Raises:
        AudioError: as :func:`read` does, but only for what the header shows.
    """
    with _opened(path) as file:
        frames = file.frames
        if frames == _UNKNOWN_LENGTH:
            frames = sum(len(piece) for piece in _decoded(file, path))
        if frames == 0:
            raise AudioError(f"{path}: holds no samples")
        return AudioInfo(file.samplerate, file.channels, frames)


def read(path: str | Path, sample_rate: int | None = None) -> tuple[np.ndarray, int]:
    """Read a whole file: mono float32 (samples,), and its rate: ``sample_rate`` or the file's own.

    Raises:
        AudioError: when the file is missing, empty, not a sound file, damaged, holds no samples,
            NaN, infinity or samples far beyond full scale, or has a rate that cannot be converted.
    """
    with _opened(path) as file:
        rate = sample_rate or file.samplerate
        return np.concatenate(list(_pieces(file, path, rate))), rate


def blocks(
    path: str | Path, sample_rate: int | None = None, seconds: float = 10.0
) -> Iterator[np.ndarray]:
    """Read a file of any length in constant memory: mono float32 blocks of ``seconds``.

    The blocks joined are what :func:`read` gives; all but the last have the same length.

    Raises:
        AudioError: as :func:`read` does, when the trouble is reached.
    """
    with _opened(path) as file:
        rate = sample_rate or file.samplerate
        yield from _regrouped(_pieces(file, path, rate), max(1, round(seconds * rate)))


def resample(wave: np.ndarray, source: int, target: int) -> np.ndarray:
    """:func:`resampled`, of a whole (samples,) at once."""
    return np.concatenate(list(resampled([wave], source, target)))


def resampled(pieces: Iterable[np.ndarray], source: int, target: int) -> Iterator[np.ndarray]:
    """Resample a stream from ``source`` to ``target`` Hz: float32 (samples,) pieces of any lengths.

    For n samples in, ceil(n * target / source) come out: to float rounding those of
    ``torchaudio.transforms.Resample`` on the whole (a Hann-windowed sinc over 6 zero crossings),
    whatever the lengths of the pieces.

    Raises:
        AudioError: when the rates have so small a common divisor that the filter would not fit in
            memory (such as 44101 to 16000 Hz).
    """
    if source == target:
        yield from pieces
        return
    import torch

    kernel, width = _kernel(source, target)
    divisor = math.gcd(source, target)
    step, phases = source // divisor, target // divisor  # so many samples in give so many out
    # One position of the kernel sees `width` samples, `step` samples, `width` samples, and gives
    # the `phases` outputs for those in the middle. `held` starts where the next position does.
    held = np.zeros(width, np.float32)
    received = sent = 0

    def filtered() -> np.ndarray:
        nonlocal held
        positions = max(0, (len(held) - 2 * width) // step)
        if positions == 0:
            return np.zeros(0, np.float32)
        signal = torch.from_numpy(held[: positions * step + 2 * width])
        output = torch.nn.functional.conv1d(signal[None, None], kernel, stride=step)[0]
        held = held[positions * step :]
        return output.T.reshape(-1).numpy()

    for piece in pieces:
        received += len(piece)
        held = np.concatenate([held, piece])
        output = filtered()
        sent += len(output)
        yield output
    held = np.concatenate([held, np.zeros(width + step, np.float32)])
    yield filtered()[: -(-received * phases // step) - sent]


class Writer:
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
        self._room = _WAV_LIMIT // 2 if self._format == "WAV" else None

    def __enter__(self) -> Writer:
        with ExitStack() as stack:
            try:
                temporary = stack.enter_context(atomic_path(self._path))
                self._file = stack.enter_context(
                    sf.SoundFile(
                        temporary, "w", self._sample_rate, 1, self._subtype, format=self._format
                    )
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
        try:
            # libsndfile's Vorbis encoder overflows the stack on large writes.
            for start in range(0, len(wave), _PIECE):
                self._file.write(np.clip(wave[start : start + _PIECE], -1.0, 1.0))
        except sf.LibsndfileError:
            raise AudioError(f"{self._path}: cannot be written: is the disk full?") from None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, error, trace)


def write(path: str | Path, wave: np.ndarray, sample_rate: int) -> None:
    """Write float samples (samples,) to a WAV, FLAC or OGG file, as :class:`Writer` does."""
    with Writer(path, sample_rate) as writer:
        writer.write(wave)


class _UnsupportedRatio(AudioError):
    pass


class _Forward(sf.SoundFile):
    """A file read strictly forwards.

    soundfile seeks to where it is after every read of a seekable file, which fails at the end of a
    FLAC of unstated length.
    """

    def seekable(self) -> bool:
        return False


@contextmanager
def _opened(path: str | Path) -> Iterator[sf.SoundFile]:
    path = Path(path)
    try:
        with path.open("rb") as probe:  # for the system's own words, which libsndfile hides
            first = probe.read(1)
    except OSError as error:
        raise AudioError(f"{path}: {error.strerror}") from None
    if not first:
        raise AudioError(f"{path}: is empty (0 bytes)")
    if path.suffix.lower() == ".raw":
        raise AudioError(f"{path}: raw samples have no header: convert it to WAV first")
    try:
        file = _Forward(path)
    except sf.LibsndfileError:
        raise AudioError(
            f"{path}: is not a sound file that can be read (WAV, FLAC, OGG, MP3), or is damaged"
        ) from None
    with file:
        yield file


def _pieces(file: sf.SoundFile, path: str | Path, sample_rate: int) -> Iterator[np.ndarray]:
    """Mono float32 pieces of an open file at ``sample_rate`` Hz."""
    try:
        yield from resampled(_decoded(file, path), file.samplerate, sample_rate)
    except _UnsupportedRatio as error:
        raise AudioError(f"{path}: {error}") from None


def _decoded(file: sf.SoundFile, path: str | Path) -> Iterator[np.ndarray]:
    """Mono float32 pieces from the start of an open file, checked."""
    received = 0
    size = max(1, _PIECE // file.channels)
    while True:
        try:
            piece = file.read(size, dtype="float32", always_2d=True)
        except sf.LibsndfileError:
            raise AudioError(
                f"{path}: is damaged or cut short after {received / file.samplerate:.2f} s"
            ) from None
        if len(piece) == 0:
            break
        peak = np.abs(piece).max()
        if not peak <= LOUDEST:  # so that NaN fails too
            what = f"samples of {peak:g}" if np.isfinite(peak) else "NaN or infinite samples"
            raise AudioError(f"{path}: holds {what}, where full scale is 1")
        received += len(piece)
        yield piece.mean(axis=1, dtype=np.float32) if file.channels > 1 else piece[:, 0]
    if received == 0:
        raise AudioError(f"{path}: holds no samples")
    if file.frames not in (received, _UNKNOWN_LENGTH):
        raise AudioError(
            f"{path}: is damaged or cut short: holds {received} of the {file.frames} samples it "
            "states"
        )


def _regrouped(pieces: Iterable[np.ndarray], size: int) -> Iterator[np.ndarray]:
    """The same samples in arrays of ``size``, and the rest."""
    held = np.zeros(0, np.float32)
    for piece in pieces:
        held = np.concatenate([held, piece])
        whole = len(held) - len(held) % size
        yield from held[:whole].reshape(-1, size)
        held = held[whole:]
    if len(held):
        yield held


@lru_cache(maxsize=4)
def _kernel(source: int, target: int) -> tuple[torch.Tensor, int]:
    """Polyphase filter (phases, 1, width + step + width) and its width, from torchaudio."""
    divisor = math.gcd(source, target)
    if (source // divisor) * (target // divisor) > _KERNEL_LIMIT:
        raise _UnsupportedRatio(
            f"{source} Hz cannot be resampled to {target} Hz: convert it with another tool first"
        )
    from torchaudio.transforms import Resample

    resample = Resample(source, target)
    return resample.kernel, resample.width
