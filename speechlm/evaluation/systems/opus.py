"""Opus by libopus, through the FFmpeg that PyAV brings along."""

from __future__ import annotations

import io

import av
import numpy as np

from speechlm.evaluation.metrics.resample import resample
from speechlm.evaluation.systems.base import Absent, Encoded, System, pcm16
from speechlm.types import Wave

RATES = (8000, 12000, 16000, 24000, 48000)
FRAME_MS = 20
LOOKAHEAD = 0.0065  # RFC 6716, section 2: 26.5 ms with 20 ms frames


class Opus(System):
    """Variable-rate Opus tuned for speech, as ``opusenc --speech`` would code it.

    The payload is the sum of the packets; the file is Ogg Opus. The decoder gives the exact
    length back, since the container carries it.
    """

    latency = FRAME_MS / 1000 + LOOKAHEAD

    def __init__(self, kbps: float, sample_rate: int) -> None:
        if "libopus" not in av.codecs_available:
            raise Absent(f"PyAV {av.__version__} was built without libopus")
        self.kbps = kbps
        self.sample_rate = next((rate for rate in RATES if rate >= sample_rate), RATES[-1])
        self.about = f"libopus of PyAV {av.__version__}, VBR, voip, {FRAME_MS} ms, complexity 10"

    def encode(self, wave: Wave) -> Encoded:
        frame = av.AudioFrame.from_ndarray(pcm16(wave)[None], format="s16", layout="mono")
        frame.sample_rate = self.sample_rate
        frame.pts = 0
        options = {
            "b": str(round(self.kbps * 1000)),
            "vbr": "on",
            "application": "voip",
            "frame_duration": str(FRAME_MS),
            "compression_level": "10",
        }
        buffer = io.BytesIO()
        bits = 0
        with av.open(buffer, "w", format="ogg") as file:
            stream = file.add_stream("libopus", self.sample_rate, layout="mono", options=options)
            for packet in [*stream.encode(frame), *stream.encode(None)]:
                bits += 8 * packet.size
                file.mux(packet)
        return Encoded(buffer.getvalue(), bits, buffer.getbuffer().nbytes)

    def decode(self, encoded: Encoded, samples: int) -> Wave:
        with av.open(io.BytesIO(encoded.payload), "r") as file:
            rate = file.streams.audio[0].rate
            blocks = [frame.to_ndarray().ravel() for frame in file.decode(audio=0)]
        wave = np.concatenate(blocks).astype(np.float32)
        return resample(wave, rate, self.sample_rate).astype(np.float32)
