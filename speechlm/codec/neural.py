"""This project's codecs, trained and ready for use."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from speechlm import hub
from speechlm.bitstream.entropy import EntropyCoder
from speechlm.codec.base import (
    Codec,
    StreamDecoder,
    StreamEncoder,
    check_wave,
    waveform_rows,
)
from speechlm.codec.config import CodecConfig
from speechlm.codec.network import CodecNetwork
from speechlm.codec.reproducible import build_encoder
from speechlm.errors import SpeechLMError
from speechlm.kernels.frame_codec import DecoderState, frame_decoder
from speechlm.nn import State
from speechlm.quantize import Quantizer

BLOCK_SECONDS = 10.0
"""Offline coding runs in blocks of this length or more, below twice it: in bounded memory."""
CONCEALMENT_DECAY = 0.9
"""Factor per lost frame by which the concealed latent decays towards silence."""
EXPECTATION_WEIGHT = 0.3
"""Interpolation weight from the last received latent to the entropy model's expectation."""
MAX_CONCEALED_FRAMES = 64
"""Lost frames in a row after which it is silence."""
SILENT_FRAMES = 100
"""So long a silence is all that an encoder remembers."""


class NeuralCodec(Codec):
    """A trained :class:`CodecNetwork` behind the codec seam.

    Codes are those of double precision (see :mod:`speechlm.codec.reproducible`), so streamed,
    batched and offline ones are identical. Decoding has no ties and runs in single precision.
    """

    entropy: EntropyCoder | None = None

    supports_variable_rate = True

    def __init__(self, network: CodecNetwork, device: str | torch.device = "cpu"):
        self.network = network.eval().requires_grad_(False)
        network.quantizer.freeze()
        config = network.config
        self.model_id = config.name
        self.sample_rate = config.sample_rate
        self.hop_length = config.hop_length
        self.decoder_delay = network.decoder_delay
        self.num_codebooks = network.quantizer.num_codebooks
        self.codebook_size = network.quantizer.codebook_size
        self.weights_hash = hub.weights_hash(network.code_weights())
        self.to(device)

    def to(
        self, device: str | torch.device | None = None, dtype: torch.dtype | None = None
    ) -> Self:
        if dtype not in (None, torch.float32, torch.float64):
            raise SpeechLMError(f"a codec computes in float32 or float64, not {dtype}")
        self.network.to(device, dtype)
        self._derive()
        return self

    def _derive(self) -> None:
        """Build what is made of the weights, on their device and in their precision."""
        encoder, quantizer = self.network.encoder, self.network.quantizer
        weight = next(encoder.parameters())
        self.device = weight.device
        self.coder = build_encoder(encoder, quantizer, weight)
        compiled = self.device.type == "cpu" and weight.dtype == torch.float32
        self.frame = frame_decoder(self.network.decoder, quantizer) if compiled else None
        for name in ("silence", "entries"):
            vars(self).pop(name, None)

    def __getstate__(self) -> dict[str, Any]:
        derived = ("coder", "frame", "silence", "entries")
        return {name: value for name, value in vars(self).items() if name not in derived}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._derive()

    @property
    def reach(self) -> int:
        """Frames that concealing a lost one looks back on."""
        return 1 if self.entropy is None else self.entropy.model.reach

    @cached_property
    def fingerprint(self) -> str:
        return hub.weights_hash(self.network.weights())

    @staticmethod
    def from_pretrained(
        name: str | Path | None = None, device: str | torch.device = "cpu"
    ) -> NeuralCodec:
        """Load a model folder, a hub id, or (None) the shipped default.

        Raises:
            SpeechLMError: when there is no such model, or its files do not fit together.
        """
        config, weights = hub.load_model(name, CodecConfig)
        network = hub.build(lambda: CodecNetwork(config), weights, str(name))
        try:
            network.load_weights(weights)
        except SpeechLMError as error:
            raise SpeechLMError(f"{name}: {error}") from None
        codec = NeuralCodec(network, device)
        codec.entropy = hub.load_entropy_model(name, codec.weights_hash)
        codec.folder = hub.find_model(name)
        return codec

    def save_pretrained(self, folder: str | Path) -> Path:
        """Write a model folder. Weights are stored in half precision: their hash changes once."""
        saved = hub.save_model(folder, self.network.config, self.network.weights())
        if self.entropy is not None:
            hub.save_entropy_model(saved, self.entropy.model, self.weights_hash)
        return saved

    def encode(
        self, wave: Tensor, num_codebooks: int | None = None, kbps: float | None = None
    ) -> Tensor:
        check_wave(wave)
        stream = self.stream_encoder(num_codebooks, kbps)
        samples = wave.shape[1]
        whole = F.pad(wave, (0, self.num_frames(samples) * self.hop_length - samples))
        return torch.cat([stream.push(block) for block in _blocks(whole, self.sample_rate)], dim=2)

    def decode(self, codes: Tensor, length: int | None = None) -> Tensor:
        covered = max(codes.shape[-1] * self.hop_length - self.decoder_delay, 0)
        if length is not None and not 0 <= length <= covered:
            raise SpeechLMError(f"{codes.shape[-1]} frames hold {covered} samples, not {length}")
        stream = self.stream_decoder()
        waves = [stream.push(block) for block in _blocks(codes, self.frame_rate)]
        return torch.cat(waves, dim=1)[:, :length]

    def encode_batch(
        self,
        waves: Sequence[Tensor],
        num_codebooks: int | None = None,
        kbps: float | None = None,
    ) -> list[Tensor]:
        rows = waveform_rows(waves)
        if not rows:
            return []
        codes = self.encode(pad_sequence(rows, batch_first=True), num_codebooks, kbps)
        return [each[:, : self.num_frames(len(row))] for each, row in zip(codes, rows, strict=True)]

    def stream_encoder(
        self, num_codebooks: int | None = None, kbps: float | None = None
    ) -> NeuralStreamEncoder:
        return NeuralStreamEncoder(self, self.choose_num_codebooks(num_codebooks, kbps))

    def stream_decoder(self) -> NeuralStreamDecoder:
        return NeuralStreamDecoder(self)

    @cached_property
    def silence(self) -> Tensor:
        """Latents (dim, 1) of the middle of a long silence: what a frame without levels holds."""
        codes = self.encode(torch.zeros(1, SILENT_FRAMES * self.hop_length))
        return self.network.quantizer.decode(codes.to(self.device))[0, :, -1:]

    def latents(self, codes: Tensor) -> Tensor:
        """Latents (batch, dim, frames) of codes, ragged ones included."""
        codes = codes.to(self.device)
        z = self.network.quantizer.decode(codes)
        silent = codes[:, :1] < 0
        return torch.where(silent, self.silence, z) if bool(silent.any()) else z

    @cached_property
    def entries(self) -> Tensor:
        """Latents (dim, codebook_size) of level 0's codes."""
        codes = torch.arange(self.codebook_size, device=self.device)[None, None]
        return self.network.quantizer.decode(codes)[0]

    @torch.inference_mode()
    def truncation_distortion(self, codes: Tensor) -> Tensor:
        return prefix_latents(self.network.quantizer, codes.to(self.device), self.silence)[1]


