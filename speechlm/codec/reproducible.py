"""Reproducible encoding: codes that do not depend on rounding.

A code is the nearest codebook entry; near a tie the last bits of the latent decide. In single
precision these differ between chunk sizes, batch sizes and processors: about one code per second of
speech would flip. In double precision, one in tens of thousands of years. So codes are those of
double precision, and streamed, batched and offline codes are identical.
"""

from __future__ import annotations

import copy
from typing import cast

import torch
from torch import Tensor

from speechlm.codec.spectral import SpectralEncoder
from speechlm.kernels import numba_available
from speechlm.kernels.frame_codec import EncoderState, FrameEncoder
from speechlm.nn import ConvNeXtBlock, State, Streaming
from speechlm.quantize import Quantizer, ResidualQuantizer
from speechlm.quantize.search import ResidualSearch

LATENT_ERROR_BOUND = 3e-5
"""Bound on the norm of the error of single-precision latents. Measured on speech, noise, tones and
silence: 4e-6 typically, 1.5e-5 at most."""


def build_encoder(
    encoder: Streaming, quantizer: Quantizer, weight: Tensor
) -> Float64Encoder | VerifiedEncoder:
    """The fastest encoder for these modules, on the device and in the precision of ``weight``."""
    plain = isinstance(quantizer, ResidualQuantizer) and quantizer.stages[0].codebook_dim is None
    single = weight.device.type == "cpu" and weight.dtype == torch.float32
    if single and isinstance(encoder, SpectralEncoder) and plain:
        return VerifiedEncoder(encoder, cast(ResidualQuantizer, quantizer))
    # Apple's devices have no doubles: codes may flip there.
    precision = torch.float32 if weight.device.type == "mps" else torch.float64
    return Float64Encoder(encoder, quantizer, precision)


class Float64Encoder:
    """An encoder and quantizer in double precision throughout."""

    def __init__(self, encoder: Streaming, quantizer: Quantizer, precision: torch.dtype):
        self.precision = precision
        self.encoder = copy.deepcopy(encoder).to(precision)
        self.quantizer = copy.deepcopy(quantizer).to(precision)

    def initial_state(self, like: Tensor) -> State:
        return self.encoder.initial_state(like.to(self.precision))

    def step(self, wave: Tensor, num_codebooks: int, state: State) -> tuple[Tensor, State]:
        """Codes (batch, codebooks, ready) of the chunk ``wave`` (batch, samples), and the state."""
        z, state = self.encoder.step(wave.to(self.precision), state)
        return self.quantizer.encode(z, num_codebooks), state

    def step_frame(self, wave: Tensor, num_codebooks: int, state: State) -> None:
        """None: there is no faster path for a single hop."""


class VerifiedEncoder:
    """The same codes at the cost of single precision, which reads half the bytes.

    Spectra, where loud bins mask soft ones, are computed in double precision; the stack and the
    search in single precision. A frame in which another entry is within the error bound of the best
    one, a few in a thousand, is recomputed in double precision from its receptive field.
    """

    def __init__(self, encoder: SpectralEncoder, quantizer: ResidualQuantizer):
        self.encoder = encoder
        self.search = ResidualSearch(quantizer)
        self.exact = copy.deepcopy(encoder).double()
        hop_length = encoder.stft.hop_length
        # What a frame depends on: its own samples, those of the frames that the stack looks back
        # on, and the hop before, which the first of their windows reaches into.
        blocks = [stage for stage in encoder.stack.stages if isinstance(stage, ConvNeXtBlock)]
        self.reach = (sum(block.depthwise.reach - 1 for block in blocks) + 2) * hop_length
        self.frame = FrameEncoder(encoder, self.search, self.reach) if numba_available() else None

    def initial_state(self, like: Tensor) -> State:
        like = like.double()
        stft = self.encoder.stft.initial_state(like)
        return like[:, :0], stft, self.encoder.stack.initial_state(like.float())

    def step(self, wave: Tensor, num_codebooks: int, state: State) -> tuple[Tensor, State]:
        """Codes (batch, codebooks, ready) of the chunk ``wave`` (batch, samples), and the state."""
        hop_length = self.encoder.stft.hop_length
        past, stft, stack = (
            state.torch_state(hop_length) if isinstance(state, EncoderState) else state
        )
        wave = wave.double()
        past = torch.cat([past[:, -self.reach - hop_length :], wave], dim=1)
        spectrum, stft = self.encoder.stft.step(wave, stft)
        z, stack = self.encoder.stack.step(self.encoder.features(spectrum).float(), stack)
        ready = z.shape[2]
        rows = z.transpose(1, 2).reshape(-1, z.shape[1])
        codes, near_ties = self.search.near(rows.numpy(), num_codebooks, LATENT_ERROR_BOUND)
        if len(near_ties):
            waiting = stft.shape[1] - hop_length
            ends = past.shape[1] - waiting - (ready - 1 - near_ties % ready) * hop_length
            windows = [
                past[row // ready, max(0, end - self.reach) : end]
                for row, end in zip(near_ties.tolist(), ends.tolist(), strict=True)
            ]
            codes[near_ties] = self.search.exact(self._doubles(windows).numpy(), num_codebooks)
        shaped = torch.from_numpy(codes).view(len(wave), ready, num_codebooks).transpose(1, 2)
        return shaped, (past, stft, stack)

    def step_frame(
        self, wave: Tensor, num_codebooks: int, state: State
    ) -> tuple[Tensor, State] | None:
        """:meth:`step` for a single hop, if there is a faster path; None if not."""
        packed = None if self.frame is None else self.frame.pack_state(wave, state)
        if self.frame is None or packed is None:
            return None
        codes, near_ties, packed = self.frame.step(wave, num_codebooks, LATENT_ERROR_BOUND, packed)
        if near_ties:
            with torch.inference_mode():
                latents = self._doubles([torch.from_numpy(packed.recent[-self.reach :])])
            codes = self.search.exact(latents.numpy(), num_codebooks)[0]
        return torch.from_numpy(codes).view(1, num_codebooks, 1), packed

    def _doubles(self, windows: list[Tensor]) -> Tensor:
        """Float64 latents (n, latent) of the last frame of each wave (samples,)."""
        if len({len(window) for window in windows}) > 1:
            return torch.cat([self._doubles([window]) for window in windows])
        wave, encoder = torch.stack(windows), self.exact
        if wave.shape[1] < self.reach:
            return encoder(wave)[:, :, -1]
        # Each part starts on real frames instead of padding and passes on what is right.
        hop_length = encoder.stft.hop_length
        spectrum, _ = encoder.stft.step(wave[:, hop_length:], wave[:, :hop_length])
        z = encoder.features(spectrum)
        for stage in encoder.stack.stages:
            if isinstance(stage, ConvNeXtBlock):
                back = stage.depthwise.reach - 1
                z, _ = stage.step(z[:, :, back:], z[:, :, :back])
            else:
                z = stage(z)
        return z[:, :, -1]
