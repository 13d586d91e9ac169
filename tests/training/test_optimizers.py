"""Learning rates, groups of weights, and their moving average."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import nn

from speechlm.codec import CodecNetwork
from speechlm.errors import SpeechLMError
from speechlm.training.average import Average
from speechlm.training.config import OptimizerConfig
from speechlm.training.optimizers import build_optimizers, learning_rate

from .runs import CODECS


def test_the_rate_warms_up_and_falls_along_a_cosine():
    config = OptimizerConfig(rate=2e-3, warmup=10, final=0.1)
    rates = [learning_rate(config, step, 110) for step in range(110)]
    assert rates[:10] == pytest.approx([2e-4 * k for k in range(1, 11)])
    assert rates[10] == pytest.approx(2e-3)
    assert rates[60] == pytest.approx(2e-3 * (0.1 + 0.9 * 0.5))
    assert rates[35] == pytest.approx(2e-3 * (0.1 + 0.9 * (1 + math.cos(math.pi / 4)) / 2))
    assert all(late < early for early, late in itertools.pairwise(rates[10:]))
    # Past the end, as when a finished run is made no longer, it stays at its floor.
    assert learning_rate(config, 110, 110) == pytest.approx(2e-4)
    assert learning_rate(config, 500, 110) == pytest.approx(2e-4)


def test_warm_up_may_be_none_or_all():
    assert learning_rate(OptimizerConfig(rate=1.0, warmup=0), 0, 10) == 1.0
    assert learning_rate(OptimizerConfig(rate=1.0, warmup=20), 9, 10) == 0.5


def names(model: nn.Module, kind: str) -> dict[str, dict[str, float]]:
    """Names of the weights of each optimizer, with their decay."""
    by_id = {id(parameter): name for name, parameter in model.named_parameters()}
    config = OptimizerConfig(kind=kind, weight_decay=0.02)
    return {
        type(optimizer).__name__: {
            by_id[id(weight)]: group["weight_decay"]
            for group in optimizer.param_groups
            for weight in group["params"]
        }
        for optimizer in build_optimizers(config, model.named_parameters())
    }


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_every_weight_has_one_optimizer_and_vectors_do_not_decay(codec, kind):
    model = CodecNetwork(CODECS[codec])
    groups = names(model, kind)
    every = [name for group in groups.values() for name in group]
    assert sorted(every) == sorted(name for name, _ in model.named_parameters())
    for group in groups.values():
        for name, decay in group.items():
            assert decay == (0.02 if model.get_parameter(name).ndim > 1 else 0.0)


def test_muon_takes_the_matrices_but_codebooks():
    groups = names(CodecNetwork(CODECS["adversarial"]), "muon")
    assert set(groups["Muon"]) == {
        f"quantizer.stages.{k}.project_{way}.weight" for k in range(2) for way in ("in", "out")
    }
    assert "quantizer.stages.0.entries" in groups["AdamW"]
    model = CodecNetwork(CODECS["vectors"])
    matrices = {name for name, weight in model.named_parameters() if weight.ndim == 2}
    assert set(names(model, "muon")["Muon"]) == matrices
    assert "encoder.stack.stages.0.linear.weight" in matrices


def test_muon_without_matrices_is_adamw():
    groups = names(nn.Sequential(nn.Conv2d(1, 2, 3), nn.Conv1d(2, 2, 3)), "muon")
    assert list(groups) == ["AdamW"]


def test_both_move_a_matrix_at_one_rate():
    """Muon's update is scaled to the size of AdamW's, so that one rate serves both."""
    sizes = {}
    for kind in ("adamw", "muon"):
        torch.manual_seed(0)
        layer = nn.Linear(32, 64, bias=False)
        before = layer.weight.detach().clone()
        config = OptimizerConfig(kind=kind, rate=0.01, weight_decay=0.0)
        layer(torch.randn(64, 32)).square().sum().backward()
        for optimizer in build_optimizers(config, layer.named_parameters()):
            optimizer.step()
        sizes[kind] = (layer.weight - before).square().mean().sqrt().item()
    # AdamW's first step is the rate in every weight; Muon's is matched to an RMS of 0.2 of it.
    assert sizes["adamw"] == pytest.approx(0.01, rel=0.01)
    assert sizes["muon"] == pytest.approx(0.2 * 0.01, rel=0.3)


def test_an_unknown_optimizer_is_one_line():
    with pytest.raises(SpeechLMError, match=r"optimizer\.kind is 'adamw' or 'muon', not 'sgd'"):
        build_optimizers(OptimizerConfig(kind="sgd"), nn.Linear(2, 2).named_parameters())


def test_the_average_is_its_formula():
    model = nn.BatchNorm1d(1)
    average = Average(model, decay=0.6)
    mean = model.weight.item()
    for step in range(1, 20):
        with torch.no_grad():
            model.weight.fill_(float(step**2))
            model.running_mean.fill_(float(step))  # type: ignore[union-attr]
            model.num_batches_tracked.fill_(step)  # type: ignore[union-attr, operator]
        average.update(model, step)
        decay = min(0.6, (1 + step) / (10 + step))
        mean = decay * mean + (1 - decay) * step**2
        assert average.model.weight.item() == pytest.approx(mean, rel=1e-5)
        # Buffers are copied: those of a codebook are averages already.
        assert average.model.running_mean.item() == step
        assert average.model.num_batches_tracked.item() == step
    assert not average.model.training
    assert not any(parameter.requires_grad for parameter in average.model.parameters())
    assert model.weight.requires_grad
