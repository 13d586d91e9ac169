"""Bitrates and levels."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechlm.codec import CodecConfig, CodecNetwork, NeuralCodec
from speechlm.errors import SpeechLMError

from .tiny import codec, waves


@pytest.fixture(scope="module")
def default() -> NeuralCodec:
    """The default's shape, with weights of no meaning."""
    return NeuralCodec(CodecNetwork(CodecConfig()))


def test_the_default_goes_from_half_a_kilobit_to_six(default):
    assert (default.num_codebooks, default.codebook_size, default.bits_per_code) == (12, 1024, 10)
    assert default.kbps() == 6.0
    assert [default.kbps(num_codebooks) for num_codebooks in (1, 3, 6, 12)] == [0.5, 1.5, 3.0, 6.0]


@pytest.mark.parametrize(
    ("kbps", "num_codebooks"),
    [(0.5, 1), (0.4, 1), (0.7, 1), (0.8, 2), (1.5, 3), (3, 6), (3.1, 6), (6, 12), (6.5, 12)],
)
def test_a_bitrate_is_the_nearest_number_of_levels(default, kbps, num_codebooks):
    assert default.choose_num_codebooks(kbps=kbps) == num_codebooks


@given(kbps=st.floats(0.5, 6.0))
def test_no_other_number_of_levels_is_nearer(default, kbps):
    chosen = default.choose_num_codebooks(kbps=kbps)
    gap = abs(default.kbps(chosen) - kbps)
    assert all(
        gap <= abs(default.kbps(num_codebooks) - kbps) + 1e-9 for num_codebooks in range(1, 13)
    )


@pytest.mark.parametrize("kbps", [0.0, 0.3, 6.7, 100.0, -3.0, math.nan, math.inf])
def test_a_bitrate_out_of_reach_is_refused(default, kbps):
    with pytest.raises(SpeechLMError, match=r"speechlm-codec-16k reaches 0\.5 to 6 kbps, not"):
        default.choose_num_codebooks(kbps=kbps)


def test_levels_out_of_range_are_refused(default):
    assert default.choose_num_codebooks() == 12
    assert default.choose_num_codebooks(num_codebooks=5) == 5
    for num_codebooks in (0, 13, -1):
        with pytest.raises(SpeechLMError, match="has 1 to 12 levels"):
            default.choose_num_codebooks(num_codebooks=num_codebooks)
    with pytest.raises(SpeechLMError, match="not both"):
        default.choose_num_codebooks(num_codebooks=3, kbps=3.0)


def test_encoding_takes_levels_or_a_bitrate():
    model = codec()
    assert model.kbps(1) == 0.4  # 100 frames of 4 bits
    wave = waves(1, 100)
    assert model.encode(wave, num_codebooks=2).shape[1] == 2
    assert model.encode(wave, kbps=1.2).shape[1] == 3
    assert model.stream_encoder(kbps=1.2).push(wave).shape[1] == 3
    for refused in ({"num_codebooks": 5}, {"kbps": 9.0}, {"num_codebooks": 1, "kbps": 0.4}):
        with pytest.raises(SpeechLMError, match=r"num_codebooks|reaches|levels"):
            model.encode(wave, **refused)
        with pytest.raises(SpeechLMError, match=r"num_codebooks|reaches|levels"):
            model.stream_encoder(**refused)


def test_bits_hold_every_code():
    for kind, bits in (("residual-vector", 4), ("scalar", 6), ("residual-scalar", 6)):
        model = codec(kind=kind)
        assert model.bits_per_code == bits
        assert 2 ** (bits - 1) < model.codebook_size <= 2**bits
