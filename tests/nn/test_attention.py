"""The two ways of attention are one function, and its dropout one of whole features."""

import pytest
import torch

from speechlm.nn import dropout
from speechlm.nn.attention import causal_attention


@pytest.mark.parametrize("kv_heads", [1, 2, 4])
@pytest.mark.parametrize("time", [1, 7, 33])
def test_training_and_use_agree(kv_heads: int, time: int) -> None:
    torch.manual_seed(0)
    q = torch.randn(3, 4, time, 8, dtype=torch.float64)
    k, v = torch.randn(2, 3, kv_heads, time, 8, dtype=torch.float64)
    trained = causal_attention(q.clone().requires_grad_(), k, v)
    torch.testing.assert_close(trained.detach(), causal_attention(q, k, v))


def test_a_feature_is_dropped_in_a_whole_sequence() -> None:
    torch.manual_seed(0)
    y = dropout(torch.ones(200, 5, 32), 0.25, training=True)
    assert torch.equal(y, y[:, :1].expand_as(y))
    assert sorted(y.unique().tolist()) == [0.0, pytest.approx(4 / 3)]
    assert y.mean().item() == pytest.approx(1.0, abs=0.02)  # five standard deviations


def test_no_dropout_in_use() -> None:
    x = torch.randn(2, 3, 4)
    assert dropout(x, 0.5, training=False) is x
