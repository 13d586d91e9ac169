"""Joint CTC/attention decoding with a text language model.

A prefix beam search (Hannun et al. 2014) over the CTC output, with shallow fusion of a text
language model, finds the most probable texts. The attention decoder, which attends to all of the
speech, then rescores the best of them (Watanabe et al. 2017, "Hybrid CTC/attention architecture for
end-to-end speech recognition").
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from speechlm.errors import SpeechLMError
from speechlm.lm.generate.generator import Generator
from speechlm.text.backoff import log_sum
from speechlm.text.lm import TextLM, TextState
from speechlm.types import Floats, Ids

CANDIDATES = 8
"""Pieces of a frame that may extend a prefix."""
UNLIKELY = -9.0
"""Log-probability below which a piece does not."""
BLANK = math.log(0.999)
"""Log-probability of a blank above which nothing else is looked at in a frame."""
MARGIN = 14.0
"""Nats behind the best at which a text is given up."""


@dataclass(frozen=True)
class Fusion:
    """Weights of the scores of a text, which are log-probabilities in nats.

    Attributes:
        ctc: weight of CTC; the rest is that of the attention decoder.
        lm: weight of the text language model.
        word: added for each word, which the language model makes improbable.
        beam: prefixes that are kept after a frame.
        best: of the final ones, how many the attention decoder rescores.

    Raises:
        SpeechLMError: for a value outside its range.
    """

    ctc: float = 0.6
    lm: float = 0.5
    word: float = 1.0
    beam: int = 24
    best: int = 8

    def __post_init__(self) -> None:
        if not 0 <= self.ctc <= 1:
            raise SpeechLMError(f"the weight of CTC is 0 to 1, not {self.ctc:g}")
        if not 0 <= self.lm < math.inf:
            raise SpeechLMError(f"the weight of a text LM is 0 or more, not {self.lm:g}")
        if not math.isfinite(self.word):
            raise SpeechLMError(f"what a word adds is finite, not {self.word:g}")
        if self.beam < 1 or self.best < 1:
            raise SpeechLMError("a beam is 1 or more")


@dataclass(frozen=True)
class Hypothesis:
    """A text (``pieces``, by their number), and log-probabilities of it.

    ``heard``: by CTC; ``known``: by the language model of text; ``words``: how many it has.
    """

    pieces: list[int]
    heard: float
    known: float
    words: int

    def score(self, fusion: Fusion, written: float | None = None) -> float:
        """All of it, weighted; without what is ``written``, CTC counts for both."""
        heard = self.heard
        if written is not None:
            heard = fusion.ctc * heard + (1 - fusion.ctc) * written
        return heard + fusion.lm * self.known + fusion.word * self.words


class _Text:
    """A prefix in the tree of those that were met."""

    __slots__ = ("above", "below", "bonus", "length", "piece", "state")

    def __init__(self, above: _Text | None, piece: int, state: TextState | None, bonus: float):
        self.above, self.piece, self.state, self.bonus = above, piece, state, bonus
        self.below: dict[int, _Text] = {}
        self.length: int = 0 if above is None else above.length + 1

    def pieces(self) -> list[int]:
        found, at = [], self
        while at.above is not None:
            found.append(at.piece)
            at = at.above
        return found[::-1]


class PrefixSearch:
    """CTC prefix beam search over pieces that are spelled as ``spellings``.

    Args:
        spellings: characters of each piece, with a space where a word begins.
        text_lm: the language model of text; None for none.
        fusion: weights, and how wide the beam is.
    """

    def __init__(self, spellings: Sequence[str], text_lm: TextLM | None, fusion: Fusion):
        self.spellings, self.text_lm, self.fusion = spellings, text_lm, fusion

    def __call__(self, scores: Floats, limit: int) -> list[Hypothesis]:
        """The most probable texts of up to ``limit`` pieces, the best first.

        Args:
            scores: CTC log-probabilities (frames, pieces + 1); the last is the blank.
        """
        root = _Text(None, -1, self.text_lm.begin() if self.text_lm else None, 0.0)
        # Of each text, the log-probability that a blank comes last, and that its last piece does.
        beam: dict[_Text, tuple[float, float]] = {root: (0.0, -math.inf)}
        number = min(CANDIDATES, scores.shape[1] - 1)
        likely = np.argsort(-scores[:, :-1], axis=1)[:, :number]
        values = np.take_along_axis(scores, likely, axis=1)
        blanks = scores[:, -1].tolist()
        for frame, blank in enumerate(blanks):
            if blank > BLANK:
                beam = {text: (log_sum(*each) + blank, -math.inf) for text, each in beam.items()}
                continue
            row = scores[frame]
            pairs = [
                (piece, value)
                for piece, value in zip(likely[frame].tolist(), values[frame].tolist(), strict=True)
                if value > UNLIKELY
            ]
            beam = self._pruned(self._frame(beam, blank, pairs, row, limit))
        found = [self._hypothesis(text, log_sum(*each)) for text, each in beam.items()]
        return sorted(found, key=lambda each: -each.score(self.fusion))

    def _frame(
        self,
        beam: dict[_Text, tuple[float, float]],
        blank: float,
        pairs: list[tuple[int, float]],
        row: Floats,
        limit: int,
    ) -> dict[_Text, tuple[float, float]]:
        new: dict[_Text, tuple[float, float]] = {}
        least = max(log_sum(*each) for each in beam.values()) - 2 * MARGIN
        for text, (ended, going) in beam.items():
            total = log_sum(ended, going)
            last = text.piece
            again = going + float(row[last]) if last >= 0 else -math.inf
            known = new.get(text, (-math.inf, -math.inf))
            new[text] = log_sum(known[0], total + blank), log_sum(known[1], again)
            if text.length == limit:
                continue
            for piece, value in pairs:
                # The same piece twice needs a blank between.
                score = (ended if piece == last else total) + value
                if score < least:
                    continue
                longer = text.below.get(piece) or self._longer(text, piece)
                known = new.get(longer, (-math.inf, -math.inf))
                new[longer] = known[0], log_sum(known[1], score)
        return new

    def _longer(self, text: _Text, piece: int) -> _Text:
        state, bonus = None, 0.0
        if self.text_lm is not None and text.state is not None:
            state = self.text_lm.extend(text.state, self.spellings[piece])
            bonus = self.fusion.lm * state.now + self.fusion.word * state.count
        made = text.below[piece] = _Text(text, piece, state, bonus)
        return made

    def _pruned(self, beam: dict[_Text, tuple[float, float]]) -> dict[_Text, tuple[float, float]]:
        scored = [(log_sum(*each) + text.bonus, text) for text, each in beam.items()]
        scored.sort(key=lambda each: -each[0])
        least = scored[0][0] - MARGIN
        kept = [text for score, text in scored[: self.fusion.beam] if score >= least]
        return {text: beam[text] for text in kept}

    def _hypothesis(self, text: _Text, heard: float) -> Hypothesis:
        if self.text_lm is None or text.state is None:
            return Hypothesis(text.pieces(), heard, 0.0, 0)
        state = self.text_lm.finish(text.state)
        return Hypothesis(text.pieces(), heard, state.total, state.count)


@torch.inference_mode()
def written(
    generator: Generator, prompt: Ids, texts: Sequence[Sequence[int]], pieces: range, end: int
) -> list[float]:
    """Log-probabilities that what writes writes each text and ends it, in one pass.

    Args:
        generator: what writes.
        prompt: joint ids (rows, columns) of what is given.
        texts: numbers of ``pieces``.
        pieces: ids of the pieces of text.
        end: id that ends text.
    """
    heads = generator.heads
    columns = torch.from_numpy(prompt).to(heads.device)
    longest = max(len(text) for text in texts)
    steps = generator.decoder.new_state(len(texts), columns.shape[1] + longest)
    h = steps.prefill([generator.embed(columns.t())] * len(texts))[:, None]
    targets = torch.full((len(texts), longest + 1), len(pieces))
    for row, text in enumerate(texts):
        targets[row, : len(text)] = torch.tensor(text, dtype=torch.int64)
    if longest:
        ids = torch.full((len(texts), longest, len(columns)), heads.pad)
        ids[:, :, 0] = torch.tensor([*pieces, end])[targets[:, :-1]]
        embedded = generator.embed(ids.to(heads.device).flatten(0, 1))
        h = torch.cat([h, steps.extend(embedded.unflatten(0, ids.shape[:2]))], dim=1)
    says = heads.projection([*pieces, end])(h.flatten(0, 1)).float().log_softmax(1).cpu()
    said = says.unflatten(0, targets.shape).gather(2, targets[:, :, None])[:, :, 0].double()
    there = torch.arange(longest + 1) <= torch.tensor([[len(text)] for text in texts])
    return [float(each) for each in (said * there).sum(1)]


def transcribe(
    generator: Generator,
    prompt: Ids,
    scores: Tensor,
    pieces: range,
    end: int,
    limit: int,
    search: PrefixSearch,
) -> list[int]:
    """The most probable text, as far as a beam finds it: ids of pieces.

    Args:
        generator: what writes.
        prompt: joint ids (rows, columns) of what is given.
        scores: CTC log-probabilities (frames, pieces + 1).
        pieces: ids of the pieces of text.
        end: id that ends text.
        limit: pieces at most.
        search: finds the texts to choose from.
    """
    limit = min(limit, generator.context - prompt.shape[1])
    fusion = search.fusion
    found = search(scores.double().cpu().numpy(), limit)[: fusion.best]
    if fusion.ctc < 1:
        says = written(generator, prompt, [each.pieces for each in found], pieces, end)
        pairs = zip(found, says, strict=True)
        best = max(pairs, key=lambda pair: pair[0].score(fusion, pair[1]))[0]
    else:
        best = found[0]
    return [pieces[piece] for piece in best.pieces]
