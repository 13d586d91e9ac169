"""Rate control: how many levels each frame keeps, from what they cost in bits and spare in error.

NumPy only. A *cost* is a function from codes (levels, frames) to the bits that each takes,
(levels, frames): a constant for packed codes, a model's for entropy-coded ones. A *loss*
(levels + 1, frames) is the weighted error of a frame that keeps its first k levels.

Two controllers work frame by frame, with a bounded reservoir: :class:`ConstantRate` and
:class:`VariableRate`. :func:`fit` looks at a whole recording, and meets a size to the byte.
"""

from speechlm.rate_control.budget import Budget
from speechlm.rate_control.constant import ConstantRate
from speechlm.rate_control.lagrangian import Cost, cumulative, cut, fixed_cost, keep, quality_price
from speechlm.rate_control.loudness import Loudness, weights
from speechlm.rate_control.two_pass import fit
from speechlm.rate_control.variable import FixedQuality, VariableRate

__all__ = [
    "Budget",
    "ConstantRate",
    "Cost",
    "FixedQuality",
    "Loudness",
    "VariableRate",
    "cumulative",
    "cut",
    "fit",
    "fixed_cost",
    "keep",
    "quality_price",
    "weights",
]
