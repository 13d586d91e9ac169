"""Sampling of tokens from logits: logits processors, guidance and the penalty on loops."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from speechlm.errors import SpeechLMError

GREEDY_BELOW = 1e-6
"""Temperature below which sampling is greedy: logits divided by it overflow in float32."""


@dataclass(frozen=True)
class Sampling:
    """How tokens are sampled.

    Attributes:
        temperature: divides the logits; 0 (or less than ``GREEDY_BELOW``) is greedy.
        top_k: sample from the k most probable tokens; 0 for all.
        top_p: nucleus sampling: the smallest set of tokens whose probability exceeds p.
        repetition_window: seconds for which speech may repeat itself without a penalty
            (:class:`LoopPenalty`); 0 for no limit.
        guidance: scale of classifier-free guidance (Ho and Salimans 2022), 1 for none: level 0 is
            guided by the model without text, the levels below by the model without its semantic
            stream. For models trained with ``mask.cfg_text_dropout`` or ``mask.semantic_dropout``;
            takes two or three times the compute. None: the default of the model.
        best_of: number of candidates of text to speech, of which the one is kept that the model's
            own ASR scores highest; None: the default of the model.
        seed: of the random numbers. Example i of a batch uses ``seed + i``.
        seeds: of the examples of a batch, one for each; none: as ``seed`` says.
        min_seconds: minimum length of a continuation.

    Raises:
        SpeechLMError: for a value outside its range.
    """

    temperature: float = 0.9
    top_k: int = 0
    top_p: float = 0.95
    repetition_window: float = 1.0
    guidance: float | None = None
    best_of: int | None = None
    seed: int = 0
    min_seconds: float = 0.0
    seeds: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < math.inf:
            raise SpeechLMError(f"temperature is 0 or more and finite, not {self.temperature:g}")
        if self.top_k < 0:
            raise SpeechLMError(f"top-k is 0 (all) or more, not {self.top_k}")
        if not 0 < self.top_p <= 1:
            raise SpeechLMError(f"top-p is above 0 and at most 1, not {self.top_p:g}")
        if self.guidance is not None and not 0 <= self.guidance < math.inf:
            raise SpeechLMError(f"guidance is 0 or more and finite, not {self.guidance:g}")
        if self.best_of is not None and self.best_of < 1:
            raise SpeechLMError(f"best-of is 1 or more, not {self.best_of}")
        if not 0 <= self.repetition_window < math.inf:
            raise SpeechLMError(
                f"repetition_window is 0 (no limit) or seconds, not {self.repetition_window:g}"
            )
        if not 0 <= self.min_seconds < math.inf:
            raise SpeechLMError(f"min_seconds is 0 or above, and finite, not {self.min_seconds:g}")

    @property
    def uses_guidance(self) -> bool:
        """Whether guidance other than 1 is set."""
        return self.guidance not in (None, 1)


GREEDY = Sampling(temperature=0.0)
TTS_SAMPLING = Sampling(temperature=0.5, top_p=0.9)
"""Default of text to speech, where intelligibility matters more than variety."""


class Sampler:
    """Samples tokens for a batch; each example and each ``stream`` has its own random numbers.

    They come from NumPy on any device, so a seed gives the same tokens wherever the logits agree.
    With one stream per codebook, the numbers that a codebook uses depend only on how many of its
    own codes came before.
    """

    def __init__(self, sampling: Sampling, batch: int, stream: int = 0):
        self.sampling = sampling
        self.processors = logits_processors(sampling)
        seeds = sampling.seeds or [sampling.seed + number for number in range(batch)]
        if len(seeds) != batch:
            raise SpeechLMError(f"{len(seeds)} seeds for a batch of {batch}")
        self.random = [np.random.default_rng([seed % 2**64, stream]) for seed in seeds]

    def __call__(self, logits: Tensor) -> Tensor:
        """Sampled indices (batch,) for logits (batch, n)."""
        if self.sampling.temperature < GREEDY_BELOW:
            return logits.argmax(1)
        logits = logits.float()
        if logits.device.type != "cpu":
            points = torch.tensor([random.random() for random in self.random])
            return sample(logits, points.to(logits.device), self.processors)
        pairs = zip(logits.numpy(), self.random, strict=True)
        return torch.tensor([self._draw(row, random) for row, random in pairs])

    def _draw(self, logits: NDArray[np.float32], random: np.random.Generator) -> int:
        """The same as :func:`sample` for one row; NumPy has less overhead for small arrays."""
        sampling = self.sampling
        probs = np.exp((logits - logits.max()) / sampling.temperature)
        if 0 < sampling.top_k < len(probs):
            probs[probs < np.partition(probs, -sampling.top_k)[-sampling.top_k]] = 0
        if sampling.top_p < 1:
            descending = np.sort(probs)[::-1]
            cumulative = descending.cumsum()
            probs[probs < descending[cumulative.searchsorted(sampling.top_p * cumulative[-1])]] = 0
        cumulative = probs.cumsum(dtype=np.float64)
        return int(cumulative.searchsorted(random.random() * cumulative[-1], side="right"))


LogitsProcessor = Callable[[Tensor], Tensor]
"""Maps logits (batch, n) to logits: scaled, or masked with minus infinity."""


def logits_processors(sampling: Sampling) -> list[LogitsProcessor]:
    """The logits processors of ``sampling``, in the order of application."""
    if sampling.temperature < GREEDY_BELOW:
        return []
    chain: list[LogitsProcessor] = [partial(scale_by_temperature, temperature=sampling.temperature)]
    if sampling.top_k:
        chain.append(partial(keep_top_k, k=sampling.top_k))
    if sampling.top_p < 1:
        chain.append(partial(keep_top_p, p=sampling.top_p))
    return chain


def scale_by_temperature(logits: Tensor, temperature: float) -> Tensor:
    """Logits divided by a temperature."""
    return logits / temperature


def keep_top_k(logits: Tensor, k: int) -> Tensor:
    """Mask all but the ``k`` highest logits of each row, and those equal to the last of them."""
    floor = logits.topk(min(k, logits.shape[1])).values[:, -1:]
    return logits.masked_fill(logits < floor, -torch.inf)


def keep_top_p(logits: Tensor, p: float) -> Tensor:
    """Nucleus sampling (Holtzman et al. 2020): keep the smallest set of tokens of each row whose
    probability reaches ``p``."""
    probs = logits.softmax(1)
    descending = probs.sort(1, descending=True).values
    cumulative = descending.cumsum(1)
    last = torch.searchsorted(cumulative, p * cumulative[:, -1:])
    return logits.masked_fill(probs < descending.gather(1, last), -torch.inf)


def sample(logits: Tensor, points: Tensor, chain: Sequence[LogitsProcessor]) -> Tensor:
    """Indices (batch,) at ``points`` (batch,) in [0, 1) of the cumulated probabilities."""
    for process in chain:
        logits = process(logits)
    cumulative = logits.softmax(1).cumsum(1)
    sampled = torch.searchsorted(cumulative, points[:, None] * cumulative[:, -1:], right=True)
    return sampled.squeeze(1).clamp(max=logits.shape[1] - 1)


@dataclass(frozen=True)
class CFGBranches:
    """Which branches of classifier-free guidance are stacked along the batch, after the full one.

    Attributes:
        no_text: a branch whose input has no text, which guides level 0.
        no_semantic: a branch whose input has neither text nor semantic stream, which guides the
            levels below; without it, ``no_text`` does.
    """

    no_text: bool = False
    no_semantic: bool = False

    @property
    def count(self) -> int:
        """Number of branches."""
        return 1 + self.no_text + self.no_semantic

    def semantic(self, h: Tensor) -> Tensor:
        """The rows of ``h`` (count * batch, ...) for level 0: the full branch, then ``no_text``."""
        return h if not self.no_semantic else torch.cat(h.chunk(self.count)[: 1 + self.no_text])

    def acoustic(self, h: Tensor) -> Tensor:
        """The rows of ``h`` for the levels below: the full branch, then that which guides them."""
        rows = h.chunk(self.count)
        return h if len(rows) < 3 else torch.cat([rows[0], rows[-1]])


NO_CFG = CFGBranches()


def classifier_free_guidance(logits: Tensor, batch: int, guidance: float | None) -> Tensor:
    """Guided logits (batch, n) from those of the full branch and, below them, of the other."""
    if guidance is None or len(logits) == batch:
        return logits
    full, reduced = logits.chunk(2)
    return reduced + guidance * (full - reduced)


class LoopPenalty:
    """Penalises tokens that prolong a loop.

    Speech repeats units: a vowel or a pause is one unit for a while. So tokens are not penalised
    for having occurred, as by the repetition penalty for text (Keskar et al. 2019), but only where
    they prolong a loop, of a period up to ``limit`` tokens, that has lasted for ``limit`` tokens
    already: by one more nat for every further ``limit / 10`` of them.
    """

    def __init__(self, limit: int):
        self.limit = max(limit, 1)
        self.past = np.full(self.limit, -1, np.int64)
        """Past tokens, the latest first."""
        self.runs = np.zeros(self.limit, np.int64)
        """By period, from 1: number of tokens in a row that equal the one a period before."""

    def push(self, token: int) -> None:
        """Append a token."""
        self.runs = np.where(self.past == token, self.runs + 1, 0)
        self.past = np.concatenate([[token], self.past[:-1]])

    def penalties(self) -> dict[int, float]:
        """Nats to subtract from the logits, by token."""
        penalties: dict[int, float] = {}
        if self.runs.max() < self.limit:
            return penalties
        for period in np.flatnonzero(self.runs >= self.limit):
            token = int(self.past[period])
            nats = 10 * float(self.runs[period] - self.limit + 1) / self.limit
            penalties[token] = max(penalties.get(token, 0.0), nats)
        return penalties


def apply_loop_penalty(logits: Tensor, loops: Sequence[LoopPenalty]) -> None:
    """Subtract the penalties of each example from ``logits`` (batch, n), in place."""
    for example, loop in enumerate(loops):
        for token, nats in loop.penalties().items():
            logits[example, token] -= nats
