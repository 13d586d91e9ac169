"""Streams one after another as one stream of several parts, without decoding a code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from speechlm.bitstream.chunk import Chunk
from speechlm.bitstream.errors import BitstreamError
from speechlm.bitstream.header import Header
from speechlm.bitstream.inspection import read_header
from speechlm.bitstream.reader import Reader
from speechlm.bitstream.writer import Writer

_SHARED = "model", "weights_hash", "context", "sample_rate", "hop", "bits"


def join(sources: Sequence[Path], target: BinaryIO) -> int:
    """Write the files ``sources`` to ``target``; it decodes to their sounds, sample by sample.

    Returns:
        The samples of all together.

    Raises:
        BitstreamError: when one cannot be read, is damaged, or is by another model than the first.
    """
    writer = Writer(target, _common_header(sources))
    samples = 0
    for number, source in enumerate(sources):
        last = number == len(sources) - 1
        try:
            with source.open("rb") as file:
                reader = Reader(file)
                ended, begin = False, 0
                for chunk in reader:
                    assert isinstance(chunk, Chunk)  # without concealing, none is lost
                    ended = reader.samples is not None
                    writer.copy(chunk, last and ended)
                    if chunk.trim is not None:
                        begin = chunk.sample + chunk.frames * reader.header.hop - chunk.trim
                assert reader.samples is not None
                samples += reader.samples
        except OSError as error:
            raise BitstreamError(f"{source}: {error.strerror}") from None
        if not ended:  # the last chunk holds no frames, and was not handed out
            writer.finish(reader.samples - begin, last)
    return samples


def _common_header(sources: Sequence[Path]) -> Header:
    headers = [read_header(source) for source in sources]
    first = headers[0]
    for source, header in zip(sources, headers, strict=True):
        for name in _SHARED:
            if getattr(header, name) != getattr(first, name):
                raise BitstreamError(
                    f"{source}: its {name.replace('_', ' ')} is {getattr(header, name)}, but "
                    f"{sources[0]} has {getattr(first, name)}: files of one model join"
                )
    return replace(
        first,
        levels=max(header.levels for header in headers),
        chunk_frames=max(header.chunk_frames for header in headers),
    )