def prefix_latents(quantizer: Quantizer, codes: Tensor, silence: Tensor) -> tuple[Tensor, Tensor]:
    """Latents of the first 0, 1, 2 ... levels of each frame, and their distortion.

    Args:
        codes: (batch, codebooks, frames).
        silence: latents (dim, 1) of a frame without levels.

    Returns:
        Latents (batch, codebooks + 1, dim, frames), and the squared distance per dimension of each
        from those of all levels (batch, codebooks + 1, frames).
    """
    kept = quantizer.decode_prefixes(codes)
    kept = torch.cat([silence.expand(len(kept), 1, -1, kept.shape[3]), kept], dim=1)
    return kept, (kept - kept[:, -1:]).square().mean(dim=2)


def _blocks(x: Tensor, rate: float) -> Sequence[Tensor]:
    """Cut time, the last axis, evenly: a short rest would cost the reading of all weights."""
    return x.tensor_split(max(1, int(x.shape[-1] / (BLOCK_SECONDS * rate))), dim=-1)


def _padded(codes: NDArray[np.int64], num_codebooks: int) -> NDArray[np.int64]:
    """Codes (batch, up to ``num_codebooks``, frames) of ``num_codebooks`` levels, those not there
    -1."""
    return np.pad(codes, ((0, 0), (0, num_codebooks - codes.shape[1]), (0, 0)), constant_values=-1)


