"""Codec2 by its own programs."""

from __future__ import annotations

import numpy as np

from speechlm.evaluation.systems.base import Absent, Encoded, System, pcm16, program, run, scratch
from speechlm.types import Wave

# kbps -> (mode, bits a frame, samples a frame at 8 kHz)
MODES = {
    3.2: ("3200", 64, 160),
    2.4: ("2400", 48, 160),
    1.6: ("1600", 64, 320),
    1.4: ("1400", 56, 320),
    1.3: ("1300", 52, 320),
    1.2: ("1200", 48, 320),
    0.7: ("700C", 28, 320),
}


class Codec2(System):
    """Codec2, an 8 kHz vocoder of fixed frames.

    The payload counts a frame's own bits; the file rounds each frame up to bytes. The last frame
    is completed with silence.
    """

    sample_rate = 8000

    def __init__(self, kbps: float, sample_rate: int) -> None:
        if kbps not in MODES:
            raise Absent(f"codec2 has no {kbps:g} kbps mode, only {', '.join(map(str, MODES))}")
        self.encoder = program("c2enc", "codec2")
        self.decoder = program("c2dec", "codec2")
        self.mode, self.bits, self.frame = MODES[kbps]
        self.kbps = kbps
        self.about = f"c2enc, mode {self.mode}, 8 kHz"

    def encode(self, wave: Wave) -> Encoded:
        frames = -(-len(wave) // self.frame)
        samples = np.pad(pcm16(wave), (0, frames * self.frame - len(wave)))
        with scratch() as folder:
            source, coded = folder / "in.raw", folder / "out.c2"
            source.write_bytes(samples.astype("<i2").tobytes())
            run([self.encoder, self.mode, str(source), str(coded)])
            data = coded.read_bytes()
        return Encoded(data, frames * self.bits, len(data))

    def decode(self, encoded: Encoded, samples: int) -> Wave:
        with scratch() as folder:
            coded, target = folder / "in.c2", folder / "out.raw"
            coded.write_bytes(encoded.payload)
            run([self.decoder, self.mode, str(coded), str(target)])
            pcm = np.fromfile(target, "<i2")
        return np.divide(pcm[:samples], 32768, dtype=np.float32)
