"""Generation: what comes, when it ends, and that none of it depends on how it is computed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from speechlm.errors import SpeechLMError
from speechlm.lm.generate.generator import Generator
from speechlm.lm.generate.guidance import CFGBranches
from speechlm.lm.generate.logits import LoopPenalty, Sampler
from speechlm.lm.generate.sampling import GREEDY, Sampling
from speechlm.lm.model import UnitLM
from speechlm.types import Codes
from tests.lm import tiny

END = 5
RATE = 10.0
NOTHING = np.zeros((tiny.IDS.num_codebooks, 0), np.int64)
everything = pytest.mark.parametrize(
    ("kind", "backbone"),
    [*((kind, "llama") for kind in tiny.KINDS), ("depth", "gru"), ("delay", "wavenet")],
)
warm = Sampling(temperature=1.3, top_k=9, top_p=0.9, repetition_window=0.5, seed=3)


def codes(frames: int, seed: int = 0) -> Codes:
    random = np.random.default_rng(seed)
    return random.integers(tiny.IDS.codebook_size, size=(tiny.IDS.num_codebooks, frames))


def prompt(model: UnitLM, length: int = 3, seed: int = 0) -> Codes:
    parts = [tiny.special(model, 1), tiny.text(model, length, seed), tiny.special(model, 2)]
    return torch.cat(parts, dim=1).numpy()


def spoken(
    model: UnitLM,
    prompts: Sequence[Codes],
    heard: Sequence[Codes],
    frames: int = 12,
    sampling: Sampling = warm,
) -> list[Codes]:
    """Codes (codebooks, frames) that each example gave until it ended."""
    found: list[list[Codes]] = [[] for _ in prompts]
    generator = Generator(model)
    for frame in generator.generate_speech(prompts, heard, END, frames, RATE, sampling):
        for example, column in zip(found, frame, strict=True):
            if column is not None:
                example.append(column)
    return [np.stack(each, axis=1) if each else NOTHING for each in found]


@everything
@torch.no_grad()
def test_with_memory_and_without(kind: str, backbone: str) -> None:
    """Greedy: each code is the likeliest, by the model that reads everything anew."""
    model = tiny.model(kind, backbone)
    start, heard = prompt(model), codes(3)
    [new] = spoken(model, [start], [heard], frames=6, sampling=GREEDY)
    frames = np.concatenate([heard, new], axis=1)
    ids = (
        frames + (model.first + tiny.IDS.codebook_size * np.arange(tiny.IDS.num_codebooks))[:, None]
    )
    laid = model.pattern.build(ids)
    laid[laid < 0] = tiny.IDS.pad
    tokens = torch.from_numpy(np.concatenate([start, laid], axis=1))[None]
    segments = torch.zeros(tokens.shape[0], tokens.shape[2], dtype=torch.int64)
    before = start.shape[1] + model.pattern.columns(3)
    checked = 0
    for column in range(before, tokens.shape[2]):
        for row in range(model.pattern.rows):
            if (here := int(tokens[0, row, column])) == tiny.IDS.pad:
                continue
            level = (here - model.first) // tiny.IDS.codebook_size
            units = range(
                model.first + level * tiny.IDS.codebook_size,
                model.first + (level + 1) * tiny.IDS.codebook_size,
            )
            variants = tokens.repeat(len(units), 1, 1)
            variants[:, row, column] = torch.tensor(list(units))
            mask = torch.zeros_like(variants, dtype=torch.bool)
            mask[:, row, column] = True
            nll = model.nll(variants, mask, segments.expand(len(units), -1))[:, row, column]
            assert units[int(nll.argmin())] == here
            checked += 1
    assert checked >= 6 * tiny.IDS.num_codebooks - 3


@everything
@pytest.mark.parametrize("sampling", [GREEDY, warm])
def test_batch_is_single(kind: str, backbone: str, sampling: Sampling) -> None:
    """Prompts of different lengths, speech of different lengths, of which some end early."""
    model = tiny.model(kind, backbone, seed=1)
    prompts = [prompt(model, length, length) for length in (2, 7, 4)]
    heard = [codes(frames, frames) for frames in (5, 0, 1)]
    together = spoken(model, prompts, heard, sampling=sampling)
    for number, (start, before) in enumerate(zip(prompts, heard, strict=True)):
        seeded = Sampling(**{**vars(sampling), "seed": sampling.seed + number})
        [alone] = spoken(model, [start], [before], sampling=seeded)
        assert np.array_equal(together[number], alone)


@everything
def test_batch_is_single_beyond_the_context(kind: str, backbone: str) -> None:
    """What one example drops of what it said is not what a longer one beside it must."""
    model = tiny.model(kind, backbone, seed=1)
    model.head.data[END] = 0
    model.config.max_position_embeddings = 32 * model.pattern.stride
    prompts, heard = [prompt(model, 3), prompt(model, 3)], [codes(20, 0), codes(1, 1)]
    together = spoken(model, prompts, heard, frames=40, sampling=GREEDY)
    for said, start, before in zip(together, prompts, heard, strict=True):
        [alone] = spoken(model, [start], [before], frames=40, sampling=GREEDY)
        assert said.shape[1] == 40
        assert np.array_equal(said, alone)


def read(model: UnitLM, words: Sequence[Codes], longest: int, sampling: Sampling) -> list[Codes]:
    generator = Generator(model)
    found = generator.generate_wordwise(prompt(model), words, END, 40, longest, RATE, sampling, [])
    return [frame for [frame] in found if frame is not None]


@everything
@torch.no_grad()
def test_words_are_told_one_after_the_other(kind: str, backbone: str) -> None:
    """Greedy: each word's speech is what follows all that was told and said before it."""
    model = tiny.model(kind, backbone, seed=2)
    say = tiny.special(model, 3)
    words = [torch.cat([tiny.text(model, n, n), say], dim=1).numpy() for n in (1, 3, 2)]
    longest = 4
    given, expected = prompt(model), []
    offsets = (model.first + tiny.IDS.codebook_size * np.arange(tiny.IDS.num_codebooks))[:, None]
    for word in words:
        given = np.concatenate([given, word], axis=1)
        [speech] = spoken(model, [given], [NOTHING], longest, GREEDY)
        expected.append(speech)
        laid = model.pattern.build(speech + offsets)
        end, ended = model.pattern.end(speech.shape[1]), speech.shape[1] < longest
        if ended or end == laid.shape[1]:
            laid = np.pad(laid, ((0, 0), (0, max(end + 1 - laid.shape[1], 0))), constant_values=-1)
            laid[0, end] = END
        laid[laid < 0] = tiny.IDS.pad
        given = np.concatenate([given, laid], axis=1)
    found = read(model, words, longest, GREEDY)
    assert np.array_equal(np.stack(found, axis=1), np.concatenate(expected, axis=1))
    assert len(found) > longest


