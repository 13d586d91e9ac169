"""Text of speech, by what hears it frame by frame and what writes it piece by piece, together.

A decoder that writes may leave out or make up what it did not listen to; one that hears each frame
for itself knows nothing of words. Hybrid CTC/attention decoding (Watanabe et al. 2017, "Hybrid
CTC/attention architecture for end-to-end speech recognition") keeps what both hold probable.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from speechlm.lm.generate.generator import Generator
from speechlm.types import Ids

BEAM = 8
"""Texts that are followed at once."""
CTC = 0.6
"""Weight of what is heard frame by frame; the rest is that of what is written."""


@dataclass(frozen=True)
class Prefixes:
    """Some texts, and how probable it is that what CTC hears begins with each of them.

    Algorithm 2 of Watanabe et al.; its recurrences over frames are cumulative sums here.

    Attributes:
        scores: log-probabilities (pieces + 1, frames) of pieces in each frame; the last is none.
        spelled: log-probabilities (texts, frames) that the frames so far spell a text, with its
            last piece in this frame.
        silent: the same, with none in this frame.
        before: the same (texts, 1) before the first frame, which only nothing is spelled by.
        last: the last piece (texts,) of each; -1 for none.
    """

    scores: Tensor
    spelled: Tensor
    silent: Tensor
    before: Tensor
    last: Tensor

    @classmethod
    def of(cls, scores: Tensor) -> Prefixes:
        """The text of no piece, for log-probabilities (frames, pieces + 1)."""
        scores = scores.double().t()
        silent = scores[-1:].cumsum(1)
        spelled = torch.full_like(silent, -torch.inf)
        return cls(scores, spelled, silent, torch.zeros_like(silent[:, :1]), torch.tensor([-1]))

    def whole(self) -> Tensor:
        """Log-probabilities (texts,) that nothing more is heard."""
        return torch.logaddexp(self.spelled[:, -1], self.silent[:, -1])

    def longer(self, text: Tensor, piece: Tensor) -> tuple[Tensor, Prefixes]:
        """Texts of this number (n,) with one more piece (n,) each.

        Returns:
            Log-probabilities (n,) that what is heard begins with them; and the texts.
        """
        x = self.scores[piece]
        silent = self.silent[text]
        again = (self.last[text] == piece)[:, None]  # the same piece twice needs a gap
        so_far = torch.where(again, silent, torch.logaddexp(self.spelled[text], silent))
        so_far = torch.cat([self.before[text], so_far[:, :-1]], dim=1)
        spelled = _runs(so_far, x.cumsum(1))
        before = torch.full_like(spelled[:, :1], -torch.inf)
        ended = torch.cat([before, spelled[:, :-1]], dim=1)
        silent = _runs(ended, self.scores[-1:].cumsum(1))
        return (so_far + x).logsumexp(1), Prefixes(self.scores, spelled, silent, before, piece)

    def choose(self, texts: Tensor) -> Prefixes:
        """Those of these numbers (n,)."""
        each = (part[texts] for part in (self.spelled, self.silent, self.before, self.last))
        return Prefixes(self.scores, *each)


def _runs(before: Tensor, x: Tensor) -> Tensor:
    """Log-probabilities (n, frames) of runs that end in each frame.

    ``before`` (n, frames) is that of what a run which begins in a frame follows, ``x`` the sum of
    what the frames up to each one say.
    """
    earlier = torch.cat([torch.zeros_like(x[:, :1]), x[:, :-1]], dim=1)
    return x + (before - earlier).logcumsumexp(1)


@torch.inference_mode()
def transcribe(
    generator: Generator,
    prompt: Ids,
    scores: Tensor,
    pieces: Sequence[int],
    end: int,
    limit: int,
    beam: int = BEAM,
    ctc: float = CTC,
) -> list[int]:
    """The most probable text, as far as a beam finds it.

    Args:
        generator: what writes.
        prompt: joint ids (rows, columns) of what is given.
        scores: log-probabilities (frames, pieces + 1) of what is heard.
        pieces: ids of the pieces of text.
        end: id that ends text.
        limit: pieces at most.
        beam: texts that are followed at once.
        ctc: weight of what is heard.
    """
    heads = generator.heads
    columns = torch.from_numpy(prompt).to(heads.device)
    head = heads.projection([*pieces, end])
    limit = min(limit, generator.context - columns.shape[1])
    steps = generator.decoder.new_state(beam, columns.shape[1] + limit)
    h = steps.prefill([generator.embed(columns.t())] * beam)[:1]
    # What is followed is kept on the CPU: many small sums.
    heard, written = Prefixes.of(scores.cpu()), torch.zeros(1).double()
    texts: list[list[int]] = [[]]
    best, found = -torch.inf, []
    column = torch.full((beam, len(columns)), heads.pad)
    for _ in range(limit):
        says = head(h).cpu().double().log_softmax(1)
        overs = ctc * heard.whole() + (1 - ctc) * (written + says[:, -1])
        if float(overs.max()) > best:
            best, found = float(overs.max()), texts[int(overs.argmax())]
        likely = says[:, :-1].topk(min(2 * beam, len(pieces)))
        text = torch.arange(len(texts)).repeat_interleave(likely.indices.shape[1])
        piece = likely.indices.flatten()
        heard_of, longer = heard.longer(text, piece)
        written_of = written[text] + likely.values.flatten()
        kept = (ctc * heard_of + (1 - ctc) * written_of).topk(min(beam, len(text)))
        if best >= float(kept.values[0]):
            break  # what is longer is no more probable
        text, piece = text[kept.indices], piece[kept.indices]
        heard, written = longer.choose(kept.indices), written_of[kept.indices]
        texts = [[*texts[t], p] for t, p in zip(text.tolist(), piece.tolist(), strict=True)]
        spare = beam - len(texts)
        steps.reorder(torch.cat([text, text[:1].expand(spare)]).to(heads.device))
        column[:, 0] = pieces[0]
        column[: len(texts), 0] = torch.tensor(pieces)[piece]
        h = steps.step(generator.embed(column.to(heads.device)))[: len(texts)]
    return [pieces[each] for each in found]
