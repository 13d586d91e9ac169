"""Joint decoding: its probabilities, by adding up all alignments, and its search, by trying all."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from speechlm.lm import joint
from speechlm.lm.generate.generator import Generator
from speechlm.lm.joint import Prefixes
from speechlm.lm.model import UnitLM
from speechlm.nn import PackedSequences
from tests.lm import tiny

PIECES = 3


def heard(frames: int, seed: int, pieces: int = PIECES) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (2 * torch.randn(frames, pieces + 1, generator=generator)).double().log_softmax(1)


def spelled(alignment: tuple[int, ...], blank: int) -> tuple[int, ...]:
    return tuple(piece for piece, _ in itertools.groupby(alignment) if piece != blank)


def texts(scores: torch.Tensor) -> dict[tuple[int, ...], float]:
    """The probability of every text, over all alignments."""
    frames, kinds = scores.shape
    found: dict[tuple[int, ...], float] = {}
    for alignment in itertools.product(range(kinds), repeat=frames):
        text = spelled(alignment, kinds - 1)
        log = sum(float(scores[frame, piece]) for frame, piece in enumerate(alignment))
        found[text] = found.get(text, 0.0) + float(np.exp(log))
    return found


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 5), st.integers(0, 99), st.lists(st.integers(0, PIECES - 1), max_size=4))
def test_prefixes_are_sums_over_alignments(frames: int, seed: int, text: list[int]) -> None:
    scores = heard(frames, seed)
    exact = texts(scores)
    prefixes = Prefixes.of(scores)
    for length in range(len(text) + 1):
        whole = exact.get(tuple(text[:length]), 0.0)
        assert float(prefixes.whole().exp()) == pytest.approx(whole, abs=1e-9)
        if length < len(text):
            # A second text beside it, so that choosing is part of it.
            numbers, pieces = torch.tensor([0, 0]), torch.tensor([text[length], 0])
            begins, longer = prefixes.longer(numbers, pieces)
            prefixes = longer.choose(torch.tensor([0]))
            begun = sum(p for t, p in exact.items() if list(t[: length + 1]) == text[: length + 1])
            assert float(begins[0].exp()) == pytest.approx(begun, abs=1e-9)


def test_long_recordings_keep_their_precision() -> None:
    """Probabilities of thousands of frames are far below the smallest number there is."""
    scores = heard(4000, 0)
    prefixes = Prefixes.of(scores)
    text = [0, 1, 1, 2] * 20
    for piece in text:
        _, prefixes = prefixes.longer(torch.tensor([0]), torch.tensor([piece]))
    loss = torch.nn.functional.ctc_loss(
        scores[:, None], torch.tensor([text]), torch.tensor([4000]), torch.tensor([len(text)]),
        blank=PIECES, reduction="sum",
    )  # fmt: skip
    assert float(prefixes.whole()) == pytest.approx(-float(loss), rel=1e-9)


@pytest.mark.parametrize("ctc", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("backbone", ["llama", "gru"])
@torch.no_grad()
def test_a_wide_beam_finds_the_most_probable_text(ctc: float, backbone: str) -> None:
    model = tiny.model(backbone=backbone)
    prompt = torch.cat([tiny.special(model, 1), tiny.frames(model, 4), tiny.special(model, 2)], 1)
    pieces, end, limit = range(8, 8 + PIECES), 3, 3
    scores = heard(4, 1)

    def joint_score(text: list[int]) -> float:
        written = log_probability(model, prompt, [pieces[each] for each in text], [*pieces], end)
        whole = texts(scores).get(tuple(text), 0.0)
        spoken = float(np.log(whole)) if whole else -np.inf
        return (ctc * spoken if ctc else 0.0) + (1 - ctc) * written

    everything = [
        list(text)
        for length in range(limit)
        for text in itertools.product(range(PIECES), repeat=length)
    ]
    best = max(everything, key=joint_score)
    found = joint.transcribe(
        Generator(model), prompt.numpy(), scores, pieces, end, limit, beam=27, ctc=ctc
    )
    assert found == [pieces[each] for each in best]


def log_probability(
    model: UnitLM, prompt: torch.Tensor, text: list[int], pieces: list[int], end: int
) -> float:
    """Of text and its end after a prompt, among pieces and the end."""
    columns = torch.full((len(prompt), len(text)), model.config.ids.pad)
    columns[0] = torch.tensor(text)
    tokens = torch.cat([prompt, columns], dim=1)[None]
    h = model(tokens, PackedSequences(torch.zeros_like(tokens[:, 0])))[0, prompt.shape[1] - 1 :]
    allowed = [*pieces, end]
    scores = (h @ model.output[torch.tensor(allowed)].t()).log_softmax(1)
    chosen = [allowed.index(each) for each in [*text, end]]
    return float(scores[torch.arange(len(chosen)), torch.tensor(chosen)].sum())


@pytest.mark.parametrize("backbone", ["llama", "gru", "wavenet"])
def test_sequences_go_on_as_others_are(backbone: str) -> None:
    generator = Generator(tiny.model(backbone=backbone))
    prompts = [torch.randn(length, 32) for length in (5, 3, 4)]
    x = torch.randn(3, 32)
    steps = generator.decoder.new_state(3, 9)
    steps.prefill(prompts)
    steps.reorder(torch.tensor([2, 2, 0]))
    found = steps.step(x)
    others = generator.decoder.new_state(3, 9)
    others.prefill([prompts[2], prompts[2], prompts[0]])
    torch.testing.assert_close(found, others.step(x), atol=1e-5, rtol=1e-4)


def test_a_start_that_sequences_share_is_read_once() -> None:
    generator = Generator(tiny.model())
    one, other = torch.randn(5, 32), torch.randn(3, 32)
    x = torch.randn(3, 32)
    shared, apart = (generator.decoder.new_state(3, 9) for _ in range(2))
    first = shared.prefill([one, other, one])
    torch.testing.assert_close(first, apart.prefill([one, other, one.clone()]))
    torch.testing.assert_close(shared.step(x), apart.step(x))
    calls = []
    shared._prefill, real = (lambda row, x: calls.append(row) or real(row, x)), shared._prefill
    shared.prefill([one, other, one])
    assert calls == [0, 1]
