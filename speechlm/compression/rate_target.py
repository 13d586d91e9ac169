"""What a file may take: a bitrate, a size or a quality; and what coding it took. No torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from speechlm.errors import SpeechLMError

if TYPE_CHECKING:
    from speechlm.bitstream import ModelCoder
    from speechlm.codec import Codec

MODES = "vbr", "cbr"


@dataclass(frozen=True)
class RateTarget:
    """How many bits to spend: one of a bitrate, a size and a quality, or all codes of all frames.

    Attributes:
        kbps: bitrate of the file, header and framing included.
        mode: for ``kbps``: ``cbr`` keeps the bitrate in every second, ``vbr`` on average.
        max_bytes: size of the file not to exceed.
        quality: 0 to 10: constant error, at whatever bitrate.

    Raises:
        SpeechLMError: for more than one of them, or a value out of range.
    """

    kbps: float | None = None
    mode: str = "vbr"
    max_bytes: int | None = None
    quality: float | None = None

    def __post_init__(self) -> None:
        given = [value for value in (self.kbps, self.max_bytes, self.quality) if value is not None]
        if len(given) > 1:
            raise SpeechLMError("give one of a bitrate, a size and a quality")
        if self.mode not in MODES:
            raise SpeechLMError(f"the mode is {' or '.join(MODES)}, not {self.mode}")
        if self.kbps is not None and not self.kbps > 0:
            raise SpeechLMError(f"the bitrate must be positive, not {self.kbps:g} kbps")
        if self.quality is not None and not 0 <= self.quality <= 10:
            raise SpeechLMError(f"the quality is 0 to 10, not {self.quality:g}")

    def entropy_coder(self, codec: Codec) -> ModelCoder | None:
        """The coder of the codes; None packs them, as for a constant bitrate.

        The entropy-coded size of a chunk is known only when the chunk is complete, and silence
        takes less than any constant rate.
        """
        return None if self.kbps is not None and self.mode == "cbr" else codec.entropy

    def needs_two_passes(self, codec: Codec) -> bool:
        """Whether the bits of a file are allocated with all its frames known."""
        fitted = self.max_bytes is not None or self.quality is not None
        return codec.supports_variable_rate and (
            fitted or (self.kbps is not None and self.mode == "vbr")
        )


@dataclass(frozen=True)
class CodingStats:
    """``seconds`` of audio, ``compute_seconds`` spent in the codec, mean ``codebooks`` a frame."""

    seconds: float
    compute_seconds: float
    codebooks: float

    @property
    def rtf(self) -> float:
        """Real-time factor: seconds of computing per second of audio."""
        return self.compute_seconds / self.seconds if self.seconds else float("nan")