def test_a_word_has_a_ceiling_and_reading_one_too() -> None:
    model = tiny.model()
    model.head.data[END] = 0  # less likely than the likeliest, everywhere
    words = [tiny.text(model, 2).numpy()] * 3
    assert len(read(model, words, 5, GREEDY)) == 15
    assert len(read(model, words * 5, 5, GREEDY)) == 40
    assert len(read(model, words, 5, warm)) <= 15


@pytest.mark.parametrize("kind", tiny.KINDS)
@pytest.mark.parametrize("seconds", [0.0, 0.5])
def test_speech_may_not_end_before_its_least(kind: str, seconds: float) -> None:
    model = tiny.model(kind)
    generator = Generator(model)
    generator.heads.projection = partial(_with_an_end_of, generator.heads.projection, 1e4)
    for how in (GREEDY, warm):
        speech = generator.generate_speech(
            [prompt(model)], [codes(2)], END, 20, RATE, replace(how, min_seconds=seconds)
        )
        frames = [frame for [frame] in speech if frame is not None]
        assert len(frames) == round(seconds * RATE)


@pytest.mark.parametrize("kind", tiny.KINDS)
def test_words_that_were_cut_are_told(kind: str) -> None:
    model = tiny.model(kind)
    words = [tiny.text(model, 2).numpy()] * 3
    for likely, cut in ((-1e4, [0, 1, 2]), (1e4, [])):
        unended: list[int] = []
        generator = Generator(model)
        generator.heads.projection = partial(_with_an_end_of, generator.heads.projection, likely)
        list(generator.generate_wordwise(prompt(model), words, END, 40, 5, RATE, GREEDY, unended))
        assert unended == cut


def _with_an_end_of(of: Callable, likely: float, ids: Sequence[int]) -> Callable:
    logits = of(ids)
    return lambda h: F.pad(logits(h)[:, :-1], (0, 1), value=likely)


