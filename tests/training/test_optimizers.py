"""Learning rates, groups of weights, and their moving average."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

from speechlm.codec import CodecNetwork
from speechlm.codec.config import QuantizerConfig, SeanetConfig
from speechlm.errors import SpeechLMError
from speechlm.lm.config import DepthConfig, IdsConfig, LMConfig
from speechlm.lm.model import UnitLM
from speechlm.training.config import OptimizerConfig
from speechlm.training.ema import EMA
from speechlm.training.optimizers import MUON_EVERY, build_optimizers, learning_rate
from speechlm.vocoder.config import VocoderConfig, VoiceConfig
from speechlm.vocoder.network import VocoderNetwork

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


def assigned(module: nn.Module, kind: str) -> dict[str, tuple[str, float]]:
    """The optimizer of each parameter by its name, and the weight decay there."""
    by_id = {id(parameter): name for name, parameter in module.named_parameters()}
    config = OptimizerConfig(kind=kind, weight_decay=0.02)
    found: dict[str, tuple[str, float]] = {}
    for optimizer in build_optimizers(config, [module]):
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                name = by_id[id(parameter)]
                assert name not in found
                found[name] = type(optimizer).__name__, group["weight_decay"]
    return found


def lm(pattern: str, backbone: str, tied: bool = False) -> UnitLM:
    ids = IdsConfig(specials=5, text=11, codebook_size=7, num_codebooks=3)
    sizes = {"dim": 16, "num_layers": 2, "num_heads": 2, "num_kv_heads": 1, "ffn_dim": 24}
    depth = DepthConfig(dim=8, num_layers=1, num_heads=2, ffn_dim=12)
    return UnitLM(
        LMConfig(
            backbone=backbone,
            pattern=pattern,
            tie_word_embeddings=tied,
            ctc=True,
            depth=depth,
            ids=ids,
            **sizes,
        )
    )


def codec(architecture: str, quantizer: str) -> CodecNetwork:
    config = QuantizerConfig(num_codebooks=2, **QUANTIZERS[quantizer])
    seanet = SeanetConfig(2, [4, 5, 8], [1], 3)
    return CodecNetwork(
        replace(CODECS["vectors"], architecture=architecture, seanet=seanet, quantizer=config)
    )


def vocoder() -> VocoderNetwork:
    return VocoderNetwork(VocoderConfig(blocks=1, dim=16, voice=VoiceConfig(8, 1, 4)))


QUANTIZERS: dict[str, dict[str, Any]] = {
    "ema": {"codebook_size": 8},
    "gradient": {"codebook_size": 8, "update": "gradient"},
    "lookup": {"codebook_size": 8, "update": "gradient", "codebook_dim": 2},
    "residual-scalar": {"kind": "residual-scalar", "grid": [4, 4]},
    "scalar": {"kind": "scalar", "grid": [4, 4]},
}

# The parameters that Muon takes, as regular expressions of their names; AdamW takes all others.
LLAMA = [r"backbone\.blocks\.\d+\.(qkv|out|gate_up|down)\.weight"]
WAVENET = [r"backbone\.module\.last\.weight"]
DEPTH = [
    r"depth\.enter\.weight",
    r"depth\.transformer\.blocks\.\d+\.(qkv|out|gate_up|down)\.weight",
]
SPECTRAL = [
    r"encoder\.stack\.stages\.0\.linear\.weight",  # of the spectrum
    r"encoder\.stack\.stages\.2\.(up|down)\.weight",
    r"encoder\.stack\.stages\.4\.linear\.weight",  # to the latents
    r"decoder\.stack\.stages\.0\.linear\.weight",
    r"decoder\.stack\.stages\.2\.(up|down)\.weight",
]
VOCODER = [
    r"voice\.stack\.stages\.0\.linear\.weight",
    r"voice\.stack\.stages\.2\.(up|down)\.weight",
    r"voice\.out\.weight",
    r"enter\.weight",
    r"stack\.stages\.1\.(up|down)\.weight",
    r"durations\.stack\.stages\.[01]\.(up|down)\.weight",
]

NETWORKS: dict[str, tuple[Callable[[], nn.Module], list[str]]] = {
    "lm-depth-llama": (partial(lm, "depth", "llama"), LLAMA + DEPTH),
    "lm-depth-gru": (partial(lm, "depth", "gru"), DEPTH),
    "lm-depth-wavenet": (partial(lm, "depth", "wavenet"), WAVENET + DEPTH),
    "lm-delay-llama": (partial(lm, "delay", "llama"), LLAMA),
    "lm-delay-gru": (partial(lm, "delay", "gru"), []),
    "lm-delay-wavenet": (partial(lm, "delay", "wavenet"), WAVENET),
    "lm-flatten-llama": (partial(lm, "flatten", "llama"), LLAMA),
    "lm-flatten-gru": (partial(lm, "flatten", "gru"), []),
    "lm-flatten-wavenet": (partial(lm, "flatten", "wavenet"), WAVENET),
    "lm-tied": (partial(lm, "delay", "llama", tied=True), LLAMA),
    **{f"spectral-{name}": (partial(codec, "spectral", name), SPECTRAL) for name in QUANTIZERS},
    **{f"seanet-{name}": (partial(codec, "seanet", name), []) for name in QUANTIZERS},
    "vocoder": (vocoder, VOCODER),
}


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_the_optimizer_of_every_parameter(network, kind):
    build, patterns = NETWORKS[network]
    module = build()
    expected = {}
    for name, parameter in module.named_parameters():
        taken = kind == "muon" and any(re.fullmatch(pattern, name) for pattern in patterns)
        expected[name] = "Muon" if taken else "AdamW", 0.02 if parameter.ndim > 1 else 0.0
    assert assigned(module, kind) == expected
    for pattern in patterns:  # one without a match would test nothing
        assert any(re.fullmatch(pattern, name) for name in expected), pattern


def test_embeddings_and_heads_of_a_language_model_stay_with_adamw():
    found = assigned(lm("depth", "llama"), "muon")
    for name in ("embedding.weight", "head", "ctc.weight", "depth.embedding.weight", "depth.heads"):
        assert found[name] == ("AdamW", 0.02)


def test_muon_leaves_a_linear_layer_that_shares_an_embedding():
    embedding, linear = nn.Embedding(5, 4), nn.Linear(4, 5)
    linear.weight = embedding.weight
    found = assigned(nn.ModuleList([embedding, linear]), "muon")
    assert {optimizer for optimizer, _ in found.values()} == {"AdamW"}


def test_frozen_parameters_have_no_optimizer():
    first, second = nn.Linear(4, 4), nn.Linear(4, 4)
    second.bias.requires_grad_(False)
    found = assigned(nn.Sequential(first.requires_grad_(False), second), "muon")
    assert found == {"1.weight": ("Muon", 0.02)}


def test_muon_without_matrices_is_adamw():
    module = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Conv1d(2, 2, 3))
    assert {optimizer for optimizer, _ in assigned(module, "muon").values()} == {"AdamW"}


def test_both_move_a_matrix_at_one_rate():
    """Muon's update is scaled to the size of AdamW's, so that one rate serves both."""
    sizes = {}
    for kind in ("adamw", "muon"):
        torch.manual_seed(0)
        layer = nn.Linear(32, 64, bias=False)
        before = layer.weight.detach().clone()
        config = OptimizerConfig(kind=kind, rate=0.01, weight_decay=0.0)
        layer(torch.randn(64, 32)).square().sum().backward()
        for optimizer in build_optimizers(config, [layer]):
            for _ in range(MUON_EVERY):
                optimizer.step()
        moved = (layer.weight - before).square().mean().sqrt().item()
        sizes[kind] = moved / MUON_EVERY
    # AdamW's first steps are the rate in every weight; Muon's are matched to an RMS of 0.2 of it.
    assert sizes["adamw"] == pytest.approx(0.01, rel=0.01)
    assert sizes["muon"] == pytest.approx(0.2 * 0.01, rel=0.3)


def test_an_unknown_optimizer_is_one_line():
    with pytest.raises(SpeechLMError, match=r"optimizer\.kind is 'adamw' or 'muon', not 'sgd'"):
        build_optimizers(OptimizerConfig(kind="sgd"), [nn.Linear(2, 2)])


def test_the_average_is_its_formula():
    model = nn.BatchNorm1d(1)
    average = EMA(model, decay=0.6)
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
