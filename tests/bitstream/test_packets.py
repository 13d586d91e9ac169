"""Packets: in order, and with losses, repeats, damage and disorder."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechlm.bitstream import BitstreamError, Chunk, LostChunk, PacketReader, PacketWriter, Writer
from speechlm.bitstream.packets import HEADER_EVERY, JITTER
from tests.bitstream.streams import ragged_codes, small_header

HEADER = small_header(num_codebooks=3, chunk_frames=2)


def packets(frames: int) -> list[bytes]:
    """Of a stream of ``ragged_codes(HEADER, frames)``, the first a header."""
    file = io.BytesIO()
    writer = Writer(PacketWriter(file), HEADER)
    writer.write(ragged_codes(HEADER, frames))
    writer.finish(frames * HEADER.hop_length - 5)
    data, found = file.getvalue(), []
    while data:
        size = 4 + (int.from_bytes(data[:2], "little") & 0x7FFF)
        found.append(data[:size])
        data = data[size:]
    return found


def read(sent: list[bytes], conceal: bool = False):
    reader = PacketReader(io.BytesIO(b"".join(sent)), conceal)
    return list(reader), reader


def check(items: list[Chunk | LostChunk], frames: int) -> list[int]:
    """The items follow one another, with the right codes; numbers of frames that were lost."""
    codes, place, lost = ragged_codes(HEADER, frames), 0, []
    for item in items:
        assert (item.start, item.sample) == (place, place * HEADER.hop_length)
        if isinstance(item, LostChunk):
            lost += range(place, place + item.frames)
        else:
            here = codes[: item.num_codebooks, place : place + item.frames]
            np.testing.assert_array_equal(item.codes, here)
        place += item.frames
    assert place == frames
    return lost


@given(st.integers(1, 250))
@settings(deadline=None, max_examples=20)
def test_packets_in_order_are_the_stream(frames):
    sent = packets(frames)
    items, reader = read(sent)
    assert check(items, frames) == []
    assert (reader.header, reader.samples) == (HEADER, frames * HEADER.hop_length - 5)
    headers = sum(packet[1] >= 0x80 for packet in sent)
    assert headers == -(-(len(sent) - headers) // HEADER_EVERY)


@given(st.integers(0, 99), st.floats(0, 0.4))
@settings(deadline=None, max_examples=40)
def test_losses_repeats_and_disorder(seed, share):
    rng = np.random.default_rng(seed)
    frames = 120
    sent = packets(frames)
    gone = rng.random(len(sent)) < share
    gone[[0, -1]] = False
    kept = [packet for packet, lost in zip(sent, gone, strict=True) if not lost]
    kept = [packet for packet in kept for _ in range(1 + int(rng.random() < 0.1))]
    # Each at most so many places off as a reader waits for.
    places = np.arange(len(kept)) + rng.uniform(0, JITTER / 2, len(kept))
    places[0] = -1
    shuffled = [kept[i] for i in np.argsort(places, kind="stable")]
    items, reader = read(shuffled, conceal=True)
    chunks = [i - 1 - (i > HEADER_EVERY) for i in np.flatnonzero(gone) if i != HEADER_EVERY + 1]
    expected = [frame for chunk in chunks for frame in (2 * chunk, 2 * chunk + 1)]
    assert check(items, frames) == expected
    assert reader.samples == frames * HEADER.hop_length - 5
    if expected:
        with pytest.raises(BitstreamError, match=r"packet \d+ is lost; --conceal"):
            read(shuffled)


def test_a_damaged_packet_is_a_lost_one():
    sent = packets(60)
    for place in (4, 6, len(sent[7]) - 1):
        damaged = bytearray(sent[7])
        damaged[place] ^= 1
        items, _ = read([*sent[:7], bytes(damaged), *sent[8:]], conceal=True)
        assert check(items, 60) == [12, 13]


def test_joining_late_begins_at_the_next_header():
    sent = packets(200)
    items, reader = read(sent[10:])
    assert items[0].start == 0
    assert items[0].number == HEADER_EVERY
    assert reader.frames == 200 - 2 * HEADER_EVERY


def test_numbers_go_round(monkeypatch):
    monkeypatch.setattr("speechlm.bitstream.packets._NUMBERS", 64)
    frames = 2 * 300
    items, reader = read(packets(frames))
    assert check(items, frames) == []
    assert reader.samples == frames * HEADER.hop_length - 5


def test_an_end_that_never_comes():
    sent = packets(60)
    with pytest.raises(BitstreamError, match="ends without its last packet"):
        read(sent[:-1])
    items, reader = read(sent[:-1], conceal=True)
    assert (len(items), reader.samples) == (30, None)
    with pytest.raises(BitstreamError, match="no packet with a header"):
        read(sent[1:9])


def test_what_is_no_packet_is_refused_or_passed_over():
    rng = np.random.default_rng(0)
    sent = packets(100)
    for _ in range(300):
        data = bytearray(b"".join(sent))
        for _ in range(int(rng.integers(1, 9))):
            data[rng.integers(len(data))] = rng.integers(256)
        try:
            reader = PacketReader(io.BytesIO(bytes(data)), conceal=True)
            codes = ragged_codes(HEADER, 100)
            for item in reader:
                if isinstance(item, Chunk) and reader.header == HEADER:
                    first = 2 * item.number
                    here = codes[: item.num_codebooks, first : first + item.frames]
                    np.testing.assert_array_equal(item.codes, here)
        except BitstreamError as error:
            assert "\n" not in str(error)
