"""This project's codecs, trained and ready for use."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from speechlm import hub
from speechlm.codec.base import Codec, StreamDecoder, StreamEncoder, check_wave
from speechlm.codec.config import CodecConfig
from speechlm.codec.network import CodecNetwork
from speechlm.errors import SpeechLMError
from speechlm.nn import State, quicken

BLOCK_SECONDS = 10.0
"""Offline coding runs in blocks of this length or more, below twice it: in bounded memory."""


class NeuralCodec(Codec):
    """A trained :class:`CodecNetwork` behind the codec seam.

    Encoding runs in double precision where the device has it. A code is the nearest entry, and
    single precision differs in the last bits between chunk sizes, batch sizes and processors: near
    a tie that flips a code, about once in half an hour of speech. Double precision moves that to
    once in tens of thousands of years, so streamed, batched and offline codes are identical, for a
    thousandth of real time. Decoding has no ties and runs in single precision.
    """

    def __init__(self, network: CodecNetwork, device: str | torch.device = "cpu"):
        self.network = network.eval().requires_grad_(False).to(device)
        self.device = torch.device(device)
        precision = torch.float32 if self.device.type == "mps" else torch.float64
        self.precision = precision
        self.encoder = copy.deepcopy(self.network.encoder).to(precision)
        self.quantizer = copy.deepcopy(self.network.quantizer).to(precision)
        self.quantizer.freeze()
        for part in (self.encoder, self.quantizer, self.network):
            quicken(part)
        config = network.config
        self.model_id = config.name
        self.sample_rate = config.sample_rate
        self.hop = config.hop
        self.delay = network.delay
        self.levels = network.quantizer.levels
        self.cardinality = network.quantizer.cardinality
        self.weights_hash = hub.weights_hash(network.weights())

    @staticmethod
    def from_pretrained(
        name: str | Path | None = None, device: str | torch.device = "cpu"
    ) -> NeuralCodec:
        """Load a model folder, a hub id, or (None) the shipped default.

        Raises:
            SpeechLMError: when there is no such model, or its files do not fit together.
        """
        config, weights = hub.load_model(name, CodecConfig)
        network = CodecNetwork(config)
        try:
            network.load_weights(weights)
        except SpeechLMError as error:
            raise SpeechLMError(f"{name}: {error}") from None
        return NeuralCodec(network, device)

    def save_pretrained(self, folder: str | Path) -> Path:
        """Write a model folder. Weights are stored in half precision: their hash changes once."""
        return hub.save_model(folder, self.network.config, self.network.weights())

    def encode(self, wave: Tensor, levels: int | None = None, kbps: float | None = None) -> Tensor:
        check_wave(wave)
        stream = self.stream_encoder(levels, kbps)
        samples = wave.shape[1]
        whole = F.pad(wave, (0, self.frames(samples) * self.hop - samples))
        return torch.cat([stream.push(block) for block in _blocks(whole, self.sample_rate)], dim=2)

    def decode(self, codes: Tensor, length: int | None = None) -> Tensor:
        covered = max(codes.shape[-1] * self.hop - self.delay, 0)
        if length is not None and not 0 <= length <= covered:
            raise SpeechLMError(f"{codes.shape[-1]} frames hold {covered} samples, not {length}")
        stream = self.stream_decoder()
        waves = [stream.push(block) for block in _blocks(codes, self.frame_rate)]
        return torch.cat(waves, dim=1)[:, :length]

    def stream_encoder(
        self, levels: int | None = None, kbps: float | None = None
    ) -> NeuralStreamEncoder:
        return NeuralStreamEncoder(self, self.choose_levels(levels, kbps))

    def stream_decoder(self) -> NeuralStreamDecoder:
        return NeuralStreamDecoder(self)


def _blocks(x: Tensor, rate: float) -> Sequence[Tensor]:
    """Cut time, the last axis, evenly: a short rest would cost the reading of all weights."""
    return x.tensor_split(max(1, int(x.shape[-1] / (BLOCK_SECONDS * rate))), dim=-1)


class NeuralStreamEncoder(StreamEncoder):
    """``state`` and ``pushed`` (samples taken so far) are all it remembers.

    A push replaces them and changes nothing in place, so ``copy.copy`` forks a stream.
    """

    def __init__(self, codec: NeuralCodec, levels: int):
        self.codec = codec
        self.levels = levels
        self.state: State = None
        self.pushed = 0
        self.batch = 1

    def push(self, wave: Tensor) -> Tensor:
        check_wave(wave)
        self.pushed += wave.shape[1]
        return self._step(wave)

    def flush(self) -> Tensor:
        if self.state is None:
            return torch.zeros(self.batch, self.levels, 0, dtype=torch.int64)
        missing = self.codec.frames(self.pushed) * self.codec.hop - self.pushed
        return self._step(torch.zeros(self.batch, missing))

    @torch.inference_mode()
    def _step(self, wave: Tensor) -> Tensor:
        codec = self.codec
        wave = wave.to(codec.device, codec.precision)
        if self.state is None:
            self.state = codec.encoder.initial_state(wave)
            self.batch = len(wave)
        z, self.state = codec.encoder.step(wave, self.state)
        return codec.quantizer.encode(z, self.levels)


class NeuralStreamDecoder(StreamDecoder):
    """``state`` and ``skip`` (samples of the delay still to drop) are all it remembers.

    ``copy.copy`` forks it, as it does an encoder.
    """

    def __init__(self, codec: NeuralCodec):
        self.codec = codec
        self.state: State = None
        self.skip = codec.delay
        self.batch = 1

    @torch.inference_mode()
    def push(self, codes: Tensor) -> Tensor:
        codec = self.codec
        codec.check_codes(codes)
        z = codec.quantizer.decode(codes.to(codec.device)).to(torch.float32)
        if self.state is None:
            self.state = codec.network.decoder.initial_state(z)
            self.batch = len(z)
        wave, self.state = codec.network.decoder.step(z, self.state)
        return self._aligned(wave)

    def conceal(self, frames: int) -> Tensor:
        """Silence, after which the decoder starts anew: what it knows is no context any more."""
        self.state = None
        return self._aligned(torch.zeros(self.batch, frames * self.codec.hop))

    def _aligned(self, wave: Tensor) -> Tensor:
        dropped = min(self.skip, wave.shape[1])
        self.skip -= dropped
        return wave[:, dropped:]

    def flush(self, length: int | None = None) -> Tensor:
        return torch.zeros(self.batch, 0)
