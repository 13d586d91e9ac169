"""The streaming seam: a pure ``step`` over an explicit state.

A streaming module never hides what it remembers. ``step(x, state)`` returns the output that is
ready and the next state, a nested tuple of tensors that can be copied, moved, stored and sent;
``forward(x)`` is ``step`` from the empty state. So offline and streaming run the same code, and a
stream can be forked, paused, or carried to another process.
"""

from __future__ import annotations

import json
from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

State = Any
"""A tensor, or a tuple of states (empty for a module without memory)."""


class Streaming(nn.Module):
    """A causal module over time, the last axis of its input."""

    @abstractmethod
    def initial_state(self, like: Tensor) -> State:
        """The empty state for inputs of the batch size, device and dtype of ``like``."""

    @abstractmethod
    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Take the next chunk, of any length; return the output that is ready and the state."""

    def forward(self, x: Tensor) -> Tensor:
        return self.step(x, self.initial_state(x))[0]


class Chain(Streaming):
    """Streaming modules one after the other; modules without memory may stand between them.

    Any other module must treat every time step alone (an activation, a 1x1 convolution).
    """

    def __init__(self, *modules: nn.Module):
        super().__init__()
        self.stages = nn.ModuleList(modules)

    def initial_state(self, like: Tensor) -> State:
        return tuple(
            stage.initial_state(like) if isinstance(stage, Streaming) else ()
            for stage in self.stages
        )

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        states = []
        for stage, before in zip(self.stages, state, strict=True):
            if isinstance(stage, Streaming):
                x, after = stage.step(x, before)
            else:
                x, after = stage(x), ()
            states.append(after)
        return x, tuple(states)


def state_to_bytes(state: State) -> bytes:
    """Store a state as safetensors: its tensors, and its nesting as JSON. Nothing is pickled."""
    from safetensors.torch import save

    tensors: dict[str, Tensor] = {}

    def layout(node: State) -> Any:
        if isinstance(node, Tensor):
            tensors[str(len(tensors))] = node.contiguous()
            return len(tensors) - 1
        return [layout(child) for child in node]

    shape = json.dumps(layout(state))
    # safetensors refuses a file without tensors; the marker also versions the layout.
    tensors["version"] = torch.tensor(1)
    return save(tensors, metadata={"layout": shape})


def state_from_bytes(data: bytes) -> State:
    """The inverse of :func:`state_to_bytes`.

    Raises:
        ValueError: when the bytes are not a stored state.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    def build(node: Any) -> State:
        if isinstance(node, list):
            return tuple(build(child) for child in node)
        return tensors[str(node)]

    try:
        tensors = load(data)
        if tensors["version"].tolist() != 1:
            raise ValueError("of an unknown version")
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        return build(json.loads(header["__metadata__"]["layout"]))
    except (SafetensorError, KeyError, ValueError, RecursionError) as error:
        raise ValueError(f"not a stored streaming state: {error}") from None
