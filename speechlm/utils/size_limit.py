"""Networks no larger than their weights: what a configuration claims is checked first."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

_BY_SHAPE = {torch.empty, torch.zeros, torch.ones, torch.full, torch.rand, torch.randn}
_BY_RANGE = {torch.arange, torch.linspace, torch.hann_window, torch.eye}
SPARE_ELEMENTS = 1 << 24
"""Elements beyond those of the weights that a network may have: windows, masks, filters."""
SPARE_CALLS = 10_000


class TooLarge(Exception):
    """More is asked for than the limit."""


class SizeLimit(TorchFunctionMode):
    """Within it, tensors are made until their elements, or their number, exceed a limit.

    The limit is checked before memory is taken. Tensors made from others are not counted.

    Raises:
        TooLarge: beyond the limit.
    """

    def __init__(self, elements: int, calls: int) -> None:
        super().__init__()
        self.elements, self.calls = elements, calls

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func in _BY_SHAPE or func in _BY_RANGE:
            self.calls -= 1
            self.elements -= _elements(func, args, kwargs)
            if self.elements < 0 or self.calls < 0:
                raise TooLarge
        return func(*args, **kwargs)


def build_within(make: Callable[[], torch.nn.Module], weights: Mapping[str, Tensor]) -> Any:
    """``make()``, which may take little more memory than ``weights``.

    Raises:
        TooLarge: when it would take more.
    """
    elements = 2 * sum(value.numel() for value in weights.values()) + SPARE_ELEMENTS
    with SizeLimit(elements, 100 * len(weights) + SPARE_CALLS):
        return make()


def _elements(func: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> int:
    if func in _BY_RANGE:
        numbers = [abs(value) for value in args if isinstance(value, int | float)]
        return math.ceil(max(numbers, default=0)) if func is not torch.eye else int(numbers[0]) ** 2
    shape = kwargs.get("size", args[0] if args and not isinstance(args[0], int) else args)
    return math.prod(value for value in shape if isinstance(value, int))
