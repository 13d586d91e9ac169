"""Payloads: codes through the entropy model and a range coder, and back.

A payload is the number of levels of each frame, as in a ragged one, and then the codes, frame after
frame and in a frame from level 0 up, in the range coder of ``constriction`` (Martin 1979; words of
32 bits, most significant byte first).
"""

from __future__ import annotations

from collections.abc import Iterator

import constriction
import numpy as np
from numpy.typing import NDArray

from speechlm.bitstream.coders import ABSENT, count_levels
from speechlm.bitstream.entropy.frequencies import PRECISION
from speechlm.bitstream.entropy.model import EntropyModel
from speechlm.bitstream.errors import BitstreamError
from speechlm.bitstream.level_counts import pack_counts, unpack_counts

MOST_CODES = 1 << 14
"""In a payload: 27 s of 12 levels at 50 Hz, so that none keeps a reader busy for long."""

_BLOCK = 64  # frames that an encoder takes through the model at once
_WORD = 32  # bits


class EntropyCoder:
    """Writes the codes of a chunk in about as many bits as their information under ``model``.

    Attributes:
        hash: of the model, by which a stream's header names it.
    """

    def __init__(self, model: EntropyModel) -> None:
        self.model = model
        self.hash = model.hash
        self._family = constriction.stream.model.Categorical(perfect=False)

    def __reduce__(self) -> tuple[type[EntropyCoder], tuple[EntropyModel]]:
        return EntropyCoder, (self.model,)  # what constriction has is not copied

    def accepts(self, codes: np.ndarray) -> bool:
        """Whether :meth:`encode` can write ``codes`` (codebooks, frames), which may be ragged."""
        fits = len(codes) <= self.model.num_codebooks and 0 < codes.size <= MOST_CODES
        return fits and int(codes.max()) < self.model.codebook_size

    def bits(self, codes: np.ndarray) -> NDArray[np.float64]:
        """About how many bits each of ``codes`` (codebooks, frames) takes; 0 where there is
        none."""
        bits = [np.zeros((0, len(codes)))]
        for block, tables in self._tables(codes):
            share = np.take_along_axis(tables, block.T[:, :, None].clip(0), axis=2)[:, :, 0]
            bits.append((PRECISION - np.log2(share + 1)) * (block.T != ABSENT))
        return np.concatenate(bits).T

    def encode(self, codes: np.ndarray) -> bytes:
        """The payload of ``codes`` (codebooks, frames) that :meth:`accepts` takes."""
        encoder = constriction.stream.queue.RangeEncoder()
        for block, tables in self._tables(codes):
            there = (block != ABSENT).T
            encoder.encode(block.T[there].astype(np.int32), self._family, tables[there])
        return pack_counts(count_levels(codes), len(codes)) + _end(encoder)

    def _tables(self, codes: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Codes in blocks of frames, and their frequencies less one (frames, codebooks,
        codebook_size).

        What :meth:`decode` computes frame by frame, many frames at once.
        """
        model = self.model
        history, last = model.initial_history(), np.zeros((1, model.trunk), np.float32)
        for start in range(0, codes.shape[1], _BLOCK):
            block = codes[:, start : start + _BLOCK]
            below = [np.zeros((block.shape[1], model.width), np.float32)]
            for k, row in enumerate(block):
                below.append(below[-1] + model.embed(k, row))
            entered = model.input_proj(below.pop(), count_levels(block))
            seen = model.trunk_outputs(history, np.concatenate([last, entered[:-1]]))
            last = entered[-1:]
            tables = [model.frequencies(k, seen, sums) for k, sums in enumerate(below)]
            yield block, np.stack(tables, axis=1)

    def decode(self, payload: bytes, num_codebooks: int, frames: int) -> np.ndarray:
        """Int64 codes (codebooks, frames) of a payload; -1 where a frame has fewer levels.

        Raises:
            BitstreamError: when ``payload`` is not what :meth:`encode` gives for such codes.
        """
        model = self.model
        if (
            not 1 <= num_codebooks <= model.num_codebooks
            or not 0 < num_codebooks * frames <= MOST_CODES
        ):
            raise BitstreamError("is damaged")
        counts, size = unpack_counts(payload, frames, num_codebooks)
        coded = payload[size:]
        padded = coded + bytes(-len(coded) % (_WORD // 8))
        decoder = constriction.stream.queue.RangeDecoder(
            np.frombuffer(padded, ">u4").astype(np.uint32)
        )
        again = constriction.stream.queue.RangeEncoder()
        codes = np.full((num_codebooks, frames), ABSENT, np.int64)
        history, last = model.initial_history(), np.zeros((1, model.trunk), np.float32)
        try:
            for frame, number in enumerate(counts):
                seen = model.trunk_outputs(history, last)
                below = np.zeros((1, model.width), np.float32)
                for k in range(number):
                    table = model.frequencies(k, seen, below)
                    code = decoder.decode(self._family, table)
                    again.encode(code, self._family, table)
                    codes[k, frame] = code[0]
                    below = below + model.embed(k, code)
                last = model.input_proj(below, counts[frame : frame + 1])
        except AssertionError:  # what constriction says of bytes that mean nothing
            raise BitstreamError("is damaged") from None
        if _end(again) != coded:
            raise BitstreamError("is damaged")
        return codes


def _end(encoder: constriction.stream.queue.RangeEncoder) -> bytes:
    """The fewest bytes that decode to what was put in, if zeros follow them."""
    words = encoder.get_compressed()
    written, (lower, span) = encoder.pos()
    bits = 2 * _WORD
    # constriction ends with the first word above `lower`, and carries into what it wrote before.
    carried = (lower + (1 << _WORD) - 1) >> bits
    before = int.from_bytes(words[:written].astype(">u4").tobytes(), "big") - carried
    for size in range(bits // 8 + 1):
        unit = 1 << (bits - 8 * size)
        end = -(-lower // unit) * unit
        if end < lower + span:
            break
    whole = (before << bits) + end
    return whole.to_bytes(4 * written + bits // 8, "big").rstrip(b"\0")
