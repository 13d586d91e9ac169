"""Quantizers: latents to codes and back, behind one interface."""

from speechlm.quantize.base import Quantized, Quantizer, codebook_counts, perplexity, usage
from speechlm.quantize.finite_scalar import FiniteScalarQuantizer
from speechlm.quantize.residual import ResidualQuantizer, ResidualScalarQuantizer
from speechlm.quantize.vector import VectorQuantizer

__all__ = [
    "FiniteScalarQuantizer",
    "Quantized",
    "Quantizer",
    "ResidualQuantizer",
    "ResidualScalarQuantizer",
    "VectorQuantizer",
    "codebook_counts",
    "perplexity",
    "usage",
]
