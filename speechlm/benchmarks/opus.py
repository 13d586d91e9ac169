"""Opus packet by packet, with its own concealment: libopus of the system by ctypes."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import numpy as np

from speechlm.errors import SpeechLMError
from speechlm.types import Wave

LIBRARY = "libopus.so.0"
RATE, FRAME = 16000, 320
_VOIP = 2048
_SET_BITRATE, _SET_VBR, _SET_COMPLEXITY, _GET_LOOKAHEAD = 4002, 4006, 4010, 4027
_MOST = 1275  # bytes of a packet's one frame (RFC 6716, section 3.2)


class OpusCodec:
    """Mono speech at 16 kHz in packets of 20 ms and ``kbps`` each.

    Raises:
        SpeechLMError: when libopus is not on this machine.
    """

    def __init__(self, kbps: float) -> None:
        try:
            self._library = ctypes.CDLL(LIBRARY)
        except OSError:
            raise SpeechLMError(f"{LIBRARY} is not installed (Debian package libopus0)") from None
        for kind in ("encoder", "decoder"):
            getattr(self._library, f"opus_{kind}_create").restype = ctypes.c_void_p
        self._library.opus_get_version_string.restype = ctypes.c_char_p
        self.kbps = kbps
        self.about = f"{self._library.opus_get_version_string().decode()}, CBR, voip, 20 ms"

    def encode(self, wave: Wave) -> tuple[list[bytes], int]:
        """Packets of ``wave`` (samples,), and by how many samples decoding will lag."""
        library = self._library
        encoder = ctypes.c_void_p(library.opus_encoder_create(RATE, 1, _VOIP, None))
        settings = ((_SET_BITRATE, round(self.kbps * 1000)), (_SET_VBR, 0), (_SET_COMPLEXITY, 10))
        for request, value in settings:
            library.opus_encoder_ctl(encoder, request, ctypes.c_int(value))
        delay = ctypes.c_int()
        library.opus_encoder_ctl(encoder, _GET_LOOKAHEAD, ctypes.byref(delay))
        count = -(-(len(wave) + delay.value) // FRAME)
        padded = np.pad(wave, (0, count * FRAME - len(wave))).astype(np.float32)
        packet = ctypes.create_string_buffer(_MOST)
        packets = []
        for frame in padded.reshape(count, FRAME):
            data = np.ascontiguousarray(frame).ctypes.data_as(ctypes.c_void_p)
            size = library.opus_encode_float(encoder, data, FRAME, packet, _MOST)
            if size < 0:
                raise SpeechLMError(f"libopus fails to encode: error {size}")
            packets.append(packet.raw[:size])
        library.opus_encoder_destroy(encoder)
        return packets, delay.value

    def decode(self, packets: Sequence[bytes | None], delay: int) -> Wave:
        """Samples of ``packets``, where None is a lost one that libopus conceals."""
        library = self._library
        decoder = ctypes.c_void_p(library.opus_decoder_create(RATE, 1, None))
        wave = np.zeros((len(packets), FRAME), np.float32)
        for frame, packet in zip(wave, packets, strict=True):
            size = len(packet) if packet is not None else 0
            data = frame.ctypes.data_as(ctypes.c_void_p)
            done = library.opus_decode_float(decoder, packet, size, data, FRAME, 0)
            if done < 0:
                raise SpeechLMError(f"libopus fails to decode: error {done}")
        library.opus_decoder_destroy(decoder)
        return wave.reshape(-1)[delay:]
