"""Codes to a stream and back, from files and pipes; sizes; bytes that must decode for ever."""

from __future__ import annotations

import hashlib
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechlm.bitstream import BitstreamError, Header, Reader, Writer, default_chunk_frames
from speechlm.bitstream.bitpacking import pack, packed_size, unpack
from speechlm.errors import SpeechLMError
from tests.bitstream.streams import (
    Pipe,
    as_pipe,
    default_header,
    encode,
    headers,
    items,
    joined,
    random_codes,
    small_header,
)


@given(st.integers(1, 16), st.integers(1, 32), st.integers(0, 50), st.integers(0, 9))
def test_packing_is_the_bits_in_order(bits, num_codebooks, frames, seed):
    codes = random_codes(small_header(bits=bits, num_codebooks=num_codebooks), frames, seed)
    payload = pack(codes, bits)
    text = "".join(f"{code:0{bits}b}" for code in codes.T.ravel())
    assert len(payload) == packed_size(num_codebooks, frames, bits) == -(-len(text) // 8)
    assert "".join(f"{byte:08b}" for byte in payload) == text.ljust(8 * len(payload), "0")
    unpacked = unpack(payload, num_codebooks, frames, bits)
    assert unpacked.dtype == np.int64
    np.testing.assert_array_equal(unpacked, codes)


@settings(max_examples=150, deadline=None)
@given(
    headers, st.lists(st.integers(0, 100), max_size=5), st.integers(0, 9), st.booleans(), st.data()
)
def test_round_trip(header, lengths, seed, pipe, data):
    parts = [random_codes(header, frames, seed + i) for i, frames in enumerate(lengths)]
    frames = sum(lengths)
    shorter = header.hop_length + header.sample_rate // 2 - 1  # as a decoder's delay may make it
    trim = data.draw(st.integers(0, min(shorter, frames * header.hop_length)))
    stream = encode(header, *parts, trim=trim)

    reader = Reader(as_pipe(stream) if pipe else io.BytesIO(stream))
    assert reader.header == header
    assert reader.samples is None
    chunks = list(reader)
    assert reader.samples == frames * header.hop_length - trim
    assert reader.frames == frames
    assert [c.number for c in chunks] == list(range(len(chunks)))
    assert [c.start for c in chunks] == [i * header.chunk_frames for i in range(len(chunks))]
    assert all(c.codes.shape == (header.num_codebooks, c.frames) for c in chunks)
    whole = np.concatenate([random_codes(header, 0), *parts], axis=1)
    np.testing.assert_array_equal(joined(header, chunks), whole)

    # However the codes were handed in, the bytes are the same, and their number is known.
    assert stream == encode(header, whole, trim=trim)
    full, rest = divmod(frames, header.chunk_frames)
    full_bytes = 5 + packed_size(header.num_codebooks, header.chunk_frames, header.bits)
    last_bytes = 5 + len_varint(rest) + len_varint(trim)
    last_bytes += packed_size(header.num_codebooks, rest, header.bits)
    assert len(stream) == len(header.to_bytes()) + full * full_bytes + last_bytes


def len_varint(value: int) -> int:
    return max(1, -(-value.bit_length() // 7))


@given(headers, st.lists(st.tuples(st.integers(1, 32), st.integers(0, 80)), max_size=6))
@settings(deadline=None)
def test_chunks_with_fewer_levels(header, parts):
    parts = [(min(num_codebooks, header.num_codebooks), frames) for num_codebooks, frames in parts]
    codes = [
        random_codes(header, frames, i, num_codebooks)
        for i, (num_codebooks, frames) in enumerate(parts)
    ]
    chunks = items(encode(header, *codes))
    frames = iter(column for part in codes for column in part.T)
    for chunk in chunks:
        for column in chunk.codes.T:
            np.testing.assert_array_equal(column, next(frames))
    assert next(frames, None) is None
    assert sum(chunk.frames for chunk in chunks) == sum(frames for _, frames in parts)


# --- for ever -----------------------------------------------------------------------------------

GOLDEN = bytes.fromhex(
    "534c4d010902807dc002040123abcd0a746573742d6d6f64656c07ca00d9e99a33a682e034526d08a5145d00"
    "4efe20a6eb136870422c38913c7a6002642ce3dd03bdf0861edf"
)
GOLDEN_CODES = [
    [871, 652, 523, 276, 315, 41, 77, 16, 179, 832],
    [665, 934, 515, 621, 994, 747, 647, 556, 573, 957],
]


def test_golden_bytes_decode_for_ever():
    reader = Reader(io.BytesIO(GOLDEN))
    assert reader.header == Header("test-model", "0123abcd", 16000, 320, 10, 2, 4)
    np.testing.assert_array_equal(joined(reader.header, list(reader)), GOLDEN_CODES)
    assert reader.samples == 3100


def test_golden_bytes_are_still_written():
    header = Header("test-model", "0123abcd", 16000, 320, 10, 2, 4)
    assert encode(header, np.array(GOLDEN_CODES), trim=100) == GOLDEN
    # Fewer levels in a chunk, odd bits, a name beyond ASCII: by hash.
    header = small_header(model="модель", bits=11, num_codebooks=32, chunk_frames=5)
    frame, level = np.arange(13), np.arange(32)[:, None]
    codes = (frame * 97 + level * 31) % 2048
    stream = encode(header, codes, codes[:7], trim=1234)
    assert hashlib.sha256(stream).hexdigest()[:16] == "129fbd869f196aa0"


# --- size ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("num_codebooks", [3, 6, 12])
def test_ten_seconds_are_within_three_per_cent_of_nominal(num_codebooks):
    stream = encode(
        default_header(num_codebooks), random_codes(default_header(num_codebooks), 501), trim=320
    )
    assert len(stream) <= 1.03 * (num_codebooks * 500 * 10 / 8)


@given(st.integers(1, 400), st.floats(1, 200))
def test_default_chunks_last_a_second_and_hold_a_kilobyte(bits_per_frame, frame_rate):
    frames = default_chunk_frames(bits_per_frame, frame_rate)
    assert frames >= frame_rate
    assert frames * bits_per_frame >= 8000 or frames > 19 * frame_rate
    assert frames * bits_per_frame % 8 == 0
    shorter = frames - 8
    assert shorter < frame_rate or shorter * bits_per_frame < 8000


# --- live, and out of order ----------------------------------------------------------------------


def test_a_chunk_is_there_as_soon_as_its_last_byte_is():
    header = small_header(chunk_frames=3)
    sink = io.BytesIO()
    writer = Writer(sink, header)
    pipe = Pipe(sink.getvalue())
    pipe.closed_by_writer = False
    reader = Reader(pipe)
    sent = sink.tell()
    for i in range(10):
        codes = random_codes(header, 3, i)
        writer.write(codes[:, :1])
        writer.write(codes[:, 1:])
        pipe.feed(sink.getvalue()[sent:])
        sent = sink.tell()
        np.testing.assert_array_equal(next(reader).codes, codes)
    writer.finish(10 * 3 * header.hop_length - 5)
    pipe.feed(sink.getvalue()[sent:])
    pipe.closed_by_writer = True
    assert next(reader, None) is None
    assert reader.samples == 30 * header.hop_length - 5


def test_the_last_chunk_comes_with_the_length():
    reader = Reader(io.BytesIO(encode(small_header(), random_codes(small_header(), 11), trim=7)))
    next(reader)
    assert reader.samples is None
    next(reader)
    assert reader.samples == 11 * 160 - 7


@settings(deadline=None)
@given(st.integers(1, 100), st.integers(1, 12), st.lists(st.integers(0, 99), max_size=8))
def test_seeking(frames, chunk_frames, wanted):
    header = small_header(chunk_frames=chunk_frames)
    codes = random_codes(header, frames)
    file = io.BytesIO(b"before" + encode(header, codes))  # a stream need not start its file
    file.seek(6)
    reader = Reader(file)
    for frame in wanted:
        if frame >= frames:
            with pytest.raises(BitstreamError, match=f"ends before frame {frame}"):
                reader.seek(frame)
            continue
        first = reader.seek(frame)
        assert first == reader.frames == frame // chunk_frames * chunk_frames
        chunk = next(reader)
        assert chunk.start == first
        np.testing.assert_array_equal(chunk.codes, codes[:, first : first + chunk_frames])


def test_a_pipe_seeks_forwards_only():
    header = small_header()
    reader = Reader(as_pipe(encode(header, random_codes(header, 40))))
    assert reader.seek(17) == 16
    assert reader.seek(16) == 16
    assert next(reader).start == 16
    with pytest.raises(BitstreamError, match="pipe cannot be read backwards"):
        reader.seek(3)


# --- misuse -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "codes",
    [
        np.zeros((3, 4), int),
        np.zeros((0, 4), int),
        np.zeros(4, int),
        np.zeros((2, 4)),
        np.full((2, 4), 1024),
        np.full((2, 4), -2),
        np.array([[-1], [5]]),
    ],
)
def test_codes_that_do_not_fit_are_refused(codes):
    with pytest.raises(ValueError, match="code"):
        Writer(io.BytesIO(), small_header()).write(codes)


def test_more_samples_than_frames_make_are_refused():
    writer = Writer(io.BytesIO(), small_header())
    writer.write(random_codes(small_header(), 3))
    with pytest.raises(ValueError, match="3 frames do not make 481 samples"):
        writer.finish(481)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"bits": 17}, r"bits 17 is not in 1\.\.16"),
        ({"num_codebooks": 0}, "num_codebooks 0 is not in"),
        ({"hop_length": 0}, "hop_length 0 is not in"),
        ({"sample_rate": 1 << 25}, "sample_rate 33554432 is not in"),
        ({"chunk_frames": 1 << 18}, r"chunk_frames 262144 is not in 1\.\.131072"),
        ({"weights_hash": "0123abcd4567"}, "is not 8 hex digits"),
        ({"model": ""}, "is not 1 to 127 bytes of text"),
        ({"model": "m" * 128}, "is not 1 to 127 bytes of text"),
        ({"model": "two\nlines"}, "is not 1 to 127 bytes of text"),
    ],
)
def test_headers_that_say_the_impossible_are_refused(changes, words):
    with pytest.raises(BitstreamError, match=words):
        small_header(**changes)
    assert issubclass(BitstreamError, SpeechLMError)
