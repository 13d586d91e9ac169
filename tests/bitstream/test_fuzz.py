"""Mutated streams: an error or the right codes, in bounded time and memory, and nothing else."""

from __future__ import annotations

import binascii
import io
import os
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from speechlm.bitstream import ABSENT, BitstreamError, Chunk, Header, LostChunk, Reader, Writer
from speechlm.bitstream.coders import ENTROPY
from speechlm.bitstream.entropy import EntropyCoder
from speechlm.bitstream.peekable import varint
from tests.bitstream.entropy.models import likely_codes, model
from tests.bitstream.streams import (
    as_pipe,
    default_header,
    encode,
    items,
    ragged_codes,
    random_codes,
    small_header,
)

FILES = int(os.environ.get("SPEECHLM_FUZZ_FILES", "2000"))  # make fuzz: 100,000
SECONDS_EACH = 5.0  # of processor time; most files take a millisecond
MEMORY = 16e6  # bytes: the largest chunk is 2 MB of codes, 4 of bits while it is unpacked

Rng = np.random.Generator


def originals() -> list[tuple[Header, np.ndarray, bytes]]:
    made = []
    for seed, (header, frames) in enumerate(
        [
            (default_header(3), 501),
            (default_header(12), 120),
            (small_header(), 43),
            (small_header(chunk_frames=1), 30),
            (small_header(bits=1, num_codebooks=1, chunk_frames=50), 333),
            (small_header(bits=16, num_codebooks=32, chunk_frames=4), 10),
            (small_header(bits=7, num_codebooks=5, chunk_frames=8), 16),
            (small_header(bits=10, num_codebooks=3, chunk_frames=60000), 90),
        ]
    ):
        # Half of them silence-like: runs of zeros look like chunks wherever one starts.
        codes = random_codes(header, frames, seed) * (seed % 2)
        made.append((header, codes, encode(header, codes, trim=seed)))
    for seed, (header, frames) in enumerate(
        [(default_header(12), 300), (small_header(num_codebooks=6), 43)], len(made)
    ):
        codes = ragged_codes(header, frames, seed)
        made.append((header, codes, encode(header, codes, trim=seed)))
    return made


def joined() -> tuple[Header, np.ndarray, bytes]:
    """A stream of three parts."""
    header = small_header(num_codebooks=6)
    file = io.BytesIO()
    writer = Writer(file, header)
    parts = [ragged_codes(header, frames, frames) for frames in (30, 1, 16)]
    for part in parts:
        last = part is parts[-1]
        writer.write(part)
        writer.finish(part.shape[1] * header.hop_length - 9, last)
    return header, np.concatenate(parts, axis=1), file.getvalue()


def span(data: bytes, rng: Rng, most: int = 400) -> tuple[int, int]:
    start = int(rng.integers(0, len(data) + 1))
    return start, min(len(data), start + int(rng.integers(1, most)))


def flip(data: bytes, rng: Rng) -> bytes:
    changed = bytearray(data)
    for _ in range(int(rng.integers(1, 9))):
        changed[rng.integers(len(data))] ^= 1 << rng.integers(8)
    return bytes(changed)


def overwrite(data: bytes, rng: Rng) -> bytes:
    start, end = span(data, rng)
    filler = [bytes(end - start), b"\xff" * (end - start), rng.bytes(end - start)]
    return data[:start] + filler[rng.integers(3)] + data[end:]


def truncate(data: bytes, rng: Rng) -> bytes:
    return data[: rng.integers(len(data))]


def delete(data: bytes, rng: Rng) -> bytes:
    start, end = span(data, rng)
    return data[:start] + data[end:]


def insert(data: bytes, rng: Rng) -> bytes:
    start, _ = span(data, rng)
    return data[:start] + rng.bytes(int(rng.integers(1, 400))) + data[start:]


def repeat(data: bytes, rng: Rng) -> bytes:
    start, end = span(data, rng)
    at = int(rng.integers(0, len(data) + 1))
    return data[:at] + data[start:end] * int(rng.integers(1, 4)) + data[at:]


def length_field(data: bytes, rng: Rng) -> bytes:
    """A tag that announces fields, and fields that announce much, anywhere in the chunks."""
    at = int(rng.integers(len(data) + 1))
    attack = bytes([rng.integers(256)]) + varint(int(rng.integers(1 << int(rng.integers(1, 56)))))
    return data[:at] + attack * int(rng.integers(1, 3)) + data[at + len(attack) :]


def hostile_header(data: bytes, rng: Rng) -> bytes:
    """A header with a good check that announces the largest chunks, before the chunks."""
    end = len(Reader(io.BytesIO(data)).header.to_bytes())
    chunk_frames = int(rng.choice([1, 1 << 17, 1 << 18, 1 << 40, (1 << 56) - 1]))
    fields = bytes([rng.integers(256), rng.integers(0, 4)])
    fields += varint(16000) + varint(int(rng.integers(1 << 25))) + varint(chunk_frames)
    body = b"SLM\x01" + fields + b"hash" + b"\x01m"
    return body + binascii.crc_hqx(body, 0).to_bytes(2, "big") + data[end:]


MUTATIONS: list[Callable[[bytes, Rng], bytes]] = [
    flip,
    overwrite,
    truncate,
    delete,
    insert,
    repeat,
    length_field,
    hostile_header,
]


@contextmanager
def bounds(memory: bool) -> Iterator[None]:
    before = time.process_time()
    if memory:
        tracemalloc.start()
    yield
    if memory:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < MEMORY
    assert time.process_time() - before < SECONDS_EACH


