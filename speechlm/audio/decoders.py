"""Samples of one part of a file, by libsndfile or by FFmpeg (PyAV).

libsndfile decodes what it knows (WAV, FLAC, OGG, MP3 that states its length, ...); FFmpeg the rest
(M4A, AAC, WebM, ALAC, AMR, WMA) and MP3 whose stated length cannot be relied on. Decoders yield
float32 (samples, channels), as decoded: neither averaged, resampled nor checked.
"""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import soundfile as sf

from speechlm.audio.layout import FilePart

PIECE = 1 << 18
"""Values decoded at a time, all channels together."""
_UNKNOWN_LENGTH = (1 << 63) - 1  # libsndfile's frame count for a FLAC that was written to a pipe
_CONTAINERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,aac,mp3,ogg,flac,wav,w64,aiff,au,caf,amr,asf,ac3,eac3,"
    "mpegts,mpeg,avi,flv,ape,wv,tta,tak,mpc,mpc8,voc,dsf,iff,nistsphere,g722,gsm,oma,rm,spx"
)
"""Containers of sound. Play lists and manifests, which name other files and addresses, are none."""
_MOST_FAILED = 1000  # packets
_STATE_LENGTH = "mov", "matroska", "asf"  # others estimate it


class Undecodable(Exception):
    """A part that no decoder opens."""


class Damaged(Exception):
    """``samples`` samples cannot be decoded, and others follow them."""

    def __init__(self, samples: int) -> None:
        super().__init__()
        self.samples = samples


class AudioDecoder(ABC):
    """One part of a file, read once from its start.

    Attributes:
        sample_rate, channels: of the samples.
        frames: samples a channel, as far as the file states it; None if it must be decoded.
        notes: what turned out to be odd while it was read.
    """

    sample_rate: int
    channels: int
    frames: int | None
    notes: list[str]

    @abstractmethod
    def read(self) -> Iterator[np.ndarray]:
        """Float32 pieces (samples, channels)."""

    @abstractmethod
    def close(self) -> None: ...


def open_part(file: BinaryIO, path: Path | None, part: FilePart) -> AudioDecoder:
    """Open a part of ``file``, which is at ``path`` if it is a file on a disk.

    Raises:
        Undecodable: when neither library reads it.
    """
    if part.decoder != "ffmpeg":
        try:
            return _Sndfile(file, path, part)
        except sf.LibsndfileError:
            if part.decoder is not None:
                raise Undecodable from None
    return _Ffmpeg(file, part)


class _Forward(sf.SoundFile):
    """A file read strictly forwards.

    soundfile seeks to where it is after every read of a seekable file, which fails at the end of a
    FLAC of unstated length.
    """

    def seekable(self) -> bool:
        return False


