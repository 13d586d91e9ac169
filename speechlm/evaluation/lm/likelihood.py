"""Bits a second of the units of held-out speakers, to the model and to n-grams."""

from __future__ import annotations

import numpy as np

from speechlm.data.utterance import Utterance
from speechlm.errors import SpeechLMError
from speechlm.evaluation.kneser_ney import UnitNgrams
from speechlm.evaluation.lm.config import LikelihoodConfig
from speechlm.evaluation.lm.model_under_test import ModelUnderTest
from speechlm.evaluation.lm.result_table import Section
from speechlm.evaluation.metrics import Score
from speechlm.evaluation.schema import Column
from speechlm.utils.processes import progress

NGRAMS = {
    "unigrams": (1, "time"),
    "bigrams": (2, "time"),
    "trigrams": (3, "time"),
    "bigrams over levels": (2, "levels"),
    "trigrams over levels": (3, "levels"),
    "4-grams over levels": (4, "levels"),
}
"""Order, and over what, of :class:`~speechlm.evaluation.kneser_ney.UnitNgrams`."""
ABOUT = (
    "Bits of information a second of units, of speakers whom the training data does not have: the "
    "less, the better a model predicts. Interpolated Kneser-Ney n-grams learned the training "
    "splits; those over levels also look at the levels above in the frame. The best n-gram is the "
    "one that is best on this very draw."
)


def run(config: LikelihoodConfig, subject: ModelUnderTest) -> dict[str, Section]:
    """A section for each draw of the evaluation set.

    Raises:
        SpeechLMError: when there are no such speakers.
    """
    held = held_out(subject)
    number = min(config.utterances, len(held))
    draws = [
        np.sort(np.random.default_rng(seed).permutation(len(held))[:number])
        for seed in range(config.seeds)
    ]
    drawn = np.unique(draws)
    bits = np.full((1 + len(NGRAMS), len(held), subject.num_codebooks), np.nan)
    with progress("likelihood", len(bits) * len(drawn)) as advance:
        for row, name in enumerate((subject.name, *NGRAMS)):
            ngram = learn(name, subject) if row else None
            for index in drawn:
                codes = subject.codes(held[index])
                if ngram is None:
                    bits[row, index] = subject.model.score(codes).bits
                else:
                    bits[row, index] = ngram.bits(codes).sum(axis=1)
                advance(name)
    return {
        f"likelihood {seed}": _section(
            f"seed {seed}", [held[index] for index in draw], bits[:, draw], subject
        )
        for seed, draw in enumerate(draws)
    }


def held_out(subject: ModelUnderTest) -> list[Utterance]:
    """The test utterances of speakers of whom nothing is in the training splits.

    Raises:
        SpeechLMError: when there is none.
    """
    trained = {one.speaker for one in subject.split("train")}
    found = [
        one
        for one in subject.split("test")
        if one.speaker is not None and one.speaker not in trained
    ]
    if not found:
        raise SpeechLMError("no speaker of the test splits is held out from the training splits")
    return found


def learn(name: str, subject: ModelUnderTest) -> UnitNgrams:
    """N-grams (one of ``NGRAMS``) of the training splits."""
    codes = [subject.codes(one) for one in subject.split("train")]
    return UnitNgrams(codes, subject.model.units.codebook_size, *NGRAMS[name])


def _section(
    title: str, held: list[Utterance], bits: np.ndarray, subject: ModelUnderTest
) -> Section:
    """From bits (systems, utterances, levels)."""
    names = list(NGRAMS)
    best = 1 + int(bits[1:].sum(axis=(1, 2)).argmin())
    section = Section(
        f"Likelihood, {title}", ABOUT, _columns(subject.num_codebooks, names[best - 1])
    )
    systems = [
        section.system(subject.name, "the model"),
        *(section.system(name, "Kneser-Ney") for name in names),
    ]
    for one, by_system in zip(held, bits.transpose(1, 0, 2), strict=True):
        seconds = one.codes().shape[1] * subject.seconds
        section.item(one.id, seconds=seconds, speaker=one.speaker, text=one.text)
        floor = float(by_system[best].sum())
        for name, levels in zip(systems, by_system, strict=True):
            cells = {
                "bits": Score(float(levels.sum()) / seconds, weight=seconds),
                "against": Score(100 * (float(levels.sum()) / floor - 1), weight=floor),
            }
            for level, each in enumerate(levels):
                cells[f"level {level}"] = Score(float(each) / seconds, weight=seconds)
            section.add(name, cells)
    return section


def _columns(num_codebooks: int, best: str) -> dict[str, Column]:
    columns = {
        "bits": Column("Units", "bits/s", "lower", 1, "all bits over all seconds"),
        "against": Column(
            "Against best n-gram", "%", "lower", 1, f"bits more (or less) than {best} take"
        ),
    }
    for level in range(num_codebooks):
        about = f"of level {level}, given the levels above and what came before"
        columns[f"level {level}"] = Column(f"Level {level}", "bits/s", "lower", 1, about)
    return columns
