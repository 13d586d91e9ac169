"""Streams one after another as one stream of several parts, without decoding a code."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from speechlm.bitstream.chunk import Chunk
from speechlm.bitstream.errors import BitstreamError
from speechlm.bitstream.header import Header
from speechlm.bitstream.reader import SHARED, Reader
from speechlm.bitstream.writer import Writer
from speechlm.utils.inputs import input_name, open_input


def join(sources: Sequence[Path], target: BinaryIO) -> int:
    """Write the files ``sources`` to ``target``; it decodes to their sounds, sample by sample.

    Returns:
        The samples of all together.

    Raises:
        BitstreamError: when one cannot be read, is damaged, or is by another model than the first.
    """
    with ExitStack() as stack:
        files = [stack.enter_context(open_input(source, seekable=True)) for source in sources]
        names = [input_name(source) for source in sources]
        writer = Writer(target, _common_header(files, names))
        samples = 0
        for number, (file, name) in enumerate(zip(files, names, strict=True)):
            file.seek(0)
            samples += _copy(Reader(file, name=name), writer, number == len(files) - 1)
    return samples


def _copy(reader: Reader, writer: Writer, last: bool) -> int:
    """Append all that a reader gives; return its samples."""
    begin, waiting = 0, None
    for chunk in reader:
        assert isinstance(chunk, Chunk)  # without concealing, none is lost
        if waiting is not None:
            writer.copy(waiting, last=False)
        waiting = chunk
        if chunk.trim is not None:
            begin = chunk.sample + chunk.frames * reader.header.hop_length - chunk.trim
    assert reader.samples is not None
    if waiting is not None:
        writer.copy(waiting, last and not reader.ends_empty)
    if reader.ends_empty:
        writer.finish(reader.samples - begin, last)
    return reader.samples


def _common_header(files: Sequence[BinaryIO], names: Sequence[str]) -> Header:
    headers: list[Header] = []
    for file, name in zip(files, names, strict=True):
        reader = Reader(file, name=name)
        for _ in reader:  # a file may itself be several that were joined
            pass
        for header in reader.headers:
            for field in SHARED:
                ours, its = getattr((headers or [header])[0], field), getattr(header, field)
                if its != ours:
                    raise BitstreamError(
                        f"{name}: its {field.replace('_', ' ')} is {its}, but {names[0]} has "
                        f"{ours}: files of one model join"
                    )
            headers.append(header)
    return replace(
        headers[0],
        num_codebooks=max(header.num_codebooks for header in headers),
        chunk_frames=max(header.chunk_frames for header in headers),
    )
