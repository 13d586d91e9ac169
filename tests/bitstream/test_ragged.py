"""Frames of fewer levels, and streams of several parts."""

from __future__ import annotations

import hashlib
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechlm.bitstream import ABSENT, BitstreamError, Reader, Writer
from speechlm.bitstream.coders import RAGGED, Ragged, largest_size
from speechlm.bitstream.level_counts import pack_counts, unpack_counts
from tests.bitstream.streams import (
    as_pipe,
    encode,
    headers,
    items,
    ragged_codes,
    random_codes,
    random_counts,
    small_header,
)


@settings(deadline=None)
@given(
    st.integers(1, 255).flatmap(
        lambda most: st.tuples(st.just(most), st.lists(st.integers(0, most), max_size=60))
    ),
    st.binary(max_size=5),
)
def test_counts_come_back_and_end_where_they_end(drawn, following):
    most, counts = drawn
    packed = pack_counts(np.array(counts, int), most)
    found, size = unpack_counts(packed + following, len(counts), most)
    assert found.tolist() == counts
    assert size == len(packed)


@pytest.mark.parametrize("most", [1, 12, 255])
@pytest.mark.parametrize("kind", ["random", "ends", "runs", "sweep"])
def test_no_payload_is_larger_than_is_allowed(most, kind):
    counts = random_counts(2000, most, kind)
    assert len(pack_counts(counts, most)) <= largest_size(0, len(counts), 1)


def test_steady_counts_cost_next_to_nothing():
    assert len(pack_counts(np.full(500, 3), 12)) <= 5
    # Two neighbours in turn, as a constant rate between two levels makes them.
    assert len(pack_counts(np.tile([4, 5, 5, 4, 5], 100), 5)) * 8 < 500


@given(st.binary(max_size=40), st.integers(1, 12), st.integers(0, 60))
def test_a_ragged_payload_is_right_or_refused(payload, num_codebooks, frames):
    coder = Ragged(10)
    try:
        codes = coder.decode(payload, num_codebooks, frames)
    except BitstreamError:
        return
    again = coder.encode(codes)
    assert (len(again), again[: len(again) - 1]) == (len(payload), payload[: len(again) - 1])


@settings(max_examples=100, deadline=None)
@given(headers, st.lists(st.integers(0, 100), max_size=4), st.integers(0, 9), st.booleans())
def test_ragged_codes_come_back(header, lengths, seed, pipe):
    parts = [ragged_codes(header, frames, seed + i) for i, frames in enumerate(lengths)]
    stream = encode(header, *parts)
    whole = np.concatenate([random_codes(header, 0), *parts], axis=1)
    frames = 0
    for chunk in Reader(as_pipe(stream) if pipe else io.BytesIO(stream)):
        codes = whole[:, frames : frames + chunk.frames]
        frames += chunk.frames
        assert chunk.codes.dtype == np.int64
        np.testing.assert_array_equal(chunk.codes, codes[: chunk.num_codebooks])
        assert (codes[chunk.num_codebooks :] == ABSENT).all()
    assert frames == whole.shape[1]
    assert stream == encode(header, whole)  # however they were handed in


def test_silence_is_nearly_free():
    header = small_header(num_codebooks=12, chunk_frames=500)
    silence = np.full((12, 500), ABSENT)
    (chunk,) = items(encode(header, silence))
    assert chunk.coding == RAGGED
    assert chunk.size <= 12
    assert (chunk.codes == ABSENT).all()


def test_golden_ragged_bytes():
    header = small_header(num_codebooks=12, chunk_frames=40)
    frame, level = np.arange(100), np.arange(12)[:, None]
    codes = (frame * 97 + level * 31) % 1024
    codes[level >= (frame * frame // 7) % 13] = ABSENT
    stream = encode(header, codes, trim=100)
    assert hashlib.sha256(stream).hexdigest()[:16] == "c739bbbe8ec4c26d"


# --- parts --------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(headers, st.lists(st.tuples(st.integers(0, 70), st.integers(0, 3)), min_size=1, max_size=4))
def test_parts_add_up(header, parts):
    file = io.BytesIO()
    writer = Writer(file, header)
    most = header.hop_length + header.sample_rate // 2 - 1  # that a part is shorter than its frames
    lengths = [max(0, frames * header.hop_length - min(trim, most)) for frames, trim in parts]
    for i, ((frames, _), samples) in enumerate(zip(parts, lengths, strict=True)):
        writer.write(ragged_codes(header, frames, i))
        writer.finish(samples, last=i == len(parts) - 1)
    reader = Reader(io.BytesIO(file.getvalue()))
    starts, sample = [0], 0
    for chunk in reader:
        assert chunk.sample == sample
        sample += chunk.frames * header.hop_length - (chunk.trim or 0)
        if chunk.trim is not None:
            starts.append(sample)
    assert reader.samples == sum(lengths)
    assert starts[1 : len(parts)] == np.cumsum(lengths[:-1]).tolist()


def test_chunks_are_copied_as_they_are():
    header = small_header(num_codebooks=4)
    stream = encode(header, ragged_codes(header, 43, 1), trim=5)
    file = io.BytesIO()
    writer = Writer(file, header)
    for chunk in items(stream):
        writer.copy(chunk, last=True)
    assert file.getvalue() == stream
    with pytest.raises(ValueError, match="larger than the header"):
        Writer(io.BytesIO(), small_header(num_codebooks=4, chunk_frames=4)).copy(
            items(stream)[0], True
        )
    with pytest.raises(ValueError, match="same model"):
        Writer(io.BytesIO(), small_header(num_codebooks=4, bits=9)).copy(items(stream)[0], True)


def test_an_entropy_coded_chunk_passes_by_without_its_model():
    class Zeros:
        hash = "00000000"

        def accepts(self, codes):
            return True

        def bits(self, codes):
            return np.zeros(codes.shape)

        def encode(self, codes):
            return b""

        def decode(self, payload, num_codebooks, frames):
            return np.zeros((num_codebooks, frames), np.int64)

    header = small_header(context=Zeros.hash)
    file = io.BytesIO()
    writer = Writer(file, header, Zeros())
    writer.write(random_codes(header, 8))
    writer.finish(8 * header.hop_length)
    (chunk,) = items(file.getvalue())
    with pytest.raises(BitstreamError, match="entropy-coded"):
        _ = chunk.codes
    (chunk,) = Reader(io.BytesIO(file.getvalue()), entropy=Zeros())
    assert (chunk.codes == 0).all()
