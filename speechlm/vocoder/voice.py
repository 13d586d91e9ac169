"""Who speaks: a vector from a prompt, learnt with the vocoder."""

from __future__ import annotations

import torch
import torchaudio
from torch import Tensor, nn

from speechlm.codec.spectral import FrameLinear, FrameNorm
from speechlm.errors import SpeechLMError
from speechlm.nn import CausalSTFT, Chain, ConvNeXtBlock
from speechlm.vocoder.config import VoiceConfig

MELS = 64
QUIET = 4.0
"""How far below the loudest frame, in nats of power, a frame may be and count: pauses do not."""


class VoiceEncoder(nn.Module):
    """Prompt (batch, samples) to a voice (batch, size): the mean and spread of what is heard.

    Raises:
        SpeechLMError: when the prompt is shorter than two hops.
    """

    bank: Tensor

    def __init__(self, config: VoiceConfig, hop_length: int, sample_rate: int):
        super().__init__()
        self.stft = CausalSTFT(hop_length, 2 * hop_length)
        bank = torchaudio.functional.melscale_fbanks(
            hop_length + 1, 0.0, sample_rate / 2, MELS, sample_rate, "slaney", "slaney"
        )
        self.register_buffer("bank", bank, persistent=False)
        self.stack = Chain(
            FrameLinear(MELS, config.dim),
            FrameNorm(config.dim),
            *(ConvNeXtBlock(config.dim) for _ in range(config.blocks)),
            FrameNorm(config.dim),
        )
        self.out = nn.Linear(2 * config.dim, config.size)
        self.norm = nn.LayerNorm(config.size, elementwise_affine=False)

    def forward(self, prompt: Tensor) -> Tensor:
        if prompt.shape[1] < 2 * self.stft.hop_length:
            raise SpeechLMError(f"a voice of {prompt.shape[1]} samples is too short to know it by")
        with torch.no_grad():
            spectrum = self.stft(prompt.to(self.bank.dtype))
            power = (spectrum.abs().square().transpose(1, 2) @ self.bank).mT
            level = (power.mean(dim=1) + 1e-6).log()
            heard = (level > level.amax(dim=1, keepdim=True) - QUIET)[:, None].to(power.dtype)
            x = (power + 1e-6).log()
            x = x - (x * heard).sum((1, 2), keepdim=True) / (MELS * heard.sum(2, keepdim=True))
        y = self.stack(x)
        count = heard.sum(dim=2)
        mean = (y * heard).sum(dim=2) / count
        spread = (((y - mean[..., None]).square() * heard).sum(dim=2) / count + 1e-4).sqrt()
        return self.norm(self.out(torch.cat([mean, spread], dim=1)))
