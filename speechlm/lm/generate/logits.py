"""Logits processors: what is done to logits before a token is sampled, in a list.

A new one is a subclass of :class:`LogitsProcessor`, appended in :func:`logits_processors`.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from speechlm.errors import SpeechLMError
from speechlm.lm.generate.sampling import Sampling


class LogitsProcessor:
    """Maps logits (rows, n) to logits (batch, n): combined, shifted, scaled or masked."""

    def __call__(self, logits: Tensor) -> Tensor:
        raise NotImplementedError

    def observe(self, tokens: Tensor) -> None:
        """Note the sampled indices (batch,), for a processor that depends on what came before."""


class ClassifierFreeGuidance(LogitsProcessor):
    """Guides the first ``batch`` rows by those below them (Ho and Salimans 2022).

    Without rows below, logits stay as they are.
    """

    def __init__(self, scale: float, batch: int):
        self.scale, self.batch = scale, batch

    def __call__(self, logits: Tensor) -> Tensor:
        if len(logits) == self.batch:
            return logits
        full, reduced = logits.chunk(2)
        return reduced + self.scale * (full - reduced)


class LoopPenalty(LogitsProcessor):
    """Penalises tokens that prolong a loop.

    Speech repeats units: a vowel or a pause is one unit for a while. So tokens are not penalised
    for having occurred, as by the repetition penalty for text (Keskar et al. 2019), but only where
    they prolong a loop, of a period up to ``window`` tokens, that has lasted for ``window`` tokens
    already: by one more nat for every further ``window / 10`` of them.

    Args:
        end: the index of the token that ends a sequence, which is in no loop.
    """

    def __init__(self, window: int, batch: int, end: int):
        self.window, self.end = max(window, 1), end
        self.past = np.full((batch, self.window), -1, np.int64)
        """Past tokens of each example, the latest first."""
        self.runs = np.zeros((batch, self.window), np.int64)
        """By period, from 1: number of tokens in a row that equal the one a period before."""

    def __call__(self, logits: Tensor) -> Tensor:
        examples, periods = np.nonzero(self.runs >= self.window)
        if not len(examples):
            return logits
        penalties = np.zeros(logits.shape, np.float32)
        nats = 10 * (self.runs[examples, periods] - self.window + 1) / self.window
        np.maximum.at(penalties, (examples, self.past[examples, periods]), nats.astype(np.float32))
        return logits - torch.from_numpy(penalties).to(logits.device)

    def observe(self, tokens: Tensor) -> None:
        chosen = tokens.cpu().numpy()[:, None]
        runs = np.where(self.past == chosen, self.runs + 1, 0)
        past = np.concatenate([chosen, self.past[:, :-1]], axis=1)
        self.runs = np.where(chosen == self.end, self.runs, runs)
        self.past = np.where(chosen == self.end, self.past, past)


class MinLength(LogitsProcessor):
    """Masks the token ``end`` for the first ``number`` tokens."""

    def __init__(self, number: int, end: int):
        self.number, self.end = number, end

    def __call__(self, logits: Tensor) -> Tensor:
        if self.number <= 0:
            return logits
        self.number -= 1
        return logits.index_fill(1, torch.tensor([self.end], device=logits.device), -torch.inf)


class Temperature(LogitsProcessor):
    """Divides logits by a temperature."""

    def __init__(self, temperature: float):
        self.temperature = temperature

    def __call__(self, logits: Tensor) -> Tensor:
        return logits / self.temperature


class TopK(LogitsProcessor):
    """Masks all but the ``k`` highest logits of each row, and those equal to the last of them."""

    def __init__(self, k: int):
        self.k = k

    def __call__(self, logits: Tensor) -> Tensor:
        floor = logits.topk(min(self.k, logits.shape[1])).values[:, -1:]
        return logits.masked_fill(logits < floor, -torch.inf)


class TopP(LogitsProcessor):
    """Nucleus sampling (Holtzman et al. 2020): keeps the smallest set of tokens of each row whose
    probability reaches ``p``."""

    def __init__(self, p: float):
        self.p = p

    def __call__(self, logits: Tensor) -> Tensor:
        probs = logits.softmax(1)
        descending = probs.sort(1, descending=True).values
        cumulative = descending.cumsum(1)
        last = torch.searchsorted(cumulative, self.p * cumulative[:, -1:])
        return logits.masked_fill(probs < descending.gather(1, last), -torch.inf)


def logits_processors(
    sampling: Sampling,
    batch: int,
    end: int | None = None,
    repetition_window: int = 0,
    min_tokens: int = 0,
) -> list[LogitsProcessor]:
    """The logits processors of ``sampling``, in the order of application.

    Args:
        batch: number of examples.
        end: index of the token that ends a sequence; None where none does, as below the first
            codebook, where loops are not penalised either.
        repetition_window: tokens that may repeat without a penalty.
        min_tokens: tokens before which ``end`` is masked.
    """
    processors: list[LogitsProcessor] = []
    if sampling.guidance is not None:
        processors.append(ClassifierFreeGuidance(sampling.guidance, batch))
    if sampling.repetition_window and end is not None:
        processors.append(LoopPenalty(repetition_window, batch, end))
    if min_tokens and end is not None:
        processors.append(MinLength(min_tokens, end))
    if not sampling.is_greedy:
        processors.append(Temperature(sampling.temperature))
        if sampling.top_k:
            processors.append(TopK(sampling.top_k))
        if sampling.top_p < 1:
            processors.append(TopP(sampling.top_p))
    return processors


class Sampler:
    """Samples tokens for a batch; each example and each ``stream`` has its own random numbers.

    They come from NumPy on any device, so a seed gives the same tokens wherever the logits agree.
    With one stream per codebook, the numbers that a codebook uses depend only on how many of its
    own codes came before.
    """

    def __init__(
        self,
        sampling: Sampling,
        batch: int,
        processors: list[LogitsProcessor] | None = None,
        stream: int = 0,
    ):
        self.is_greedy = sampling.is_greedy
        self.processors = logits_processors(sampling, batch) if processors is None else processors
        seeds = sampling.seeds or [sampling.seed + number for number in range(batch)]
        if len(seeds) != batch:
            raise SpeechLMError(f"{len(seeds)} seeds for a batch of {batch}")
        self.random = [np.random.default_rng([seed % 2**64, stream]) for seed in seeds]

    def __call__(self, logits: Tensor) -> Tensor:
        """Sampled indices (batch,) for logits (rows, n)."""
        logits = logits.float()
        for process in self.processors:
            logits = process(logits)
        tokens = logits.argmax(1) if self.is_greedy else self._draw(logits)
        for process in self.processors:
            process.observe(tokens)
        return tokens

    def _draw(self, logits: Tensor) -> Tensor:
        """Indices (batch,) where the cumulated probabilities pass a random number."""
        points = torch.tensor([random.random() for random in self.random], device=logits.device)
        cumulative = logits.softmax(1).cumsum(1)
        drawn = torch.searchsorted(cumulative, points[:, None] * cumulative[:, -1:], right=True)
        return drawn.squeeze(1).clamp(max=logits.shape[1] - 1)
