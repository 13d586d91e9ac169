"""Raw 16-bit samples, as a stream brings them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

from speechlm.audio import mpeg
from speechlm.bitstream import MAGIC
from speechlm.errors import SpeechLMError

log = logging.getLogger(__name__)

_FILES = {
    b"RIFF": "a WAV file",
    b"RIFX": "a WAV file",
    b"RF64": "a WAV file",
    b"BW64": "a WAV file",
    b"fLaC": "a FLAC file",
    b"OggS": "an OGG file",
    b"FORM": "an AIFF file",
    b"caff": "a CAF file",
    b".snd": "an AU file",
    b"ID3\2": "an MP3 file",
    b"ID3\3": "an MP3 file",
    b"ID3\4": "an MP3 file",
    b"\x1a\x45\xdf\xa3": "a WebM file",
    b"#!AM": "an AMR file",
    MAGIC + b"\1": "a compressed recording",
}


def read(source: BinaryIO, samples: int) -> Iterator[np.ndarray]:
    """Float32 pieces (samples,) of 16-bit little-endian mono PCM, as soon as each is there.

    Raises:
        SpeechLMError: when ``source`` is a file of another kind, whose header would be noise.
    """
    receive = getattr(source, "read1", source.read)
    odd, begins = b"", True
    while data := receive(2 * samples):
        data = odd + data
        if begins and len(data) >= 4:
            begins = False
            _check(data)
        even = len(data) // 2 * 2
        odd = data[even:]
        yield np.frombuffer(data[:even], dtype="<i2").astype(np.float32) / 32768
    if odd:
        log.warning("standard input: ends with half a sample, which is dropped")


def _check(head: bytes) -> None:
    kind = _FILES.get(head[:4])
    if kind is None and head[4:8] == b"ftyp":
        kind = "an M4A file"
    if kind is None and mpeg.starts(head):
        kind = "an MP3 file"
    if kind is not None:
        raise SpeechLMError(
            f"standard input is {kind}, not raw 16-bit samples: use speechlm compress - OUT.slm"
        )
