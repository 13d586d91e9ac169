"""What a reader hands out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from speechlm.bitstream.coders import PayloadCoder
from speechlm.bitstream.errors import BitstreamError


@dataclass(frozen=True)
class Chunk:
    """A good chunk, its codes not yet unpacked.

    Attributes:
        number: among the chunks of the stream, from 0.
        start: its first frame.
        sample: of the sound, where its first frame begins.
        num_codebooks, frames: of its codes.
        bits: per code.
        trim: None, or, where a part of the sound ends with this chunk, by how many samples the part
            is shorter than its frames. The next frame starts a sound anew.
        coding, payload: its codes in bytes.
        size: bytes of the whole record.
    """

    number: int
    start: int
    sample: int
    num_codebooks: int
    frames: int
    bits: int
    trim: int | None
    coding: int
    payload: bytes
    size: int
    coders: Mapping[int, PayloadCoder] = field(repr=False, compare=False)

    @cached_property
    def codes(self) -> np.ndarray:
        """Int64 (codebooks, frames); -1 where a frame has fewer levels.

        Raises:
            BitstreamError: when the payload holds no such codes, or is one that only the model
                that wrote it can decode and the reader was not given.
        """
        coder = self.coders.get(self.coding)
        if coder is None:
            raise BitstreamError(
                f"chunk {self.number} is entropy-coded: only the model that wrote it decodes it"
            )
        return coder.decode(self.payload, self.num_codebooks, self.frames)


@dataclass(frozen=True)
class LostChunk:
    """A gap of ``frames`` frames, at most a chunk's, where a chunk was damaged or is missing.

    ``start`` is its first frame, which begins at ``sample`` of the sound.
    """

    start: int
    sample: int
    frames: int
