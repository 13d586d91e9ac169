"""Generating: speech frame by frame, and text piece by piece, for a batch of prompts."""

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
from speechlm.lm.generate.sampling import ALL, Sampling, Views
from speechlm.lm.generate.steps import (
    SPEECH,
    OutputHeads,
    StepDecoder,
    TextSteps,
    TokenSampler,
    WordwiseSteps,
)
from speechlm.lm.model import UnitLM
from speechlm.lm.patterns import NONE, shifted
from speechlm.types import Codes, Ids

TEXT_LOOP = 20
"""Pieces of text that may repeat themselves before that is made less probable."""


class Generator:
    """A model, ready to generate where it is; with a copy of its weights, as they are now.

    Positions beyond the model's context are reached by reading anew what was given, and of the
    rest as much of the latest as fills half of the context.
    """

    def __init__(self, model: UnitLM):
        self.pattern, self.context = model.pattern, model.config.context
        ids = model.config.ids
        self.text = range(ids.specials, ids.specials + ids.text)
        self.decoder = cached_backbone(model.backbone)
        self.embedding = model.embedding.weight.detach()
        self.heads = OutputHeads(model)
        self.guidance, self.plans = model.config.guidance, model.config.plans
        self.speech = SPEECH[model.config.pattern]
        self.stride = model.pattern.stride

    def speak(
        self,
        prompts: Sequence[Ids],
        heard: Sequence[Codes],
        end: int,
        frames: int,
        frame_rate: float,
        sampling: Sampling,
        text: bool = False,
    ) -> Iterator[list[Codes | None]]:
        """Frames of speech that go on after each prompt, one by one.

        Args:
            prompts: joint ids (rows, columns) of what is given, up to the speech.
            heard: codes (levels, frames) of the speech that is to go on, below 0 where there is
                none; of no frame for a new one.
            end: id of the token that ends speech.
            frames: so many at most.
            frame_rate: frames a second.
            sampling: how to choose.
            text: whether the prompts have a text to say, by which there is guidance.

        Yields:
            The codes (levels,) of the next frame of each example; None for one that has ended.
        """
        loop = round(sampling.loop * frame_rate)
        sampling, views = self._guidance(sampling, text)
        units = self.heads.units(0)
        least = round(sampling.least * frame_rate)
        choice = TokenSampler(self.heads, units, end, sampling, len(prompts), loop, views, least)
        starts, tails = [], []
        for prompt, codes in zip(prompts, heard, strict=True):
            laid = self.pattern.build(shifted(codes, np.array(self.heads.firsts)))
            cut = self.pattern.end(codes.shape[1])
            begun = np.where(laid == NONE, self.heads.pad, laid)[:, :cut]
            starts.append(np.concatenate([prompt, begun], axis=1))
            tail = self._tail()
            tail[:, : laid.shape[1] - cut] = laid[:, cut:]
            tails.append(tail)
        columns = self.speech(self.heads, choice, self._ids(np.stack(tails)), frames)
        given = [prompt.shape[1] for prompt in prompts]
        return self._run(starts, given, columns, self.pattern.columns(frames))

    def read(
        self,
        prompt: Ids,
        words: Sequence[Ids],
        end: int,
        frames: int,
        longest: int,
        frame_rate: float,
        sampling: Sampling,
        unended: list[int],
    ) -> Iterator[list[Codes | None]]:
        """Frames of speech that say one word after the other, one by one.

        Args:
            prompt: joint ids (rows, columns) of what is given before the words.
            words: ids (rows, columns) that tell each word.
            end: id of the token that ends speech.
            frames: so many at most, and ``longest`` of a word.
            frame_rate: frames a second.
            sampling: how to choose.
            unended: gets the number of each word that was as long and did not end by itself.

        Yields:
            The codes (levels,) of the next frame, as :meth:`speak` does of one prompt.
        """
        loop = round(sampling.loop * frame_rate)
        sampling, views = self._guidance(sampling, text=True)
        choice = TokenSampler(self.heads, self.heads.units(0), end, sampling, 1, loop, views)
        tail = self._ids(self._tail())[None]
        first, *others = map(self._ids, words)
        if self.pattern.end(1) == self.pattern.columns(1):  # else it stands beside the last codes
            ended = torch.full((self.pattern.rows, 1), self.heads.pad, device=first.device)
            ended[0] = end
            others = [torch.cat([ended, word], dim=1) for word in others]
        speech = self.speech(self.heads, choice, tail, longest)
        columns = WordwiseSteps(speech, tail, others, longest, unended)
        number = self.pattern.columns(frames) + sum(word.shape[1] for word in others)
        start = np.concatenate([prompt, words[0]], axis=1)
        found = self._run([start], [prompt.shape[1]], columns, number)
        return itertools.islice(found, frames)

    def write(
        self,
        prompts: Sequence[Ids],
        pieces: Sequence[int],
        end: int,
        limit: int,
        sampling: Sampling,
    ) -> Iterator[list[int | None]]:
        """Ids of text that go on after each prompt, one by one.

        Args:
            prompts: joint ids (rows, columns) of what is given.
            pieces: ids that may come.
            end: id that ends text.
            limit: so many at most.
            sampling: how to choose.

        Yields:
            The next id of each example; None for one that has ended.
        """
        sampling = replace(sampling, guidance=None)
        choice = TokenSampler(self.heads, pieces, end, sampling, len(prompts), TEXT_LOOP)
        columns = TextSteps(self.heads, choice)
        given = [prompt.shape[1] for prompt in prompts]
        for found in self._run(list(prompts), given, columns, limit):
            yield [None if each is None else int(each[0]) for each in found]

    def _ids(self, ids: Ids) -> Tensor:
        """Ids on the model's device."""
        return torch.from_numpy(ids).to(self.embedding.device)

    def _tail(self) -> Ids:
        """Ids (rows, columns) that are known of the first columns of speech: none."""
        return np.full((self.pattern.rows, max(self.pattern.columns(1) - 1, 0)), NONE)

    def _guidance(self, sampling: Sampling, text: bool) -> tuple[Sampling, Views]:
        """With the guidance that is asked for or the model's own, the views that it takes.

        Without a ``text`` and a plan there is nothing to be guided by.
        """
        if sampling.guidance is None:
            sampling = replace(sampling, guidance=self.guidance)
        views = Views(text, self.plans) if sampling.guides else ALL
        return sampling, views

    @torch.inference_mode()
    def _run(
        self,
        starts: list[Ids],
        given: list[int],
        columns: StepDecoder,
        number: int,
    ) -> Iterator[list[Codes | None]]:
        """What ``columns`` finds, in ``number`` columns or until all have ended.

        The first ``given`` columns of each start stay in sight, however long the rest becomes.
        ``columns`` gets outputs for each of its views.
        """
        past = [self._ids(start) for start in starts]
        views = self._views(columns.choice.views)
        made, most = 0, self.context * 3 // 4
        while True:
            past = [self._fitting(each, kept, most) for each, kept in zip(past, given, strict=True)]
            # From here on an example is cut when it is full itself, whatever the others are.
            most = self.context
            longest = max(each.shape[1] for each in past)
            capacity = min(longest + number - made, self.context)
            read = [see(each.t()) for see in views for each in past]
            steps = self.decoder.new_state(len(read), capacity)
            h = steps.prefill(read)
            new: list[Tensor] = []
            while longest + len(new) <= capacity:
                if new:
                    h = steps.step(torch.cat([see(new[-1]) for see in views]))
                column = columns(h)
                if column is None:
                    return
                if columns.found is not None:
                    rows, over = columns.found.cpu().numpy(), columns.over
                    yield [None if end else row for row, end in zip(rows, over, strict=True)]
                made += 1
                if made == number:
                    return
                new.append(column)
            latest = torch.stack(new, dim=2)
            past = [torch.cat(pair, dim=1) for pair in zip(past, latest, strict=True)]

    def _views(self, views: Views) -> list[Callable[[Tensor], Tensor]]:
        """What embeds columns (n, rows) for each."""
        found: list[Callable[[Tensor], Tensor]] = [self.embed]
        if views.untold:
            found.append(partial(self.embed, hidden=(self.text,)))
        if views.unplanned:
            found.append(partial(self.embed, hidden=(self.text, self.heads.units(0))))
        return found

    def embed(self, columns: Tensor, hidden: Sequence[range] = ()) -> Tensor:
        """Embeddings (n, dim) of columns (n, rows), as if no ids of ``hidden`` were in row 0."""
        first = columns[:, 0]
        for ids in hidden:
            first = torch.where((first >= ids.start) & (first < ids.stop), self.heads.pad, first)
        if hidden:
            columns = torch.cat([first[:, None], columns[:, 1:]], dim=1)
        return F.embedding_bag(columns, self.embedding, mode="sum")

    def _fitting(self, columns: Tensor, given: int, most: int) -> Tensor:
        """Columns (rows, time), if more than ``most``: those given, and the latest, that leave room
        in the context.
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
