"""Continuations over temperatures: how probable and how diverse are the words that are heard?"""

from __future__ import annotations

import math
from dataclasses import dataclass
from glob import glob
from pathlib import Path

import numpy as np

from speechlm.data.texts import read_all
from speechlm.errors import SpeechLMError
from speechlm.evaluation import diversity, statistics
from speechlm.evaluation.clips import find
from speechlm.evaluation.lm import continuation, generation_stats
from speechlm.evaluation.lm.asr_judges import Transcript, texts
from speechlm.evaluation.lm.config import SweepConfig
from speechlm.evaluation.lm.gslm_operating_points import points
from speechlm.evaluation.lm.model_under_test import ModelUnderTest
from speechlm.evaluation.lm.result_table import Section
from speechlm.evaluation.metrics import Score
from speechlm.evaluation.metrics.base import failed
from speechlm.evaluation.recognition.text import Normaliser, normaliser
from speechlm.evaluation.samples import ItemSamples, Sample
from speechlm.evaluation.schema import Column
from speechlm.evaluation.word_ngram_lm import WordModel
from speechlm.lm.generate.sampling import Sampling
from speechlm.types import Floats, Wave
from speechlm.utils.processes import progress

REAL = "recording"
ABOUT = (
    "The model hears the beginning of a recording and goes on, for as long as the speaker did at "
    "most, at several temperatures and without other limits on what it draws. The figures are of "
    "the words that {} hears in that alone; beside them, in what the speaker went on with. More "
    "texts have more in common, so self-BLEU, and so VERT, is of each text with {} others, on the "
    "mean of all choices of them."
)
POINTS = (
    "No one temperature compares two models: a cold one repeats itself, a hot one babbles. After "
    "GSLM (Lakhotia et al. 2021), the curve of perplexity over VERT is read where it passes the "
    "VERT and the perplexity of the recordings. For the intervals, prompts are resampled for all "
    "temperatures and recordings at once."
)
COLUMNS = {
    "self": Column("Self-BLEU-2", "%", None, 1, "mean of shares: words and pairs of others too"),
    "auto": Column("Auto-BLEU-2", "%", None, 1, "mean of shares: words and pairs said twice"),
    "vert": Column("VERT-2", "%", None, 1, "geometric mean of the means of self- and auto-BLEU-2"),
    "bits": Column(
        "Bits a word", "", "lower", 2, "to Kneser-Ney trigrams of words, which spell rare ones"
    ),
    "ppx": Column("ASR-perplexity", "", "lower", 0, "2 to the bits a word"),
    "words": Column("Dictionary words", "%", "higher", 1, "of all words heard; numbers count"),
    "heard": Column("Words heard", "%", "higher", 1, "any at all", share=True),
    **{name: generation_stats.COLUMNS[name] for name in ("ended", "unlooped", "seconds")},
}
POINT_COLUMNS = {
    "ppx": Column(
        "PPX at recordings' VERT", "", "lower", 0, "ASR-perplexity, between temperatures"
    ),
    "vert": Column("VERT at recordings' PPX", "%", "lower", 1, "between temperatures"),
    "words": Column(
        "Dictionary words at recordings' VERT", "%", "higher", 1, "between temperatures"
    ),
    "auc": Column(
        "AUC",
        "",
        "lower",
        2,
        "of perplexity over VERT (as a share), from one point to the other; below 0 where a model "
        "is more diverse than recordings of its perplexity",
    ),
}
HEARD = "self", "auto", "bits", "words", "heard"
"""Columns of what is heard of one item."""
NOTHING = "no word was heard"
PLACELESS = "the curve has it between no two temperatures, or more than once"
AREALESS = "from one point to the other, VERT does not fall while perplexity rises; or one is none"
FEW = "words were heard once alone"
REFERENCES = 20
"""Texts to compare each with, or as many as every system has: so that models compare too."""


