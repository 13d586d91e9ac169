"""The language model as it is trained."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from speechlm.errors import SpeechLMError
from speechlm.lm.backbone import BACKBONES
from speechlm.lm.config import IdsConfig
from speechlm.lm.likelihood import likelihood
from speechlm.lm.model import UnitLM
from speechlm.lm.patterns import PATTERNS
from tests.lm import tiny

everything = pytest.mark.parametrize(
    ("kind", "backbone"),
    [*((kind, "llama") for kind in tiny.KINDS), ("depth", "gru"), ("flatten", "wavenet")],
)


def alone(tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """A batch of one example of which everything is predicted."""
    return tokens[None], (tokens != 0)[None], torch.zeros(1, tokens.shape[1], dtype=torch.int64)


def packed(examples: list[Tensor], time: int) -> tuple[Tensor, Tensor, Tensor]:
    """One sequence of examples, filled up with padding."""
    tokens = torch.zeros(len(examples[0]), time, dtype=torch.int64)
    segments = torch.full((time,), -1)
    at = 0
    for number, each in enumerate(examples):
        tokens[:, at : at + each.shape[1]] = each
        segments[at : at + each.shape[1]] = number
        at += each.shape[1]
    return tokens[None], (tokens != 0)[None], segments[None]


@everything
@torch.no_grad()
def test_packed_examples_do_not_see_each_other(kind: str, backbone: str) -> None:
    """Each gets, bit for bit, what it gets beside other neighbours; and what it gets alone."""
    model = tiny.model(kind, backbone)
    lengths = (5, 3, 6)
    first = [tiny.example(model, seed, length) for seed, length in enumerate(lengths)]
    other = [tiny.example(model, 9 + seed, length) for seed, length in enumerate(lengths)]
    time = sum(each.shape[1] for each in first) + 4
    at = 0
    for kept, example in enumerate(first):
        mixed = [*other[:kept], example, *other[kept + 1 :]]
        end = at + example.shape[1]
        before = model.nll(*packed(first, time))[..., at:end]
        after = model.nll(*packed(mixed, time))[..., at:end]
        assert torch.equal(before, after)
        single = model.nll(*alone(example))
        assert torch.allclose(before, single, atol=1e-4)
        assert (single >= 0).sum() == (example[:, 1:] != 0).sum()
        at = end


@everything
@torch.no_grad()
def test_causal(kind: str, backbone: str) -> None:
    """A token never sees itself, those after it, or those below it in its column."""
    model = tiny.model(kind, backbone)
    tokens = tiny.example(model)
    before = model.nll(*alone(tokens))[0]
    for column in (3, 9, 11):
        for row in range(model.pattern.rows):
            if tokens[row, column] == 0:
                continue
            other = tokens.clone()
            other[row, column] += 1 if (tokens[row, column] - 8) % 4 == 0 else -1
            after = model.nll(*alone(other))[0]
            assert torch.equal(after[:, :column], before[:, :column])
            assert torch.equal(after[:row, column], before[:row, column])
            assert not torch.equal(after[:, column:], before[:, column:])


@everything
@torch.no_grad()
def test_probabilities_sum_to_one(kind: str, backbone: str) -> None:
    """Over all ids that a row may hold, whatever stands elsewhere."""
    model = tiny.model(kind, backbone)
    tokens = tiny.example(model)
    column = 2 + 6 + 3  # the third frame, or its neighbourhood
    for row in range(model.pattern.rows):
        ids = range(*model.row(row).indices(model.size))
        if model.depth is None or row == 0:
            assert len(ids) == (model.outputs if row == 0 and kind != "delay" else len(ids))
        variants = tokens.repeat(len(ids), 1, 1)
        variants[:, row, column] = torch.tensor(list(ids))
        mask = torch.zeros_like(variants, dtype=torch.bool)
        mask[:, row, column] = True
        nll = model.nll(variants, mask, torch.zeros(len(ids), tokens.shape[1], dtype=torch.int64))
        assert (-nll[:, row, column]).exp().sum() == pytest.approx(1, abs=1e-5)


@everything
def test_loss_counts_by_kind(kind: str, backbone: str) -> None:
    model = tiny.model(kind, backbone)
    tokens, mask, segments = alone(tiny.example(model))
    mask[..., :3] = False
    total, terms = model.loss(tokens, mask, segments)
    assert list(terms) == ["special", "text", "level 0", "level 1", "level 2"]
    counts = [int(count) for _, count in terms.values()]
    assert counts == [2, 4, 6, 6, 6]
    assert sum(float(term[0]) for term in terms.values()) / sum(counts) == pytest.approx(
        total.item(), rel=1e-5
    )
    total.backward()
    absent = {name for name, weight in model.named_parameters() if weight.grad is None}
    assert not absent


def test_nothing_to_predict() -> None:
    model = tiny.model()
    tokens, mask, segments = alone(tiny.example(model))
    total, terms = model.loss(tokens, torch.zeros_like(mask), segments)
    assert total.item() == 0
    assert all(term.tolist() == [0, 0] for term in terms.values())


def test_an_untrained_model_is_uniform() -> None:
    torch.manual_seed(0)
    model = UnitLM(tiny.config("flatten"))
    nll = model.nll(*alone(tiny.example(model, length=9)))
    assert float(nll[nll >= 0].mean()) == pytest.approx(math.log(model.outputs), rel=0.15)


def test_likelihood_is_that_of_cross_entropy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("speechlm.lm.likelihood.PIECE", 400)  # several pieces
    torch.manual_seed(0)
    x, weight = torch.randn(70, 5, requires_grad=True), torch.randn(11, 5, requires_grad=True)
    targets = torch.randint(11, (70,))
    share = torch.rand(70)
    expected = (share * F.cross_entropy(x @ weight.t(), targets, reduction="none")).sum()
    slopes = torch.autograd.grad(3 * expected, (x, weight))
    found, each = likelihood(x, weight, targets, share)
    assert torch.allclose(found, expected)
    assert torch.allclose(each, F.cross_entropy(x @ weight.t(), targets, reduction="none"))
    for slope, other in zip(torch.autograd.grad(3 * found, (x, weight)), slopes, strict=True):
        assert torch.allclose(slope, other, atol=1e-5)


@pytest.mark.parametrize("kind", tiny.KINDS)
def test_tied(kind: str) -> None:
    settings = tiny.config(kind)
    settings.tie_word_embeddings = True
    model = UnitLM(settings)
    assert model.output.data_ptr() == model.embedding.weight.data_ptr()
    model.loss(*alone(tiny.example(model)))[0].backward()


def test_learns() -> None:
    """A few steps on one example, in every pattern: its units are nearly known."""
    for kind in tiny.KINDS:
        torch.manual_seed(0)
        model = UnitLM(tiny.config(kind))
        batch = alone(tiny.example(model))
        adam = torch.optim.Adam(model.parameters(), 1e-2)
        for _ in range(60):
            adam.zero_grad()
            total, _ = model.loss(*batch)
            total.backward()
            adam.step()
        assert float(total.detach()) < 0.1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"backbone": "lstm"}, "llama, gru, wavenet, not lstm"),
        ({"pattern": "spiral"}, "not spiral"),
        ({"num_heads": 5}, "5 heads"),
        ({"num_kv_heads": 3}, "3 heads of keys"),
        ({"ffn_dim": -2}, "language model"),
        ({"ids": IdsConfig()}, "one codebook or more"),
        ({"ids": IdsConfig(4, 5, 6, 2, pad=7)}, "pad"),
    ],
)
def test_bad_configurations(change: dict[str, object], message: str) -> None:
    settings = tiny.config()
    for name, value in change.items():
        setattr(settings, name, value)
    with pytest.raises(SpeechLMError, match=message):
        UnitLM(settings)


def test_backbones_are_all_there() -> None:
    assert set(BACKBONES) == {"llama", "gru", "wavenet"}


@pytest.mark.parametrize("kind", PATTERNS)
def test_units_that_sound_alike_begin_alike(kind: str) -> None:
    """Distances of embeddings, and of the rows that predict, are those of the vectors."""
    model = tiny.model(kind)
    ids = model.config.ids
    vectors = torch.randn(ids.num_codebooks, ids.codebook_size, 5)
    model.init_embeddings(vectors)
    tables = [(model.embedding.weight[model.first :], vectors)]
    if model.depth is None:
        tables.append((model.head[model.first :], vectors))
    else:
        tables.append((model.head[model.first :], vectors[:1]))
        tables.append((model.depth.embedding.weight, vectors[:-1]))
        tables.append((model.depth.heads.flatten(0, 1), vectors[1:]))
    for table, source in tables:
        # What is not set, of more dimensions than the vectors have, stays as it was drawn.
        ratio = torch.pdist(table[:, :5].detach()) / torch.pdist(source.flatten(0, 1))
        torch.testing.assert_close(ratio, ratio.mean().expand_as(ratio), rtol=1e-3, atol=0)
