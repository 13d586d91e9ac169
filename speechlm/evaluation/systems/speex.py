"""Speex by its own programs."""

from __future__ import annotations

import io

import av

from speechlm.evaluation.systems.base import (
    Encoded,
    System,
    program,
    read_wav,
    run,
    scratch,
    write_wav,
)
from speechlm.types import Wave

HEADERS = 2  # the stream's first packets describe it, and carry no audio


class Speex(System):
    """Constant-rate Speex: narrow band (8 kHz) at an 8 kHz suite, else wide band (16 kHz)."""

    def __init__(self, kbps: float, sample_rate: int) -> None:
        self.encoder = program("speexenc", "speex")
        self.decoder = program("speexdec", "speex")
        wide = sample_rate > 8000
        self.kbps = kbps
        self.sample_rate = 16000 if wide else 8000
        self.band = "--wideband" if wide else "--narrowband"
        self.latency = 0.034 if wide else 0.030  # the Speex manual: a frame and its look-ahead
        version = run([self.encoder, "--version"]).splitlines()[0]
        self.about = f"{version}, {self.band[2:]}, complexity 10"

    def encode(self, wave: Wave) -> Encoded:
        with scratch() as folder:
            source, coded = folder / "in.wav", folder / "out.spx"
            write_wav(source, wave, self.sample_rate)
            rate = str(round(self.kbps * 1000))
            run(
                [
                    self.encoder,
                    self.band,
                    "--bitrate",
                    rate,
                    "--comp",
                    "10",
                    *map(str, (source, coded)),
                ]
            )
            data = coded.read_bytes()
        return Encoded(data, 8 * sum(_packet_bytes(data)[HEADERS:]), len(data))

    def decode(self, encoded: Encoded, samples: int) -> Wave:
        with scratch() as folder:
            coded, target = folder / "in.spx", folder / "out.wav"
            coded.write_bytes(encoded.payload)
            run([self.decoder, *map(str, (coded, target))])
            return read_wav(target, "speexdec")


def _packet_bytes(data: bytes) -> list[int]:
    with av.open(io.BytesIO(data), "r") as file:
        return [packet.size for packet in file.demux(audio=0)]