class TextJudge:
    """Judges texts: by n-grams of words, and a dictionary. Any number is one and the same word.

    Raises:
        SpeechLMError: when there are no texts or words.
    """

    def __init__(self, config: SweepConfig, style: str):
        self.normalise: Normaliser = normaliser(style)
        lines = (_numberless(self.words(line)) for line in _lines(config.texts, "texts"))
        self.model = WordModel(map(" ".join, lines))
        self.dictionary = frozenset(self.words(" ".join(_lines(config.words, "words"))))

    def words(self, text: str) -> list[str]:
        return self.normalise(text).split()

    def cells(self, words: list[str]) -> dict[str, Score]:
        """What one text tells of itself."""
        if not words:
            return dict.fromkeys(("auto", "bits", "words"), failed(NOTHING))
        known = sum(word in self.dictionary or word[0].isdigit() for word in words)
        return {
            "auto": Score(100 * diversity.auto_bleu(words)),
            "bits": Score(self.model.bits(_numberless(words)) / len(words), weight=len(words)),
            "words": Score(100 * known / len(words), weight=len(words)),
        }


def _numberless(words: list[str]) -> list[str]:
    return ["0" if word[0].isdigit() else word for word in words]


@dataclass(frozen=True)
class _Said:
    """What one recogniser hears of one system after one prompt, and the cells known by then."""

    heard: Transcript
    cells: dict[str, Score]


def run(config: SweepConfig, subject: ModelUnderTest) -> dict[str, Section]:
    """For each recogniser, a section with a row a temperature, and one with the operating points.

    They are called ``sweep:NAME`` and ``sweep points:NAME``; the first has what there is to hear.

    Raises:
        SpeechLMError: when no recording is longer than the prompt, no recogniser listens, or there
            are no texts to judge by.
    """
    listeners = subject.ears.names
    if not listeners:
        raise SpeechLMError("somebody has to hear what is said: give recognisers")
    reader = TextJudge(config, subject.ears.style)
    clips = [clip for clip in find(config.clips) if clip.seconds > config.prompt]
    if not clips:
        raise SpeechLMError(f"no recording is longer than a prompt of {config.prompt:g} s")
    subject.warm()
    title = "Continuations over temperatures, heard by {}"
    sections = {who: Section(title.format(who), "", COLUMNS) for who in listeners}
    said: dict[str, dict[str, list[_Said]]] = {who: {} for who in listeners}
    size = round(config.prompt * subject.rate)
    with progress("sweep     ", len(clips) * len(config.temperatures)) as advance:
        for number, clip in enumerate(clips):
            for section in sections.values():
                section.item(clip.id, seconds=clip.seconds, text=clip.text, speaker=clip.speaker)
            wave = subject.wave(clip)
            end = size + round(config.seconds * subject.rate)
            cards = []
            for temperature in config.temperatures:
                seed = config.seed + number
                how = Sampling(
                    temperature, top_p=1.0, repetition_window=0.0, guidance=1.0, seed=seed
                )
                every, card = _gone_on(wave[:size], len(wave[size:end]), how, subject)
                for who, one in every.items():
                    said[who].setdefault(card.name, []).append(one)
                cards.append(card)
                advance(clip.id)
            heard = subject.ears.hear(wave[size:end], subject.rate)
            for who in listeners:
                said[who].setdefault(REAL, []).append(_Said(heard[who], {}))
            cards.append(Sample(REAL, wave[:end], texts(heard)))
            sections[listeners[0]].samples.append(ItemSamples(clip.id, clip.text, cards))
    found = {}
    for who, section in sections.items():
        references = _references(said[who], reader)
        section.about = ABOUT.format(who, references)
        for name, several in said[who].items():
            section.system(name, "what the speaker went on with" if name == REAL else "goes on")
            _add(section, name, several, reader, references)
        found[f"sweep:{who}"] = section
        found[f"sweep points:{who}"] = _figures(section, subject.name, who)
    return found


