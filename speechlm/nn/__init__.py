"""Streaming building blocks with explicit state."""

from speechlm.nn.conv import CausalConv1d, CausalConvTranspose1d
from speechlm.nn.convnext import ConvNeXtBlock
from speechlm.nn.dropout import dropout
from speechlm.nn.kv_cache import CachedTransformer
from speechlm.nn.packed_sequences import PackedSequences
from speechlm.nn.spectral import CausalISTFT, CausalSTFT, power_law
from speechlm.nn.streaming import Chain, State, Streaming, state_from_bytes, state_to_bytes
from speechlm.nn.transformer import Transformer

__all__ = [
    "CachedTransformer",
    "CausalConv1d",
    "CausalConvTranspose1d",
    "CausalISTFT",
    "CausalSTFT",
    "Chain",
    "ConvNeXtBlock",
    "PackedSequences",
    "State",
    "Streaming",
    "Transformer",
    "dropout",
    "power_law",
    "state_from_bytes",
    "state_to_bytes",
]