class _Sndfile(AudioDecoder):
    def __init__(self, file: BinaryIO, path: Path | None, part: FilePart) -> None:
        plain = path is not None and not part.patches and part.start == 0 and _is_all(file, part)
        self._part, self._source = part, file
        self._file = _Forward(path if plain else View(file, part))
        self.sample_rate, self.channels = self._file.samplerate, self._file.channels
        stated = self._file.frames
        self.frames = part.frames if stated == _UNKNOWN_LENGTH else stated
        self.notes = []

    def read(self) -> Iterator[np.ndarray]:
        received = 0
        size = max(1, PIECE // self.channels)
        while True:
            try:
                piece = self._file.read(size, dtype="float32", always_2d=True)
            except sf.LibsndfileError:
                # The piece up to the fault is lost with the error. FFmpeg gives it, frame by frame.
                yield from self._rest(received)
                return
            if len(piece) == 0:
                break
            received += len(piece)
            yield piece
        if self.frames is not None and received < self.frames:
            self.notes.append(_short(received, self.frames, self.sample_rate))

    def _rest(self, received: int) -> Iterator[np.ndarray]:
        """What FFmpeg decodes behind the first ``received`` samples."""
        other = _Ffmpeg(self._source, self._part, checked=True)
        skipped = received
        for piece in other.read():
            rest, skipped = piece[skipped:], max(0, skipped - len(piece))
            received += len(rest)
            if len(rest):
                yield rest
        present = self._part.present
        if present is not None and received < present:
            raise Damaged(present - received)
        if self.frames is not None and received < self.frames:
            self.notes.append(_short(received, self.frames, self.sample_rate))
        else:
            self.notes += other.notes

    def close(self) -> None:
        self._file.close()


class _Ffmpeg(AudioDecoder):
    """``checked``: frames whose checksum is wrong are left out."""

    def __init__(self, file: BinaryIO, part: FilePart, checked: bool = False) -> None:
        import av

        self._stated = part.frames
        options = {"format_whitelist": _CONTAINERS, "protocol_whitelist": "none"}
        view = View(file, part)
        try:
            self._container: Any = av.open(view, metadata_errors="replace", options=options)
            self._stream = next(iter(self._container.streams.audio))
        except (av.FFmpegError, StopIteration, ValueError, OverflowError):
            raise Undecodable from None
        if checked:
            self._stream.codec_context.options = {"err_detect": "crccheck+explode"}
        self._frames = self._decoded()
        first = next(self._frames, None)
        if first is None:
            raise Undecodable
        self._first: Any = first
        self.sample_rate = int(self._first.sample_rate)
        self.channels = len(self._first.layout.channels)
        self.frames = None
        self.notes = []
        if len(self._container.streams.audio) > 1:
            self.notes.append("holds several sounds, of which the first is read")

    def read(self) -> Iterator[np.ndarray]:
        import av

        resampler = av.AudioResampler("fltp", self._first.layout, self.sample_rate)
        layout = self._first.layout.name, self._first.format.name, self.sample_rate
        received, waiting, held = 0, 0, list[np.ndarray]()
        for frame in self._all():
            frame.pts = None  # gaps in the time stamps of a container are not sound
            here = frame.layout.name, frame.format.name, frame.sample_rate
            if here != layout:
                layout = here
                resampler = av.AudioResampler("fltp", self._first.layout, self.sample_rate)
            for out in resampler.resample(frame):
                held.append(out.to_ndarray().T)
                waiting += out.samples
            if waiting * self.channels >= PIECE:
                received += waiting
                yield np.concatenate(held)
                waiting, held = 0, []
        if waiting:
            received += waiting
            yield np.concatenate(held)
        self._compare(received)

    def _compare(self, received: int) -> None:
        rate, stated = self.sample_rate, self._stated
        name, duration = self._container.format.name, self._container.duration
        if stated is None and name.startswith(_STATE_LENGTH) and duration:
            stated = round(duration * 1e-6 * rate)
        if stated is None:
            return
        if received + rate // 4 < stated:
            self.notes.append(_short(received, stated, rate))
        elif self._stated is not None and received > stated + rate // 4:
            self.notes.append(
                f"states {stated / rate:.2f} s and holds {received / rate:.2f} s, which are read"
            )

    def _all(self) -> Iterator[Any]:
        yield self._first
        yield from self._frames

    def _decoded(self) -> Iterator[Any]:
        """Frames of all packets that can be decoded."""
        import av

        failed = good = 0
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets, None)
                if packet is None:
                    break
                frames = packet.decode()
            except av.EOFError:
                break
            except av.FFmpegError:
                failed += 1
                if failed > _MOST_FAILED:
                    break
                continue
            good += len(frames)
            yield from frames
        if failed and good:
            self.notes.append("is damaged or cut short: not all of it can be decoded")

    def close(self) -> None:
        self._container.close()


class View(io.RawIOBase):
    """A part of a seekable file, its patches applied, as a file of its own."""

    def __init__(self, file: BinaryIO, part: FilePart) -> None:
        self._file, self._part = file, part
        self._place = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        size = self._part.stop - self._part.start
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: size}[whence]
        self._place = max(0, base + offset)
        return self._place

    def tell(self) -> int:
        return self._place

    def readinto(self, buffer: Any) -> int:
        begin = self._part.start + self._place
        self._file.seek(begin)
        data = bytearray(self._file.read(max(0, min(len(buffer), self._part.stop - begin))))
        for place, patch in self._part.patches:
            low, high = max(place, begin), min(place + len(patch), begin + len(data))
            if low < high:
                data[low - begin : high - begin] = patch[low - place : high - place]
        memoryview(buffer).cast("B")[: len(data)] = data
        self._place += len(data)
        return len(data)


def _is_all(file: BinaryIO, part: FilePart) -> bool:
    return file.seek(0, io.SEEK_END) == part.stop


def _short(received: int, stated: int, rate: int) -> str:
    return f"is cut short: holds {received / rate:.2f} of the {stated / rate:.2f} s that it states"