def _gone_on(
    prompt: Wave, samples: int, how: Sampling, subject: ModelUnderTest
) -> tuple[dict[str, _Said], Sample]:
    """What the model says after ``prompt`` (samples,), for ``samples`` at most, by who hears it."""
    name = f"{subject.name} at {how.temperature:g}"
    try:
        before, made = continuation.continue_prompt(prompt, samples / subject.rate, how, subject)
    except SpeechLMError as error:  # as a prompt beyond the context
        nothing = _Said(Transcript(reason=str(error)), {})
        return dict.fromkeys(subject.ears.names, nothing), Sample(name, note=str(error))
    heard = subject.ears.hear(made.wave, subject.rate)
    cells = generation_stats.cells(made, subject.rate)
    own = {column: cells[column] for column in ("ended", "unlooped", "seconds")}
    card = Sample(name, np.concatenate([before, made.wave]), texts(heard))
    return {who: _Said(what, own) for who, what in heard.items()}, card


def _references(said: dict[str, list[_Said]], reader: TextJudge) -> int:
    """How many others each text is compared with, for all systems of which two are heard."""
    heard = [sum(bool(reader.words(one.heard.text)) for one in every) for every in said.values()]
    return min([REFERENCES, *(texts - 1 for texts in heard if texts > 1)])


def _add(
    section: Section, name: str, every: list[_Said], reader: TextJudge, references: int
) -> None:
    """Add the rows of a system, and its figures."""
    words = [reader.words(one.heard.text) for one in every]
    some = [number for number, each in enumerate(words) if each]
    beside = {}
    if len(some) > 1:
        own = diversity.self_bleu([words[n] for n in some], references)
        beside = {n: Score(100 * share) for n, share in zip(some, own, strict=True)}
    for number, (one, each) in enumerate(zip(every, words, strict=True)):
        if one.heard.reason:
            cells = dict.fromkeys(HEARD, failed(one.heard.reason))
        else:
            other = beside.get(number, failed(FEW if each else NOTHING))
            cells = {"self": other, "heard": Score(100.0 * bool(each)), **reader.cells(each)}
        section.add(name, cells | one.cells, text=one.heard.text)
    sums, n = _sums(section, name), len(some)
    for column, found in zip(("vert", "ppx"), statistics.of_sums(sums, _read, n), strict=False):
        section.figure(name, column, found, FEW if some else NOTHING)


def _figures(swept: Section, name: str, who: str) -> Section:
    """The operating points of a sweep."""
    title = f"Operating points of the sweep, heard by {who}"
    section = Section(title, POINTS, POINT_COLUMNS)
    section.items = swept.items
    section.system(name, "the model")
    sums = np.stack([_sums(swept, each) for each in swept.systems], axis=1)
    every = statistics.of_sums(sums, _points, len(swept.items))
    for column, found in zip(POINT_COLUMNS, every, strict=True):
        section.figure(name, column, found, AREALESS if column == "auc" else PLACELESS)
    return section


def _points(sums: Floats) -> Floats:
    """Operating points (resamples, 4) of sums (resamples, systems, 6), recordings last."""
    return np.array([points(curve[:-1], curve[-1]) for curve in _read(sums)])


def _sums(section: Section, name: str) -> Floats:
    """What the means of a system are made of (items, 6): self- and auto-BLEU of those of which
    something was heard, how many these are, bits, dictionary words (%), and words.
    """
    found = np.zeros((len(section.rows[name]), 6))
    for one, row in zip(found, section.rows[name], strict=True):
        own, auto, bits, known = (row["cells"][column] for column in HEARD[:-1])
        if auto["value"] is not None:
            words = bits.get("weight", 1.0)
            one[:3] = math.nan if own["value"] is None else own["value"], auto["value"], 1
            one[3:] = bits["value"] * words, known["value"] * words, words
    return found


def _read(sums: Floats) -> Floats:
    """VERT (%), perplexity and dictionary words (%) (..., 3) of sums (..., 6)."""
    own, auto, texts, bits, known, words = np.moveaxis(sums, -1, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        found = np.sqrt(own * auto) / texts, 2 ** (bits / words), known / words
    return np.stack(found, axis=-1)


def _lines(patterns: list[str], key: str) -> list[str]:
    found = [path for pattern in patterns for path in sorted(glob(pattern)) or [pattern]]  # noqa: PTH207 (may be absolute)
    if not found:
        raise SpeechLMError(f"sweep.{key}: name files; see speechlm verses and speechlm words")
    return read_all(map(Path, found))
