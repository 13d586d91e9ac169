"""AMR-WB: VisualOn's encoder library, and FFmpeg's decoder through PyAV."""

from __future__ import annotations

import ctypes
import io

import av
import numpy as np

from speechlm.evaluation.systems.base import Absent, Encoded, Failed, System, pcm16
from speechlm.types import Wave

LIBRARY = "libvo-amrwbenc.so.0"
MAGIC = b"#!AMR-WB\n"  # RFC 4867, section 5: the storage format
FRAME = 320
# 3GPP TS 26.201: speech bits of a 20 ms frame, by mode
BITS = {6.6: 132, 8.85: 177, 12.65: 253, 14.25: 285, 15.85: 317, 18.25: 365, 19.85: 397}
BITS |= {23.05: 461, 23.85: 477}


class AmrWb(System):
    """AMR-WB (G.722.2), 16 kHz, without discontinuous transmission.

    The payload counts a frame's speech bits; the file adds a byte of header to each frame. The
    last frame is completed with silence.
    """

    sample_rate = 16000
    latency = 0.025  # 3GPP TS 26.190: a 20 ms frame and 5 ms of look-ahead

    def __init__(self, kbps: float, sample_rate: int) -> None:
        if kbps not in BITS:
            raise Absent(f"AMR-WB has no {kbps:g} kbps mode, only {', '.join(map(str, BITS))}")
        try:
            self.library = ctypes.CDLL(LIBRARY)
        except OSError:
            raise Absent(f"{LIBRARY} is not installed (Debian package libvo-amrwbenc0)") from None
        self.library.E_IF_init.restype = ctypes.c_void_p
        self.library.E_IF_exit.argtypes = [ctypes.c_void_p]
        self.library.E_IF_encode.argtypes = [
            ctypes.c_void_p,
            ctypes.c_int,
            ctypes.c_void_p,
            ctypes.c_void_p,
            ctypes.c_int,
        ]
        self.mode = list(BITS).index(kbps)
        self.kbps = kbps
        self.about = f"{LIBRARY}, mode {self.mode}; decoder of PyAV {av.__version__}"

    def encode(self, wave: Wave) -> Encoded:
        frames = -(-len(wave) // FRAME)
        samples = np.pad(pcm16(wave), (0, frames * FRAME - len(wave))).reshape(frames, FRAME)
        serial = ctypes.create_string_buffer(128)
        coded = bytearray(MAGIC)
        encoder = self.library.E_IF_init()
        if not encoder:
            raise Failed("libvo-amrwbenc gave no encoder")
        for frame in samples:
            size = self.library.E_IF_encode(encoder, self.mode, frame.ctypes.data, serial, 0)
            coded += serial.raw[:size]
        self.library.E_IF_exit(encoder)
        return Encoded(bytes(coded), frames * BITS[self.kbps], len(coded))

    def decode(self, encoded: Encoded, samples: int) -> Wave:
        with av.open(io.BytesIO(encoded.payload), "r", format="amr") as file:
            blocks = [frame.to_ndarray().ravel() for frame in file.decode(audio=0)]
        return np.concatenate(blocks).astype(np.float32)[:samples]
