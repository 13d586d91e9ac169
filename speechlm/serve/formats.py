"""Audio formats of responses, encoded chunk by chunk."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterable, Iterator
from typing import Any

import av
import numpy as np

MEDIA_TYPES = {
    "wav": "audio/wav",
    "flac": "audio/flac",
    "opus": "audio/ogg",
    "mp3": "audio/mpeg",
    "aac": "audio/aac",
    "pcm": "audio/pcm",
}
PCM_RATE = 24000
"""Hz of ``pcm``, as in OpenAI's API: 16-bit little-endian mono samples."""

_ENCODERS = {
    "flac": ("flac", "flac", "s16"),
    "opus": ("ogg", "libopus", "flt"),
    "mp3": ("mp3", "libmp3lame", "fltp"),
    "aac": ("adts", "aac", "fltp"),
}
_BIT_RATES = {"opus": 32000, "mp3": 64000, "aac": 64000}  # speech, one channel
_RATES = {"opus": 48000, "pcm": PCM_RATE}  # the others keep the rate
_UNKNOWN = 0xFFFFFFFF


class AudioEncoder:
    """Float32 chunks (samples,) at ``sample_rate`` to the bytes of a format of :data:`MEDIA_TYPES`.

    A WAV header states an unknown length, as of a file that is still being written: its bytes are
    sent before the length is known.
    """

    def __init__(self, kind: str, sample_rate: int) -> None:
        self._rate, self._place = sample_rate, 0
        self._sink = _Sink()
        self._output: Any = None
        target, layout = _RATES.get(kind, sample_rate), "s16"
        if kind == "wav":
            self._sink.write(_wav_header(sample_rate))
        elif kind != "pcm":
            container, codec, layout = _ENCODERS[kind]
            # Opus pages of 100 ms, so that a player has sound as soon as there is some.
            options = {"page_duration": "100000"} if container == "ogg" else {}
            self._output = av.open(self._sink, "w", format=container, options=options)
            self._stream: Any = self._output.add_stream(codec, rate=target, layout="mono")
            self._stream.format = layout
            if kind in _BIT_RATES:
                self._stream.bit_rate = _BIT_RATES[kind]
        self._converter = av.AudioResampler(layout, "mono", target)

    def push(self, wave: np.ndarray) -> bytes:
        """The bytes that are ready after ``wave``; maybe none."""
        if len(wave):
            samples = np.ascontiguousarray(np.clip(wave, -1, 1), np.float32)
            frame = av.AudioFrame.from_ndarray(samples[None], "flt", "mono")
            frame.sample_rate, frame.pts = self._rate, self._place
            self._place += len(wave)
            self._write(self._converter.resample(frame))
        return self._sink.take()

    def flush(self) -> bytes:
        """The last bytes. The file ends."""
        if self._place:
            self._write(self._converter.resample(None))
        if self._output is not None:
            self._output.mux(self._stream.encode(None))
            self._output.close()
        return self._sink.take()

    def _write(self, frames: Iterable[av.AudioFrame]) -> None:
        for frame in frames:
            if self._output is None:
                self._sink.write(frame.to_ndarray().astype("<i2").tobytes())
            else:
                self._output.mux(self._stream.encode(frame))


def encode_audio(chunks: Iterable[np.ndarray], sample_rate: int, kind: str) -> Iterator[bytes]:
    """Bytes of an audio file of ``chunks``, as they are ready: see :class:`AudioEncoder`."""
    encoder = AudioEncoder(kind, sample_rate)
    for chunk in chunks:
        if data := encoder.push(chunk):
            yield data
    if data := encoder.flush():
        yield data


def _wav_header(sample_rate: int) -> bytes:
    layout = struct.pack("<IHHIIHH", 16, 1, 1, sample_rate, 2 * sample_rate, 2, 16)
    size = struct.pack("<I", _UNKNOWN)
    return b"RIFF" + size + b"WAVEfmt " + layout + b"data" + size


class _Sink(io.RawIOBase):
    """Takes what is written, which cannot be changed afterwards: it has been sent."""

    def __init__(self) -> None:
        self._data = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._data += data
        return len(data)

    def take(self) -> bytes:
        """What has been written since the last call."""
        data = bytes(self._data)
        self._data.clear()
        return data
