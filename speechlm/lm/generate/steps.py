"""Decoding steps: the next column of tokens, for each codebook pattern and for text.

All operate on a batch. Finished sequences keep stepping with the batch; their output is discarded.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from speechlm.kernels.cached_transformer import CachedProjection, cached_transformer
from speechlm.lm.generate.sampling import (
    NO_CFG,
    CFGBranches,
    LoopPenalty,
    Sampler,
    Sampling,
    apply_loop_penalty,
    classifier_free_guidance,
)
from speechlm.lm.model import UnitLM
from speechlm.nn import CachedTransformer


class OutputHeads:
    """The output matrices of a model, each restricted to the ids that are valid where it is used.

    Logits of other ids are never computed.
    """

    def __init__(self, model: UnitLM):
        ids = model.config.ids
        self.output = model.output.detach()
        self.num_codebooks, self.codebook_size, self.pad = (
            ids.num_codebooks,
            ids.codebook_size,
            ids.pad,
        )
        self.rows = model.pattern.rows
        self.device = self.output.device
        self.firsts = [
            model.first + level * ids.codebook_size for level in range(ids.num_codebooks)
        ]
        self.offsets = torch.tensor(self.firsts, device=self.device)
        self.depth: CachedTransformer | None = None
        if model.depth is not None:
            self.depth = cached_transformer(model.depth.transformer)
            self.input_proj = CachedProjection(model.depth.enter.weight)
            self.embedding = model.depth.embedding.weight.detach()
            self.lower = [CachedProjection(weight) for weight in model.depth.heads.detach()]
        else:
            self.lower = [
                self.projection(self.unit_ids(level)) for level in range(1, ids.num_codebooks)
            ]

    def unit_ids(self, level: int) -> range:
        """Ids of the units of a level."""
        return range(self.firsts[level], self.firsts[level] + self.codebook_size)

    def projection(self, ids: Sequence[int]) -> CachedProjection:
        """The projection to the logits of ``ids``."""
        return CachedProjection(self.output[torch.tensor(ids, device=self.device)])


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
        self.branches, self.min_tokens, self.end = branches, min_tokens, end
        self.ids = torch.tensor([*ids, end], device=heads.device)
        self.head = heads.projection([*ids, end])
        self.sampler = Sampler(sampling, batch)
        self.loop_penalties = (
            [LoopPenalty(repetition_window) for _ in range(batch)]
            if sampling.repetition_window
            else []
        )
        self.ended = [False] * batch

    def __call__(self, h: Tensor) -> Tensor:
        """Indices (batch,) into ``ids``, from outputs (branches * batch, dim)."""
        logits = self.head(self.branches.semantic(h))
        logits = classifier_free_guidance(logits, len(self.ended), self.sampler.sampling.guidance)
        apply_loop_penalty(logits, self.loop_penalties)
        last = logits.shape[1] - 1
        if self.min_tokens > 0:
            logits[:, last] = -torch.inf
            self.min_tokens -= 1
        chosen = self.sampler(logits)
        for example, index in enumerate(chosen.tolist()):
            if index == last:
                self.ended[example] = True
            elif self.loop_penalties:
                self.loop_penalties[example].push(index)
        return chosen.clamp(max=last - 1) if any(self.ended) else chosen


class StepDecoder(ABC):
    """Produces the columns of a batch one by one.

    Attributes:
        output: what the latest column completed: the codes (batch, levels) of a frame or ids
            (batch, 1) of text; None for neither.
    """

    output: Tensor | None = None

    def __init__(self, heads: OutputHeads, choice: TokenSampler):
        self.heads, self.sampler = heads, choice

    @abstractmethod
    def __call__(self, h: Tensor) -> Tensor | None:
        """The next ids (batch, rows) given outputs (batch, dim); None when all have ended."""

    @property
    def ended(self) -> list[bool]:
        """Whether ``output`` is past the end of each example."""
        return self.sampler.ended


class SpeechSteps(StepDecoder):
    """Speech; each level below the first has its own sampler."""

    def __init__(self, heads: OutputHeads, choice: TokenSampler, tail: Tensor, frames: int):
        super().__init__(heads, choice)
        sampling, batch = choice.sampler.sampling, len(choice.ended)
        self.samplers = [Sampler(sampling, batch, level) for level in range(1, heads.num_codebooks)]
        self.reset(tail, frames)

    @abstractmethod
    def reset(self, tail: Tensor, frames: int) -> None:
        """Prepare for up to ``frames`` frames.

        ``tail`` (batch, rows, levels - 1) holds the ids of the first columns that the speech before
        determines, and -1 elsewhere. Only the pattern ``delay`` has such ids.
        """

    def lower(self, level: int, h: Tensor) -> Tensor:
        """Sample the codes (batch,) of a level below the first from the outputs that predict it."""
        sampler, logits = self.samplers[level - 1], self.heads.lower[level - 1](h)
        return sampler(
            classifier_free_guidance(logits, len(self.sampler.ended), sampler.sampling.guidance)
        )


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


class DepthSteps(SpeechSteps):
    """A frame per column: level 0 by the backbone, the others by the depth transformer."""

    def reset(self, tail: Tensor, frames: int) -> None:
        depth, levels = self.heads.depth, self.heads.num_codebooks
        rows = min(self.sampler.branches.count, 2) * len(tail)
        self.steps = depth.new_state(rows, levels - 1) if depth else None

    def __call__(self, h: Tensor) -> Tensor | None:
        heads = self.heads
        codes = [self.sampler(h)]
        if all(self.sampler.ended):
            return None
        if self.steps is not None:
            self.steps.reset()
            branches = self.sampler.branches
            entered = heads.input_proj(branches.acoustic(h))
            for level in range(1, heads.num_codebooks):
                above = heads.embedding[codes[-1] + (level - 1) * heads.codebook_size]
                if len(above) < len(entered):
                    seen = level > 1 or not branches.no_semantic
                    above = torch.cat([above, above if seen else torch.zeros_like(above)])
                codes.append(self.lower(level, self.steps.step(entered + above)))
        self.output = torch.stack(codes, dim=1)
        return self.output + heads.offsets


class FlattenSteps(SpeechSteps):
    """A code per column; that of the last level completes a frame."""

    def reset(self, tail: Tensor, frames: int) -> None:
        self.codes: list[Tensor] = []

    def __call__(self, h: Tensor) -> Tensor | None:
        level = len(self.codes)
        if level == 0:
            self.codes.append(self.sampler(h))
            if all(self.sampler.ended):
                return None
        else:
            self.codes.append(self.lower(level, h))
        column = self.codes[-1].unsqueeze(1) + self.heads.firsts[level]
        self.output = None
        if level == self.heads.num_codebooks - 1:
            self.output = torch.stack(self.codes, dim=1)
            self.codes = []
        return column


class DelaySteps(SpeechSteps):
    """A code of each level, of successive frames; that of the last level completes a frame."""

    def reset(self, tail: Tensor, frames: int) -> None:
        self.tail = tail
        self.stops = [frames] * len(tail)
        self.codes: list[list[Tensor]] = [[] for _ in range(self.heads.num_codebooks)]
        self.column = 0

    def __call__(self, h: Tensor) -> Tensor | None:
        heads, at = self.heads, self.column
        last = max(self.stops)
        if at >= last + heads.num_codebooks - 1:
            return None
        column = torch.full((len(self.tail), heads.rows), heads.pad, device=h.device)
        for row in range(heads.num_codebooks):
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
                column[example, 0] = self.sampler.end
        self.column = at + 1
        done = at - heads.num_codebooks + 1
        self.output = None
        if 0 <= done < max(self.stops):
            self.output = torch.stack([codes[done] for codes in self.codes], dim=1)
        return column

    def _first(self, h: Tensor, frame: int) -> Tensor:
        before = list(self.sampler.ended)
        code = self.sampler(h)
        for example, (was, ended) in enumerate(zip(before, self.sampler.ended, strict=True)):
            if ended and not was:
                self.stops[example] = frame
        return code

    @property
    def ended(self) -> list[bool]:
        done = self.column - self.heads.num_codebooks
        return [stop <= done for stop in self.stops]


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


SPEECH_STEPS: dict[str, type[SpeechSteps]] = {
    "depth": DepthSteps,
    "delay": DelaySteps,
    "flatten": FlattenSteps,
}
