"""Words that are probable, and words that repeat: against brute force and by hand."""

from __future__ import annotations

import itertools
import math
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechlm.cli import main
from speechlm.data.sources import scowl as lists
from speechlm.errors import SpeechLMError
from speechlm.evaluation import statistics
from speechlm.evaluation.diversity import auto_bleu, self_bleu
from speechlm.evaluation.lm.gslm_operating_points import points
from speechlm.evaluation.word_ngram_lm import WordModel
from tests.data.trees import fetched

TEXTS = st.lists(st.lists(st.sampled_from("abc"), max_size=6), min_size=2, max_size=5)


def grams(words: list[str], order: int) -> list[tuple[str, ...]]:
    return [tuple(words[at : at + order]) for at in range(len(words) - order + 1)]


def repeated(words: list[str], order: int) -> float:
    """As GSLM's code has it: what is left of a gram and what is right of it, apart."""
    found = grams(words, order)
    again = [
        gram in grams(words[:at], order) + grams(words[at + order :], order)
        for at, gram in enumerate(found)
    ]
    return sum(again) / (len(found) or 1)


@given(st.lists(st.sampled_from("abc"), max_size=9))
def test_auto_bleu_is_what_occurs_elsewhere_in_the_text(words: list[str]) -> None:
    assert auto_bleu(words) == pytest.approx((repeated(words, 1) + repeated(words, 2)) / 2)


def bleu(words: list[str], others: tuple[list[str], ...]) -> float:
    shares = []
    for order in (1, 2):
        own = Counter(grams(words, order))
        most: Counter[tuple[str, ...]] = Counter()
        for other in others:
            most |= Counter(grams(other, order))
        shares.append((own & most).total() / (own.total() or 1))
    return sum(shares) / 2


@given(TEXTS, st.data())
def test_self_bleu_is_the_mean_over_all_choices_of_references(
    texts: list[list[str]], data: st.DataObject
) -> None:
    references = data.draw(st.integers(1, len(texts) - 1))
    for number, found in enumerate(self_bleu(texts, references)):
        choices = itertools.combinations(texts[:number] + texts[number + 1 :], references)
        every = [bleu(texts[number], others) for others in choices]
        assert found == pytest.approx(sum(every) / len(every))


def test_self_bleu_does_not_grow_with_the_number_of_texts() -> None:
    random = np.random.default_rng(0)
    words = np.array([f"w{each}" for each in range(60)])
    texts = [random.choice(words, 8).tolist() for _ in range(240)]

    def mean(some: list[list[str]], references: int) -> float:
        return float(np.mean(self_bleu(some, references)))

    whole = mean(texts, 20)
    for part in (texts[:120], texts[120:], texts[:60]):
        assert mean(part, 20) == pytest.approx(whole, abs=0.02)
    # With all others as references, it would.
    assert mean(texts[:60], 59) < mean(texts, 239) - 0.1
    with pytest.raises(ValueError, match="3 references for each of 3 texts"):
        self_bleu(texts[:3], 3)


def test_what_repeats_is_seen() -> None:
    assert auto_bleu(["one", "two", "one", "two"]) == (1 + 2 / 3) / 2
    assert auto_bleu(["one", "two", "three"]) == auto_bleu(["one"]) == auto_bleu([]) == 0
    assert auto_bleu(["no"] * 3) == 0.5
    assert self_bleu([["one", "two"]] * 3, 2) == [1, 1, 1]
    assert self_bleu([["one", "two"], ["three"]], 1) == self_bleu([["one"], ["two"]], 1) == [0, 0]


LINES = ["the cat sat on the mat", "the dog sat on the log", "a cat and a dog sat"] * 4


def test_a_sentence_is_more_probable_than_its_words_in_disorder() -> None:
    model = WordModel([*LINES, "xylophone quartz"])
    assert set(model.ids) == set(" ".join(LINES).split())
    sentence = model.bits(["the", "cat", "sat", "on", "the", "mat"])
    assert 0 < sentence < model.bits(["mat", "the", "on", "sat", "cat", "the"])
    assert sentence < model.bits(["the", "cat", "sat", "on", "the", "zebra"])
    # What is not known is spelled: the longer, the dearer.
    assert model.bits(["quart"]) < model.bits(["quart" * 4])
    assert math.isfinite(model.bits(["Ω\u20ac"]))
    assert model.bits([]) == 0