class NeuralStreamEncoder(StreamEncoder):
    """``state`` and ``pushed`` (samples taken so far) are all it remembers.

    A push replaces them and changes nothing in place, so ``copy.copy`` forks a stream.
    """

    def __init__(self, codec: NeuralCodec, num_codebooks: int):
        self.codec = codec
        self.num_codebooks = num_codebooks
        self.state: State = None
        self.pushed = 0
        self.batch = 1

    def push(self, wave: Tensor) -> Tensor:
        if self.state is not None:
            coded = self.codec.coder.step_frame(wave, self.num_codebooks, self.state)
            if coded is not None:
                codes, self.state = coded
                self.pushed += self.codec.hop_length
                return codes
        check_wave(wave)
        self.pushed += wave.shape[1]
        return self._step(wave)

    def flush(self) -> Tensor:
        if self.state is None:
            return torch.zeros(
                self.batch, self.num_codebooks, 0, dtype=torch.int64, device=self.codec.device
            )
        missing = self.codec.num_frames(self.pushed) * self.codec.hop_length - self.pushed
        return self._step(torch.zeros(self.batch, missing, device=self.codec.device))

    @torch.inference_mode()
    def _step(self, wave: Tensor) -> Tensor:
        codec = self.codec
        if wave.device != codec.device:
            wave = wave.to(codec.device)
        if self.state is None:
            self.state = codec.coder.initial_state(wave)
            self.batch = len(wave)
        codes, self.state = codec.coder.step(wave, self.num_codebooks, self.state)
        return codes


class NeuralStreamDecoder(StreamDecoder):
    """``state``, ``skip`` (samples of the delay still to drop), ``recent`` (codes of the last
    frames, as they came), ``lost`` (frames concealed since one came) and ``held`` (latents of that
    one) are all it remembers.

    ``copy.copy`` forks it, as it does an encoder.
    """

    def __init__(self, codec: NeuralCodec):
        self.codec = codec
        self.state: State = None
        self.skip = codec.decoder_delay
        self.batch = 1
        self.recent: tuple[NDArray[np.int64], ...] = ()
        self.held = codec.silence
        self.lost = 0

    def push(self, codes: Tensor) -> Tensor:
        codec = self.codec
        if codec.frame is not None and self.state is not None:
            decoded = codec.frame.step(codes, self.state)
            if decoded is not None:
                wave, self.state = decoded
                self._remember(codes)
                return self._aligned(wave)
        codec.check_codes(codes)
        if codes.shape[2]:
            self._remember(codes)
        return self._decoded(codec.latents(codes))

    @torch.inference_mode()
    def conceal(self, frames: int) -> Tensor:
        """The last received latent, interpolated towards the expected one, decaying to silence.

        The expected latent is the mean of level 0's entries under the entropy model. It is closer
        in mean square than the last latent, but has no fine structure and alone sounds worse. A
        codec without an entropy model repeats the last latent.
        """
        silence = self.codec.silence.expand(self.batch, -1, -1)
        guessed = []
        for _ in range(min(frames, MAX_CONCEALED_FRAMES - self.lost)):
            self.lost += 1
            guessed.append(silence + CONCEALMENT_DECAY**self.lost * (self._guess() - silence))
        rest = frames - len(guessed)
        return self._decoded(torch.cat([*guessed, silence.expand(-1, -1, rest)], dim=2))

    def _guess(self) -> Tensor:
        """Latents (batch, dim, 1) of the frame after the recent ones, which it becomes one of."""
        codec = self.codec
        if not self.recent:
            return codec.silence
        if self.lost == 1:
            self.held = codec.latents(torch.from_numpy(self.recent[-1][:, :, -1:]))
        if codec.entropy is None:
            return self.held
        model = codec.entropy.model
        recent = np.concatenate(
            [_padded(codes, codec.num_codebooks) for codes in self.recent], axis=2
        )
        each = [model.expected_probs(codes[:, -model.reach :]) for codes in recent]
        shares = torch.from_numpy(np.stack(each)).to(codec.entries)
        frame = shares.argmax(1)[:, None, None].cpu().numpy()
        self.recent = (*self.recent, frame)[-codec.reach :]
        return self.held.lerp((shares @ codec.entries.mT)[:, :, None], EXPECTATION_WEIGHT)

    def _remember(self, codes: Tensor) -> None:
        received = codes.cpu().numpy()[:, :, -self.codec.reach :].copy()
        self.recent, self.lost = (*self.recent, received)[-self.codec.reach :], 0

    @torch.inference_mode()
    def _decoded(self, z: Tensor) -> Tensor:
        if self.state is None:
            self.state = self.codec.network.decoder.initial_state(z)
            self.batch = len(z)
        state = self.state.torch_state() if isinstance(self.state, DecoderState) else self.state
        wave, self.state = self.codec.network.decoder.step(z, state)
        return self._aligned(wave)

    def _aligned(self, wave: Tensor) -> Tensor:
        dropped = min(self.skip, wave.shape[1])
        self.skip -= dropped
        return wave[:, dropped:] if dropped else wave

    def flush(self, length: int | None = None) -> Tensor:
        return torch.zeros(self.batch, 0, device=self.codec.device)
