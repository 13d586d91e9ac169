"""Text told from speech: which examples have it, and what their loss is."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from speechlm.data.batches.pack import pack
from speechlm.lm.patterns import pattern
from speechlm.lm.tasks import Example, TokenLayout, task
from speechlm.lm.vocabulary import PAD, Vocabulary
from speechlm.tokenizers.base import Units
from speechlm.training.losses.ctc import ctc_loss

UNITS = Units("made-up", "0" * 8, 16000, 320, 2, 8)
VOCABULARY = Vocabulary(5, UNITS)
OUT = nn.Linear(6, 6)


def packed(examples: list[tuple[str, Example]], kind: str = "depth") -> dict[str, torch.Tensor]:
    layout = TokenLayout(VOCABULARY, pattern(kind, UNITS.num_codebooks))
    sequences = [layout.sequence(task(name), example) for name, example in examples]
    batch = pack(sequences, len(sequences), 40, VOCABULARY.id(PAD))[0]
    return {name: torch.from_numpy(getattr(batch, name)) for name in ("tokens", "segments")}


def example(frames: int, text: list[int]) -> Example:
    codes = np.random.default_rng(frames).integers(0, 8, (2, frames))
    return Example(codes, text, voice=codes)


def test_it_is_torchs_loss_of_speech_that_has_a_text() -> None:
    torch.manual_seed(0)
    named = [("asr", example(9, [0, 1, 1])), ("tts", example(5, [2])), ("speech", example(6, [])),
             ("asr", example(7, [4, 3])), ("tts-voice", example(4, [1]))]  # fmt: skip
    batch = packed(named)
    h = torch.randn(*batch["segments"].shape, 6, requires_grad=True)
    loss = ctc_loss(OUT, h, ids=VOCABULARY, **batch)
    total = torch.zeros(())
    for name, each in named:
        if name == "speech":
            continue
        row, start, frames = _spoken(name, each, batch)
        scores = OUT(h[row, start : start + frames]).log_softmax(1)
        text = torch.tensor(each.text)
        total = total + F.ctc_loss(
            scores[:, None], text[None], torch.tensor([frames]), torch.tensor([len(text)]),
            blank=5, reduction="sum",
        )  # fmt: skip
    torch.testing.assert_close(loss, total / 7)
    loss.backward()
    assert h.grad is not None and h.grad.abs().sum() > 0


def _spoken(name: str, each: Example, batch: dict[str, torch.Tensor]) -> tuple[int, int, int]:
    """Row and first column of the speech that the text is of, and its frames."""
    layout = TokenLayout(VOCABULARY, pattern("depth", UNITS.num_codebooks))
    own = torch.from_numpy(layout.sequence(task(name), each).tokens)
    assert each.speech is not None and each.text is not None
    frames, pieces = each.speech.shape[1], len(each.text)
    before = {"asr": 1, "tts": 2 + pieces, "tts-voice": 3 + frames + pieces}[name]
    for row, tokens in enumerate(batch["tokens"]):
        for start in range(tokens.shape[1] - own.shape[1] + 1):
            if torch.equal(tokens[:, start : start + own.shape[1]], own):
                return row, start + before, frames
    raise AssertionError("the example is not in the batch")


def test_without_speech_that_has_a_text_it_is_zero() -> None:
    batch = packed([("text", example(5, [2])), ("speech", example(6, []))])
    h = torch.randn(*batch["segments"].shape, 6, requires_grad=True)
    loss = ctc_loss(OUT, h, ids=VOCABULARY, **batch)
    assert loss.item() == 0
    loss.backward()


def test_it_learns_to_spell() -> None:
    torch.manual_seed(0)
    batch = packed([("asr", example(9, [0, 3, 1]))], "flatten")
    h = torch.randn(*batch["segments"].shape, 6, requires_grad=True)
    optimizer = torch.optim.Adam([h, *OUT.parameters()], lr=0.1)
    for _ in range(100):
        optimizer.zero_grad()
        ctc_loss(OUT, h, ids=VOCABULARY, **batch).backward()
        optimizer.step()
    assert ctc_loss(OUT, h, ids=VOCABULARY, **batch).item() < 0.1
