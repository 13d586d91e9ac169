"""Tokenizers that give every frame one unit, by what it sounds like."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Self

import numpy as np
import torch
from torch import Tensor

from speechlm.codec.base import check_wave
from speechlm.errors import SpeechLMError
from speechlm.tokenizers.base import Units, UnitStream, UnitTokenizer
from speechlm.tokenizers.serialization import UnitBPE, UnitSerialization
from speechlm.types import Codes


class FrameUnits(ABC):
    """Gives every frame of a waveform its unit, on its ``device``.

    Attributes:
        name: of the model.
        weights_hash: of all that units depend on.
        clusters: kinds of units.
    """

    name: str
    weights_hash: str
    sample_rate: int
    hop_length: int
    clusters: int

    @property
    @abstractmethod
    def device(self) -> torch.device:
        """Where units are found."""

    @abstractmethod
    def to(self, device: str | torch.device) -> Self:
        """Move to a device, in place."""

    @abstractmethod
    def __call__(self, wave: Tensor) -> Tensor:
        """Units int64 (frames,) of ``wave`` (samples,): frames that cover it."""


class SemanticUnits(UnitTokenizer):
    """Units of frames in a form that a language model takes.

    They do not carry the voice, and only a vocoder makes them sound
    (:class:`speechlm.vocoder.VocodedUnits`).

    Args:
        hop_length: samples that a column of the form stands for on average, where columns are
            variable.
        num_codebooks: of the form, from the first; all by default.

    Raises:
        SpeechLMError: when the form has fewer levels.
    """

    def __init__(
        self,
        source: FrameUnits,
        form: UnitSerialization,
        hop_length: int,
        num_codebooks: int | None = None,
    ):
        self.source, self.form = source, form
        if num_codebooks is not None and not 1 <= num_codebooks <= form.num_codebooks:
            raise SpeechLMError(
                f"{source.name} has 1 to {form.num_codebooks} levels, not {num_codebooks}"
            )
        weights = source.weights_hash
        if isinstance(form, UnitBPE):
            weights = hashlib.sha256(weights.encode() + form.model).hexdigest()[:8]
        self.units = Units(
            model=source.name,
            weights=weights,
            sample_rate=source.sample_rate,
            hop_length=hop_length if form.variable else source.hop_length,
            num_codebooks=num_codebooks or form.num_codebooks,
            codebook_size=form.codebook_size,
            variable=form.variable,
        )

    @property
    def device(self) -> torch.device:
        return self.source.device

    def to(self, device: str | torch.device) -> Self:
        self.source.to(device)
        return self

    def encode(self, wave: Tensor) -> Tensor:
        check_wave(wave)
        if self.units.variable and len(wave) != 1:
            raise SpeechLMError(f"{self.units.model} takes one recording at a time")
        every = [self.form.write(self.source(each).cpu().numpy()) for each in wave]
        codes = [torch.from_numpy(codes[: self.units.num_codebooks]) for codes in every]
        return torch.stack(codes).to(self.device)

    def begin(self, wave: Tensor) -> Tensor:
        whole = wave.shape[1] // self.source.hop_length * self.source.hop_length
        codes = self.encode(wave[:, :whole])
        # The last run may go on.
        return codes[:, :, :-1] if self.units.variable else codes

    def places(self, codes: Codes, seconds: Sequence[float]) -> list[int] | None:
        if not self.units.variable:
            return super().places(codes, seconds)
        lengths = self.form.read(codes)[1]
        if lengths is None:
            return None
        edges = np.cumsum([0, *lengths]) * self.source.hop_length / self.source.sample_rate
        return [int(np.abs(edges - at).argmin()) for at in seconds]

    def decode(
        self, units: Tensor, length: int | None = None, voice: Tensor | None = None
    ) -> Tensor:
        raise self._silent()

    def stream_decoder(self, voice: Tensor | None = None) -> UnitStream:
        raise self._silent()

    def _silent(self) -> SpeechLMError:
        return SpeechLMError(
            f"{self.units.model} has no vocoder: train one by `speechlm train recipes/vocoder.yaml "
            "units=FOLDER`, and name its folder in place of the tokenizer's"
        )
