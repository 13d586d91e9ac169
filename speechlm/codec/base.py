"""The codec interface that compression, tokenization and evaluation use."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import repeat
from os import PathLike
from pathlib import Path
from typing import Self

import torch
from torch import Tensor

from speechlm.audio import LOUDEST
from speechlm.bitstream import ModelCoder
from speechlm.errors import SpeechLMError
from speechlm.nn import State
from speechlm.publish import Publishable


class Codec(Publishable, ABC):
    """Mono waveform (batch, samples) to codes (batch, codebooks, frames) and back.

    Codecs and their streams can be copied and pickled.

    Attributes:
        device: where it computes, and what it returns is.
        sample_rate: of the waveform, in Hz.
        hop_length: samples a frame.
        num_codebooks: codebooks a frame, at most.
        codebook_size: entries a codebook.
        decoder_delay: samples by which decoding lags, beyond the filling of a hop.
        model_id: name of the model, as files that it wrote give it.
        weights_hash: first eight hexadecimal digits of a digest of the weights that give codes
            their meaning. The decoder's do not count: older files open with a better decoder.
        entropy: what writes the codes in fewer bits than they have, if the model brings it along.
    """

    device: torch.device
    sample_rate: int
    hop_length: int
    num_codebooks: int
    codebook_size: int
    decoder_delay: int
    model_id: str
    weights_hash: str
    entropy: ModelCoder | None = None
    supports_variable_rate = False
    """Whether frames may differ in their number of levels, with :meth:`truncation_distortion`, as
    rate control needs; other codecs use the nearest constant number of levels."""

    @staticmethod
    def from_pretrained(
        name: str | Path | None = None, device: str | torch.device = "cpu"
    ) -> Codec:
        """Load a model folder, a hub id, or (None) the shipped default: see :func:`load`."""
        from speechlm.codec.load import load

        return load(name, device)

    @abstractmethod
    def to(
        self, device: str | torch.device | None = None, dtype: torch.dtype | None = None
    ) -> Self:
        """Move to a device, or compute in float32 or float64, in place; returns the codec.

        A stream that has begun does not move with it.

        Raises:
            SpeechLMError: for another precision.
        """

    def double(self) -> Self:
        """Compute in float64."""
        return self.to(dtype=torch.float64)

    @property
    def fingerprint(self) -> str:
        """A digest of all weights: two codecs of one fingerprint sound the same."""
        return self.weights_hash

    @property
    def frame_rate(self) -> float:
        """Frames a second."""
        return self.sample_rate / self.hop_length

    @property
    def latency(self) -> float:
        """Algorithmic latency in samples: filling a hop, and the delay of the decoder.

        Infinite for a codec that runs on whole recordings only.
        """
        return self.hop_length + self.decoder_delay

    @property
    def bits_per_code(self) -> int:
        """Bits that hold one code."""
        return max(1, math.ceil(math.log2(self.codebook_size)))

    def num_frames(self, samples: int) -> int:
        """Frames that cover ``samples`` samples and the decoder's delay; none for none."""
        return -(-(samples + self.decoder_delay) // self.hop_length) if samples else 0

    def kbps(self, num_codebooks: int | None = None) -> float:
        """Nominal bitrate of ``num_codebooks`` levels (all by default)."""
        return (num_codebooks or self.num_codebooks) * self.bits_per_code * self.frame_rate / 1000

    def choose_num_codebooks(
        self, num_codebooks: int | None = None, kbps: float | None = None
    ) -> int:
        """The number of levels asked for: itself, nearest to a bitrate, or all.

        Raises:
            SpeechLMError: when both are given, or the model does not reach there.
        """
        if num_codebooks is not None and kbps is not None:
            raise SpeechLMError("give num_codebooks or kbps, not both")
        if num_codebooks is not None:
            if not 1 <= num_codebooks <= self.num_codebooks:
                raise SpeechLMError(
                    f"{self.model_id} has 1 to {self.num_codebooks} levels, not {num_codebooks}"
                )
            return num_codebooks
        if kbps is None:
            return self.num_codebooks
        low, high = self.kbps(1), self.kbps()
        if not 0.75 * low <= kbps <= 1.1 * high:
            raise SpeechLMError(f"{self.model_id} reaches {low:g} to {high:g} kbps, not {kbps:g}")
        return min(max(round(kbps / low), 1), self.num_codebooks)

    def check_codes(self, codes: Tensor) -> None:
        """Raises: SpeechLMError, unless ``codes`` are such as :meth:`encode` gives, or ragged.

        In ragged codes a frame of fewer levels holds -1 above its last; one of none is silence.
        """
        fits = codes.ndim == 3 and 1 <= codes.shape[1] <= self.num_codebooks
        if not fits or codes.dtype != torch.int64:
            raise SpeechLMError(
                f"codes of {self.model_id} are int64 (batch, 1 to {self.num_codebooks} levels, "
                f"frames), not {codes.dtype} {tuple(codes.shape)}"
            )
        if not codes.numel():
            return
        lowest = int(codes.min())
        if not -1 <= lowest <= int(codes.max()) < self.codebook_size:
            raise SpeechLMError(f"codes of {self.model_id} lie in [0, {self.codebook_size})")
        if lowest < 0 and bool(((codes[:, :-1] < 0) & (codes[:, 1:] >= 0)).any()):
            raise SpeechLMError(f"codes of {self.model_id} lack a level below one that is there")

    def truncation_distortion(self, codes: Tensor) -> Tensor:
        """Distortion of truncated frames: float (batch, codebooks + 1, frames) of ``codes``.

        At index k, the squared distance per dimension between the latents of the first k levels
        and of all.

        Raises:
            SpeechLMError: for a codec that cannot tell.
        """
        raise SpeechLMError(f"{self.model_id} has as many levels in all frames: give --kbps alone")

    @abstractmethod
    def encode(
        self, wave: Tensor, num_codebooks: int | None = None, kbps: float | None = None
    ) -> Tensor:
        """Codes (batch, codebooks, num_frames(samples)) of ``wave`` (batch, samples).

        Args:
            wave: float, full scale at [-1, 1].
            num_codebooks: to encode with, from the first.
            kbps: nominal bitrate, which selects the number of codebooks: bits of codes as they are.
                That of a file, entropy coded and with its header, is what ``kbps`` of
                :func:`speechlm.compress` and of the command line means.

        Raises:
            SpeechLMError: when ``wave`` is no waveform, or the model does not reach the bitrate.
        """

    def encode_batch(
        self,
        waves: Sequence[Tensor],
        num_codebooks: int | None = None,
        kbps: float | None = None,
    ) -> list[Tensor]:
        """Codes (codebooks, frames) of each of several waveforms (samples,), of any lengths."""
        return [self.encode(wave[None], num_codebooks, kbps)[0] for wave in waveform_rows(waves)]

    @abstractmethod
    def decode(self, codes: Tensor, length: int | None = None) -> Tensor:
        """Waveform (batch, samples) of ``codes`` (batch, codebooks, frames).

        ``length`` samples of it, or all that they cover.
        """

    def decode_batch(
        self, codes: Sequence[Tensor], lengths: Sequence[int] | None = None
    ) -> list[Tensor]:
        """Waveforms (samples,) of each of several codes (codebooks, frames), of any lengths."""
        pairs = zip(codes, lengths or repeat(None, len(codes)), strict=True)
        return [self.decode(each[None], length)[0] for each, length in pairs]

    @abstractmethod
    def stream_encoder(
        self, num_codebooks: int | None = None, kbps: float | None = None
    ) -> StreamEncoder:
        """Encode chunk by chunk."""

    @abstractmethod
    def stream_decoder(self) -> StreamDecoder:
        """Decode chunk by chunk."""


class StreamEncoder(ABC):
    """Takes samples in chunks of any size, gives the codes that are ready."""

    state: State

    @abstractmethod
    def push(self, wave: Tensor) -> Tensor:
        """Codes (batch, codebooks, ready) after the chunk ``wave`` (batch, samples); maybe none."""

    @abstractmethod
    def flush(self) -> Tensor:
        """The codes that cover what was pushed to its last sample. The stream ends."""


class StreamDecoder(ABC):
    """Takes codes in chunks of any size, gives the samples that are ready."""

    state: State

    @abstractmethod
    def push(self, codes: Tensor) -> Tensor:
        """Samples (batch, ready) after ``codes`` (batch, codebooks, frames)."""

    @abstractmethod
    def conceal(self, frames: int) -> Tensor:
        """Samples (batch, ready) in the place of ``frames`` lost frames."""

    @abstractmethod
    def flush(self, length: int | None = None) -> Tensor:
        """The samples still owed when ``length`` is that of the whole. The stream ends."""


def waveform_rows(waves: Sequence[Tensor]) -> list[Tensor]:
    """Waveforms (samples,) or (1, samples) as (samples,).

    Raises:
        SpeechLMError: for anything else.
    """
    for wave in waves:
        check_tensor(wave)
        if wave.ndim not in (1, 2) or wave.shape[:-1] not in ((), (1,)):
            raise SpeechLMError(
                f"a waveform of several is (samples,) or (1, samples), not {tuple(wave.shape)}"
            )
    return [wave.reshape(-1) for wave in waves]


def check_tensor(wave: object) -> None:
    """Raises: SpeechLMError, unless ``wave`` is a tensor."""
    if isinstance(wave, str | PathLike):
        raise SpeechLMError(
            f"{wave}: a path, where a waveform is expected: wave, sample_rate = "
            "speechlm.load_audio(path, sample_rate)"
        )
    if not isinstance(wave, Tensor):
        raise SpeechLMError(
            f"a waveform is a float tensor, not {type(wave).__name__}: use torch.from_numpy"
        )


def check_wave(wave: Tensor) -> None:
    """Raises: SpeechLMError, unless ``wave`` is a float (batch, samples) with full scale at 1."""
    check_tensor(wave)
    if wave.ndim != 2 or not torch.is_floating_point(wave):
        raise SpeechLMError(
            f"a waveform is a float tensor (batch, samples), not {wave.dtype} {tuple(wave.shape)}"
        )
    peak = float(wave.detach().abs().max()) if wave.numel() else 0.0
    if not peak <= LOUDEST:
        content = f"samples of {peak:g}" if math.isfinite(peak) else "NaN or infinite samples"
        raise SpeechLMError(f"the waveform holds {content}, where full scale is 1")
