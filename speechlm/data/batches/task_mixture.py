"""What a language model is trained on: tasks, mixed by weight, over tokenized corpora."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from string import ascii_lowercase
from typing import ClassVar

import numpy as np

from speechlm.data import texts
from speechlm.data.batches.pack import PackedExamples, pack
from speechlm.data.batches.task_examples import Examples, open_corpora
from speechlm.data.batches.task_utterances import Utterances
from speechlm.data.splits import assign
from speechlm.data.tokens import Tokens
from speechlm.errors import SpeechLMError
from speechlm.lm import tasks
from speechlm.lm.patterns import pattern
from speechlm.lm.tasks import TokenLayout, TokenSequence
from speechlm.lm.vocabulary import PAD, Vocabulary
from speechlm.tokenizers.text import TextTokenizer

DEV_LINES = 0.02
"""Share of further texts on which to validate."""


@dataclass
class TaskConfig:
    """What a task is trained on, and how much."""

    weight: float = 1.0
    """How often an example is of this task, beside the weights of the others."""
    corpora: list[str] = field(default_factory=list)
    """Only these of the corpora, if any."""
    languages: list[str] = field(default_factory=list)
    """Only utterances in these, if any."""
    lines: list[str] = field(default_factory=list)
    """For a task of text alone: files with further texts, one a line."""


@dataclass
class MixtureConfig:
    """Corpora, tasks (by the names of ``speechlm.lm.tasks``) and batches."""

    RENAMED_KEYS: ClassVar[dict[str, str]] = {
        "levels": "num_codebooks",
        "tasks.read": "tasks.tts-wordwise",
        "tasks.read-voice": "tasks.tts-wordwise-voice",
    }

    corpora: list[str] = field(default_factory=list)
    """Folders that ``speechlm tokenize`` wrote, all with the same units."""
    num_codebooks: int = 4
    """Levels of the units that the model learns, from the first."""
    text: str | None = None
    """What ``speechlm text-tokenizer`` wrote; None: the characters of the texts of the corpora."""
    tasks: dict[str, TaskConfig | None] = field(default_factory=dict)
    """None leaves a task out."""
    batch: int = 8
    length: int = 512
    """Columns of each row of a batch; longer examples are left out or cropped."""
    validation: int = 64
    """Examples of each task, evenly spread over the dev splits, on which to validate."""


class Mixture:
    """Training and validation batches, and the vocabulary that they are in.

    Attributes:
        tasks: those that are trained on.
        batches: the training batch of a step.
        held_out: by task, the batches of the dev splits on which to validate.
        skipped: by task, how many training examples are too long.

    Raises:
        SpeechLMError: when the corpora do not fit together, or a task is unknown or has no example.
    """

    def __init__(self, config: MixtureConfig, pattern_kind: str, seed: int):
        corpora, units = open_corpora(config.corpora, config.num_codebooks)
        self.text = _characters(corpora) if config.text is None else TextTokenizer.load(config.text)
        self.vocabulary = Vocabulary(self.text.size, units)
        self.layout = TokenLayout(self.vocabulary, pattern(pattern_kind, units.num_codebooks))
        self.config = config
        self.tasks = {name: task for name, task in config.tasks.items() if task is not None}
        _check(config, self.tasks)
        train = self._examples(corpora, "train")
        self.skipped = {name: examples.skipped for name, examples in train.items()}
        weights = np.array([self.tasks[name].weight for name in train])
        self._ends = np.cumsum(weights) / weights.sum()
        self._train = list(train.values())
        pad = self.vocabulary.id(PAD)
        self.batches = PackedExamples(self._draw, config.batch, config.length, pad, seed)
        self.held_out = {
            name: pack(_spread(examples, config.validation), config.batch, config.length, pad)
            for name, examples in self._examples(corpora, "dev").items()
        }

    def _draw(self, random: np.random.Generator) -> TokenSequence:
        chosen = int(np.searchsorted(self._ends, random.random(), side="right"))
        return self._train[min(chosen, len(self._train) - 1)].draw(random)

    def _examples(self, corpora: Sequence[Tokens], split: str) -> dict[str, Examples]:
        found = {}
        utterances = Utterances(corpora, split, self.vocabulary.units.num_codebooks, self.text)
        for name, task in self.tasks.items():
            lines = texts.read_all(task.lines) if task.lines else []
            lines = [line for line in lines if assign(line, DEV_LINES, 0.0) == split]
            try:
                found[name] = Examples(
                    tasks.task(name), self.layout, utterances, self.config.length,
                    task.corpora, task.languages, lines,
                )  # fmt: skip
            except SpeechLMError as error:
                raise SpeechLMError(f"data.tasks.{name}: {split}: {error}") from None
        return found


def _characters(corpora: Sequence[Tokens]) -> TextTokenizer:
    """A tokenizer of the characters of the corpora's texts; of letters, where there are none."""
    lines = texts.read_all(corpus.folder for corpus in corpora)
    return TextTokenizer.train(lines or [ascii_lowercase])


def _check(config: MixtureConfig, chosen: dict[str, TaskConfig]) -> None:
    if not chosen:
        raise SpeechLMError(f"data.tasks names no task; there are {', '.join(tasks.TASKS)}")
    for name, task in chosen.items():
        if not task.weight > 0:
            raise SpeechLMError(f"data.tasks.{name}.weight={task.weight:g} must be above 0")
        for folder in task.corpora:
            if folder not in config.corpora:
                raise SpeechLMError(f"data.tasks.{name}.corpora: {folder} is not in data.corpora")
    if min(config.batch, config.length, config.validation) < 1:
        raise SpeechLMError("data: batch, length and validation are 1 or more")


def _spread(examples: Examples, number: int) -> list[TokenSequence]:
    """Some of the examples, the same ones each time."""
    count = len(examples)
    chosen = np.linspace(0, count - 1, min(number, count)).round().astype(int)
    return [examples.sequence(index, np.random.default_rng(index)) for index in chosen.tolist()]
