"""Choosing among what a model holds probable."""

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

COLD = 1e-6
"""A temperature below which the most probable token is all but certain, and float32 overflows."""


@dataclass(frozen=True)
class Sampling:
    """How tokens are chosen.

    Attributes:
        temperature: divides the logits; 0 (or less than ``COLD``) takes the most probable token.
        top_k: only so many of the most probable tokens may come; 0 for all.
        top_p: only the most probable tokens may come that reach this probability together.
        loop: seconds for which a stretch of speech may repeat itself before that is made less and
            less probable (see :class:`Loops`); 0 for ever.
        guidance: how far what is said is moved from what the model would say if it did not see
            the text, and sound from that without its plan; 1 for not at all (classifier-free
            guidance, Ho and Salimans 2022). For models that were trained with
            ``mask.cfg_text_dropout`` or ``mask.semantic_dropout``, and two or three times the work.
            None: as the model is configured.
        attempts: times that a text is read aloud, of which that one is taken from which the model
            itself would best write the text down; None: as the model is configured.
        seed: of the random numbers. In a batch, example number i has those of ``seed + i`` alone.
        least: seconds that speech which goes on lasts before it may end.

    Raises:
        SpeechLMError: for a value outside its range.
    """

    temperature: float = 0.9
    top_k: int = 0
    top_p: float = 0.95
    loop: float = 1.0
    guidance: float | None = None
    attempts: int | None = None
    seed: int = 0
    least: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < math.inf:
            raise SpeechLMError(f"temperature is 0 or more and finite, not {self.temperature:g}")
        if self.top_k < 0:
            raise SpeechLMError(f"top-k is 0 (all) or more, not {self.top_k}")
        if not 0 < self.top_p <= 1:
            raise SpeechLMError(f"top-p is above 0 and at most 1, not {self.top_p:g}")
        if self.guidance is not None and not 0 <= self.guidance < math.inf:
            raise SpeechLMError(f"guidance is 0 or more and finite, not {self.guidance:g}")
        if self.attempts is not None and self.attempts < 1:
            raise SpeechLMError(f"attempts is 1 or more, not {self.attempts}")
        if not 0 <= self.loop < math.inf:
            raise SpeechLMError(f"loop is 0 (for ever) or so many seconds, not {self.loop:g}")
        if not 0 <= self.least < math.inf:
            raise SpeechLMError(f"least is 0 or so many seconds, not {self.least:g}")

    @property
    def guides(self) -> bool:
        """Whether what the model would say without the text is needed beside what it says."""
        return self.guidance not in (None, 1)


GREEDY = Sampling(temperature=0.0)
CLEAR = Sampling(temperature=0.5, top_p=0.9)
"""For reading aloud, where words count for more than variety."""


class Sampler:
    """Draws for a batch, each example from its own random numbers, and so does each ``stream``.

    These are NumPy's on any device: a seed gives the same speech wherever logits are alike.

    With a stream for each level of units, what comes of a level depends on how many of that level
    came before, and not on what else was drawn between.
    """

    def __init__(self, sampling: Sampling, batch: int, stream: int = 0):
        self.sampling = sampling
        self.processors = processors(sampling)
        self.random = [
            np.random.default_rng([(sampling.seed + number) % 2**64, stream])
            for number in range(batch)
        ]

    def __call__(self, logits: Tensor) -> Tensor:
        """Chosen indices (batch,) for logits (batch, n)."""
        if self.sampling.temperature < COLD:
            return logits.argmax(1)
        logits = logits.float()
        if logits.device.type != "cpu":
            points = torch.tensor([random.random() for random in self.random])
            return draw(logits, points.to(logits.device), self.processors)
        pairs = zip(logits.numpy(), self.random, strict=True)
        return torch.tensor([self._draw(row, random) for row, random in pairs])

    def _draw(self, logits: NDArray[np.float32], random: np.random.Generator) -> int:
        """What :func:`draw` gives for a row; NumPy has less to do around a few numbers."""
        how = self.sampling
        likely = np.exp((logits - logits.max()) / how.temperature)
        if 0 < how.top_k < len(likely):
            likely[likely < np.partition(likely, -how.top_k)[-how.top_k]] = 0
        if how.top_p < 1:
            falling = np.sort(likely)[::-1]
            reached = falling.cumsum()
            likely[likely < falling[reached.searchsorted(how.top_p * reached[-1])]] = 0
        reached = likely.cumsum(dtype=np.float64)
        return int(reached.searchsorted(random.random() * reached[-1], side="right"))


Processor = Callable[[Tensor], Tensor]
"""Logits (batch, n) to logits of which some are minus infinity, or that are scaled."""


