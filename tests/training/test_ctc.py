"""Text told from speech: which examples have it, and what their loss is."""

import numpy as np
import torch
from torch.nn import functional as F

from speechlm.data.packing import pack
from speechlm.lm.patterns import pattern
from speechlm.lm.tasks import Example, Layout, task
from speechlm.lm.vocabulary import PAD, Vocabulary
from speechlm.training.ctc import CTC
from speechlm.units.base import Units

UNITS = Units("made-up", "0" * 8, 16000, 320, 2, 8)
VOCABULARY = Vocabulary(5, UNITS)


def packed(examples: list[tuple[str, Example]], kind: str = "depth") -> dict[str, torch.Tensor]:
    layout = Layout(VOCABULARY, pattern(kind, UNITS.levels))
    sequences = [layout.sequence(task(name), example) for name, example in examples]
    batch = pack(sequences, len(sequences), 40, VOCABULARY.id(PAD))[0]
    return {name: torch.from_numpy(getattr(batch, name)) for name in ("tokens", "segments")}


def example(frames: int, text: list[int]) -> Example:
    codes = np.random.default_rng(frames).integers(0, 8, (2, frames))
    return Example(codes, text, voice=codes)


def test_it_is_torchs_loss_of_the_transcribed_speech() -> None:
    torch.manual_seed(0)
    ctc = CTC(6, VOCABULARY)
    batch = packed([("asr", example(9, [0, 1, 1])), ("tts", example(5, [2])),
                    ("asr", example(7, [4, 3])), ("tts-voice", example(4, [1]))])  # fmt: skip
    h = torch.randn(*batch["segments"].shape, 6, requires_grad=True)
    loss = ctc(h, **batch)
    # The two rows of ASR begin with <speech>, and the frames follow.
    first = [(row, len(text)) for row, text in _transcribed(batch)]
    assert sorted(length for _, length in first) == [2, 3]
    total = torch.zeros(())
    for row, text in _transcribed(batch):
        start, frames = row
        scores = ctc.out(h[start[0], start[1] : start[1] + frames]).log_softmax(1)
        total = total + F.ctc_loss(
            scores[:, None], text[None], torch.tensor([frames]), torch.tensor([len(text)]),
            blank=5, reduction="sum",
        )  # fmt: skip
    torch.testing.assert_close(loss, total / 5)
    loss.backward()
    assert h.grad is not None and h.grad.abs().sum() > 0


def _transcribed(batch: dict[str, torch.Tensor]):
    """Place and frames of the speech, and the text, of examples that generate text after speech."""
    asks = VOCABULARY.id("<generate text>")
    for row, ids in enumerate(batch["tokens"][:, 0]):
        for column in (ids == asks).nonzero().squeeze(1).tolist():
            segment = batch["segments"][row, column]
            start = int((batch["segments"][row] == segment).nonzero()[0]) + 1
            end = int((batch["segments"][row] == segment).nonzero()[-1])
            yield ((row, start), column - start), ids[column + 1 : end] - VOCABULARY.text.start


def test_without_speech_that_is_transcribed_it_is_zero() -> None:
    ctc = CTC(6, VOCABULARY)
    batch = packed([("tts", example(5, [2])), ("speech", example(6, []))])
    h = torch.randn(*batch["segments"].shape, 6, requires_grad=True)
    loss = ctc(h, **batch)
    assert loss.item() == 0
    loss.backward()


def test_it_learns_to_spell() -> None:
    torch.manual_seed(0)
    ctc = CTC(6, VOCABULARY)
    batch = packed([("asr", example(9, [0, 3, 1]))], "flatten")
    h = torch.randn(*batch["segments"].shape, 6, requires_grad=True)
    optimizer = torch.optim.Adam([h, *ctc.parameters()], lr=0.1)
    for _ in range(100):
        optimizer.zero_grad()
        ctc(h, **batch).backward()
        optimizer.step()
    assert ctc(h, **batch).item() < 0.1
