"""The seam of unit tokenizers, with which corpora are tokenized and language models speak."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

from speechlm.publish import Publishable
from speechlm.types import Codes

if TYPE_CHECKING:
    import torch
    from torch import Tensor


_RENAMED_FIELDS = {"hop": "hop_length", "levels": "num_codebooks", "cardinality": "codebook_size"}


@dataclass(frozen=True)
class Units:
    """Which units some codes are. Codes of different ``Units`` have nothing to do with each other.

    ``model`` and ``weights`` are what the tokenizer calls itself and the hash of its weights; a
    frame is ``hop_length`` samples at ``sample_rate`` Hz and has ``num_codebooks`` units of
    ``codebook_size``. Where ``variable``, frames differ in length (see
    :mod:`speechlm.tokenizers.serialization`), and ``hop_length`` is what they had on average when
    the tokenizer was trained. Of stacked units (:mod:`speechlm.tokenizers.stacked`), ``codec`` is
    the codec of the levels below the first: what it calls itself, and the hash of its weights.
    """

    model: str
    weights: str
    sample_rate: int
    hop_length: int
    num_codebooks: int
    codebook_size: int
    variable: bool = False
    codec: tuple[str, str] | None = None

    def __post_init__(self) -> None:
        if self.codec is not None:  # JSON has lists alone
            model, weights = self.codec
            object.__setattr__(self, "codec", (model, weights))

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Units:
        """The units that a JSON file states, with today's or former names of the fields."""
        return cls(**{_RENAMED_FIELDS.get(name, name): value for name, value in fields.items()})

    @property
    def sound(self) -> Units | None:
        """The codec's units alone; None where units are not stacked."""
        if self.codec is None:
            return None
        model, weights = self.codec
        return replace(
            self, model=model, weights=weights, num_codebooks=self.num_codebooks - 1, codec=None
        )

    @property
    def frame_rate(self) -> float:
        """Frames a second, on average where they are variable."""
        return self.sample_rate / self.hop_length

    def __str__(self) -> str:
        return f"{self.num_codebooks} levels of {self.model} ({self.weights})"


class UnitStream(Protocol):
    """Takes units frame by frame, gives the samples that are ready."""

    def push(self, units: Tensor) -> Tensor:
        """Samples (batch, ready) after ``units`` (batch, codebooks, frames)."""

    def flush(self) -> Tensor:
        """The samples still owed. The stream ends."""


class UnitTokenizer(Publishable, ABC):
    """Speech to units and back. What it returns is on its ``device``.

    Attributes:
        units: which units these are.
    """

    units: Units

    @staticmethod
    def from_pretrained(
        name: str | Path | None = None,
        num_codebooks: int | None = None,
        device: str | torch.device = "cpu",
    ) -> UnitTokenizer:
        """Load a codec, a tokenizer or a vocoder: a folder, a shipped model, a hub id or a peer.

        Args:
            name: None is the default codec.
            num_codebooks: of the units, from the first; None: all.
            device: where it computes.

        Raises:
            SpeechLMError: when there is no such model, or it has fewer codebooks.
        """
        from speechlm.tokenizers.load import load

        return load(name, num_codebooks, device=device)

    @property
    @abstractmethod
    def device(self) -> torch.device:
        """Where it computes."""

    @abstractmethod
    def to(self, device: str | torch.device) -> Self:
        """Move to a device, in place; returns the tokenizer."""

    @abstractmethod
    def encode(self, wave: Tensor) -> Tensor:
        """Units int64 (batch, codebooks, frames) of ``wave`` (batch, samples)."""

    def encode_batch(self, waves: Sequence[Tensor]) -> list[Tensor]:
        """Units (codebooks, frames) of each of several waveforms (samples,), of any lengths."""
        from speechlm.codec.base import waveform_rows

        return [self.encode(wave[None])[0] for wave in waveform_rows(waves)]

    def encode_pieces(self, waves: Iterable[Tensor]) -> Iterator[Tensor]:
        """What :meth:`encode` gives of waves that follow one another, piece by piece.

        Memory is constant where a subclass has a way.
        """
        import torch

        yield self.encode(torch.cat(list(waves), dim=1))

    @abstractmethod
    def begin(self, wave: Tensor) -> Tensor:
        """Units of the frames of ``wave`` that are whole, whatever follows it."""

    def places(self, codes: Codes, seconds: Sequence[float]) -> list[int] | None:
        """Columns of ``codes`` (codebooks, columns) before which so many seconds are over, to the
        nearest; None where nobody could say.
        """
        if self.units.variable:
            return None
        rate = self.units.frame_rate
        return [min(max(round(at * rate), 0), codes.shape[1]) for at in seconds]

    @abstractmethod
    def decode(
        self, units: Tensor, length: int | None = None, voice: Tensor | None = None
    ) -> Tensor:
        """Waveform (batch, samples) of ``units``: ``length`` samples, or all that they cover.

        ``voice`` (batch, samples) is speech of who shall be heard, for units that do not carry it.
        """

    @abstractmethod
    def stream_decoder(self, voice: Tensor | None = None) -> UnitStream:
        """Decode frame by frame, in a voice as for :meth:`decode`."""
