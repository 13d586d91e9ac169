"""What was said, told frame by frame from what a language model hears: a loss beside its own."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from speechlm.lm.vocabulary import GENERATE_TEXT, SPEECH, Vocabulary


class CTC(nn.Module):
    """Connectionist temporal classification (Graves et al. 2006) of speech that is transcribed.

    As in hybrid CTC/attention (Watanabe et al. 2017): where text follows speech, the backbone's
    outputs over the speech are to spell it already, in order. This finds in hundreds of steps what
    text alone, which says nothing of where its letters are, teaches in thousands. It is used in
    training only, and no part of the model.
    """

    def __init__(self, dim: int, vocabulary: Vocabulary):
        super().__init__()
        self.pieces = vocabulary.text
        self.units = vocabulary.level(0).start
        self.speech, self.asks = vocabulary.id(SPEECH), vocabulary.id(GENERATE_TEXT)
        self.out = nn.Linear(dim, len(self.pieces) + 1)

    def forward(self, h: Tensor, tokens: Tensor, segments: Tensor) -> Tensor:
        """Nats a piece of text, from outputs (batch, time, dim) of the batch that the loss is of.

        Zero where there is no such example. One of more pieces than frames has no part in it.
        """
        heard, said = [h.new_zeros(0, h.shape[2])], [tokens.new_zeros(0)]
        for row, columns, text in self._examples(tokens, segments):
            heard.append(h[row, columns])
            said.append(text - self.pieces.start)
        frames = torch.tensor([len(x) for x in heard[1:]], dtype=torch.long)
        lengths = torch.tensor([len(x) for x in said[1:]], dtype=torch.long)
        if not len(frames):
            return 0.0 * (h.sum() + self.out.weight.sum() + self.out.bias.sum())
        scores = self.out(torch.cat(heard)).float().log_softmax(1)
        padded = nn.utils.rnn.pad_sequence(list(scores.split(frames.tolist())))
        total = F.ctc_loss(
            padded, torch.cat(said), frames, lengths,
            blank=len(self.pieces), reduction="sum", zero_infinity=True,
        )  # fmt: skip
        return total / lengths.sum()

    def _examples(self, tokens: Tensor, segments: Tensor) -> Iterator[tuple[int, Tensor, Tensor]]:
        """Row, columns of speech, and ids of text of each example that transcribes."""
        for row, (ids, numbers) in enumerate(zip(tokens[:, 0], segments, strict=True)):
            for number in range(int(numbers.max()) + 1):
                columns = (numbers == number).nonzero().squeeze(1)
                own = ids[columns]
                asked = (own == self.asks).nonzero().squeeze(1)
                if int(own[0]) != self.speech or len(asked) != 1:
                    continue
                text = own[int(asked) + 1 :]
                text = text[(text >= self.pieces.start) & (text < self.pieces.stop)]
                spoken = columns[own >= self.units]
                if len(text) and len(spoken):
                    yield row, spoken, text