def processors(sampling: Sampling) -> list[Processor]:
    """What logits go through before one is drawn, in order."""
    if sampling.temperature < COLD:
        return []
    found: list[Processor] = [partial(scale, temperature=sampling.temperature)]
    if sampling.top_k:
        found.append(partial(keep_top_k, k=sampling.top_k))
    if sampling.top_p < 1:
        found.append(partial(keep_top_p, p=sampling.top_p))
    return found


def scale(logits: Tensor, temperature: float) -> Tensor:
    """Logits divided by a temperature."""
    return logits / temperature


def keep_top_k(logits: Tensor, k: int) -> Tensor:
    """The ``k`` highest logits of a row, and what equals the last of them."""
    floor = logits.topk(min(k, logits.shape[1])).values[:, -1:]
    return logits.masked_fill(logits < floor, -torch.inf)


def keep_top_p(logits: Tensor, p: float) -> Tensor:
    """The fewest highest logits of a row whose probabilities reach ``p`` together (nucleus
    sampling, Holtzman et al. 2020)."""
    likely = logits.softmax(1)
    falling = likely.sort(1, descending=True).values
    reached = falling.cumsum(1)
    last = torch.searchsorted(reached, p * reached[:, -1:])
    return logits.masked_fill(likely < falling.gather(1, last), -torch.inf)


def draw(logits: Tensor, points: Tensor, chain: Sequence[Processor]) -> Tensor:
    """Indices (batch,) at ``points`` (batch,) in [0, 1) of the cumulated probabilities."""
    for process in chain:
        logits = process(logits)
    reached = logits.softmax(1).cumsum(1)
    found = torch.searchsorted(reached, points[:, None] * reached[:, -1:], right=True)
    return found.squeeze(1).clamp(max=logits.shape[1] - 1)


@dataclass(frozen=True)
class Views:
    """What the rows of outputs are: of a model that sees all, and of as many that see less.

    Attributes:
        untold: whether there are rows that do not see any text, from which level 0 is moved away.
        unplanned: whether there are rows that do not see the plan either, nor text; from these the
            levels of sound are moved away, and else from those that do not see the text.
    """

    untold: bool = False
    unplanned: bool = False

    @property
    def number(self) -> int:
        return 1 + self.untold + self.unplanned

    def plan(self, h: Tensor) -> Tensor:
        """The rows of ``h`` (number * batch, ...) that choose level 0: all, then untold."""
        return h if not self.unplanned else torch.cat(h.chunk(self.number)[: 1 + self.untold])

    def sound(self, h: Tensor) -> Tensor:
        """The rows of ``h`` that choose the levels below."""
        rows = h.chunk(self.number)
        return h if len(rows) < 3 else torch.cat([rows[0], rows[-1]])


ALL = Views()


def guided(logits: Tensor, batch: int, guidance: float | None) -> Tensor:
    """Logits (batch, n) from those of a model that sees all, and maybe as many that sees less."""
    if guidance is None or len(logits) == batch:
        return logits
    told, untold = logits.chunk(2)
    return untold + guidance * (told - untold)


class Loops:
    """Makes it less probable that the tokens of an example go on going in circles.

    Speech repeats units: a vowel or a pause is one unit for a while. So tokens are not made less
    probable for having occurred, as the repetition penalty for text does (Keskar et al. 2019), but
    only where they would prolong a loop (the same up to ``limit`` tokens, again and again) that has
    gone on for ``limit`` tokens already: by a nat more for every further ``limit / 10`` of them.
    A certain enough model may still go on.
    """

    def __init__(self, limit: int):
        self.limit = max(limit, 1)
        self.past = np.full(self.limit, -1, np.int64)
        """The latest tokens, the newest first."""
        self.runs = np.zeros(self.limit, np.int64)
        """For each period, from 1: how many tokens have equalled the one that long before them."""

    def push(self, token: int) -> None:
        """Take note of a token."""
        self.runs = np.where(self.past == token, self.runs + 1, 0)
        self.past = np.concatenate([[token], self.past[:-1]])

    def penalties(self) -> dict[int, float]:
        """How many nats to take from the logits of which tokens."""
        found: dict[int, float] = {}
        if self.runs.max() < self.limit:
            return found
        for period in np.flatnonzero(self.runs >= self.limit):
            token = int(self.past[period])
            nats = 10 * float(self.runs[period] - self.limit + 1) / self.limit
            found[token] = max(found.get(token, 0.0), nats)
        return found


def discourage(logits: Tensor, loops: Sequence[Loops]) -> None:
    """Take the penalties of each example's loops from ``logits`` (batch, n), in place."""
    for example, each in enumerate(loops):
        for token, nats in each.penalties().items():
            logits[example, token] -= nats
