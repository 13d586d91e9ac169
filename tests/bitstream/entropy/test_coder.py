"""What is entropy-coded comes back, in few bytes, or is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechlm.bitstream import BitstreamError
from speechlm.bitstream.entropy import MOST_CODES, EntropyCoder

from .models import cut, likely_codes, model, random_codes

MODEL = model()
CODER = EntropyCoder(MODEL)
NUM_CODEBOOKS, CODEBOOK_SIZE = MODEL.num_codebooks, MODEL.codebook_size

some_codes = st.builds(
    lambda num_codebooks, frames, seed, ragged: (
        cut(random_codes(num_codebooks, frames, CODEBOOK_SIZE, seed), seed)
        if ragged
        else random_codes(num_codebooks, frames, CODEBOOK_SIZE, seed)
    ),
    st.integers(1, NUM_CODEBOOKS),
    st.integers(1, 150),
    st.integers(0, 1 << 20),
    st.booleans(),
)


@settings(deadline=None, max_examples=60)
@given(some_codes)
def test_decode_inverts_encode(codes):
    assert CODER.accepts(codes)
    payload = CODER.encode(codes)
    decoded = CODER.decode(payload, *codes.shape)
    assert decoded.dtype == np.int64
    assert np.array_equal(decoded, codes)


@settings(deadline=None, max_examples=25)
@given(some_codes, st.data())
def test_damage_is_refused_or_other_codes_of_that_very_payload(codes, data):
    payload = CODER.encode(codes)
    damaged = bytearray(payload)
    for _ in range(data.draw(st.integers(1, 3))):
        kind = data.draw(st.sampled_from(["flip", "cut", "add"]))
        place = data.draw(st.integers(0, max(0, len(damaged) - 1)))
        if kind == "flip" and damaged:
            damaged[place] ^= data.draw(st.integers(1, 255))
        elif kind == "cut":
            del damaged[place:]
        else:
            damaged += data.draw(st.binary(min_size=1, max_size=9))
    try:
        decoded = CODER.decode(bytes(damaged), *codes.shape)
    except BitstreamError:
        return
    assert CODER.encode(decoded) == damaged


def test_what_follows_the_codes_is_refused():
    payload = CODER.encode(random_codes(3, 20, CODEBOOK_SIZE))
    for more in (b"\0", b"\0\0\0\0", b"\1", b"some more"):
        with pytest.raises(BitstreamError):
            CODER.decode(payload + more, 3, 20)


def test_a_shape_that_no_payload_has_is_refused():
    for num_codebooks, frames in ((NUM_CODEBOOKS + 1, 4), (0, 4), (2, 0), (2, MOST_CODES)):
        with pytest.raises(BitstreamError):
            CODER.decode(b"", num_codebooks, frames)


def test_what_the_model_does_not_know_is_not_accepted():
    assert CODER.accepts(random_codes(NUM_CODEBOOKS, 3, CODEBOOK_SIZE))
    assert not CODER.accepts(random_codes(NUM_CODEBOOKS + 1, 3, CODEBOOK_SIZE))
    assert not CODER.accepts(np.full((1, 3), CODEBOOK_SIZE))
    assert not CODER.accepts(np.zeros((1, 0), int))
    assert not CODER.accepts(np.zeros((2, MOST_CODES // 2 + 1), int))


@pytest.mark.parametrize("num_codebooks", [1, 3, NUM_CODEBOOKS])
def test_the_payload_is_as_long_as_the_codes_are_surprising(num_codebooks):
    codes = likely_codes(MODEL, num_codebooks, 200)
    bits = CODER.bits(codes)
    assert bits.shape == codes.shape
    assert 0 <= 8 * len(CODER.encode(codes)) - bits.sum() < 8 * 3  # of it one for the counts
    # Codes that the model itself draws take the entropy; any others take more.
    assert bits.mean() < 0.8 * np.log2(CODEBOOK_SIZE)
    assert CODER.bits(random_codes(num_codebooks, 200, CODEBOOK_SIZE)).mean() > np.log2(
        CODEBOOK_SIZE
    )


def test_absent_codes_take_no_bits():
    codes = cut(random_codes(NUM_CODEBOOKS, 80, CODEBOOK_SIZE))
    bits = CODER.bits(codes)
    assert (bits[codes < 0] == 0).all()
    assert (bits[codes >= 0] > 0).all()
    assert CODER.encode(np.full((2, 9), -1)) != b""
    assert np.array_equal(
        CODER.decode(CODER.encode(np.full((2, 9), -1)), 2, 9), np.full((2, 9), -1)
    )


def test_only_what_came_before_counts():
    """Bits of a prefix of frames, and of levels, are those of the whole."""
    codes = random_codes(NUM_CODEBOOKS, 150, CODEBOOK_SIZE)
    bits = CODER.bits(codes)
    other = codes.copy()
    other[2:, 70] = (other[2:, 70] + 1) % CODEBOOK_SIZE
    other[:, 71:] = 0
    changed = CODER.bits(other)
    assert np.array_equal(changed[:, :70], bits[:, :70])
    assert np.array_equal(changed[:2, 70], bits[:2, 70])
    assert not np.array_equal(changed[:, 71:], bits[:, 71:])
