"""A codec without fault, and codecs with one each."""

from __future__ import annotations

import torch
from torch import Tensor

from speechlm.codec.base import Codec, StreamDecoder, StreamEncoder, check_wave

HOP, RATE = 80, 8000


class Toy(Codec):
    """Eight bits a sample, a codebook for each sample of a frame."""

    device = torch.device("cpu")
    sample_rate, hop_length, num_codebooks, codebook_size, decoder_delay = RATE, HOP, HOP, 256, 0
    model_id, weights_hash = "toy", "00000000"

    def to(self, device=None, dtype=None):
        return self

    def encode(self, wave, num_codebooks=None, kbps=None):
        check_wave(wave)
        missing = self.num_frames(wave.shape[1]) * HOP - wave.shape[1]
        return self.codes_of(torch.nn.functional.pad(wave, (0, missing)))

    def decode(self, codes, length=None):
        return self.wave_of(codes)[:, :length]

    def stream_encoder(self, num_codebooks=None, kbps=None):
        return ToyEncoder(self)

    def stream_decoder(self):
        return ToyDecoder(self)

    def codes_of(self, wave: Tensor) -> Tensor:
        # Mu-law: quiet input needs finer steps.
        curve = torch.sign(wave) * torch.log1p(255 * wave.abs().clamp(max=1)) / 5.5452
        codes = (127.5 + 127.5 * curve).round().long()
        return codes.reshape(len(wave), -1, HOP).transpose(1, 2)

    def wave_of(self, codes: Tensor) -> Tensor:
        curve = (codes.transpose(1, 2).reshape(len(codes), -1) - 127.5) / 127.5
        wave = torch.sign(curve) * torch.expm1(curve.abs() * 5.5452) / 255
        return torch.where(wave.abs() < 1e-4, 0.0, wave)


class ToyEncoder(StreamEncoder):
    def __init__(self, codec: Toy):
        self.codec, self.state = codec, torch.zeros(1, 0)

    def push(self, wave):
        held = torch.cat([self.state.expand(len(wave), -1), wave], dim=1)
        whole = held.shape[1] // HOP * HOP
        self.state = held[:, whole:]
        return self.codec.codes_of(held[:, :whole])

    def flush(self):
        return self.codec.encode(self.state)


class ToyDecoder(StreamDecoder):
    def __init__(self, codec: Toy):
        self.codec, self.state = codec, None

    def push(self, codes):
        return self.codec.wave_of(codes)

    def conceal(self, frames):
        return torch.zeros(1, frames * HOP)

    def flush(self, length=None):
        return torch.zeros(1, 0)


class ScaledByBatch(Toy):
    def encode(self, wave, num_codebooks=None, kbps=None):
        return super().encode(wave / (1 + 0.1 * (len(wave) - 1)))


class LooksAhead(Toy):
    def encode(self, wave, num_codebooks=None, kbps=None):
        return super().encode(wave + 0.002 * (wave.roll(-900, dims=1) > 0))


class OneSampleShort(Toy):
    def decode(self, codes, length=None):
        return super().decode(codes, max(0, (length or 0) - 1))


class ClaimsHalf(Toy):
    def kbps(self, num_codebooks=None):
        return super().kbps(num_codebooks) / 2


class OutsideCodebook(Toy):
    codebook_size = 128

    @property
    def bits_per_code(self):
        return 8


class StartsChunksAnew(Toy):
    def stream_encoder(self, num_codebooks=None, kbps=None):
        encoder = ToyEncoder(self)
        push = encoder.push

        def faulty(wave):
            codes = push(wave).clone()
            codes[:, :, :1] = 0
            return codes

        encoder.push = faulty
        return encoder


class CountsThreads(Toy):
    def codes_of(self, wave):
        return super().codes_of(wave / (1 + 0.1 * (torch.get_num_threads() - 1)))


class Amplifies(Toy):
    def wave_of(self, codes):
        return 1.15 * super().wave_of(codes)


class Gates(Toy):
    def wave_of(self, codes):
        wave = super().wave_of(codes)
        return torch.where(wave.abs() < 0.02, 0.0, wave)


class Whistles(Toy):
    def wave_of(self, codes):
        wave = super().wave_of(codes)
        return wave + 0.002 * (1 - 2 * (torch.arange(wave.shape[1]) % 2))


class BreaksOnOffset(Toy):
    def decode(self, codes, length=None):
        wave = super().decode(codes, length)
        return wave * (0.1 if wave.numel() and wave.mean().abs() > 0.03 else 1.0)


class BreaksOnClipping(Toy):
    def decode(self, codes, length=None):
        wave = super().decode(codes, length)
        clipped = (wave.abs() > 0.99).float().mean() if wave.numel() else torch.zeros(())
        return wave * torch.nan if clipped > 0.05 else wave


class SwallowsLosses(Toy):
    def stream_decoder(self):
        decoder = ToyDecoder(self)
        decoder.conceal = lambda frames: torch.zeros(1, 0)
        return decoder


class Quadratic(Toy):
    def encode(self, wave, num_codebooks=None, kbps=None):
        for _ in range(self.num_frames(wave.shape[1])):
            wave.abs().max()
        return super().encode(wave)


class Raises(Toy):
    def encode(self, wave, num_codebooks=None, kbps=None):
        if wave.numel() and not wave.any():
            raise ZeroDivisionError("silence has no level")
        return super().encode(wave)


FAULTS: dict[type[Toy], set[str]] = {
    ScaledByBatch: {"batch"},
    LooksAhead: {"causality", "batch", "chunks"},  # a stream cannot look ahead
    OneSampleShort: {"length", "chunks", "lost frame"},  # both compare with the whole
    ClaimsHalf: {"bits"},
    OutsideCodebook: {"bits"},
    StartsChunksAnew: {"chunks"},
    CountsThreads: {"threads"},
    Amplifies: {"re-encoding"},
    Gates: {"level"},
    Whistles: {"silence"},
    BreaksOnOffset: {"offset"},
    BreaksOnClipping: {"clipping"},
    SwallowsLosses: {"lost frame"},
    Quadratic: {"growth"},
    Raises: {"silence"},
}
"""The checks that must fail each, and no other."""
