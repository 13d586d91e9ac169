"""Entropy-coded chunks in streams: where they are smaller, and only for who has the model."""

from __future__ import annotations

import io
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechlm.bitstream import BitstreamError, Header, Reader, Writer
from speechlm.bitstream.chunk_format import Shape, check
from speechlm.bitstream.coders import ENTROPY, PACKED, RAGGED
from speechlm.bitstream.entropy import MOST_CODES, EntropyCoder
from tests.bitstream.streams import small_header

from .models import cut, likely_codes, model, random_codes

MODEL = model()
CODER = EntropyCoder(MODEL)
NUM_CODEBOOKS, BITS = MODEL.num_codebooks, 5


def header(**changes) -> Header:
    fields = {
        "bits": BITS,
        "num_codebooks": NUM_CODEBOOKS,
        "chunk_frames": 50,
        "context": CODER.hash,
    }
    return small_header(**(fields | changes))


def stream(codes: np.ndarray, head: Header | None = None) -> bytes:
    file = io.BytesIO()
    head = head or header()
    writer = Writer(file, head, CODER if head.context else None)
    writer.write(codes)
    writer.finish(codes.shape[1] * head.hop_length)
    return file.getvalue()


def chunks(data: bytes, coder: EntropyCoder | None = CODER) -> list:
    return list(Reader(io.BytesIO(data), entropy=coder))


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 130), st.booleans(), st.booleans(), st.integers(0, 99))
def test_what_is_written_is_read(frames, likely, ragged, seed):
    codes = (
        likely_codes(MODEL, NUM_CODEBOOKS, frames, seed)
        if likely
        else random_codes(4, frames, 32, seed)
    )
    codes = cut(codes, seed) if ragged else codes
    found = chunks(stream(codes))
    whole = np.full_like(codes, -1)
    for chunk in found:
        whole[: chunk.num_codebooks, chunk.start : chunk.start + chunk.frames] = chunk.codes
    assert np.array_equal(whole, codes)


def test_each_chunk_is_in_the_smallest_coding():
    likely, unlikely = likely_codes(MODEL, NUM_CODEBOOKS, 50), random_codes(NUM_CODEBOOKS, 50, 32)
    codes = np.concatenate([likely, unlikely, cut(likely), cut(unlikely)], axis=1)
    found = chunks(stream(codes))
    assert [chunk.coding for chunk in found] == [ENTROPY, PACKED, ENTROPY, RAGGED]
    assert len(found[0].payload) < 0.9 * len(found[1].payload)
    plain = stream(codes, header(context=None))
    assert len(stream(codes)) < len(plain)


def test_a_chunk_of_more_codes_than_a_payload_may_have_is_packed():
    frames = MOST_CODES // NUM_CODEBOOKS + 1
    codes = np.zeros((NUM_CODEBOOKS, frames), int)
    (chunk,) = chunks(stream(codes, header(chunk_frames=frames)))
    assert chunk.coding == PACKED


def test_without_the_model_all_but_the_codes_is_there():
    codes = likely_codes(MODEL, NUM_CODEBOOKS, 120)
    data = stream(codes)
    found = chunks(data, None)
    assert [(chunk.start, chunk.frames) for chunk in found] == [(0, 50), (50, 50), (100, 20)]
    other = EntropyCoder(model(seed=2))
    for chunk in (found[0], chunks(data, other)[0]):
        with pytest.raises(BitstreamError, match="only the model that wrote it"):
            _ = chunk.codes
    reader = Reader(io.BytesIO(data), entropy=CODER)
    assert reader.seek(60) == 50
    assert np.array_equal(next(reader).codes, codes[:, 50:100])


def test_the_header_names_the_context_model():
    named, unnamed = header(), header(context=None)
    for head in (named, unnamed):
        assert Reader(io.BytesIO(stream(np.zeros((NUM_CODEBOOKS, 3), int), head))).header == head
    assert len(named.to_bytes()) == len(unnamed.to_bytes()) + 7
    with pytest.raises(BitstreamError, match="not 8 hex digits"):
        header(context="12345")
    for context in (None, "01234567"):
        with pytest.raises(ValueError, match="the header names"):
            Writer(io.BytesIO(), header(context=context), CODER)


def test_a_payload_that_is_none_is_an_error_even_if_its_check_is_right():
    head = header()
    start = head.to_bytes()
    payload = bytes([255] * 40)
    record = Shape(NUM_CODEBOOKS, 50, 0, True, ENTROPY, len(payload)).to_bytes(head) + payload
    mark = check(zlib.crc32(start), record, 0).to_bytes(4, "little")
    (chunk,) = chunks(start + record + mark)
    with pytest.raises(BitstreamError, match="is damaged"):
        _ = chunk.codes
