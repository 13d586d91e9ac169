"""Neural codecs: ours by path, and peers, all behind the ``Codec`` seam."""

from __future__ import annotations

import io
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from speechlm import bitstream
from speechlm.errors import SpeechLMError
from speechlm.evaluation.systems.base import Absent, Encoded, Failed, System
from speechlm.types import Wave

if TYPE_CHECKING:
    from speechlm.codec.base import Codec


NETWORK_VERSION = 1
"""Of the code that runs networks and writes files (``nn``, ``quantize``, ``codec``, ``vocoder``,
``compression``, ``bitstream``): raise it with a change that gives the same weights other codes,
other files or another sound, so that cached results of before are not taken for those of after."""


class Model(System):
    """A codec with codebooks. Its price is the whole ``.slm`` file that ``compress`` writes.

    ``mode`` is that of ``compress``, ``vbr`` or ``cbr``, where the file has the bitrate; or
    ``num_codebooks``: as many levels as have it nominally, in all frames.
    """

    compared = "file"

    def __init__(self, kbps: float, model: str | None, mode: str = "levels") -> None:
        self.codec = load(model)
        self.kbps = kbps
        self.mode = mode
        self.sample_rate = self.codec.sample_rate
        self.num_codebooks = self.codec.choose_num_codebooks(kbps=kbps)
        self.latency = self.codec.latency / self.codec.sample_rate
        self.codebook_size = self.codec.codebook_size
        spent = f"{self.num_codebooks} levels" if mode == "levels" else f"{mode}, levels"
        if mode == "levels":
            self.tokens_per_second = self.codec.frame_rate * self.num_codebooks
        self.about = (
            f"{self.codec.model_id} {self.codec.weights_hash}, {spent} of "
            f"{self.codec.codebook_size} at {self.codec.frame_rate:g} Hz"
        )

    @property
    def fingerprint(self) -> str:
        context = self.codec.entropy.hash if self.codec.entropy else ""
        network = f"network-{NETWORK_VERSION}"
        return f"{super().fingerprint} {self.codec.fingerprint} {network} {context}"

    def encode(self, wave: Wave) -> Encoded:
        import torch

        from speechlm.compression.encoder import write_codes

        if self.mode != "levels":
            return self._file(wave)
        with torch.inference_mode():
            codes = self.codec.encode(torch.tensor(wave)[None], num_codebooks=self.num_codebooks)
        _, num_codebooks, frames = codes.shape
        bits = num_codebooks * frames * self.codec.bits_per_code
        table = codes[0].numpy()
        size = write_codes(table, len(wave), io.BytesIO(), self.codec, self.codec.entropy)
        return Encoded(codes, bits, size, table)

    def _file(self, wave: Wave) -> Encoded:
        import torch

        from speechlm.compression.encoder import encode_stream, encode_whole
        from speechlm.compression.rate_target import RateTarget

        rate = RateTarget(kbps=self.kbps, mode=self.mode)
        file = io.BytesIO()
        encode = encode_whole if rate.needs_two_passes(self.codec) else encode_stream
        encode([np.asarray(wave, np.float32)], file, self.codec, rate)
        size = file.tell()
        file.seek(0)
        chunks = list(bitstream.Reader(file, entropy=self.codec.entropy))
        table = np.full((self.codec.num_codebooks, sum(chunk.frames for chunk in chunks)), -1)
        for chunk in chunks:
            assert isinstance(chunk, bitstream.Chunk)
            table[: chunk.num_codebooks, chunk.start : chunk.start + chunk.frames] = chunk.codes
        return Encoded(torch.from_numpy(table)[None], 8 * size, size, table)

    def decode(self, encoded: Encoded, samples: int) -> Wave:
        import torch

        with torch.inference_mode():
            return np.asarray(self.codec.decode(encoded.payload, length=samples)[0], np.float32)

    def streamed_difference(self, wave: Wave) -> dict[str, float]:
        """Streaming against offline on ``wave`` (samples,), in chunks of 20 ms.

        ``codes`` is the share of codes that differ, ``wave`` the largest difference of a sample.
        """
        import torch

        chunk = max(1, self.sample_rate // 50)
        pieces = torch.tensor(wave)[None].split(chunk, dim=1)
        with torch.inference_mode():
            encoder = self.codec.stream_encoder(num_codebooks=self.num_codebooks)
            streamed = torch.cat([*map(encoder.push, pieces), encoder.flush()], dim=2)
            offline = self.codec.encode(torch.tensor(wave)[None], num_codebooks=self.num_codebooks)
            decoder = self.codec.stream_decoder()
            blocks = [decoder.push(frame) for frame in offline.split(1, dim=2)]
            sound = torch.cat([*blocks, decoder.flush(len(wave))], dim=1)[:, : len(wave)]
            whole = self.codec.decode(offline, length=len(wave))
        if streamed.shape != offline.shape or sound.shape != whole.shape:
            raise Failed(f"streaming gives {tuple(streamed.shape)}, offline {tuple(offline.shape)}")
        return {
            "codes": float((streamed != offline).float().mean()),
            "wave": float((sound - whole).abs().max()),
        }


def load(model: str | None) -> Codec:
    """The codec of this name, once a process.

    Raises:
        Absent: when it cannot be had; a download that failed is not tried again for each bitrate.
    """
    found = _loaded(model)
    if isinstance(found, str):
        raise Absent(found)
    return found


@cache
def _loaded(model: str | None) -> Codec | str:
    from speechlm import codec

    try:
        return codec.load(model)
    except SpeechLMError as reason:
        return str(reason)
