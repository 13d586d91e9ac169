"""What is said, told frame by frame from a language model's outputs: a loss beside its own."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from speechlm.lm.vocabulary import (
    END_OF_TEXT,
    GENERATE_SPEECH,
    GENERATE_TEXT,
    SPEECH,
    TEXT,
    Vocabulary,
)


def loss(out: nn.Module, h: Tensor, tokens: Tensor, segments: Tensor, ids: Vocabulary) -> Tensor:
    """Connectionist temporal classification (Graves et al. 2006) of speech whose text is there.

    As in hybrid CTC/attention (Watanabe et al. 2017): where text follows speech, the backbone's
    outputs over the speech are to spell it already, in order. This finds in hundreds of steps what
    text alone, which says nothing of where its letters are, teaches in thousands. Where speech
    follows text, its outputs are to spell it too, which asks for the same: to know, at each frame,
    where in the text one is.

    Args:
        out: what scores pieces of text, and the blank after them.
        h: the backbone's outputs (batch, time, dim) of the batch that the model's loss is of.

    Returns:
        Nats a piece of text; zero where no example has both. One of more pieces than frames has no
        part in it.
    """
    heard, said = [], []
    for row, columns, text in _examples(tokens, segments, ids):
        heard.append(h[row, columns])
        said.append(text - ids.text.start)
    if not heard:
        return 0.0 * (h.sum() + sum(weight.sum() for weight in out.parameters()))
    frames = torch.tensor([len(x) for x in heard])
    lengths = torch.tensor([len(x) for x in said])
    scores = out(torch.cat(heard)).float().log_softmax(1)
    padded = nn.utils.rnn.pad_sequence(list(scores.split(frames.tolist())))
    total = F.ctc_loss(
        padded, torch.cat(said), frames, lengths,
        blank=len(ids.text), reduction="sum", zero_infinity=True,
    )  # fmt: skip
    return total / lengths.sum()


def _examples(
    tokens: Tensor, segments: Tensor, ids: Vocabulary
) -> Iterator[tuple[int, Tensor, Tensor]]:
    """Row, columns of speech, and ids of text of each example that transcribes or reads aloud."""
    units = ids.level(0).start
    sounds = (tokens >= units).any(dim=1)
    for row, (first, numbers) in enumerate(zip(tokens[:, 0], segments, strict=True)):
        for number in range(int(numbers.max()) + 1):
            columns = (numbers == number).nonzero().squeeze(1)
            own = first[columns]
            found = _places(own, ids)
            if found is None:
                continue
            heard, said = found
            text = own[said]
            text = text[(text >= ids.text.start) & (text < ids.text.stop)]
            spoken = columns[heard]
            spoken = spoken[sounds[row, spoken]]
            if len(text) and len(spoken):
                yield row, spoken, text


def _places(own: Tensor, ids: Vocabulary) -> tuple[slice, slice] | None:
    """Where an example of these ids in row 0 has speech, and where it has what that says."""

    def only(token: str) -> int | None:
        found = (own == ids.id(token)).nonzero().flatten().tolist()
        return found[0] if len(found) == 1 else None

    asks_text, asks_speech = only(GENERATE_TEXT), only(GENERATE_SPEECH)
    if asks_text is not None and int(own[0]) == ids.id(SPEECH):
        return slice(0, asks_text), slice(asks_text, None)
    text = only(TEXT)
    # What is read word by word is told where it is.
    by_word = bool((own == ids.id(END_OF_TEXT)).any())
    if asks_speech is not None and text is not None and not by_word:
        return slice(asks_speech, None), slice(text, asks_speech)
    return None