def test_the_probabilities_of_words_add_up() -> None:
    """Those of the known ones and of the unknown one, after any beginning of a line."""
    model = WordModel([*LINES, "once"])
    for before in ([], ["the"], ["sat", "on"], ["quartz"]):
        start = model.bits(before)
        known = sum(2 ** (start - model.bits([*before, word])) for word in model.ids)
        unknown = model._words.probability(np.array([model.unknown]), model_contexts(model, before))
        assert known + float(unknown[0]) == pytest.approx(1)


def model_contexts(model: WordModel, before: list[str]) -> np.ndarray:
    ids = [model.ids.get(word, model.unknown) for word in reversed(before)]
    nothing = model._words.size
    return np.array([[*ids, nothing, nothing][: model._words.order - 1]])


def test_texts_of_rare_words_alone_are_learnt_and_no_text_is_not() -> None:
    assert math.isfinite(WordModel(["all of these once"]).bits(["all", "other"]))
    assert math.isfinite(WordModel(["twice twice"]).bits(["other"]))
    with pytest.raises(SpeechLMError, match="no text to learn words from"):
        WordModel(["", "  "])


def test_a_curve_is_read_where_it_passes_the_recordings() -> None:
    """VERT falls by 10 and perplexity doubles from one temperature to the next."""
    curve = np.array([[40.0, 100, 90], [30, 200, 80], [20, 400, 60]])
    found = points(curve, np.array([25.0, 150.0, 99]))
    assert (found.ppx, found.words, found.vert) == (300, 70, 35)
    # From VERT .35 to .30 at 150 to 200, and to .25 at 200 to 300.
    assert found.auc == pytest.approx(0.05 * 175 + 0.05 * 250)
    same = points(curve, curve[1])
    assert (same.ppx, same.vert, same.auc) == (200, 30, 0)
    cold = points(curve, np.array([10.0, 150.0, 99]))
    assert cold.vert == 35
    assert all(math.isnan(each) for each in (cold.ppx, cold.words, cold.auc))
    assert math.isnan(points(curve[:1], np.array([10.0, 150.0, 99])).auc)
    unheard = np.full((3, 3), np.nan)
    assert math.isnan(points(unheard, np.array([25.0, 150.0, 99])).ppx)


def test_a_curve_that_goes_up_and_down_has_no_area() -> None:
    curve = np.array([[11.4, 5870, 98], [13.2, 15546, 94], [9.6, 3013, 96], [9.6, 9361, 96]])
    found = points(curve, np.array([10.7, 11732, 93]))
    assert 3013 < found.ppx < 15546
    assert math.isnan(found.vert) and math.isnan(found.auc)
    # Both points are met once, but VERT rises in between.
    curve = np.array([[40.0, 100, 90], [30, 200, 80], [35, 300, 80], [20, 400, 60]])
    found = points(curve, np.array([25.0, 150.0, 99]))
    assert (found.vert, round(found.ppx)) == (35, 367) and math.isnan(found.auc)
    # The hotter, the more probable: which side is better is not known.
    found = points(np.array([[20.0, 100, 90], [30, 200, 80]]), np.array([25.0, 180, 90]))
    assert found.ppx == 150 and math.isnan(found.auc)


def test_a_statistic_of_sums_has_the_interval_of_the_mean() -> None:
    random = np.random.default_rng(0)
    values, weights = random.random(30), random.integers(1, 9, 30)
    sums = np.stack([values * weights, weights], axis=1)

    def figures(drawn: np.ndarray) -> np.ndarray:
        half = np.where(np.arange(len(drawn)) % 2, np.nan, 1.0)
        return np.stack([drawn[:, 0] / drawn[:, 1], np.full(len(drawn), np.nan), half], axis=1)

    found, nothing, half = statistics.of_sums(sums, figures, 30)
    mean = statistics.mean(values, weights)
    assert (found.mean, found.low, found.high) == pytest.approx((mean.mean, mean.low, mean.high))
    assert (found.n, found.failed) == (30, 0)
    assert (nothing.n, nothing.failed) == (0, 30)
    assert half.mean == 1 and math.isnan(half.low) and half.n == 30


def test_a_file_of_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = fetched(tmp_path, lists.PACKAGE)
    with pytest.raises(SpeechLMError, match="american-english: not a list of words"):
        lists.american_english(tmp_path)
    (root / lists.FILE).parent.mkdir(parents=True)
    (root / lists.FILE).write_text("Aaron\nit's\nzebra\n", "utf-8")
    arguments = ["words", str(tmp_path / "words.txt"), "--cache", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["speechlm", *arguments])
    with pytest.raises(SystemExit) as stop:
        main()
    assert not stop.value.code
    assert (tmp_path / "words.txt").read_text("utf-8") == "Aaron\nit's\nzebra\n"