@everything
def test_guidance_moves_away_from_what_is_said_without_the_text(kind: str, backbone: str) -> None:
    model = tiny.model(kind, backbone, seed=2)
    say = tiny.special(model, 3)

    def said(seed: int, guidance: float | None) -> list[list[int]]:
        words = [torch.cat([tiny.text(model, n, seed + n), say], dim=1).numpy() for n in (2, 3)]
        how = Sampling(temperature=0.0, guidance=guidance)
        return [frame.tolist() for frame in read(model, words, 6, how)]

    assert said(0, 0.0) == said(1, 0.0)  # which does not see it
    assert said(0, 1.0) != said(1, 1.0)
    assert said(0, 1.0) == said(0, 1 + 1e-6)  # which is computed from both
    assert said(0, 1.0) != said(0, 8.0)
    assert said(0, None) == said(0, 1.0)
    model.config.guidance = 8.0
    assert said(0, None) == said(0, 8.0)


@pytest.mark.parametrize("kind", tiny.KINDS)
def test_ends_by_itself(kind: str) -> None:
    """A model that has learned to stop after so many frames does; and all frames are whole."""
    torch.manual_seed(0)
    model = UnitLM(tiny.config(kind))
    start = prompt(model)
    speech = codes(4)
    ids = (
        speech + (model.first + tiny.IDS.codebook_size * np.arange(tiny.IDS.num_codebooks))[:, None]
    )
    laid = model.pattern.build(ids)
    end = model.pattern.end(4)
    laid = np.pad(laid, ((0, 0), (0, max(end + 1 - laid.shape[1], 0))), constant_values=-1)
    laid[0, end] = END
    laid[laid < 0] = tiny.IDS.pad
    tokens = torch.from_numpy(np.concatenate([start, laid], axis=1))[None]
    mask = tokens != tiny.IDS.pad
    mask[..., : start.shape[1]] = False
    adam = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(50):
        adam.zero_grad()
        model.loss(tokens, mask, torch.zeros_like(tokens[:, 0]))[0].backward()
        adam.step()
    for heard in (0, 1, 3):
        [found] = spoken(model, [start], [speech[:, :heard]], frames=30, sampling=GREEDY)
        assert np.array_equal(found, speech[:, heard:])
    together = spoken(model, [start] * 2, [speech[:, :2], NOTHING], frames=30, sampling=GREEDY)
    assert np.array_equal(together[0], speech[:, 2:])
    assert np.array_equal(together[1], speech)


@everything
def test_ceiling_and_range(kind: str, backbone: str) -> None:
    model = tiny.model(kind, backbone)
    for frames in (1, 2, 9):
        [found] = spoken(model, [prompt(model)], [codes(2)], frames)
        assert found.shape[1] <= frames
        assert found.min() >= 0
        assert found.max() < tiny.IDS.codebook_size


def test_seed() -> None:
    model = tiny.model()
    start, before = [prompt(model)], [codes(2)]
    first, same = (spoken(model, start, before, 20)[0] for _ in range(2))
    other = spoken(model, start, before, 20, Sampling(**{**vars(warm), "seed": 4}))[0]
    assert np.array_equal(first, same)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("kind", tiny.KINDS)
def test_beyond_the_context(kind: str) -> None:
    """Sixty-four positions, two hundred frames, and speech of a hundred before them."""
    model = tiny.model(kind)
    with torch.no_grad():
        model.head[END] = 0  # less likely than the likeliest, everywhere
    [found] = spoken(model, [prompt(model)], [codes(100)], frames=200, sampling=GREEDY)
    assert found.shape == (tiny.IDS.num_codebooks, 200)
    with pytest.raises(SpeechLMError, match="give less"):
        spoken(model, [prompt(model, 60)], [NOTHING])


@torch.no_grad()
def test_writes_text_only() -> None:
    for kind in tiny.KINDS:
        model = tiny.model(kind)
        start = torch.cat([tiny.frames(model, 4), tiny.special(model, 4)], dim=1).numpy()
        pieces = range(8, 20)
        generator = Generator(model)
        for sampling in (GREEDY, warm):
            written = list(generator.generate_text([start, start[:, 2:]], pieces, 6, 15, sampling))
            assert 0 < len(written) <= 15
            assert {each for both in written for each in both} <= {*pieces, None}


