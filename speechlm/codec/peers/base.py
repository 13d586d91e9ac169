"""What peers share: they code whole recordings, with weights in a file of their own project's."""

from __future__ import annotations

import importlib
import math
import pickle
import warnings
from abc import abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from speechlm import hub
from speechlm.codec.base import Codec, StreamDecoder, StreamEncoder, check_wave
from speechlm.errors import SpeechLMError


class Peer(Codec):
    """A codec that runs on whole recordings, in single precision, as its package runs it.

    All of a recording is in memory at once, and a stream gives everything when it is flushed.
    A subclass sets ``sample_rate``, ``hop_length``, ``num_codebooks`` and ``codebook_size``.
    """

    decoder_delay = 0

    def __init__(self, model_id: str, model: torch.nn.Module, device: str | torch.device = "cpu"):
        self.model: Any = model.eval().requires_grad_(False).to(device)
        self.device = next(self.model.parameters()).device
        self.model_id = model_id
        self.weights_hash = hub.weights_hash(model.state_dict())

    def to(
        self, device: str | torch.device | None = None, dtype: torch.dtype | None = None
    ) -> Self:
        if dtype not in (None, torch.float32):
            raise SpeechLMError(f"{self.model_id} computes in float32, not {dtype}")
        self.model.to(device)
        self.device = next(self.model.parameters()).device
        return self

    @property
    def latency(self) -> float:
        """Infinite: nothing comes out before the input has ended."""
        return math.inf

    @torch.no_grad()
    def encode(
        self, wave: Tensor, num_codebooks: int | None = None, kbps: float | None = None
    ) -> Tensor:
        check_wave(wave)
        num_codebooks = self.choose_num_codebooks(num_codebooks, kbps)
        if not wave.numel():
            return torch.zeros(len(wave), num_codebooks, 0, dtype=torch.int64)
        return self._codes(wave[:, None].to(self.device, torch.float32), num_codebooks)

    @torch.no_grad()
    def decode(self, codes: Tensor, length: int | None = None) -> Tensor:
        self.check_codes(codes)
        covered = codes.shape[2] * self.hop_length
        if length is not None and not 0 <= length <= covered:
            raise SpeechLMError(f"{codes.shape[2]} frames hold {covered} samples, not {length}")
        if not codes.numel():
            return torch.zeros(len(codes), covered)
        wave = self._wave(codes.to(self.device))[:, 0]
        missing = covered - wave.shape[1]
        return torch.nn.functional.pad(wave, (0, missing))[:, :length]

    def stream_encoder(
        self, num_codebooks: int | None = None, kbps: float | None = None
    ) -> WholeEncoder:
        return WholeEncoder(self, self.choose_num_codebooks(num_codebooks, kbps))

    def stream_decoder(self) -> WholeDecoder:
        return WholeDecoder(self)

    @abstractmethod
    def _codes(self, wave: Tensor, num_codebooks: int) -> Tensor:
        """Codes (batch, codebooks, frames) of ``wave`` (batch, 1, 1 or more samples)."""

    @abstractmethod
    def _wave(self, codes: Tensor) -> Tensor:
        """Waveform (batch, 1, samples) of codes; the last samples may be missing."""


class WholeEncoder(StreamEncoder):
    """Keeps what is pushed (``state``) and encodes it when it is flushed."""

    def __init__(self, codec: Peer, num_codebooks: int):
        self.codec = codec
        self.num_codebooks = num_codebooks
        self.state: tuple[Tensor, ...] = ()

    def push(self, wave: Tensor) -> Tensor:
        check_wave(wave)
        self.state = (*self.state, wave)
        return torch.zeros(len(wave), self.num_codebooks, 0, dtype=torch.int64)

    def flush(self) -> Tensor:
        pushed, self.state = self.state or (torch.zeros(1, 0),), ()
        return self.codec.encode(torch.cat(pushed, dim=1), self.num_codebooks)


class WholeDecoder(StreamDecoder):
    """Keeps what is pushed (``state``) and decodes it when it is flushed, or a loss ends it."""

    def __init__(self, codec: Peer):
        self.codec = codec
        self.state: tuple[Tensor, ...] = ()
        self.batch = 1

    def push(self, codes: Tensor) -> Tensor:
        self.codec.check_codes(codes)
        self.batch = len(codes)
        self.state = (*self.state, codes)
        return torch.zeros(self.batch, 0)

    def conceal(self, frames: int) -> Tensor:
        """What was pushed before the loss, then silence. The decoder starts anew after it."""
        before = self.flush()
        silence = torch.zeros(self.batch, frames * self.codec.hop_length, device=before.device)
        return torch.cat([before, silence], dim=1)

    def flush(self, length: int | None = None) -> Tensor:
        pushed, self.state = self.state, ()
        if not pushed:
            return torch.zeros(self.batch, 0)
        return self.codec.decode(torch.cat(pushed, dim=2))


def package(name: str) -> Any:
    """Import a package of the extra ``[peers]``.

    Raises:
        SpeechLMError: when it is not installed.
    """
    try:
        with quiet():
            return importlib.import_module(name)
    except ImportError as error:
        raise SpeechLMError(
            f"{name} cannot be imported ({error}); it is in the extra [peers]: make peers"
        ) from None


def quiet() -> warnings.catch_warnings[Any]:
    """No warnings: of what these packages still use, our users can change nothing."""
    return warnings.catch_warnings(action="ignore")


def fetched(name: str, fetch: Callable[[], Any], url: str, path: Path) -> Any:
    """What ``fetch`` downloads by the peer's own means.

    Raises:
        SpeechLMError: when it fails, saying where the file of ``url`` may be put instead.
    """
    try:
        return fetch()
    except Exception as error:  # whatever the package's client raises
        raise SpeechLMError(
            f"{name}: its weights cannot be downloaded ({first_line(error)}); put {url} at "
            f"{path}, or anywhere and name it: {name}=FILE"
        ) from None


def read_weights(path: Path) -> Any:
    """What ``torch.save`` wrote to ``path``: tensors and plain values, never code.

    Raises:
        SpeechLMError: when it cannot be read, or holds anything else.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        # Of a file cut short too, whose index torch seeks before its start.
        raise SpeechLMError(
            f"{path}: cannot be read as a weights file: {error.strerror or error}"
        ) from None
    except pickle.UnpicklingError:
        raise SpeechLMError(
            f"{path}: not a weights file, or one that holds more than tensors and plain values, "
            "which is not safe to load"
        ) from None
    except Exception as error:  # a damaged file raises half a dozen types
        raise SpeechLMError(f"{path}: not a weights file: {first_line(error)}") from None


def fill(model: torch.nn.Module, weights: Any, path: Path, name: str) -> None:
    """Load a state dict into ``model``; names that it does not have are left aside.

    Raises:
        SpeechLMError: when one that it has is absent or of another shape.
    """
    try:
        missing = model.load_state_dict(weights, strict=False).missing_keys
    except (RuntimeError, TypeError, AttributeError):
        missing = ["all that fit"]
    if missing:
        raise SpeechLMError(f"{path}: not the weights of {name}")


def first_line(error: Exception) -> str:
    """The start of an error's message, or its type where it has none."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
