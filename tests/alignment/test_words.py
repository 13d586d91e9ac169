"""Words of transcripts, and the end of what is said."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechlm.alignment.words import QUIET, RATE, REST, end, levels, split
from speechlm.errors import SpeechLMError


def test_a_mark_stands_with_the_word_before_it() -> None:
    words = ['"To', "look --", "into", 'your"', "messages ..."]
    assert split('- "To look -- into your" messages ...') == words
    assert split("one _ two") == ["one _", "two"]
    with pytest.raises(SpeechLMError, match="no word"):
        split(" - ... ")


@given(st.floats(0.1, 1.0), st.floats(0.0, 0.5), st.floats(0.0, 0.9))
def test_the_last_word_lasts_until_it_is_quiet(spoken: float, more: float, share: float) -> None:
    """A tone, whose end is known, and after it noise that is no speech."""
    random = np.random.default_rng(0)
    tone = 0.3 * np.sin(2 * np.pi * 300 * np.arange(round(spoken * RATE)) / RATE)
    noise = 10 ** (-(QUIET + 20) / 20) * random.standard_normal(round(more * RATE))
    wave = np.concatenate([tone, noise]).astype(np.float32)
    length = len(wave) / RATE
    found = end(levels(wave), share * spoken, length)
    assert found <= length
    assert abs(found - min(spoken + REST, length)) <= 0.03


@pytest.mark.parametrize("decibels", [20, 30, 50])
def test_what_comes_after_a_pause_is_not_the_last_word(decibels: int) -> None:
    """Noise all along, and a click a second after what is said."""
    random = np.random.default_rng(0)
    wave = np.zeros(3 * RATE)
    wave[RATE // 4 : RATE] = 0.3 * np.sin(2 * np.pi * 300 * np.arange(RATE * 3 // 4) / RATE)
    wave[2 * RATE : 2 * RATE + 160] = 0.5
    wave += 0.2 * 10 ** (-decibels / 20) * random.standard_normal(len(wave))
    assert abs(end(levels(wave.astype(np.float32)), 0.8, 3.0) - 1.0 - REST) <= 0.03


def test_nothing_is_longer_than_the_recording() -> None:
    assert len(levels(np.zeros(100, np.float32))) == 0
    assert end(levels(np.zeros(100, np.float32)), 0.2, 100 / RATE) == 100 / RATE
    assert end(levels(np.zeros(RATE, np.float32)), 0.4, 1.0) == 1.0  # as loud as all of it
