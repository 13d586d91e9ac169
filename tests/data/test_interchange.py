"""Codes in cuts of Lhotse, and in data sets of Hugging Face."""

from __future__ import annotations

import pickle
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from lhotse import CutSet, Recording

from speechlm import SpeechLMError, Tokenizer
from speechlm.data.lhotse_codes import add_codes, codes_of
from speechlm.data.map_codes import MapCodes
from tests.data.trees import tone, wave_file


@pytest.fixture
def tokenizer(tiny_model: Path) -> Tokenizer:
    return Tokenizer.from_pretrained(tiny_model, num_codebooks=2)


def test_codes_go_into_cuts_and_back(tokenizer: Tokenizer, tmp_path: Path) -> None:
    recording = Recording.from_file(wave_file(tmp_path / "a.wav", tone(1.0)))
    cut = recording.to_cut().truncate(offset=0.5, duration=0.4)
    add_codes([recording.to_cut(), cut], tokenizer, tmp_path / "codes").to_file(
        tmp_path / "cuts.jsonl.gz"
    )
    whole, part = CutSet.from_file(tmp_path / "cuts.jsonl.gz")
    codes = codes_of(whole, tokenizer.units)
    stored = torch.from_numpy(recording.load_audio())
    np.testing.assert_array_equal(codes, tokenizer.encode(stored)[0].numpy())
    assert codes_of(part, tokenizer.units).shape[0] == 2
    # Lhotse cuts codes with the cut, by their frame shift.
    inner = codes_of(whole.truncate(offset=0.2, duration=0.4), tokenizer.units)
    np.testing.assert_array_equal(inner, codes[:, 10:31])
    timed = whole.truncate(offset=0.2, duration=0.4).load_codes().T
    np.testing.assert_array_equal(timed, codes[:, 10:30])
    short = codes_of(part.truncate(duration=0.2), tokenizer.units)
    np.testing.assert_array_equal(short, codes_of(part, tokenizer.units)[:, :11])


def test_codes_of_another_tokenizer_are_refused(
    tokenizer: Tokenizer, tiny_model: Path, tmp_path: Path
) -> None:
    cut = Recording.from_file(wave_file(tmp_path / "a.wav", tone(0.5))).to_cut()
    with pytest.raises(SpeechLMError, match="has no codes"):
        codes_of(cut, tokenizer.units)
    (coded,) = add_codes([cut], tokenizer, tmp_path / "codes")
    other = Tokenizer.from_pretrained(tiny_model)
    with pytest.raises(SpeechLMError, match=r"codes of 2 levels of .*, not of 4 levels of"):
        codes_of(coded, other.units)


def test_a_column_of_codes(tokenizer: Tokenizer, tiny_model: Path) -> None:
    wave = tone(0.5)
    samples = SimpleNamespace(data=torch.from_numpy(np.stack([wave, wave])), sample_rate=16000)
    batch = {
        "audio": [
            {"array": wave, "sampling_rate": 16000},
            SimpleNamespace(get_all_samples=lambda: samples),
        ]
    }
    function = pickle.loads(pickle.dumps(MapCodes(str(tiny_model), num_codebooks=2)))
    first, second = function(batch)["codes"]
    expected = tokenizer.encode(torch.from_numpy(wave)[None])[0].tolist()
    assert first == second == expected
    (slow,) = function({"audio": [{"array": wave[::2], "sampling_rate": 8000}]})["codes"]
    assert np.shape(slow) == np.shape(first)
    # Having been used, it pickles without the tokenizer.
    assert function.__getstate__() == MapCodes(str(tiny_model), num_codebooks=2).__getstate__()


def test_a_column_without_audio(tiny_model: Path) -> None:
    function = MapCodes(str(tiny_model))
    with pytest.raises(SpeechLMError, match="no column audio; there are path, text"):
        function({"path": [], "text": []})
    with pytest.raises(SpeechLMError, match="holds no samples"):
        function({"audio": [{"path": "a.wav", "bytes": b""}]})
