"""What stands in the next column: one way for each codebook pattern, and one for text.

All hold a batch of examples. One that has ended goes on with something, since the batch does, but
gives nothing more.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from speechlm.kernels.cached_transformer import CachedProjection, cached_transformer
from speechlm.lm.generate.sampling import ALL, Loops, Sampler, Sampling, Views, discourage, guided
from speechlm.lm.model import UnitLM
from speechlm.nn import CachedTransformer


class OutputHeads:
    """A model's output matrices, each cut down to what may come where it is used.

    So nothing else can come, and its logits are never made.
    """

    def __init__(self, model: UnitLM):
        ids = model.config.ids
        self.output = model.output.detach()
        self.levels, self.cardinality, self.pad = ids.levels, ids.cardinality, ids.pad
        self.rows = model.pattern.rows
        self.device = self.output.device
        self.firsts = [model.first + level * ids.cardinality for level in range(ids.levels)]
        self.offsets = torch.tensor(self.firsts, device=self.device)
        self.depth: CachedTransformer | None = None
        if model.depth is not None:
            self.depth = cached_transformer(model.depth.transformer)
            self.enter = CachedProjection(model.depth.enter.weight)
            self.embedding = model.depth.embedding.weight.detach()
            self.lower = [CachedProjection(weight) for weight in model.depth.heads.detach()]
        else:
            self.lower = [self.of(self.units(level)) for level in range(1, ids.levels)]

    def units(self, level: int) -> range:
        """Ids of a level."""
        return range(self.firsts[level], self.firsts[level] + self.cardinality)

    def of(self, ids: Sequence[int]) -> CachedProjection:
        """What gives the logits of some ids."""
        return CachedProjection(self.output[torch.tensor(ids, device=self.device)])


class TokenSampler:
    """Chooses among ``ids``, until an example has chosen ``end``, the last of them.

    That cannot be among the first ``least`` that are chosen.

    Attributes:
        ended: of each example, whether it has.
    """

    def __init__(
        self,
        heads: OutputHeads,
        ids: Sequence[int],
        end: int,
        sampling: Sampling,
        batch: int,
        loop: int,
        views: Views = ALL,
        least: int = 0,
    ):
        self.views, self.least, self.end = views, least, end
        self.ids = torch.tensor([*ids, end], device=heads.device)
        self.head = heads.of([*ids, end])
        self.sampler = Sampler(sampling, batch)
        self.loops = [Loops(loop) for _ in range(batch)] if sampling.loop else []
        self.ended = [False] * batch

    def __call__(self, h: Tensor) -> Tensor:
        """Indices (batch,) into ``ids``, from outputs (views * batch, dim)."""
        logits = self.head(self.views.plan(h))
        logits = guided(logits, len(self.ended), self.sampler.sampling.guidance)
        discourage(logits, self.loops)
        last = logits.shape[1] - 1
        if self.least > 0:
            logits[:, last] = -torch.inf
            self.least -= 1
        chosen = self.sampler(logits)
        for example, index in enumerate(chosen.tolist()):
            if index == last:
                self.ended[example] = True
            elif self.loops:
                self.loops[example].push(index)
        return chosen.clamp(max=last - 1) if any(self.ended) else chosen


class StepDecoder(ABC):
    """Makes column after column of a batch.

    Attributes:
        found: what the latest column completed: codes (batch, levels) of a frame, or ids (batch, 1)
            of text; or None.
    """

    found: Tensor | None = None

    def __init__(self, heads: OutputHeads, choice: TokenSampler):
        self.heads, self.choice = heads, choice

    @abstractmethod
    def __call__(self, h: Tensor) -> Tensor | None:
        """The ids (batch, rows) that follow outputs (batch, dim); None when all have ended."""

    @property
    def over(self) -> list[bool]:
        """Whether ``found`` is past the end, of each example."""
        return self.choice.ended


class SpeechSteps(StepDecoder):
    """Units; those of the levels below the first are drawn by a sampler each."""

    def __init__(self, heads: OutputHeads, choice: TokenSampler, tail: Tensor, frames: int):
        super().__init__(heads, choice)
        sampling, batch = choice.sampler.sampling, len(choice.ended)
        self.samplers = [Sampler(sampling, batch, level) for level in range(1, heads.levels)]
        self.begin(tail, frames)

    @abstractmethod
    def begin(self, tail: Tensor, frames: int) -> None:
        """Get ready for so many ``frames`` at most.

        ``tail`` (batch, rows, levels - 1) has, for the first columns, ids that are known since the
        speech before has them; -1 elsewhere. Only the pattern ``delay`` has such.
        """

    def lower(self, level: int, h: Tensor) -> Tensor:
        """Codes (batch,) of a level below the first, from what predicts it."""
        sampler, logits = self.samplers[level - 1], self.heads.lower[level - 1](h)
        return sampler(guided(logits, len(self.choice.ended), sampler.sampling.guidance))


class TextSteps(StepDecoder):
    """A token in row 0."""

    def __call__(self, h: Tensor) -> Tensor | None:
        chosen = self.choice(h)
        if all(self.choice.ended):
            return None
        column = torch.full((len(h), self.heads.rows), self.heads.pad, device=h.device)
        column[:, 0] = self.choice.ids[chosen]
        self.found = column[:, :1]
        return column


class DepthSteps(SpeechSteps):
    """A frame: level 0 by the backbone, the others by the depth transformer, one by one."""

    def begin(self, tail: Tensor, frames: int) -> None:
        depth, levels = self.heads.depth, self.heads.levels
        rows = min(self.choice.views.number, 2) * len(tail)
        self.steps = depth.new_state(rows, levels - 1) if depth else None

    def __call__(self, h: Tensor) -> Tensor | None:
        heads = self.heads
        codes = [self.choice(h)]
        if all(self.choice.ended):
            return None
        if self.steps is not None:
            self.steps.reset()
            views = self.choice.views
            entered = heads.enter(views.sound(h))
            for level in range(1, heads.levels):
                above = heads.embedding[codes[-1] + (level - 1) * heads.cardinality]
                if len(above) < len(entered):
                    seen = level > 1 or not views.unplanned
                    above = torch.cat([above, above if seen else torch.zeros_like(above)])
                codes.append(self.lower(level, self.steps.step(entered + above)))
        self.found = torch.stack(codes, dim=1)
        return self.found + heads.offsets


class FlattenSteps(SpeechSteps):
    """A single code; the last level's completes a frame."""

    def begin(self, tail: Tensor, frames: int) -> None:
        self.codes: list[Tensor] = []

    def __call__(self, h: Tensor) -> Tensor | None:
        level = len(self.codes)
        if level == 0:
            self.codes.append(self.choice(h))
            if all(self.choice.ended):
                return None
        else:
            self.codes.append(self.lower(level, h))
        column = self.codes[-1].unsqueeze(1) + self.heads.firsts[level]
        self.found = None
        if level == self.heads.levels - 1:
            self.found = torch.stack(self.codes, dim=1)
            self.codes = []
        return column


