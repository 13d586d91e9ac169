"""Less Python around a frame."""

from __future__ import annotations

from importlib.util import find_spec

from torch import nn


def available() -> bool:
    """Whether the compiler of :mod:`speechlm.nn.kernels` is installed (extra ``live``)."""
    return find_spec("numba") is not None


def quicken(module: nn.Module) -> None:
    """Let Python find the weights and layers of ``module`` at once, when they change no more.

    ``nn.Module`` keeps them in dictionaries and searches these, by a method in Python, after the
    usual look-up has failed: a fifth of the time that a block takes for a single frame. As plain
    attributes they are found first. Saving and copying still use the dictionaries.
    """
    for part in module.modules():
        vars(part).update(part._parameters | part._buffers | part._modules)
