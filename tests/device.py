"""A GPU without one: tensors that say ``cuda``, compute on the CPU, and mix with no other.

What PyTorch refuses on a machine with a GPU is refused here: an operation on tensors of both
devices (but for scalars), NumPy on what is not on the CPU. So code that runs under
:func:`simulated_cuda`, and gives the numbers that it gives on the CPU, handles devices right.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing

CUDA = torch.device("cuda", 0)
_MOVES = ("aten::_to_copy", "aten::copy_")
_KERNELS = ("aten::_fused_sdp_choice", "aten::_use_cudnn_ctc_loss", "aten::_use_miopen_ctc_loss")
"""Operations that ask which kernel of a real device to take."""
_ANYWHERE = ("aten::_ctc_loss.Tensor",)
"""Operations that copy lengths from another device themselves."""
_EAGER = {"aten::_conj": torch.ops.aten._conj_physical, "aten::_neg_view": torch.ops.aten.neg}
"""What only marks a tensor, which is not seen within a dispatch mode, and what computes it."""


class Remote(torch.Tensor):
    """A tensor on the simulated device; ``inner`` holds the numbers."""

    inner: torch.Tensor

    @staticmethod
    def __new__(cls, inner: torch.Tensor) -> Remote:
        self = torch.Tensor._make_wrapper_subclass(
            cls,
            inner.size(),
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            layout=inner.layout,
            device=CUDA,
            requires_grad=inner.requires_grad,
        )
        self.inner = inner
        return self

    def tolist(self) -> Any:
        return self.inner.tolist()

    def numpy(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError("can't convert cuda:0 device type tensor to numpy")

    __array__ = numpy

    @classmethod
    def __torch_dispatch__(
        cls, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        return _dispatch(func, args, kwargs or {})


class _Simulation(TorchDispatchMode):
    """Sees what makes tensors out of none."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        return _dispatch(func, args, kwargs or {})


def _dispatch(func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    name = func.name()
    if name.startswith(_KERNELS):
        return 0  # plain products: the kernels of real devices are not here
    tensors = [x for x in pytree.tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)]
    remote = [isinstance(x, Remote) for x in tensors]
    device = kwargs.get("device")
    moves = name.startswith(_MOVES)
    if any(remote) and not moves and name not in _ANYWHERE:
        strays = [x for x, there in zip(tensors, remote, strict=True) if not there and x.ndim]
        if strays:
            raise RuntimeError(f"{name}: expected all tensors to be on the same device")
    there = any(remote) if device is None else torch.device(device).type == CUDA.type
    if device is not None:
        kwargs = {**kwargs, "device": torch.device("cpu")}
    inner_args, inner_kwargs = pytree.tree_map_only(Remote, lambda x: x.inner, (args, kwargs))
    found = _EAGER.get(name, func)(*inner_args, **inner_kwargs)
    if name.startswith("aten::copy_"):
        return args[0]
    if name.startswith("aten::_local_scalar_dense") or not there:
        return found
    wrapped = pytree.tree_map_only(
        torch.Tensor, lambda x: x if isinstance(x, Remote) else Remote(x), found
    )
    return return_and_correct_aliasing(func, args, kwargs, wrapped) if any(remote) else wrapped


@contextmanager
def simulated_cuda() -> Iterator[torch.device]:
    """The device, in whose scope tensors may be made on it and modules moved to it."""
    torch._C._ensureCUDADeviceGuardSet()
    swap = torch.__future__.get_swap_module_params_on_conversion()
    torch.__future__.set_swap_module_params_on_conversion(True)
    torch._C._set_only_lift_cpu_tensors(True)  # torch.tensor(..., device=...) moves what it made
    try:
        with (
            mock.patch.object(torch.cuda, "_lazy_init", return_value=None),
            # A view of what was made outside of inference mode cannot be wrapped within.
            mock.patch.object(torch.inference_mode, "__enter__", torch.no_grad.__enter__),
            mock.patch.object(torch.inference_mode, "__exit__", torch.no_grad.__exit__),
            _Simulation(),
        ):
            yield CUDA
    finally:
        torch._C._set_only_lift_cpu_tensors(False)
        torch.__future__.set_swap_module_params_on_conversion(swap)
