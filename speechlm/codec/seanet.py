"""The time-domain codec: strided convolutions on samples.

SEANet (Tagliasacchi et al. 2020) as SoundStream and EnCodec use it, without recurrence: fully
causal and with no delay of its own beyond the hop.
"""

from __future__ import annotations

from torch import Tensor, nn

from speechlm.codec.config import CodecConfig
from speechlm.nn import CausalConv1d, CausalConvTranspose1d, Chain, State, Streaming


class ResidualUnit(Streaming):
    """A dilated and a pointwise convolution at half the channels, added to the input."""

    def __init__(self, channels: int, dilation: int):
        super().__init__()
        self.branch = Chain(
            nn.ELU(),
            CausalConv1d(channels, channels // 2, 3, dilation=dilation),
            nn.ELU(),
            CausalConv1d(channels // 2, channels, 1),
        )

    def initial_state(self, like: Tensor) -> State:
        return self.branch.initial_state(like)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        y, state = self.branch.step(x, state)
        # Stride one throughout: the branch is as long as its input.
        return x + y, state


class SeanetEncoder(Streaming):
    """Waveform (batch, samples) to latents (batch, latent, samples // hop)."""

    def __init__(self, config: CodecConfig):
        super().__init__()
        seanet = config.seanet
        channels = seanet.channels
        layers: list[nn.Module] = [CausalConv1d(1, channels, seanet.kernel)]
        for stride in seanet.strides:
            layers += [ResidualUnit(channels, dilation) for dilation in seanet.dilations]
            layers += [nn.ELU(), CausalConv1d(channels, 2 * channels, 2 * stride, stride)]
            channels *= 2
        layers += [nn.ELU(), CausalConv1d(channels, config.latent, 3)]
        self.stack = Chain(*layers)
        self.norm = nn.LayerNorm(config.latent, elementwise_affine=False)

    def initial_state(self, like: Tensor) -> State:
        return self.stack.initial_state(like[:, None])

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        z, state = self.stack.step(x[:, None], state)
        return self.norm(z.transpose(1, 2)).transpose(1, 2), state


class SeanetDecoder(Streaming):
    """Latents (batch, latent, frames) to waveform (batch, frames * hop_length)."""

    def __init__(self, config: CodecConfig):
        super().__init__()
        seanet = config.seanet
        channels = seanet.channels * 2 ** len(seanet.strides)
        layers: list[nn.Module] = [CausalConv1d(config.latent, channels, seanet.kernel)]
        for stride in reversed(seanet.strides):
            layers += [
                nn.ELU(),
                CausalConvTranspose1d(channels, channels // 2, 2 * stride, stride),
            ]
            channels //= 2
            layers += [ResidualUnit(channels, dilation) for dilation in seanet.dilations]
        layers += [nn.ELU(), CausalConv1d(channels, 1, seanet.kernel)]
        self.stack = Chain(*layers)

    def initial_state(self, like: Tensor) -> State:
        return self.stack.initial_state(like)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        y, state = self.stack.step(x, state)
        return y[:, 0], state
