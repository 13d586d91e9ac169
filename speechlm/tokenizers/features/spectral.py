"""Features without weights: what speech units were first made of."""

from __future__ import annotations

import torch
import torchaudio
from torch import Tensor, nn

from speechlm.errors import SpeechLMError
from speechlm.tokenizers.features.base import Teacher

RATE = 16000
MELS = 80
COEFFICIENTS = 13
FLOOR = 1e-6
"""Power that counts as silence: -60 dB below that of a full-scale square wave."""


class _Spectral(Teacher):
    """Frames of ``hop_length`` samples, each seen by a Hann window of two hops around it.

    Raises:
        SpeechLMError: when the hop is not an even number of samples.
    """

    sample_rate = RATE

    def __init__(self, hop_length: int, mels: int) -> None:
        if hop_length < 64 or hop_length % 2:
            raise SpeechLMError(
                f"teacher.hop_length is an even number from 64 on, not {hop_length}"
            )
        self.hop_length = hop_length
        self.mel = torchaudio.transforms.MelSpectrogram(
            RATE,
            2 * hop_length,
            2 * hop_length,
            hop_length,
            n_mels=mels,
            center=False,
            norm="slaney",
        )

    def _log_mel(self, wave: Tensor) -> Tensor:
        """Natural logarithms of mel powers (mels, frames)."""
        around = nn.functional.pad(wave, (self.hop_length // 2, self.hop_length // 2))
        power: Tensor = self.mel(around)
        return (power + FLOOR).log()


class LogMel(_Spectral):
    """Log-mel spectra of 80 bands, the features of GSLM's baseline (Lakhotia et al. 2021)."""

    dim = MELS

    def __init__(self, hop_length: int) -> None:
        super().__init__(hop_length, MELS)
        self.fingerprint = f"log-mel-1 {hop_length}"

    def _features(self, wave: Tensor) -> Tensor:
        return self._log_mel(wave).T


class Mfcc(_Spectral):
    """13 cepstral coefficients with first and second differences.

    They gave HuBERT its first targets (Hsu et al. 2021).
    """

    dim = 3 * COEFFICIENTS

    def __init__(self, hop_length: int) -> None:
        super().__init__(hop_length, 40)
        self.fingerprint = f"mfcc-1 {hop_length}"
        self.dct = torchaudio.functional.create_dct(COEFFICIENTS, 40, "ortho")

    def _features(self, wave: Tensor) -> Tensor:
        cepstrum = (self._log_mel(wave).T @ self.dct).T
        first = torchaudio.functional.compute_deltas(cepstrum)
        second = torchaudio.functional.compute_deltas(first)
        return torch.cat([cepstrum, first, second]).T
