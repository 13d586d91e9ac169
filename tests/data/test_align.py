"""Words of recordings: when they are said, as far as Whisper's attention tells."""

from __future__ import annotations

import itertools
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from speechlm import whisper
from speechlm.alignment.attention import EARLIEST, LATEST, AttentionAligner, snap_to_energy_minimum
from speechlm.alignment.words import RATE, levels
from speechlm.cli import main
from speechlm.data.prepare import prepare
from speechlm.data.speech import find
from speechlm.data.tokenize import tokenize_share
from speechlm.data.tokens import Tokens
from speechlm.errors import SpeechLMError
from speechlm.utils.distributed import Shard
from tests.tools import require


@pytest.fixture(scope="module")
def aligner() -> AttentionAligner:
    require(whisper.installed(), "Whisper tiny.en (speechlm[asr])")
    return AttentionAligner(None, "en")


@pytest.fixture
def said(sample: Path) -> str:
    return sample.with_suffix(".txt").read_text("utf-8").strip()


def test_words_follow_one_another(aligner: AttentionAligner, sample: Path, said: str) -> None:
    wave, rate = soundfile.read(sample, dtype="float32")
    assert rate == RATE
    words = aligner(wave, said)
    assert [word.text for word in words] == said.split()
    assert words[0].start == 0
    assert all(one.stop == other.start for one, other in itertools.pairwise(words))
    assert words[-1].stop <= len(wave) / RATE + 0.1
    lengths = np.array([word.stop - word.start for word in words])
    assert (lengths >= 0).all()
    assert (lengths > 0.05).mean() > 0.9


def test_edges_settle_between_letters_that_are_spelled() -> None:
    """Tones of 250 ms with 80 ms between them, of which each is found 0.1 s late."""
    tone = 0.3 * np.sin(2 * np.pi * 300 * np.arange(RATE // 4) / RATE)
    gap = np.zeros(RATE * 8 // 100)
    wave = np.concatenate([part for _ in range(5) for part in (gap, tone)]).astype(np.float32)
    begins = [0.08 + 0.33 * number for number in range(5)]
    found = snap_to_energy_minimum(levels(wave), [0.0, *(each + 0.1 for each in begins[1:])])
    for edge, begin in zip(found[1:], begins[1:], strict=True):
        assert begin - 0.08 <= edge <= begin


@given(st.lists(st.floats(0, 2), min_size=2, max_size=9).map(sorted), st.integers(0, 99))
def test_settled_edges_stay_in_order_and_near(times: list[float], seed: int) -> None:
    noise = np.random.default_rng(seed).standard_normal(2 * RATE)
    loud = np.repeat(np.random.default_rng(seed).random(20), RATE // 10)
    found = snap_to_energy_minimum(levels((0.1 * noise * loud).astype(np.float32)), times)
    assert found == sorted(found)
    assert found[0] == times[0]
    moved = np.array(found) - times
    assert (moved >= -EARLIEST - 1e-9).all()
    assert (moved <= LATEST + 1e-9).all()


def test_silence_between_two_sentences_moves_only_the_second(
    aligner: AttentionAligner, sample: Path, said: str
) -> None:
    """Half a second more before it: words before stay, and words after are half a second late."""
    wave, _ = soundfile.read(sample, dtype="float32")
    words = aligner(wave, said)
    number = next(n for n, word in enumerate(words) if word.text.endswith(".")) + 1
    cut, more = round(words[number].start * RATE), RATE // 2
    later = aligner(np.concatenate([wave[:cut], np.zeros(more, np.float32), wave[cut:]]), said)
    before = [late.stop - word.stop for word, late in zip(words, later, strict=True)][: number - 1]
    after = [late.stop - word.stop for word, late in zip(words, later, strict=True)][number:]
    assert np.median(np.abs(before)) <= 0.06
    assert np.median(np.abs(np.array(after) - 0.5)) <= 0.06


def test_what_whisper_does_not_hear_at_once_is_not_aligned(aligner: AttentionAligner) -> None:
    with pytest.raises(SpeechLMError, match="longer than 30 s"):
        aligner(np.zeros(31 * RATE, np.float32), "one")


@pytest.fixture
def corpus(tmp_path: Path, sample: Path, said: str) -> Path:
    folder = tmp_path / "recordings"
    folder.mkdir()
    shutil.copy(sample, folder / "one.flac")
    (folder / "one.txt").write_text(said, "utf-8")
    declared = [f"path={folder}", f"output={tmp_path / 'corpus'}", "language=en"]
    prepare(Path(__file__).parents[2] / "data" / "folder.yaml", declared)
    return tmp_path / "corpus"


def test_a_corpus_is_aligned_once_and_tokenized_with_its_words(
    aligner: AttentionAligner,
    corpus: Path,
    tiny_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    def cuts() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in corpus.glob("cuts-*")}

    def align(*options: object) -> str:
        monkeypatch.setattr(sys, "argv", ["speechlm", "align", str(corpus), *map(str, options)])
        with pytest.raises(SystemExit) as stop:
            main()
        assert not stop.value.code
        return " ".join(capfd.readouterr().out.split())

    before = cuts()
    assert "aligned │ 1" in align()
    aligned = cuts()
    assert aligned != before
    assert "aligned before │ 1" in align()
    assert cuts() == aligned
    [one] = find(corpus)
    assert one.aligned
    assert [text for text, _, _ in one.segments] == (one.text or "").split()
    assert len(one.audio()[0])
    tokenize_share(corpus, tmp_path / "tokens", Shard(), str(tiny_model))
    tokens = Tokens(tmp_path / "tokens")
    rate = tokens.units.frame_rate
    starts = [segment.start for segment in tokens.entries[0].segments]
    assert starts == [round(start * rate) for _, start, _ in one.segments]


def test_english_is_all_that_the_wheel_knows(aligner: AttentionAligner) -> None:
    with pytest.raises(SpeechLMError, match="it knows English, not 'nl'"):
        AttentionAligner(None, "nl")
