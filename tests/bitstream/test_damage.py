"""What damage costs: a clear error, or with conceal the chunks it hit and nothing else."""

from __future__ import annotations

import binascii
import io

import numpy as np
import pytest

from speechlm.bitstream import ABSENT, BitstreamError, LostChunk, Reader, Writer
from tests.bitstream.streams import encode, items, random_codes, small_header

HEADER = small_header()
START = len(HEADER.to_bytes())
FULL = 5 + HEADER.chunk_bytes  # bytes of a full chunk on the wire
FRAMES = 5 * HEADER.chunk_frames + 3
CODES = random_codes(HEADER, FRAMES)
STREAM = encode(HEADER, CODES, trim=50)


def concealed(data: bytes) -> tuple[list[tuple[int, int] | None], Reader]:
    """Each item as None, if it is good, or the (start, frames) lost; good codes are compared."""
    reader = Reader(io.BytesIO(data), conceal=True)
    seen: list[tuple[int, int] | None] = []
    for item in reader:
        if isinstance(item, LostChunk):
            seen.append((item.start, item.frames))
        else:
            expected = CODES[:, item.start : item.start + item.frames]
            np.testing.assert_array_equal(item.codes, expected)
            seen.append(None)
    return seen, reader


def strict_error(data: bytes) -> str:
    with pytest.raises(BitstreamError) as caught:
        items(data)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def cut(data: bytes, start: int, end: int, instead: bytes = b"") -> bytes:
    return data[:start] + instead + data[end:]


def chunk_at(number: int) -> int:
    return START + number * FULL


