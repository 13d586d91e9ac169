"""Streaming building blocks with explicit state."""

from speechlm.nn.conv import CausalConv1d, CausalConvTranspose1d
from speechlm.nn.convnext import ConvNeXtBlock
from speechlm.nn.quick import quicken
from speechlm.nn.spectral import CausalISTFT, CausalSTFT, power_law
from speechlm.nn.streaming import Chain, State, Streaming, state_from_bytes, state_to_bytes

__all__ = [
    "CausalConv1d",
    "CausalConvTranspose1d",
    "CausalISTFT",
    "CausalSTFT",
    "Chain",
    "ConvNeXtBlock",
    "State",
    "Streaming",
    "power_law",
    "quicken",
    "state_from_bytes",
    "state_to_bytes",
]