def check_codes(chunk: Chunk, codes: np.ndarray) -> None:
    here = codes[:, chunk.start : chunk.start + chunk.frames]
    np.testing.assert_array_equal(chunk.codes, here[: chunk.num_codebooks])
    assert (here[chunk.num_codebooks :] == ABSENT).all()


def check_strict(data: bytes, codes: np.ndarray, samples: int, pipe: bool) -> None:
    """An error, or the very codes; and what came before an error is right as far as it goes."""
    try:
        reader = Reader(as_pipe(data, 100) if pipe else io.BytesIO(data))
        for chunk in reader:
            if len(reader.headers) > 1:
                return  # a copy of the stream, header included, in its own place: read on
            check_codes(chunk, codes)
    except BitstreamError as error:
        assert "\n" not in str(error)
        return
    if len(reader.headers) == 1:
        assert (reader.frames, reader.samples) == (codes.shape[1], samples)


def check_concealed(data: bytes, codes: np.ndarray, samples: int, pipe: bool) -> None:
    """After a good header no error: the chunks, each in its place, with gaps that add up."""
    try:
        reader = Reader(as_pipe(data, 100) if pipe else io.BytesIO(data), conceal=True)
    except BitstreamError as error:
        assert "\n" not in str(error)
        return
    header, frames, last_good = reader.header, 0, 0
    for item in reader:
        assert item.start == frames
        assert 1 <= item.frames <= header.chunk_frames
        frames += item.frames
        if len(reader.headers) > 1:
            return
        if not isinstance(item, LostChunk):
            check_codes(item, codes)
            last_good = frames
    assert reader.frames == frames
    if reader.samples is not None:
        assert (frames, reader.samples) == (codes.shape[1], samples)
    else:  # the estimate of what is lost at the end is bounded by what was there
        there = len(data) * 8 // (header.num_codebooks * header.bits)
        assert frames <= last_good + max(there, header.chunk_frames)


def test_mutated_streams():
    rng = np.random.default_rng(20)
    streams = originals()
    headers_passed = 0
    for i in range(FILES):
        header, codes, data = streams[i % len(streams)]
        samples = codes.shape[1] * header.hop_length - i % len(streams)
        mutation = MUTATIONS[i // len(streams) % len(MUTATIONS)]
        changed = mutation(data, rng)
        if rng.random() < 0.2:
            changed = MUTATIONS[rng.integers(len(MUTATIONS) - 1)](changed or b"S", rng)
        with bounds(memory=i % 25 == 0):  # tracing memory is slow
            try:
                check_strict(changed, codes, samples, pipe=i % 3 == 0)
                check_concealed(changed, codes, samples, pipe=i % 3 == 1)
            except BaseException:
                print(f"file {i}: {mutation.__name__}: {changed.hex()}")  # noqa: T201 for pytest
                raise
        headers_passed += changed.startswith(header.to_bytes())
    assert headers_passed > FILES / 2  # most damage gets as far as the chunks


def test_mutated_joined_streams():
    """A lost end of a part leaves its length open, so of what is concealed only errors count."""
    rng = np.random.default_rng(21)
    header, codes, data = joined()
    for i in range(FILES // 5):
        changed = MUTATIONS[i % len(MUTATIONS)](data, rng)
        with bounds(memory=i % 25 == 0):
            check_strict(changed, codes, 47 * header.hop_length - 27, pipe=i % 3 == 0)
            try:
                for item in Reader(io.BytesIO(changed), conceal=True):
                    assert isinstance(item, LostChunk) or item.codes.shape[1] == item.frames
            except BitstreamError as error:
                assert "\n" not in str(error)


def test_mutated_entropy_coded_streams():
    """What passes the check of its chunk, or is made to, is decoded or refused by the model."""
    rng = np.random.default_rng(22)
    context = model()
    coder = EntropyCoder(context)
    header = small_header(bits=5, num_codebooks=4, chunk_frames=20, context=coder.hash)
    codes = likely_codes(context, 4, 50)
    file = io.BytesIO()
    writer = Writer(file, header, coder)
    writer.write(codes)
    writer.finish(50 * header.hop_length)
    data = file.getvalue()
    assert [chunk.coding for chunk in Reader(io.BytesIO(data))] == [ENTROPY] * 3
    for i in range(FILES // 10):
        changed = MUTATIONS[i % len(MUTATIONS)](data, rng)
        with bounds(memory=i % 25 == 0):
            try:
                for chunk in Reader(io.BytesIO(changed), True, coder):
                    if isinstance(chunk, Chunk):
                        check_codes(chunk, codes)
            except BitstreamError as error:
                assert "\n" not in str(error)
        payload = rng.bytes(int(rng.integers(60)))
        with bounds(memory=i % 25 == 1):
            try:
                decoded = coder.decode(payload, 4, 20)
            except BitstreamError:
                continue
            assert coder.encode(decoded) == payload


def test_the_originals_are_right():
    for _, codes, data in [*originals(), joined()]:
        for chunk in items(data):
            check_codes(chunk, codes)


@pytest.mark.parametrize("memory", [False, True])
@pytest.mark.parametrize("byte", [b"\x00", b"\x20\x10", b"\x55", b"\xff", None])
@pytest.mark.parametrize("chunk_frames", [1, 100, 1 << 18])
def test_searching_long_garbage_takes_time_in_proportion(byte, chunk_frames, memory):
    header = small_header(num_codebooks=1, bits=16, chunk_frames=chunk_frames)
    size = 1 << (13 if memory else 20)
    garbage = np.random.default_rng(0).bytes(size) if byte is None else byte * (size // len(byte))
    with bounds(memory):
        for item in Reader(io.BytesIO(header.to_bytes() + garbage), conceal=True):
            assert isinstance(item, LostChunk)
