"""Rate control: the number of levels of each frame, by their bits and the distortion they save.

NumPy only. A *cost* is a function from codes (codebooks, frames) to the bits that each takes,
(codebooks, frames): a constant for packed codes, a model's for entropy-coded ones. A *loss*
(codebooks + 1, frames) is the weighted error of a frame that keeps its first k levels.

Two controllers work frame by frame, with a bounded reservoir: :class:`ConstantRate` and
:class:`VariableRate`. :func:`fit_size` looks at a whole recording, and meets a size to the byte.
"""

from speechlm.rate_control.budget import Budget
from speechlm.rate_control.constant import ConstantRate
from speechlm.rate_control.lagrangian import (
    Cost,
    cumulative,
    fixed_cost,
    quality_price,
    truncate,
    viterbi_levels,
)
from speechlm.rate_control.loudness import Loudness, weights
from speechlm.rate_control.two_pass import fit_size
from speechlm.rate_control.variable import FixedQuality, VariableRate

__all__ = [
    "Budget",
    "ConstantRate",
    "Cost",
    "FixedQuality",
    "Loudness",
    "VariableRate",
    "cumulative",
    "fit_size",
    "fixed_cost",
    "quality_price",
    "truncate",
    "viterbi_levels",
    "weights",
]
