"""Generation of speech frame by frame and of text token by token, for a batch of prompts."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from speechlm.errors import SpeechLMError
from speechlm.lm.backbone import cached_backbone
from speechlm.lm.generate.guidance import NO_CFG, CFGBranches
from speechlm.lm.generate.heads import OutputHeads
from speechlm.lm.generate.sampling import Sampling
from speechlm.lm.generate.steps import (
    SpeechSteps,
    StepDecoder,
    TextSteps,
    TokenSampler,
    WordwiseSteps,
)
from speechlm.lm.model import UnitLM
from speechlm.lm.patterns import NO_TOKEN, offset_codes
from speechlm.types import Codes, Ids

TEXT_REPETITION_WINDOW = 20
"""Tokens of text that may repeat without a penalty."""


class Generator:
    """Generation with a copy of a model's current weights, on its device.

    Beyond the model's context, generation restarts from the prompt and as many of the latest
    columns as fill half of the context.
    """

    def __init__(self, model: UnitLM):
        self.pattern, self.context = model.pattern, model.config.max_position_embeddings
        ids = model.config.ids
        self.text = range(ids.specials, ids.specials + ids.text)
        self.decoder = cached_backbone(model.backbone)
        self.embedding = model.embedding.weight.detach()
        self.heads = OutputHeads(model)
        self.guidance, self.semantic_stream = model.config.guidance, model.config.semantic_stream
        self.stride = model.pattern.stride

    def generate_speech(
        self,
        prompts: Sequence[Ids],
        past: Sequence[Codes],
        end: int,
        frames: int,
        frame_rate: float,
        sampling: Sampling,
        text: bool = False,
    ) -> Iterator[list[Codes | None]]:
        """Continue speech after each prompt, frame by frame.

        Args:
            prompts: joint ids (rows, columns) up to the speech.
            past: codes (codebooks, frames) of the speech to continue, -1 where unknown; no frame
                for new speech.
            end: id of the token that ends speech.
            frames: maximum number of frames.
            frame_rate: frames per second.
            sampling: how units are sampled.
            text: whether the prompts have a text, which guidance can leave out.

        Yields:
            The codes (codebooks,) of the next frame of each example; None once it has ended.
        """
        window = round(sampling.repetition_window * frame_rate)
        sampling, branches = self._guidance(sampling, text)
        units = self.heads.unit_ids(0)
        shortest = round(sampling.min_seconds * frame_rate)
        sampler = TokenSampler(
            self.heads, units, end, sampling, len(prompts), window, branches, shortest
        )
        starts, tails = [], []
        for prompt, codes in zip(prompts, past, strict=True):
            laid = self.pattern.build(offset_codes(codes, np.array(self.heads.firsts)))
            cut = self.pattern.end(codes.shape[1])
            begun = np.where(laid == NO_TOKEN, self.heads.pad, laid)[:, :cut]
            starts.append(np.concatenate([prompt, begun], axis=1))
            tail = self._tail()
            tail[:, : laid.shape[1] - cut] = laid[:, cut:]
            tails.append(tail)
        columns = SpeechSteps(self.heads, sampler, self._ids(np.stack(tails)), frames)
        given = [prompt.shape[1] for prompt in prompts]
        return self._run(starts, given, columns, self.pattern.columns(frames))

    def generate_wordwise(
        self,
        prompt: Ids,
        words: Sequence[Ids],
        end: int,
        frames: int,
        max_word_frames: int,
        frame_rate: float,
        sampling: Sampling,
        truncated: list[int],
    ) -> Iterator[list[Codes | None]]:
        """Synthesise words one after the other, frame by frame.

        Args:
            prompt: joint ids (rows, columns) before the words.
            words: ids (rows, columns) that give each word.
            end: id of the token that ends speech.
            frames: maximum number of frames.
            max_word_frames: that of a word.
            frame_rate: frames per second.
            sampling: how units are sampled.
            truncated: receives the indices of words that were cut at their maximum length.

        Yields:
            The codes (codebooks,) of the next frame, as :meth:`generate_speech` for one prompt.
        """
        window = round(sampling.repetition_window * frame_rate)
        sampling, branches = self._guidance(sampling, text=True)
        units = self.heads.unit_ids(0)
        sampler = TokenSampler(self.heads, units, end, sampling, 1, window, branches)
        tail = self._ids(self._tail())[None]
        first, *others = map(self._ids, words)
        if self.pattern.end(1) == self.pattern.columns(1):  # else it stands beside the last codes
            ended = torch.full((self.pattern.rows, 1), self.heads.pad, device=first.device)
            ended[0] = end
            others = [torch.cat([ended, word], dim=1) for word in others]
        speech = SpeechSteps(self.heads, sampler, tail, max_word_frames)
        columns = WordwiseSteps(speech, tail, others, max_word_frames, truncated)
        number = self.pattern.columns(frames) + sum(word.shape[1] for word in others)
        start = np.concatenate([prompt, words[0]], axis=1)
        generated = self._run([start], [prompt.shape[1]], columns, number)
        return itertools.islice(generated, frames)

    def generate_text(
        self,
        prompts: Sequence[Ids],
        pieces: Sequence[int],
        end: int,
        limit: int,
        sampling: Sampling,
    ) -> Iterator[list[int | None]]:
        """Generate text after each prompt, token by token.

        Args:
            prompts: joint ids (rows, columns).
            pieces: ids of tokens of text.
            end: id that ends text.
            limit: maximum number of tokens.
            sampling: how tokens are sampled.

        Yields:
            The next id of each example; None once it has ended.
        """
        sampling = replace(sampling, guidance=None)
        window = TEXT_REPETITION_WINDOW
        sampler = TokenSampler(self.heads, pieces, end, sampling, len(prompts), window)
        columns = TextSteps(self.heads, sampler)
        given = [prompt.shape[1] for prompt in prompts]
        for ids in self._run(list(prompts), given, columns, limit):
            yield [None if each is None else int(each[0]) for each in ids]

    def _ids(self, ids: Ids) -> Tensor:
        """``ids`` on the model's device."""
        return torch.from_numpy(ids).to(self.embedding.device)

    def _tail(self) -> Ids:
        """Known ids (rows, columns) of the first columns of new speech: none."""
        return np.full((self.pattern.rows, max(self.pattern.columns(1) - 1, 0)), NO_TOKEN)

    def _guidance(self, sampling: Sampling, text: bool) -> tuple[Sampling, CFGBranches]:
        """``sampling`` with its guidance or the model's, and the branches that guidance takes.

        Without a ``text`` and a semantic stream there is nothing to leave out.
        """
        if sampling.guidance is None:
            sampling = replace(sampling, guidance=self.guidance)
        branches = CFGBranches(text, self.semantic_stream) if sampling.uses_guidance else NO_CFG
        return sampling, branches

    @torch.inference_mode()
    def _run(
        self,
        starts: list[Ids],
        given: list[int],
        columns: StepDecoder,
        number: int,
    ) -> Iterator[list[Codes | None]]:
        """The outputs of ``columns``, for ``number`` columns or until all examples have ended.

        The first ``given`` columns of each start stay in the context, however long the rest grows.
        ``columns`` receives outputs for each of its guidance branches.
        """
        past = [self._ids(start) for start in starts]
        embeddings = self._branch_embeddings(columns.sampler.branches)
        made, most = 0, self.context * 3 // 4
        while True:
            past = [
                self._truncate(each, kept, most) for each, kept in zip(past, given, strict=True)
            ]
            # From here on an example is cut when it is full itself, whatever the others are.
            most = self.context
            longest = max(each.shape[1] for each in past)
            capacity = min(longest + number - made, self.context)
            read = [embed(each.t()) for embed in embeddings for each in past]
            steps = self.decoder.new_state(len(read), capacity)
            h = steps.prefill(read)
            new: list[Tensor] = []
            while longest + len(new) <= capacity:
                if new:
                    h = steps.step(torch.cat([embed(new[-1]) for embed in embeddings]))
                column = columns(h)
                if column is None:
                    return
                if columns.output is not None:
                    rows, over = columns.output.cpu().numpy(), columns.ended
                    yield [None if end else row for row, end in zip(rows, over, strict=True)]
                made += 1
                if made == number:
                    return
                new.append(column)
            latest = torch.stack(new, dim=2)
            past = [torch.cat(pair, dim=1) for pair in zip(past, latest, strict=True)]

    def _branch_embeddings(self, branches: CFGBranches) -> list[Callable[[Tensor], Tensor]]:
        """For each branch, the function that embeds columns (n, rows)."""
        embeddings: list[Callable[[Tensor], Tensor]] = [self.embed]
        if branches.no_text:
            embeddings.append(partial(self.embed, masked=(self.text,)))
        if branches.no_semantic:
            embeddings.append(partial(self.embed, masked=(self.text, self.heads.unit_ids(0))))
        return embeddings

    def embed(self, columns: Tensor, masked: Sequence[range] = ()) -> Tensor:
        """Embeddings (n, dim) of columns (n, rows), with ids of ``masked`` in row 0 as padding."""
        first = columns[:, 0]
        for ids in masked:
            first = torch.where((first >= ids.start) & (first < ids.stop), self.heads.pad, first)
        if masked:
            columns = torch.cat([first[:, None], columns[:, 1:]], dim=1)
        return F.embedding_bag(columns, self.embedding, mode="sum")

    def _truncate(self, columns: Tensor, given: int, most: int) -> Tensor:
        """Columns (rows, time); beyond ``most``, only those given and the latest, within half of
        the context.
        """
        time = columns.shape[1]
        if time <= most:
            return columns
        room = self.context // 2 - given
        if room <= 0:
            raise SpeechLMError(
                f"what is given takes {given} positions, of which this model has {self.context}, "
                "half of them for what follows: give less"
            )
        dropped = -(-(time - given - room) // self.stride) * self.stride
        return torch.cat([columns[:, :given], columns[:, given + dropped :]], dim=1)