class DelaySteps(SpeechSteps):
    """A code of each level, of frames that lie one apart; the last level's completes a frame."""

    def begin(self, tail: Tensor, frames: int) -> None:
        self.tail = tail
        self.stops = [frames] * len(tail)
        self.codes: list[list[Tensor]] = [[] for _ in range(self.heads.levels)]
        self.column = 0

    def __call__(self, h: Tensor) -> Tensor | None:
        heads, at = self.heads, self.column
        last = max(self.stops)
        if at >= last + heads.levels - 1:
            return None
        column = torch.full((len(self.tail), heads.rows), heads.pad, device=h.device)
        for row in range(heads.levels):
            frame = at - row
            if frame < 0:
                known = self.tail[:, row, at]
                column[:, row] = torch.where(known < 0, heads.pad, known)
            elif frame < last:
                code = self.lower(row, h) if row else self._first(h, frame)
                self.codes[row].append(code)
                there = torch.tensor([frame < stop for stop in self.stops], device=h.device)
                column[:, row] = torch.where(there, code + heads.firsts[row], column[:, row])
        for example, stop in enumerate(self.stops):
            if at == stop < last:
                column[example, 0] = self.choice.end
        self.column = at + 1
        done = at - heads.levels + 1
        self.found = None
        if 0 <= done < max(self.stops):
            self.found = torch.stack([codes[done] for codes in self.codes], dim=1)
        return column

    def _first(self, h: Tensor, frame: int) -> Tensor:
        before = list(self.choice.ended)
        code = self.choice(h)
        for example, (was, ended) in enumerate(zip(before, self.choice.ended, strict=True)):
            if ended and not was:
                self.stops[example] = frame
        return code

    @property
    def over(self) -> list[bool]:
        done = self.column - self.heads.levels
        return [stop <= done for stop in self.stops]


class WordwiseSteps(StepDecoder):
    """Words of one example, each written as it is told, and then spoken.

    Args:
        speech: makes the columns of the first word, and then of all others.
        tail: of speech that nothing comes before, as ``speech`` began.
        words: ids (rows, columns) that end each word but the last, and tell the next.
        longest: frames of a word.
        unended: gets the number of each word that was as long and did not end by itself.
    """

    def __init__(
        self,
        speech: SpeechSteps,
        tail: Tensor,
        words: Sequence[Tensor],
        longest: int,
        unended: list[int],
    ):
        super().__init__(speech.heads, speech.choice)
        self.speech, self.tail, self.longest = speech, tail, longest
        self.words, self.unended = list(words), unended
        self.word = 0
        self.told: list[Tensor] = []
        self.frames = 0

    def __call__(self, h: Tensor) -> Tensor | None:
        self.found = None
        if not self.told:
            column = self.speech(h) if self.frames < self.longest else None
            if column is not None:
                self.found = self.speech.found
                self.frames += self.found is not None
                return column
            if not self.speech.choice.ended[0]:
                self.unended.append(self.word)
            if self.word == len(self.words):
                return None
            self.told = list(self.words[self.word].t()[:, None])
            self.word += 1
            self.choice.ended[0] = False
            self.speech.begin(self.tail, self.longest)
            self.frames = 0
        return self.told.pop(0)


SPEECH: dict[str, type[SpeechSteps]] = {
    "depth": DepthSteps,
    "delay": DelaySteps,
    "flatten": FlattenSteps,
}
