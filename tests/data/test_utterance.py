"""One record of an utterance: what is read of it, and when."""

from __future__ import annotations

import copy
import pickle
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from speechlm.data.tokens import Entry, Tokens
from speechlm.data.utterance import Utterance
from speechlm.errors import SpeechLMError


def test_audio_and_codes_are_read_when_they_are_asked_for() -> None:
    def fails() -> None:
        raise AssertionError("read too early")

    Utterance(id="a", load=fails, read_codes=fails)  # type: ignore[arg-type]
    wave, codes = np.zeros(5, np.float32), np.arange(6).reshape(2, 3)
    one = Utterance(id="a", load=partial(tuple, (wave, 16000)), read_codes=partial(np.array, codes))
    for found in (one, copy.deepcopy(one), pickle.loads(pickle.dumps(one))):
        assert np.array_equal(found.audio()[0], wave)
        assert found.audio()[1] == 16000
        assert np.array_equal(found.codes(), codes)


def test_what_an_utterance_lacks_is_said() -> None:
    with pytest.raises(SpeechLMError, match=r"^a: has codes and no audio$"):
        Utterance(id="a").audio()
    with pytest.raises(SpeechLMError, match=r"^a: is not tokenized$"):
        Utterance(id="a").codes()


def test_those_of_tokenized_corpora_name_their_corpus(monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = object.__new__(Tokens)
    tokens.folder = Path("/somewhere/an4")
    monkeypatch.setattr(Tokens, "codes", lambda self, entry: np.full((2, entry.frames), 7))
    one = tokens.utterance(Entry("x", "test", 0, 3, text="hello", speaker="s"))
    assert (one.id, one.speaker, one.split, one.text) == ("an4/x", "an4/s", "test", "hello")
    assert one.codes().tolist() == [[7] * 3] * 2
    assert tokens.utterance(Entry("x", "test", 0, 3)).speaker is None
