"""Decoding steps: the next column of tokens, of speech by any codebook pattern and of text.

All operate on a batch. Finished sequences keep stepping with the batch; their output is discarded.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from speechlm.lm.generate.guidance import NO_CFG, CFGBranches
from speechlm.lm.generate.heads import OutputHeads, lower_heads
from speechlm.lm.generate.logits import Sampler, logits_processors
from speechlm.lm.generate.sampling import Sampling
from speechlm.lm.patterns import Pattern


class TokenSampler:
    """Samples from ``ids`` until an example samples ``end``, after ``min_tokens`` at least.

    Attributes:
        ended: whether each example has sampled ``end``.
    """

    def __init__(
        self,
        heads: OutputHeads,
        ids: Sequence[int],
        end: int,
        sampling: Sampling,
        batch: int,
        repetition_window: int,
        branches: CFGBranches = NO_CFG,
        min_tokens: int = 0,
    ):
        self.branches, self.end, self.sampling = branches, end, sampling
        self.ids = torch.tensor([*ids, end], device=heads.device)
        self.head = heads.projection([*ids, end])
        self.last = len(ids)
        self.sampler = Sampler(
            sampling,
            batch,
            logits_processors(sampling, batch, self.last, repetition_window, min_tokens),
        )
        self.ended = [False] * batch

    def __call__(self, h: Tensor) -> Tensor:
        """Indices (batch,) into ``ids``, from outputs (branches * batch, dim)."""
        chosen = self.sampler(self.head(self.branches.semantic(h)))
        for example, index in enumerate(chosen.tolist()):
            if index == self.last:
                self.ended[example] = True
        return chosen.clamp(max=self.last - 1) if any(self.ended) else chosen


class StepDecoder(ABC):
    """Produces the columns of a batch one by one.

    Attributes:
        output: what the latest column completed: the codes (batch, codebooks) of a frame or ids
            (batch, 1) of text; None for neither.
    """

    output: Tensor | None = None

    def __init__(self, heads: OutputHeads, sampler: TokenSampler):
        self.heads, self.sampler = heads, sampler

    @abstractmethod
    def __call__(self, h: Tensor) -> Tensor | None:
        """The next ids (batch, rows) given outputs (batch, dim); None when all have ended."""

    @property
    def ended(self) -> list[bool]:
        """Whether ``output`` is past the end of each example."""
        return self.sampler.ended


class SpeechSteps(StepDecoder):
    """Speech in the columns of the model's codebook pattern, up to ``frames`` frames.

    The first codebook, which also ends speech, has the token sampler; each one below has its own.

    Args:
        tail: (batch, rows, columns) ids of the first columns that speech before this one
            determines, and -1 elsewhere.
    """

    def __init__(self, heads: OutputHeads, sampler: TokenSampler, tail: Tensor, frames: int):
        super().__init__(heads, sampler)
        self.pattern: Pattern = heads.pattern
        batch, sampling = len(sampler.ended), sampler.sampling
        self.lower_samplers = [
            Sampler(sampling, batch, stream=codebook) for codebook in range(1, heads.num_codebooks)
        ]
        self.reset(tail, frames)

    def reset(self, tail: Tensor, frames: int) -> None:
        """Prepare for other speech."""
        self.tail, self.column, self.completed = tail, 0, -1
        self.stops = [frames] * len(tail)
        """The frames of each example."""
        self.codes: dict[int, list[Tensor]] = {}
        """Codes (batch,) of the frames that are not complete."""
        self.lower = lower_heads(self.heads, self.sampler.branches, len(tail))

    def __call__(self, h: Tensor) -> Tensor | None:
        at, last = self.column, max(self.stops)
        if at >= self.pattern.columns(last):
            return None
        heads = self.heads
        column = torch.full((len(self.tail), heads.rows), heads.pad, device=h.device)
        self.output = None
        self.lower.begin(h)
        for row, codebook, frame in self.pattern.cells(at):
            if frame < 0:
                known = self.tail[:, row, at]
                column[:, row] = torch.where(known < 0, heads.pad, known)
            elif frame < last:
                code = self._sample(h, codebook, frame)
                if code is None:
                    return None
                column[:, row] = self._keep(code + heads.firsts[codebook], frame)
        for example, stop in enumerate(self.stops):
            if at == self.pattern.end(stop) and stop < last:
                column[example, 0] = self.sampler.end
        self.column = at + 1
        return column

    def _sample(self, h: Tensor, codebook: int, frame: int) -> Tensor | None:
        """The codes (batch,) of a codebook; None when no example has any left."""
        codes = self.codes.setdefault(frame, [])
        if codebook == 0:
            before = list(self.sampler.ended)
            codes.append(self.sampler(h))
            for example, (was, ended) in enumerate(zip(before, self.sampler.ended, strict=True)):
                if ended and not was:
                    self.stops[example] = frame
            if self.column >= self.pattern.columns(max(self.stops)):
                return None
        else:
            codes.append(self.lower_samplers[codebook - 1](self.lower(codebook, codes[-1])))
        if len(codes) == self.heads.num_codebooks and frame < max(self.stops):
            self.output, self.completed = torch.stack(self.codes.pop(frame), dim=1), frame
        return codes[-1]

    def _keep(self, ids: Tensor, frame: int) -> Tensor:
        """``ids`` (batch,) of the examples that have such a frame, and padding for the others."""
        if frame < min(self.stops):
            return ids
        there = torch.tensor([frame < stop for stop in self.stops], device=ids.device)
        return torch.where(there, ids, self.heads.pad)

    @property
    def ended(self) -> list[bool]:
        return [stop <= self.completed for stop in self.stops]


class TextSteps(StepDecoder):
    """Text: one token per column, in row 0."""

    def __call__(self, h: Tensor) -> Tensor | None:
        chosen = self.sampler(h)
        if all(self.sampler.ended):
            return None
        column = torch.full((len(h), self.heads.rows), self.heads.pad, device=h.device)
        column[:, 0] = self.sampler.ids[chosen]
        self.output = column[:, :1]
        return column


class WordwiseSteps(StepDecoder):
    """Text to speech of one example word by word, each word given before its speech.

    Args:
        speech: the steps of speech, prepared for the first word.
        tail: that of speech with nothing before it.
        words: ids (rows, columns) that end each word but the last, and give the next.
        max_frames: maximum length of a word.
        truncated: receives the indices of words that were cut at that length.
    """

    def __init__(
        self,
        speech: SpeechSteps,
        tail: Tensor,
        words: Sequence[Tensor],
        max_frames: int,
        truncated: list[int],
    ):
        super().__init__(speech.heads, speech.sampler)
        self.speech, self.tail, self.max_frames = speech, tail, max_frames
        self.words, self.truncated = list(words), truncated
        self.word = 0
        self.pending: list[Tensor] = []
        self.frames = 0

    def __call__(self, h: Tensor) -> Tensor | None:
        self.output = None
        if not self.pending:
            column = self.speech(h) if self.frames < self.max_frames else None
            if column is not None:
                self.output = self.speech.output
                self.frames += self.output is not None
                return column
            if not self.speech.sampler.ended[0]:
                self.truncated.append(self.word)
            if self.word == len(self.words):
                return None
            self.pending = list(self.words[self.word].t()[:, None])
            self.word += 1
            self.sampler.ended[0] = False
            self.speech.reset(self.tail, self.max_frames)
            self.frames = 0
        return self.pending.pop(0)
