"""Units that are the first levels of a codec's codes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Self

import torch
from torch import Tensor

from speechlm.codec.base import Codec, StreamDecoder
from speechlm.tokenizers.base import Units, UnitTokenizer

BLOCK_SECONDS = 10


class CodecUnits(UnitTokenizer):
    """The first ``num_codebooks`` levels of ``codec`` (all by default). They carry the voice.

    Raises:
        SpeechLMError: when the codec has fewer levels.
    """

    def __init__(self, codec: Codec, num_codebooks: int | None = None):
        self.codec, self.folder = codec, codec.folder
        self.units = Units(
            model=codec.model_id,
            weights=codec.weights_hash,
            sample_rate=codec.sample_rate,
            hop_length=int(codec.hop_length),  # of NumPy's type in some packages
            num_codebooks=codec.choose_num_codebooks(num_codebooks),
            codebook_size=codec.codebook_size,
        )

    @property
    def device(self) -> torch.device:
        return self.codec.device

    def to(self, device: str | torch.device) -> Self:
        self.codec.to(device)
        return self

    def encode(self, wave: Tensor) -> Tensor:
        return self.codec.encode(wave, num_codebooks=self.units.num_codebooks)

    def encode_batch(self, waves: Sequence[Tensor]) -> list[Tensor]:
        return self.codec.encode_batch(waves, num_codebooks=self.units.num_codebooks)

    def encode_pieces(self, waves: Iterable[Tensor]) -> Iterator[Tensor]:
        stream = self.codec.stream_encoder(num_codebooks=self.units.num_codebooks)
        for wave in waves:
            for block in wave.split(BLOCK_SECONDS * self.units.sample_rate, dim=1):
                yield stream.push(block)
        yield stream.flush()

    def begin(self, wave: Tensor) -> Tensor:
        stream = self.codec.stream_encoder(num_codebooks=self.units.num_codebooks)
        blocks = wave.split(BLOCK_SECONDS * self.units.sample_rate, dim=1)
        return torch.cat([stream.push(block) for block in blocks], dim=2)

    def decode(
        self, units: Tensor, length: int | None = None, voice: Tensor | None = None
    ) -> Tensor:
        return self.codec.decode(units, length)

    def stream_decoder(self, voice: Tensor | None = None) -> StreamDecoder:
        return self.codec.stream_decoder()
