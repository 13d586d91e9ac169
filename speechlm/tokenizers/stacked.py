"""Semantic units above a codec's levels: a frame says first what is said, then how it sounds.

::

    level 0      s2 s3 s4 s4      units of frames, of a semantic tokenizer, here 2 ahead
    level 1      a0 a1 a2 a3      level 0 of the codec
    level 2      b0 b1 b2 b3      level 1 of the codec

Semantic units first and acoustic ones given them, as in AudioLM (Borsos et al. 2022), but frame by
frame, as in Moshi (Défossez et al. 2024): the pattern ``depth`` predicts the levels of a frame from
the top down, and what is said is decided some frames before it sounds (Moshi's acoustic delay). The
codec makes sound of its own levels, so no vocoder is needed.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

import torch
from torch import Tensor

from speechlm import hub
from speechlm.errors import SpeechLMError
from speechlm.tokenizers.base import Units, UnitTokenizer
from speechlm.tokenizers.codec import CodecUnits
from speechlm.tokenizers.load import TOKENIZER
from speechlm.tokenizers.load import load as load_units


@dataclass
class StackedConfig:
    """The ``config.yaml`` of a folder with such units, whose semantic ones are in ``units/``.

    ``codec`` is as for :func:`speechlm.codec.load`, of which ``num_codebooks`` levels are taken.
    Semantic units stand ``ahead`` frames before the sound that they are of.
    """

    RENAMED_KEYS: ClassVar[dict[str, str]] = {"levels": "num_codebooks"}

    kind: str = "stacked"
    name: str = "stacked"
    codec: str = hub.DEFAULT_CODEC
    num_codebooks: int = 4
    ahead: int = 0


class StackedUnits(UnitTokenizer):
    """Level 0 is ``semantic``'s, ``ahead`` frames before its time, those below are ``codec``'s.

    Where both have not as many frames, the last semantic unit is held, or the rest left out: the
    codec's frames are what is heard.

    Raises:
        SpeechLMError: when the two do not go together.
    """

    def __init__(self, name: str, semantic: UnitTokenizer, codec: CodecUnits, ahead: int = 0):
        first, rest = semantic.units, codec.units
        if (first.num_codebooks, first.variable) != (1, False):
            raise SpeechLMError(f"{first.model}: only a tokenizer of one unit a frame is stacked")
        if (first.sample_rate, first.hop_length) != (rest.sample_rate, rest.hop_length):
            raise SpeechLMError(
                f"{first.model} has {first.frame_rate:g} frames a second at {first.sample_rate} "
                f"Hz, {rest.model} {rest.frame_rate:g} at {rest.sample_rate} Hz"
            )
        if first.codebook_size > rest.codebook_size:
            raise SpeechLMError(
                f"{first.model} has more kinds of units than {rest.model}: {first.codebook_size} "
                f"and {rest.codebook_size}"
            )
        if ahead < 0:
            raise SpeechLMError(f"{name}: ahead={ahead} is no number of frames")
        self.semantic, self.codec, self.ahead = semantic, codec, ahead
        both = f"{first.weights} {rest.weights}" + (f" {ahead}" if ahead else "")
        self.units = Units(
            model=name,
            weights=hashlib.sha256(both.encode()).hexdigest()[:8],
            sample_rate=rest.sample_rate,
            hop_length=rest.hop_length,
            num_codebooks=1 + rest.num_codebooks,
            codebook_size=rest.codebook_size,
            codec=(rest.model, rest.weights),
        )

    @property
    def device(self) -> torch.device:
        return self.codec.device

    def to(self, device: str | torch.device) -> Self:
        self.semantic.to(device)
        self.codec.to(device)
        return self

    def encode(self, wave: Tensor) -> Tensor:
        sound, meaning = self.codec.encode(wave), self.semantic.encode(wave)
        missing = sound.shape[2] + self.ahead - meaning.shape[2]
        if missing > 0:
            meaning = torch.cat([meaning, meaning[:, :, -1:].expand(-1, -1, missing)], dim=2)
        return self._stacked(meaning, sound)

    def begin(self, wave: Tensor) -> Tensor:
        return self._stacked(self.semantic.begin(wave), self.codec.begin(wave))

    def _stacked(self, meaning: Tensor, sound: Tensor) -> Tensor:
        meaning = meaning[:, :, self.ahead :].to(sound.device)
        frames = min(meaning.shape[2], sound.shape[2])
        return torch.cat([meaning[:, :, :frames], sound[:, :, :frames]], dim=1)

    def decode(
        self, units: Tensor, length: int | None = None, voice: Tensor | None = None
    ) -> Tensor:
        return self.codec.decode(units[:, 1:], length, voice)

    def stream_decoder(self, voice: Tensor | None = None) -> StackedStream:
        return StackedStream(self.codec)


class StackedStream:
    """Makes sound of the codec's levels, frame by frame."""

    def __init__(self, codec: CodecUnits):
        self.stream = codec.stream_decoder()

    def push(self, units: Tensor) -> Tensor:
        """Samples (batch, ready) after ``units`` (batch, codebooks, frames)."""
        return self.stream.push(units[:, 1:])

    def flush(self) -> Tensor:
        """The samples still owed."""
        return self.stream.flush()


def load(folder: Path, num_codebooks: int | None = None, framed: bool = False) -> StackedUnits:
    """The tokenizer in a model folder; see :func:`speechlm.tokenizers.load.load`."""
    config, _ = hub.load_model(folder, StackedConfig)
    if num_codebooks is not None and not 2 <= num_codebooks <= 1 + config.num_codebooks:
        raise SpeechLMError(
            f"{config.name} has 2 to {1 + config.num_codebooks} levels, not {num_codebooks}"
        )
    codec = load_units(
        config.codec, config.num_codebooks if num_codebooks is None else num_codebooks - 1
    )
    if not isinstance(codec, CodecUnits):
        raise SpeechLMError(f"{config.codec}: no codec, on whose levels units could be stacked")
    semantic = load_units(folder / TOKENIZER, framed=True)
    return StackedUnits(config.name, semantic, codec, config.ahead)
