"""Sound files in: all that is there, at any rate, averaged over channels.

What a file states of its length is not relied on (:mod:`speechlm.audio.layout`): it is read to its
real end, and what is odd about it is logged as a warning, once. Sound that is missing between sound
is an error; a file that is cut short gives what is left of it, unless that is not wanted.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import numpy as np

from speechlm.audio.decoders import AudioDecoder, Damaged, Undecodable, open_part
from speechlm.audio.errors import AudioError
from speechlm.audio.layout import examine
from speechlm.audio.mixing import Mixer
from speechlm.audio.resampling import UnsupportedRatio, resampled
from speechlm.errors import SpeechLMError
from speechlm.utils.inputs import input_name, open_input

log = logging.getLogger(__name__)

LOUDEST = 16.0
"""Decoders overshoot full scale a little; 24 dB over it is a file of another scale."""
_warned: set[tuple[str, str]] = set()


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
    with Recording(path) as recording:
        return recording.info()


def read(
    path: str | Path, sample_rate: int | None = None, allow_cut: bool = True
) -> tuple[np.ndarray, int]:
    """Read a whole file: mono float32 (samples,), and its rate: ``sample_rate`` or the file's own.

    Args:
        path: a file, a pipe, or ``-`` for standard input.
        allow_cut: take what is left of a file that holds less than it states.

    Raises:
        AudioError: when the file is missing, empty, not a sound file, damaged, holds no samples,
            NaN, infinity or samples far beyond full scale, or has a rate that cannot be converted.
    """
    with Recording(path, allow_cut) as recording:
        rate = sample_rate or recording.sample_rate
        return np.concatenate(list(recording.pieces(rate))), rate


def blocks(
    path: str | Path,
    sample_rate: int | None = None,
    seconds: float = 10.0,
    allow_cut: bool = True,
) -> Iterator[np.ndarray]:
    """Read a file of any length in constant memory: mono float32 blocks of ``seconds``.

    The blocks joined are what :func:`read` gives; all but the last have the same length.

    Raises:
        AudioError: as :func:`read` does, when the trouble is reached.
    """
    with Recording(path, allow_cut) as recording:
        yield from recording.blocks(sample_rate, seconds)


class Recording:
    """An open sound file that can be read more than once, also if it came by a pipe.

    Args:
        path: a file, a pipe, ``-`` for standard input, or an open file that can be sought in.
        allow_cut: as for :func:`read`.
        name: what messages call an open file.

    Attributes:
        sample_rate, channels: of the file; of its first part if several files are joined in it.

    Raises:
        AudioError: when it cannot be opened.
    """

    def __init__(
        self, path: str | Path | BinaryIO, allow_cut: bool = True, name: str | None = None
    ) -> None:
        self._allow_cut = allow_cut
        if isinstance(path, str | Path):
            self._name, self._disk = input_name(path), Path(path) if Path(path).is_file() else None
            if Path(path).suffix.lower() == ".raw":
                raise AudioError(f"{path}: raw samples have no header: convert it to WAV first")
        else:
            self._name, self._disk = name or "the audio", None
        with ExitStack() as stack:
            try:
                if isinstance(path, str | Path):
                    self._file = stack.enter_context(open_input(path, seekable=True))
                else:
                    self._file = path
                if self._file.seek(0, 2) == 0:
                    raise AudioError(f"{self._name}: is empty (0 bytes)")
                self._parts = examine(self._file)
            except OSError as error:
                raise AudioError(f"{self._name}: {error.strerror or error}") from None
            except AudioError:
                raise
            except SpeechLMError as error:
                raise AudioError(str(error)) from None
            with self._opened(0) as decoder:
                self.sample_rate, self.channels = decoder.sample_rate, decoder.channels
            self._stack = stack.pop_all()

    def __enter__(self) -> Recording:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def info(self) -> AudioInfo:
        """What it holds; what does not state its length is decoded.

        Raises:
            AudioError: when it holds no samples, or cannot be decoded.
        """
        frames = 0
        for number in range(len(self._parts)):
            with self._opened(number) as decoder:
                count = decoder.frames
                if count is None:
                    count = sum(len(piece) for piece in self._samples(decoder))
                frames += -(-count * self.sample_rate // decoder.sample_rate)
        if frames == 0:
            raise AudioError(f"{self._name}: holds no samples")
        return AudioInfo(self.sample_rate, self.channels, frames)

    def pieces(self, sample_rate: int | None = None) -> Iterator[np.ndarray]:
        """Mono float32 pieces (samples,) at ``sample_rate`` Hz, from the start.

        Raises:
            AudioError: as :func:`read` does.
        """
        rate, count = sample_rate or self.sample_rate, 0
        for number, part in enumerate(self._parts):
            for note in part.notes:
                self._warn(note)
            with self._opened(number) as decoder:
                mono = self._mono(decoder)
                try:
                    for piece in resampled(mono, decoder.sample_rate, rate):
                        count += len(piece)
                        yield piece
                except UnsupportedRatio as error:
                    raise AudioError(f"{self._name}: {error}") from None
                for note in decoder.notes:
                    if not self._allow_cut:
                        raise AudioError(f"{self._name}: {note}")
                    self._warn(note)
        if count == 0:
            raise AudioError(f"{self._name}: holds no samples")

    def blocks(self, sample_rate: int | None = None, seconds: float = 10.0) -> Iterator[np.ndarray]:
        """:meth:`pieces` of ``seconds`` each, and the rest."""
        rate = sample_rate or self.sample_rate
        return _regrouped(self.pieces(rate), max(1, round(seconds * rate)))

    def _opened(self, number: int) -> _Opened:
        try:
            return _Opened(open_part(self._file, self._disk, self._parts[number]))
        except Undecodable:
            raise AudioError(
                f"{self._name}: is not a sound file that can be read (WAV, FLAC, OGG, MP3, M4A, "
                "WebM, ...), or is damaged"
            ) from None

    def _mono(self, decoder: AudioDecoder) -> Iterator[np.ndarray]:
        mixer = Mixer()
        for piece in self._samples(decoder):
            peak = np.abs(piece).max()
            if not peak <= LOUDEST:  # so that NaN fails too
                what = f"samples of {peak:g}" if np.isfinite(peak) else "NaN or infinite samples"
                raise AudioError(f"{self._name}: holds {what}, where full scale is 1")
            yield mixer.mix(piece)
            if mixer.note is not None:
                self._warn(mixer.note)

    def _samples(self, decoder: AudioDecoder) -> Iterator[np.ndarray]:
        try:
            yield from decoder.read()
        except Damaged as error:
            seconds = error.samples / decoder.sample_rate
            raise AudioError(
                f"{self._name}: is damaged: {seconds:.2f} s of it cannot be decoded"
            ) from None
        except OSError as error:
            raise AudioError(f"{self._name}: {error.strerror or error}") from None

    def _warn(self, note: str) -> None:
        if (self._name, note) not in _warned:
            _warned.add((self._name, note))
            log.warning("%s: %s", self._name, note)


class _Opened:
    """A decoder that is closed at the end of a ``with`` block."""

    def __init__(self, decoder: AudioDecoder) -> None:
        self._decoder = decoder

    def __enter__(self) -> AudioDecoder:
        return self._decoder

    def __exit__(self, *_: object) -> None:
        self._decoder.close()


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
