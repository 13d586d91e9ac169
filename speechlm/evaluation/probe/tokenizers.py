"""What is probed: whatever gives the frames of a waveform their units."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from speechlm import audio
from speechlm.data.utterance import Utterance
from speechlm.tokenizers.base import UnitTokenizer


@dataclass(frozen=True)
class ProbedTokenizers:
    """One tokenizer, or several that share their work: ``names`` are what to call them.

    ``encode`` takes a wave (samples,) at ``sample_rate`` Hz, and gives units int64 (names, frames)
    of ``kinds`` kinds, ``frame_rate`` frames a second.
    """

    names: list[str]
    kinds: int
    frame_rate: float
    sample_rate: int
    encode: Callable[[Tensor], Tensor]

    def units(self, utterance: Utterance) -> NDArray[np.int64]:
        """Units (names, frames) of an utterance."""
        wave = audio.resample(*utterance.audio(), self.sample_rate)
        found: NDArray[np.int64] = self.encode(torch.from_numpy(wave)).cpu().numpy()
        return found


def probed_tokenizer(name: str, tokenizer: UnitTokenizer) -> ProbedTokenizers:
    """Level 0 of a tokenizer."""
    units = tokenizer.units
    facts = units.codebook_size, units.frame_rate, units.sample_rate
    return ProbedTokenizers([name], *facts, lambda wave: tokenizer.encode(wave[None])[0, :1])
