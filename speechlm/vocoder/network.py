"""The unit vocoder: a source of pulses and noise, and filters made of units and a voice.

Source and filter, as in the neural source-filter models (Wang et al. 2019) and DDSP (Engel et al.
2020), with the codec's blocks at the frame rate between its STFT and its inverse (Vocos, Siuzdak
2023). Units say what is said, not in which phase: pulses have one, so none needs to be invented.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from speechlm.codec.spectral import FrameLinear, FrameNorm
from speechlm.errors import SpeechLMError
from speechlm.nn import CausalISTFT, CausalSTFT, Chain, ConvNeXtBlock, State
from speechlm.vocoder.config import VocoderConfig
from speechlm.vocoder.pitch import HIGHEST, LOWEST
from speechlm.vocoder.source import HarmonicSource
from speechlm.vocoder.voice import VoiceEncoder

LOUDEST = 4.0
"""Of a filter, in nats over a power of one."""


class Filters(NamedTuple):
    """What units and a voice come to, by parts of frames (batch, ..., frames * parts)."""

    pitch: Tensor
    """Natural logarithm of Hz, (batch, frames * parts)."""
    voicing: Tensor
    """Logits, (batch, frames * parts)."""
    gains: Tensor
    """Natural logarithms of magnitudes (batch, 2, bins, frames * parts): of pulses, of noise."""

    @property
    def sung(self) -> Tensor:
        """Pitch in Hz (batch, 1, frames * parts), 0 where unvoiced.

        In steps of an eighth of a Hz: the phase of a high harmonic would carry the last bits of a
        sum, which depend on the length of a chunk, to where they are heard.
        """
        pitch = (self.pitch.exp().clamp(LOWEST, HIGHEST) * 8).round() / 8
        return torch.where(self.voicing > 0, pitch, 0.0)[:, None]


class VocoderNetwork(nn.Module):
    """What training updates. Units are (batch, codebooks, frames), voices (batch, size).

    Output lags by ``decoder_delay`` samples.

    Raises:
        SpeechLMError: for a configuration of which no network can be made.
    """

    usual: Tensor
    start: Tensor

    def __init__(self, config: VocoderConfig):
        super().__init__()
        if config.hop_length % config.parts:
            raise SpeechLMError(
                f"vocoder: hop {config.hop_length} is no multiple of parts {config.parts}"
            )
        self.config = config
        dim, hop_length = config.dim, config.hop_length // config.parts
        self.decoder_delay = config.ahead * config.hop_length + hop_length
        self.embed = nn.Embedding(config.num_codebooks * config.codebook_size, dim)
        self.voice = VoiceEncoder(config.voice, config.hop_length, config.sample_rate)
        self.register_buffer("usual", torch.zeros(config.voice.size))
        self.sizes = [1, 1, 2 * (hop_length + 1)]
        outputs = config.parts * sum(self.sizes)
        self.enter = nn.Linear(config.voice.size, dim)
        self.stack = Chain(
            FrameNorm(dim),
            *(ConvNeXtBlock(dim) for _ in range(config.blocks)),
            FrameNorm(dim),
            FrameLinear(dim, outputs),
        )
        self.colour = nn.Linear(config.voice.size, outputs)
        start = torch.tensor([5.0, 0.0] + [-3.0] * self.sizes[2])
        self.register_buffer("start", start.repeat(config.parts), persistent=False)
        self.source = HarmonicSource(hop_length, config.sample_rate)
        self.stft, self.istft = CausalSTFT(hop_length, 2 * hop_length), CausalISTFT(hop_length)
        self.durations = Durations(config.codebook_size, config.duration_dim)

    def output_heads(self) -> list[nn.Module]:
        """The layers that give pitch, voicing and filters: of units, and of the voice."""
        return [self.stack.stages[-1], self.colour]

    def initial_state(self, like: Tensor) -> State:
        """The empty state for as many sequences as ``like`` has rows; of its type and device."""
        wave = like.new_zeros(len(like), 0)
        frames = like.new_zeros(len(like), self.config.dim, 0)
        return (
            self.stack.initial_state(frames),
            self.source.initial_state(frames),
            self.stft.initial_state(torch.cat([wave, wave])),
            self.istft.initial_state(wave),
        )

    def filters(self, units: Tensor, voice: Tensor, state: State) -> tuple[Filters, State]:
        """Filters of the next frames, ``ahead`` frames late, and the state of the stack."""
        config = self.config
        offsets = config.codebook_size * torch.arange(config.num_codebooks, device=units.device)
        x = self.embed(units + offsets[:, None]).sum(dim=1).transpose(1, 2)
        y, state = self.stack.step(x + self.enter(voice)[..., None], state)
        y = _at_least_single(y) + (_at_least_single(self.colour(voice)) + self.start)[..., None]
        y = y.unflatten(1, (config.parts, -1)).permute(0, 2, 3, 1).flatten(2)
        pitch, voicing, gains = y.split(self.sizes, dim=1)
        gains = gains.clamp(max=LOUDEST).unflatten(1, (2, -1))
        return Filters(pitch[:, 0], voicing[:, 0], gains), state

    def sound(self, pitch: Tensor, gains: Tensor, state: State) -> tuple[Tensor, State]:
        """Sound (batch, samples) of the source at ``pitch`` (batch, 1, n) through the filters."""
        source, stft, istft = state
        waves, source = self.source.step(pitch, source)
        spectra, stft = self.stft.step(waves.transpose(0, 1).flatten(0, 1), stft)
        pulses, noise = (spectra.unflatten(0, (2, -1)) * gains.transpose(0, 1).exp()).unbind()
        wave, istft = self.istft.step(pulses + noise, istft)
        return wave, (source, stft, istft)

    def step(self, units: Tensor, voice: Tensor, state: State) -> tuple[Tensor, State]:
        """Sound of the next frames, ``decoder_delay`` samples late, and the state."""
        filters, stack = self.filters(units, voice, state[0])
        wave, rest = self.sound(filters.sung, filters.gains, state[1:])
        return wave, (stack, *rest)

    def forward(
        self, units: Tensor, prompt: Tensor, pitch: Tensor | None = None
    ) -> tuple[Tensor, Filters]:
        """For training: sound (batch, frames * hop_length) and filters, both in time with
        ``units``.

        ``pitch`` (batch, frames * parts) is what to sing in Hz, 0 where unvoiced; else what the
        filters say.
        """
        voice = self.voice(prompt)
        if self.training:
            with torch.no_grad():
                self.usual.lerp_(voice.float().mean(dim=0), 0.01)
        ahead, parts = self.config.ahead, self.config.parts
        whole = torch.cat([units, units[:, :, -1:].expand(-1, -1, ahead)], dim=2)
        state = self.initial_state(voice.float())
        late, _ = self.filters(whole, voice, state[0])
        filters = Filters(*(each[..., ahead * parts :] for each in late))
        sung = filters.sung if pitch is None else pitch[:, None]
        # A part more, for the inverse STFT is one late.
        gains = torch.cat([filters.gains, filters.gains[..., -1:]], dim=3)
        wave, _ = self.sound(torch.cat([sung, sung[..., -1:]], dim=2), gains, state[1:])
        return wave[:, self.config.hop_length // parts :], filters


def _at_least_single(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()


class Durations(nn.Module):
    """How many frames each unit of a sequence without repetition lasts."""

    def __init__(self, codebook_size: int, dim: int):
        super().__init__()
        self.embed = nn.Embedding(codebook_size, dim)
        self.stack = Chain(ConvNeXtBlock(dim), ConvNeXtBlock(dim), FrameLinear(dim, 1))

    def output_heads(self) -> list[nn.Module]:
        """The layer that gives the duration."""
        return [self.stack.stages[-1]]

    def initial_state(self, like: Tensor) -> State:
        return self.stack.initial_state(self.embed(like).transpose(1, 2))

    def step(self, units: Tensor, state: State) -> tuple[Tensor, State]:
        """Natural logarithms of frames (batch, n) for ``units`` (batch, n), from those before."""
        y, state = self.stack.step(self.embed(units).transpose(1, 2), state)
        return y[:, 0], state
