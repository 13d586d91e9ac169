"""A feature loss: the distance of an estimate and its target in the layers of Whisper's encoder.

Deep feature losses as in Germain et al. 2018, with a recogniser as in Phone-Fortified Perceptual
Loss (Hsieh et al. 2020). Do not evaluate a model with the recogniser that it was trained with.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
import torchaudio
from torch import Tensor, nn
from torch.nn import functional as F

from speechlm import whisper
from speechlm.errors import SpeechLMError
from speechlm.training.losses.terms import LossTerm, Schedule, Weight
from speechlm.training.losses.wave_pair import WavePair

RATE, WINDOW, HOP, MELS = 16000, 400, 160, 80
"""Of Whisper's spectra (Radford et al. 2022); its encoder has a frame for two of theirs."""


@dataclass
class WhisperFeatureConfig:
    """Weight and model of the loss; without a weight no model is loaded."""

    weight: Weight = 0.0
    model: str | None = None
    """A folder of Whisper for CTranslate2 in floating point; null: tiny.en (extra ``asr``)."""
    examples: int | None = None
    """How many examples of a batch are compared; all when null."""


class WhisperFeatureLoss(nn.Module):
    """Mean absolute difference of the features of each layer, normalised by frame.

    A mean over the layers.

    Raises:
        SpeechLMError: when the model is not there, or the rate is not Whisper's.
    """

    def __init__(self, config: WhisperFeatureConfig, sample_rate: int):
        super().__init__()
        if sample_rate != RATE:
            raise SpeechLMError(f"loss.asr_feature: Whisper takes {RATE} Hz, not {sample_rate}")
        weights = whisper.read_encoder(Path(whisper.find(config.model)[0]) / "model.bin")
        self.heads = int(weights.pop("num_heads"))
        self.layers = sum(name.endswith("/ffn/linear_0/weight") for name in weights)
        for name, value in weights.items():
            self.register_buffer(name.replace("/", "_"), torch.from_numpy(value), persistent=False)
        bank = torchaudio.functional.melscale_fbanks(
            WINDOW // 2 + 1, 0.0, RATE / 2, MELS, RATE, "slaney", "slaney"
        )
        self.register_buffer("bank", bank, persistent=False)
        self.register_buffer("hann", torch.hann_window(WINDOW), persistent=False)

    def forward(self, estimate: Tensor, target: Tensor) -> Tensor:
        """The loss, of waveforms (batch, samples) of up to 30 s."""
        with torch.no_grad():
            targets = self.features(target)
        pairs = zip(self.features(estimate), targets, strict=True)
        return torch.stack([(x.float() - y.float()).abs().mean() for x, y in pairs]).mean()

    def features(self, wave: Tensor) -> list[Tensor]:
        """Features (batch, frames, dim) of all layers, each frame of mean 0 and variance 1."""
        x = self.spectrum(wave)
        x = F.gelu(F.conv1d(x, self._weight("conv1_weight"), self._weight("conv1_bias"), padding=1))
        x = F.conv1d(x, self._weight("conv2_weight"), self._weight("conv2_bias"), 2, padding=1)
        x = F.gelu(x).mT
        x = x + self._weight("position_encodings_encodings")[: x.shape[1]]
        layers = []
        for layer in range(self.layers):
            x = x + self._attention(x, f"layer_{layer}_self_attention_")
            ffn = f"layer_{layer}_ffn_"
            y = F.gelu(self._linear(self._norm(x, ffn), ffn + "linear_0"))
            x = x + self._linear(y, ffn + "linear_1")
            layers.append(F.layer_norm(x, x.shape[-1:]))
        return layers

    def spectrum(self, wave: Tensor) -> Tensor:
        """Whisper's log-mel spectrum (batch, mels, 2 * frames)."""
        with torch.autocast(wave.device.type, enabled=False):
            spectrum = torch.stft(
                wave, WINDOW, HOP, window=self._weight("hann"), return_complex=True
            )
            power = spectrum[..., :-1].real.square() + spectrum[..., :-1].imag.square()
            mel = (power.mT @ self._weight("bank")).mT.clamp_min(1e-10).log10()
            loudest = mel.amax(dim=(1, 2), keepdim=True).detach()
            return (torch.maximum(mel, loudest - 8) + 4) / 4

    def _attention(self, x: Tensor, name: str) -> Tensor:
        y = self._linear(self._norm(x, name), name + "linear_0")
        query, key, value = y.unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(query, key, value)
        return self._linear(y.transpose(1, 2).flatten(2), name + "linear_1")

    def _norm(self, x: Tensor, name: str) -> Tensor:
        name += "layer_norm_"
        return F.layer_norm(
            x, x.shape[-1:], self._weight(name + "gamma"), self._weight(name + "beta")
        )

    def _linear(self, x: Tensor, name: str) -> Tensor:
        return F.linear(x, self._weight(name + "_weight"), self._weight(name + "_bias"))

    def _weight(self, name: str) -> Tensor:
        return cast(Tensor, getattr(self, name))


def asr_feature_terms(
    config: WhisperFeatureConfig, sample_rate: int
) -> tuple[WhisperFeatureLoss | None, list[LossTerm[WavePair]]]:
    """The loss and its term; neither where its weight is always zero.

    Raises:
        SpeechLMError: as :class:`WhisperFeatureLoss`, or for a weight that is none.
    """
    weight = Schedule.parse(config.weight, "loss.asr_feature.weight")
    if weight.is_zero:
        return None, []
    loss = WhisperFeatureLoss(config, sample_rate)

    def function(pair: WavePair) -> Tensor:
        pair = pair.first(config.examples)
        return cast(Tensor, loss(pair.estimate, pair.target))

    return loss, [LossTerm("asr_feature", weight, function)]