def test_every_flipped_bit_of_the_header_is_noticed():
    for bit in range(8 * START):
        data = bytearray(STREAM)
        data[bit // 8] ^= 1 << bit % 8
        for conceal in (False, True):
            with pytest.raises(BitstreamError):
                items(bytes(data), conceal)


def test_every_flipped_bit_of_a_chunk_is_noticed_and_costs_that_chunk():
    full, last = HEADER.chunk_frames, 5
    for bit in range(8 * START, 8 * len(STREAM)):
        data = bytearray(STREAM)
        data[bit // 8] ^= 1 << bit % 8
        number = min((bit // 8 - START) // FULL, last)
        assert f"is damaged in chunk {number}" in strict_error(bytes(data)) or number == last
        seen, reader = concealed(bytes(data))
        if number < last:
            assert seen == [None] * number + [(number * full, full)] + [None] * (last - number)
            assert (reader.frames, reader.samples) == (FRAMES, FRAMES * HEADER.hop_length - 50)
        else:  # how much was lost at the end is what the chunk states, or an estimate
            assert seen[:last] == [None] * last
            assert FRAMES - 3 <= reader.frames <= FRAMES - 3 + full
            assert reader.samples is None


def test_every_truncation_is_noticed():
    for length in range(len(STREAM)):
        message = strict_error(STREAM[:length])
        if length < START:
            assert "ends inside its header" in message
            continue
        assert "is cut short in chunk" in message
        seen, reader = concealed(STREAM[:length])
        whole = (length - START) // FULL
        assert seen[:whole] == [None] * whole
        assert len(seen) <= whole + 1
        assert reader.samples is None
        # Once its fields are there, the length of the chunk that is cut is known.
        if whole < 5 and length > chunk_at(whole):
            assert seen[whole] == (whole * HEADER.chunk_frames, HEADER.chunk_frames)


def test_missing_chunks_leave_a_gap_of_their_length():
    full = HEADER.chunk_frames
    seen, reader = concealed(cut(STREAM, chunk_at(1), chunk_at(4)))
    assert seen == [None, (full, full), (2 * full, full), (3 * full, full), None, None]
    assert reader.frames == FRAMES
    assert "is damaged in chunk 1" in strict_error(cut(STREAM, chunk_at(1), chunk_at(4)))


def test_some_missing_bytes_cost_one_chunk():
    full = HEADER.chunk_frames
    seen, reader = concealed(cut(STREAM, chunk_at(2) - 9, chunk_at(2) - 4))
    assert seen == [None, (full, full), None, None, None, None]
    assert reader.frames == FRAMES


@pytest.mark.parametrize("junk", [b"\x00", bytes(300), b"\xff" * 300, STREAM[START : chunk_at(3)]])
def test_inserted_bytes_between_chunks_cost_nothing(junk):
    damaged = cut(STREAM, chunk_at(3), chunk_at(3), junk)
    seen, reader = concealed(damaged)
    assert seen == [None] * 6
    assert (reader.frames, reader.samples) == (FRAMES, FRAMES * HEADER.hop_length - 50)
    assert "is damaged in chunk 3" in strict_error(damaged)


def test_repeated_and_swapped_chunks_are_noticed():
    first, second = STREAM[START : chunk_at(1)], STREAM[chunk_at(1) : chunk_at(2)]
    repeated = cut(STREAM, chunk_at(1), chunk_at(1), first)
    assert concealed(repeated)[0] == [None] * 6
    assert "is damaged in chunk 1" in strict_error(repeated)
    swapped = cut(STREAM, START, chunk_at(2), second + first)
    assert concealed(swapped)[0] == [(0, HEADER.chunk_frames), None, None, None, None, None]
    assert "is damaged in chunk 0" in strict_error(swapped)


def test_a_chunk_under_another_header_is_noticed():
    other = encode(small_header(weights_hash="11111111"), CODES)
    mixed = cut(STREAM, chunk_at(2), chunk_at(3), other[chunk_at(2) : chunk_at(3)])
    assert "is damaged in chunk 2" in strict_error(mixed)
    assert concealed(mixed)[0][2] == (2 * HEADER.chunk_frames, HEADER.chunk_frames)


def test_a_damaged_short_chunk_keeps_its_length():
    parts = [random_codes(HEADER, 11, 1), random_codes(HEADER, 9, 2, num_codebooks=1)]
    stream = bytearray(encode(HEADER, *parts))  # chunks of 8, 3, 8 and 1 frames
    stream[START + FULL + 4] ^= 1
    lost = [i for i in items(bytes(stream), conceal=True) if isinstance(i, LostChunk)]
    assert lost == [LostChunk(start=8, sample=8 * HEADER.hop_length, frames=3)]


def test_another_stream_that_follows_is_read_on():
    """As ``cat a.slm b.slm`` makes it."""
    for number, data in enumerate((STREAM + STREAM, STREAM + STREAM + STREAM), 2):
        for conceal in (False, True):
            reader = Reader(io.BytesIO(data), conceal)
            codes = [chunk.codes for chunk in reader]
            np.testing.assert_array_equal(np.hstack(codes), np.tile(CODES, number))
            assert reader.parts == number
            assert reader.samples == number * (FRAMES * HEADER.hop_length - 50)
    reader.seek(FRAMES + 3)
    assert reader.header == HEADER and len(reader.headers) == 2


def test_another_stream_is_found_behind_a_lost_end():
    reader = Reader(io.BytesIO(STREAM[:-9] + STREAM), conceal=True)
    lost = [item.frames for item in reader if isinstance(item, LostChunk)]
    assert reader.parts == 2 and lost
    assert reader.samples is not None


def test_other_bytes_that_follow_are_logged(caplog):
    assert len(items(STREAM + b"more")) == 6
    assert caplog.messages == ["stream: bytes that follow its end are ignored"]


def test_a_stream_by_another_model_that_follows_is_an_error():
    other = encode(small_header(weights_hash="11111111"), CODES)
    assert "whose weights hash is 11111111, not 00ff00ff" in strict_error(STREAM + other)


# --- claims -------------------------------------------------------------------------------------


def test_sound_that_the_bytes_cannot_pay_for_is_refused():
    header = small_header(num_codebooks=1, chunk_frames=1 << 18)
    silence = np.full((1, 1 << 18), ABSENT)
    data = encode(header, silence)
    assert len(data) < 200
    for conceal in (False, True):
        with pytest.raises(BitstreamError, match=r"claims 5243 s of sound in 1\d\d bytes"):
            list(Reader(io.BytesIO(data), conceal))
    data = encode(header, silence[:, :20000])  # what a few bytes may claim, they may
    assert items(data)[0].frames == 20000


def test_gaps_are_bounded(caplog):
    file = io.BytesIO()
    writer = Writer(file, small_header(num_codebooks=1, chunk_frames=1000))  # 20 s each
    places = [writer.size]
    for _ in range(200):
        writer.write(np.full((1, 1000), ABSENT))
        places.append(writer.size)
    writer.finish(200 * 1000 * 160)
    for first, last in ((1, 2), (1, 199)):
        data = cut(file.getvalue(), places[first], places[last])
        reader = Reader(io.BytesIO(data), conceal=True)
        lost = sum(item.frames for item in reader if isinstance(item, LostChunk))
        assert (lost == 1000) == (last == 2)
        assert reader.frames <= (600 + 4 * len(data)) * 50
    assert sum("is made one of" in message for message in caplog.messages) == 1


def test_a_length_that_its_frames_do_not_have_is_refused():
    file = io.BytesIO()
    writer = Writer(file, small_header(sample_rate=8000, hop_length=160))
    writer.write(np.zeros((small_header().num_codebooks, 100), int))
    writer.finish(100 * 160 - 4160)
    assert "a length that is not that of its frames" in strict_error(file.getvalue())


# --- other and newer streams --------------------------------------------------------------------


def with_header_check(body: bytes, rest: bytes = b"") -> bytes:
    return body + binascii.crc_hqx(body, 0).to_bytes(2, "big") + rest


@pytest.mark.parametrize("conceal", [False, True])
def test_other_and_newer_streams_are_named(conceal):
    body = HEADER.to_bytes()[:-2]
    for data, words in [
        (b"", "ends inside its header"),
        (b"RIFF....WAVE", "is not a speechlm file"),
        (b"SLM\x02" + STREAM[4:], r"version 2, newer than this speechlm reads \(1\): upgrade"),
        (with_header_check(b"SLM\x00" + body[4:]), "damaged header"),
        (with_header_check(body[:4] + b"\x19" + body[5:]), "damaged header"),
        (with_header_check(body[:-1] + b"\xff"), "damaged header"),
        (with_header_check(body[:5] + b"\x00" + body[6:]), "num_codebooks 0 is not in"),
        (with_header_check(body[:6] + b"\xff" * 9), "is damaged"),
    ]:
        with pytest.raises(BitstreamError, match=f"^stream: .*{words}"):
            Reader(io.BytesIO(data), conceal)


def test_a_header_extension_is_skipped():
    body = HEADER.to_bytes()[:-2]
    extended = body[:4] + bytes([body[4] | 0x80]) + body[5:] + b"\x03new"
    assert Reader(io.BytesIO(with_header_check(extended))).header == HEADER
    endless = extended[:-4] + b"\xff\xff\xff\x7f"
    with pytest.raises(BitstreamError, match="damaged header"):
        Reader(io.BytesIO(with_header_check(endless)))


@pytest.mark.parametrize("conceal", [False, True])
def test_an_unknown_coding_is_named(conceal):
    from speechlm.bitstream.chunk_format import Shape, check

    head = HEADER.to_bytes()
    shape = Shape(HEADER.num_codebooks, HEADER.chunk_frames, None, False, coding=5, size=4)
    record = shape.to_bytes(HEADER) + b"data"
    stream = head + record + check(binascii.crc32(head), record, 0).to_bytes(4, "little")
    with pytest.raises(BitstreamError, match=r"chunk 0 is in coding 5, .* upgrade speechlm"):
        items(stream, conceal)


def test_the_error_names_the_file(tmp_path):
    path = tmp_path / "cut.slm"
    path.write_bytes(STREAM[:-2])
    with (
        path.open("rb") as file,
        pytest.raises(BitstreamError, match=r"cut\.slm: is cut short in chunk 5, at 0\.80 s"),
    ):
        list(Reader(file))
