"""CTC of the text of speech on the outputs of a language model's backbone: an auxiliary loss."""

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


def ctc_loss(
    output: nn.Module, h: Tensor, tokens: Tensor, segments: Tensor, ids: Vocabulary
) -> Tensor:
    """Connectionist temporal classification (Graves et al. 2006) of speech whose text is known.

    As in hybrid CTC/attention (Watanabe et al. 2017): where text follows speech, the outputs over
    the speech are trained to spell it, in order. This aligns text with speech in hundreds of steps,
    where the likelihood of the text, which does not say where its letters are, takes thousands.
    Where speech follows text, its outputs are trained to spell it too: a model that does so knows
    at each frame which part of the text it synthesises.

    Args:
        output: maps ``h`` to scores of pieces of text, and of the blank after them.
        h: outputs of the backbone (batch, time, dim).
        tokens: joint ids (batch, rows, time) of the batch.
        segments: which example a column (batch, time) belongs to.
        ids: the vocabulary.

    Returns:
        Nats a piece of text; zero where no example has both. Examples with more pieces than frames
        do not count.
    """
    outputs, texts = [], []
    for row, columns, text in _examples(tokens, segments, ids):
        outputs.append(h[row, columns])
        texts.append(text - ids.text.start)
    if not outputs:
        return 0.0 * (h.sum() + sum(weight.sum() for weight in output.parameters()))
    frames = torch.tensor([len(x) for x in outputs])
    lengths = torch.tensor([len(x) for x in texts])
    scores = output(torch.cat(outputs)).float().log_softmax(1)
    padded = nn.utils.rnn.pad_sequence(list(scores.split(frames.tolist())))
    total = F.ctc_loss(
        padded, torch.cat(texts), frames, lengths,
        blank=len(ids.text), reduction="sum", zero_infinity=True,
    )  # fmt: skip
    return total / lengths.sum()


def _examples(
    tokens: Tensor, segments: Tensor, ids: Vocabulary
) -> Iterator[tuple[int, Tensor, Tensor]]:
    """Row, columns of speech, and ids of text of each example of ASR or TTS."""
    first_unit = ids.level(0).start
    is_speech = (tokens >= first_unit).any(dim=1)
    for row, (first, numbers) in enumerate(zip(tokens[:, 0], segments, strict=True)):
        for number in range(int(numbers.max()) + 1):
            columns = (numbers == number).nonzero().squeeze(1)
            example = first[columns]
            places = _find_speech_and_text(example, ids)
            if places is None:
                continue
            speech, text_place = places
            text = example[text_place]
            text = text[(text >= ids.text.start) & (text < ids.text.stop)]
            spoken = columns[speech]
            spoken = spoken[is_speech[row, spoken]]
            if len(text) and len(spoken):
                yield row, spoken, text


def _find_speech_and_text(example: Tensor, ids: Vocabulary) -> tuple[slice, slice] | None:
    """Where an example with these ids in row 0 has speech, and where the text of that speech."""

    def position_of(token: str) -> int | None:
        positions = (example == ids.id(token)).nonzero().flatten().tolist()
        return positions[0] if len(positions) == 1 else None

    text_start, speech_start = position_of(GENERATE_TEXT), position_of(GENERATE_SPEECH)
    if text_start is not None and int(example[0]) == ids.id(SPEECH):
        return slice(0, text_start), slice(text_start, None)
    text = position_of(TEXT)
    # Word-by-word TTS interleaves text and speech, and is aligned already.
    is_wordwise = bool((example == ids.id(END_OF_TEXT)).any())
    if speech_start is not None and text is not None and not is_wordwise:
        return slice(speech_start, None), slice(text, speech_start)
    return None
