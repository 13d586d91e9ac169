"""Former names of keys in recipes and in the folders of language models."""

from __future__ import annotations

from omegaconf import OmegaConf

from speechlm.config import to_dataclass
from speechlm.data.batches.task_mixture import MixtureConfig, TaskConfig
from speechlm.evaluation.lm.config import ContinuationConfig, SamplingConfig
from speechlm.lm.config import DepthConfig, IdsConfig, LMConfig


def test_former_keys_of_a_model() -> None:
    former = {
        "layers": 3,
        "heads": 6,
        "kv_heads": 3,
        "hidden": 10,
        "rotary": 500.0,
        "epsilon": 1e-6,
        "reads": True,
        "plans": True,
        "attempts": 4,
        "tied": True,
        "context": 99,
        "depth": {"layers": 1, "heads": 2, "hidden": 16},
        "ids": {"cardinality": 7, "levels": 2},
    }
    assert to_dataclass(LMConfig, OmegaConf.create(former), "config.yaml", warn=False) == LMConfig(
        num_layers=3,
        num_heads=6,
        num_kv_heads=3,
        ffn_dim=10,
        rope_theta=500.0,
        norm_eps=1e-6,
        wordwise_tts=True,
        semantic_stream=True,
        best_of=4,
        tie_word_embeddings=True,
        max_position_embeddings=99,
        depth=DepthConfig(num_layers=1, num_heads=2, ffn_dim=16),
        ids=IdsConfig(codebook_size=7, num_codebooks=2),
    )


def test_former_names_of_tasks() -> None:
    former = OmegaConf.create({"tasks": {"read": {"weight": 2.0}, "read-voice": None}})
    tasks = to_dataclass(MixtureConfig, former, "lm.yaml", warn=False).tasks
    assert tasks == {"tts-wordwise": TaskConfig(2.0), "tts-wordwise-voice": None}


def test_former_keys_of_a_suite() -> None:
    former = {"clips": {"sources": ["a"]}, "least": 2.0, "sampling": {"attempts": 3}}
    suite = to_dataclass(ContinuationConfig, OmegaConf.create(former), "lm.yaml", warn=False)
    assert (suite.min_seconds, suite.sampling) == (2.0, SamplingConfig(best_of=3))