def test_sampling_follows_probabilities() -> None:
    """Thousands of draws: each token comes as often as it is probable."""
    logits = torch.tensor([0.5, 0.3, 0.15, 0.05]).log()
    sampler = Sampler(Sampling(temperature=1.0, top_p=1.0), 4_000)
    drawn = torch.bincount(sampler(logits.expand(4_000, 4)), minlength=4) / 4_000
    assert torch.allclose(drawn, logits.exp(), atol=0.03)
    kept = Sampler(Sampling(temperature=1.0, top_k=3, top_p=0.7), 3_000)
    drawn = torch.bincount(kept(logits.expand(3_000, 4)), minlength=4) / 3_000
    assert torch.allclose(drawn, torch.tensor([0.625, 0.375, 0, 0]), atol=0.025)
    sharp = Sampler(Sampling(temperature=0.5, top_p=1.0), 3_000)
    drawn = torch.bincount(sharp(logits.expand(3_000, 4)), minlength=4) / 3_000
    assert torch.allclose(drawn, (2 * logits).softmax(0), atol=0.025)


def penalties(loops: LoopPenalty, *tokens: int) -> dict[int, float]:
    """What each token costs, in nats, after these."""
    for token in tokens:
        loops.observe(torch.tensor([token]))
    costs = -loops(torch.zeros(1, 30))[0]
    return {token: float(costs[token]) for token in costs.nonzero()[:, 0].tolist()}


def test_loops_leave_steady_sounds_alone() -> None:
    """Of ten tokens: a vowel of nine is free, then every token of the same costs a nat more."""
    loops = LoopPenalty(10, 1, end=29)
    costs = [penalties(loops, 7).get(7, 0.0) for _ in range(14)]
    assert costs[:10] == [0.0] * 10
    assert costs[10:] == [1.0, 2.0, 3.0, 4.0]
    assert penalties(loops, 29) == {7: 4.0}  # the end is no part of a loop
    assert penalties(loops, 3) == {}


def test_loops_of_several_tokens() -> None:
    loops = LoopPenalty(6, 1, end=29)
    assert set(penalties(loops, *[1, 2, 3] * 3)) == {1}
    for token in range(20):
        assert penalties(loops, token) == {}


def test_loops_of_a_batch_are_its_examples() -> None:
    tokens = np.random.default_rng(0).integers(2, size=(40, 3))
    loops = LoopPenalty(3, 3, end=29)
    alone = [LoopPenalty(3, 1, end=29) for _ in range(3)]
    charged = 0
    for row in torch.from_numpy(tokens):
        loops.observe(row)
        found = loops(torch.zeros(3, 30))
        for number, each in enumerate(alone):
            each.observe(row[number : number + 1])
            assert torch.equal(found[number], each(torch.zeros(1, 30))[0])
        charged += int((found < 0).sum())
    assert charged > 10


def test_loops_end() -> None:
    """A model to which all is equal takes the first, greedily, until that costs too much."""
    model = tiny.model()
    with torch.no_grad():
        model.head.zero_()
    start = [prompt(model)]
    free = spoken(model, start, [NOTHING], 60, Sampling(temperature=0, repetition_window=0))[0][0]
    freed = spoken(model, start, [NOTHING], 60, Sampling(temperature=0, repetition_window=0.5))[0][
        0
    ]
    assert longest_loop(free) == 59
    assert longest_loop(freed) == 5


def longest_loop(tokens: Codes) -> int:
    """The most tokens in a row that equal the one a period before, for periods to 5."""
    longest = 0
    for period in range(1, 6):
        run = 0
        for same in tokens[period:] == tokens[:-period]:
            run = run + 1 if same else 0
            longest = max(longest, run)
    return longest


@pytest.mark.parametrize(
    "wrong",
    [
        {"temperature": -1.0},
        {"top_k": -1},
        {"top_p": 0.0},
        {"top_p": 1.5},
        {"repetition_window": -1.0},
    ],
)
def test_bad_sampling(wrong: dict[str, float]) -> None:
    with pytest.raises(SpeechLMError, match=r"-|\.0|1\.5|not 0"):
        Sampling(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("branches", "level_0", "lower"),
    [
        (CFGBranches(), "ab", "ab"),
        (CFGBranches(no_text=True), "abcd", "abcd"),
        (CFGBranches(no_semantic=True), "ab", "abcd"),
        (CFGBranches(no_text=True, no_semantic=True), "abcd", "abef"),
    ],
)
def test_the_guidance_branches_of_each_level(
    branches: CFGBranches, level_0: str, lower: str
) -> None:
    """Rows are those that see all (ab), no text, and no semantic stream, a batch of two each.

    Level 0 is guided by the rows without text, the lower levels by those without the stream.
    """
    rows = torch.arange(2 * branches.count)
    for select, expected in ((branches.semantic, level_0), (branches.acoustic, lower)):
        assert "".join("abcdef"[row] for row in select(rows).tolist()) == expected
