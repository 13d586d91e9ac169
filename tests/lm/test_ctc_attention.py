"""Joint decoding: its probabilities, by adding up all alignments, and its search, by trying all."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from speechlm.errors import SpeechLMError
from speechlm.lm.generate import ctc_attention as joint
from speechlm.lm.generate.ctc_attention import Fusion
from speechlm.lm.generate.generator import Generator
from speechlm.lm.model import UnitLM
from speechlm.nn import PackedSequences
from speechlm.text.lm import TextLM
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
@given(st.integers(1, 5), st.integers(0, 99))
def test_what_is_heard_is_summed_over_alignments(frames: int, seed: int) -> None:
    scores = heard(frames, seed)
    exact = texts(scores)
    found = wide(ctc=1.0)(scores.numpy(), limit=9)
    missed = set(exact) - {tuple(each.pieces) for each in found}
    assert all(exact[text] < 1e-3 for text in missed)
    for each in found:
        assert np.exp(each.heard) == pytest.approx(exact[tuple(each.pieces)], abs=1e-3)
    assert found[0].heard == max(each.heard for each in found)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 99), st.lists(st.booleans(), min_size=1, max_size=12))
def test_frames_of_blanks_change_nothing(seed: int, blank: list[bool]) -> None:
    """They are skipped, but divide a piece from the same one after it."""
    scores = heard(len(blank), seed)
    scores[torch.tensor(blank)] = torch.tensor([-12.0] * PIECES + [-3e-5]).double().log_softmax(0)
    exact = torch.nn.functional.ctc_loss
    for each in wide(beam=40)(scores.numpy(), limit=3)[:4]:
        loss = exact(
            scores[:, None], torch.tensor([each.pieces]), torch.tensor([len(blank)]),
            torch.tensor([len(each.pieces)]), blank=PIECES, reduction="sum",
        )  # fmt: skip
        assert each.heard == pytest.approx(-float(loss), abs=0.05)


def test_long_recordings_keep_their_precision() -> None:
    """Probabilities of thousands of frames are far below the smallest number there is."""
    scores = heard(4000, 0)
    best = wide(beam=4)(scores.numpy(), limit=50)[0]
    loss = torch.nn.functional.ctc_loss(
        scores[:, None], torch.tensor([best.pieces]), torch.tensor([4000]),
        torch.tensor([len(best.pieces)]), blank=PIECES, reduction="sum",
    )  # fmt: skip
    assert best.heard <= -float(loss) + 1e-6  # of the alignments that the beam followed
    assert np.isfinite(best.heard) and len(best.pieces) == 50


def test_a_text_lm_decides_between_what_sounds_alike() -> None:
    lm = TextLM.train(["the red car", "the red bus", "a red car"] * 3)
    spellings = [" ", *"thercdabus"]
    said, misheard = "the red car", "the rad car"
    scores = torch.full((2 * len(said), len(spellings) + 1), 1e-6).double()
    for place, (letter, other) in enumerate(zip(said, misheard, strict=True)):
        scores[2 * place, spellings.index(letter)] += 0.4
        scores[2 * place, spellings.index(other)] += 0.6
        scores[2 * place + 1, -1] = 1.0
    logs = (scores / scores.sum(1, keepdim=True)).log().numpy()

    def best(text_lm: TextLM | None) -> str:
        search = joint.PrefixSearch(spellings, text_lm, Fusion(lm=0.5, word=0.0))
        return "".join(spellings[piece] for piece in search(logs, limit=99)[0].pieces)

    assert best(None) == misheard
    assert best(lm) == said


def test_weights_out_of_their_range_are_refused() -> None:
    for wrong in ({"ctc": 1.5}, {"lm": -1.0}, {"word": float("nan")}, {"beam": 0}):
        with pytest.raises(SpeechLMError):
            Fusion(**wrong)  # type: ignore[arg-type]


def wide(beam: int = 999, ctc: float = 1.0) -> joint.PrefixSearch:
    """A search that gives up nothing, without a language model of text."""
    return joint.PrefixSearch(list("abc"), None, Fusion(ctc=ctc, beam=beam, best=beam))


@pytest.mark.parametrize("ctc", [0.4, 1.0])
@pytest.mark.parametrize("backbone", ["llama", "gru"])
@torch.no_grad()
def test_a_wide_beam_finds_the_most_probable_text(ctc: float, backbone: str) -> None:
    model = tiny.model(backbone=backbone)
    prompt = torch.cat([tiny.special(model, 1), tiny.frames(model, 4), tiny.special(model, 2)], 1)
    pieces, end, limit = range(8, 8 + PIECES), 3, 4
    scores = heard(4, 1)

    def joint_score(text: list[int]) -> float:
        written = log_probability(model, prompt, [pieces[each] for each in text], [*pieces], end)
        whole = texts(scores).get(tuple(text), 0.0)
        spoken = float(np.log(whole)) if whole else -np.inf
        return ctc * spoken + (1 - ctc) * written

    everything = [
        list(text)
        for length in range(limit)
        for text in itertools.product(range(PIECES), repeat=length)
    ]
    best = max(everything, key=joint_score)
    found = joint.transcribe(
        Generator(model), prompt.numpy(), scores, pieces, end, limit - 1, wide(ctc=ctc)
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
@pytest.mark.parametrize("lengths", [(5, 5), (5, 3)])
def test_positions_added_at_once_are_those_added_one_by_one(
    backbone: str, lengths: tuple[int, int]
) -> None:
    generator = Generator(tiny.model(backbone=backbone))
    prompts, x = [torch.randn(length, 32) for length in lengths], torch.randn(2, 4, 32)
    one, other = (generator.decoder.new_state(2, 9) for _ in range(2))
    one.prefill(prompts)
    other.prefill(prompts)
    steps = torch.stack([other.step(each) for each in x.unbind(1)], dim=1)
    torch.testing.assert_close(one.extend(x), steps, atol=1e-5, rtol=1e-4)


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
