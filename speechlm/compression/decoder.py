"""A stream to sound: all of it or an excerpt, part after part, through losses."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from speechlm.bitstream import BitstreamError, Chunk, LostChunk, PacketReader, Reader
from speechlm.codec import Codec
from speechlm.compression.rate_target import CodingStats
from speechlm.errors import SpeechLMError

PIECE = 10.0
"""Seconds that are decoded at a time; a chunk may hold more."""
WARM_UP = 2.0
"""Seconds before an excerpt that are decoded for context, where there are so many."""


def decode(
    reader: Reader | PacketReader,
    codec: Codec,
    write: Callable[[NDArray[np.float32]], None],
    start: float = 0.0,
    seconds: float = math.inf,
    conceal: bool = False,
) -> CodingStats:
    """Hand the sound (samples,) to ``write`` as it is there: all of it, or ``seconds`` of it.

    Of what lies before ``start`` (in seconds) nothing is decoded but a little, as context. With
    ``conceal``, gaps sound as the codec makes them, and so does a chunk that cannot be decoded.

    Raises:
        SpeechLMError: when the stream is damaged, or ends before ``start``.
    """
    if not 0 <= start < math.inf or not seconds >= 0:
        raise SpeechLMError(f"{seconds:g} s from {start:g} s on are no part of a recording")
    first, last = start * codec.sample_rate, (start + seconds) * codec.sample_rate
    excerpt = _Excerpt(codec, write, round(first), last if math.isinf(last) else round(last))
    warm = math.ceil(WARM_UP * codec.frame_rate)
    whole = math.isinf(codec.latency)  # a codec that looks ahead gives everything at the end
    kept = frames = 0
    for item in reader:
        skipped = 0 if whole else (excerpt.first - item.sample) // codec.hop_length - warm
        skipped = min(item.frames, max(0, skipped))
        if item.frames and skipped == item.frames:
            excerpt.skip(item)
        elif item.frames:
            codes = _codes(item, conceal)
            kept += 0 if codes is None else int((codes >= 0).sum())
            frames += item.frames
            excerpt.push(item, codes, skipped)
        if isinstance(item, Chunk) and item.trim is not None:
            _check_trim(item.trim, codec, conceal)
            excerpt.end(item.sample + item.frames * codec.hop_length - item.trim)
        if excerpt.place >= excerpt.last + codec.hop_length and not whole:
            break
    else:
        excerpt.end(reader.samples)
    if excerpt.first and not excerpt.written:
        length = excerpt.place / codec.sample_rate
        raise BitstreamError(f"there are {length:.2f} s of sound, and none from {start:g} s on")
    return CodingStats(excerpt.written / codec.sample_rate, excerpt.work, kept / max(1, frames))


def _check_trim(trim: int, codec: Codec, conceal: bool) -> None:
    """Raises: BitstreamError, when a length is not that of its frames by ``codec``."""
    most = codec.hop_length + codec.decoder_delay
    if trim >= most and not conceal:
        raise BitstreamError(
            f"states a length {trim} samples short of its frames, which by {codec.model_id} is "
            f"less than {most}: --conceal decodes it"
        )


def _codes(item: Chunk | LostChunk, conceal: bool) -> NDArray[np.int64] | None:
    """Codes (codebooks, frames) of a chunk; None of a lost one."""
    if isinstance(item, LostChunk):
        return None
    try:
        return item.codes
    except BitstreamError:
        if not conceal:
            raise
        return None


class _Excerpt:
    """The samples ``first`` to ``last`` of a sound, of which ``place`` have passed.

    A part's true length comes with its last chunk, which may be empty. So much is held back until
    then, since what is past the length, less than a frame, is padding.
    """

    def __init__(
        self,
        codec: Codec,
        write: Callable[[NDArray[np.float32]], None],
        first: int,
        last: float,
    ) -> None:
        self.first, self.last = first, last
        self.place = self.written = 0
        self.work = 0.0
        self._codec, self._write = codec, write
        self._stream = codec.stream_decoder()
        self._fresh, self._begin = True, 0
        self._held = torch.zeros(0)
        # A whole codec decodes at the end anyway; for others a chunk's length must not cost memory.
        self._piece = max(1, round(PIECE * codec.frame_rate))

    def skip(self, item: Chunk | LostChunk) -> None:
        """Pass over a chunk that no sample of the excerpt needs."""
        self.place = item.sample + item.frames * self._codec.hop_length

    def push(self, item: Chunk | LostChunk, codes: NDArray[np.int64] | None, skipped: int) -> None:
        """Decode a chunk's codes, or conceal it if there are none, but for ``skipped`` frames."""
        if self._fresh:
            self._fresh, self._begin = False, item.sample + skipped * self._codec.hop_length
            self.place = self._begin
        for first in range(skipped, item.frames, self._piece):
            last = min(first + self._piece, item.frames)
            self._push(last - first, None if codes is None else codes[:, first:last])

    def _push(self, frames: int, codes: NDArray[np.int64] | None) -> None:
        begin = time.perf_counter()
        if codes is None:
            wave = self._stream.conceal(frames)
        else:
            wave = self._stream.push(torch.from_numpy(codes)[None])
        self.work += time.perf_counter() - begin
        self._held = torch.cat([self._held, wave[0].cpu()])
        self._out(len(self._held) - self._codec.hop_length)

    def end(self, length: int | None) -> None:
        """A part ends, at the sample ``length`` of the sound if that is known."""
        if not self._fresh:
            own = None if length is None else length - self._begin
            begin = time.perf_counter()
            self._held = torch.cat([self._held, self._stream.flush(own)[0].cpu()])
            self.work += time.perf_counter() - begin
            self._out(len(self._held) if length is None else length - self.place)
        self.place = self.place if length is None else length
        self._stream, self._fresh = self._codec.stream_decoder(), True
        self._held = torch.zeros(0)

    def _out(self, count: int) -> None:
        ready, self._held = self._held[: max(0, count)], self._held[max(0, count) :]
        before, self.place = self.place, self.place + len(ready)
        lead = max(0, self.first - before)
        tail = int(min(len(ready), max(0, self.last - before)))
        if tail > lead:
            self._write(ready[lead:tail].numpy())
            self.written += tail - lead
