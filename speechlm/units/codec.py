"""Units that are the first levels of a codec's codes."""

from __future__ import annotations

from torch import Tensor

from speechlm.codec.base import Codec
from speechlm.units.base import Units, UnitTokenizer


class CodecUnits(UnitTokenizer):
    """The first ``levels`` levels of ``codec`` (all by default).

    Raises:
        SpeechLMError: when the codec has fewer levels.
    """

    def __init__(self, codec: Codec, levels: int | None = None):
        self.codec = codec
        self.units = Units(
            model=codec.model_id,
            weights=codec.weights_hash,
            sample_rate=codec.sample_rate,
            hop=int(codec.hop),  # of NumPy's type in some packages
            levels=codec.choose_levels(levels),
            cardinality=codec.cardinality,
        )

    def encode(self, wave: Tensor) -> Tensor:
        return self.codec.encode(wave, levels=self.units.levels)

    def decode(self, units: Tensor, length: int | None = None) -> Tensor:
        return self.codec.decode(units, length)
