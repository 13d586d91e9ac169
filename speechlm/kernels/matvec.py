"""Matrix-vector products for compiled code on single frames or positions (extra ``live``: numba).

Their time is that of reading the weights once, so matrices are in half precision where that is
lossless, as for weights that were stored so; they are widened in registers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from llvmlite.binding import get_host_cpu_features
from numba import njit, types
from numba.core.cgutils import alloca_once_value, for_range_slice
from numba.extending import intrinsic
from numpy.typing import NDArray
from torch import Tensor

from speechlm.types import Float32s

Matrix = NDArray[np.float32] | NDArray[np.uint16]
"""Numbers in single precision, or the bits of numbers in half precision."""


WIDENS = get_host_cpu_features().get("f16c", True)
"""Whether the processor converts half precision; Intel and AMD do since 2013."""


def compact_matrix(values: Tensor) -> Matrix:
    """A copy of ``values``, in half precision if that is lossless, else in single precision."""
    half = values.detach().half()
    if WIDENS and bool((half.float() == values).all()):
        return np.ascontiguousarray(half.numpy()).view(np.uint16)
    return np.array(values.detach().numpy(), order="C")


def _widen(_context: Any, value: Any) -> Any:
    """The number in single precision that an element of a :data:`Matrix` is."""

    def code(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        if value == types.float32:
            return arguments[0]
        return builder.fpext(builder.bitcast(arguments[0], ir.HalfType()), ir.FloatType())

    return types.float32(value), code


widen: Any = intrinsic(_widen)


PREFETCH_BYTES, CACHE_LINE = 8192, 64
"""Bytes by which weights are asked for before their turn, and bytes that come at once."""
ROWS, LANES, PARTS = 4, 16, 2
"""Rows that are read side by side, and how many numbers of each at once, so many times."""


def _row_sums(_context: Any, weight: Any, x: Any, y: Any, step: Any, columns: Any) -> Any:
    """Into ``y`` (ROWS,) the products of as many rows of halves, ``step`` bytes apart, with ``x``.

    All are addresses but ``columns``, a multiple of LANES * PARTS. A processor foresees reading
    within a page of memory; told what comes beyond it, it takes two thirds of the time. And the
    fewer instructions there are, the further it looks ahead, so vectors are explicit: LLVM's are
    half as wide as the processor's, and one row at a time.
    """

    def code(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        b, module, whole, number = builder, builder.module, ir.IntType(64), ir.IntType(32)
        byte, single = ir.PointerType(ir.IntType(8)), ir.FloatType()
        halves, singles = ir.VectorType(ir.HalfType(), LANES), ir.VectorType(single, LANES)

        def declared(name: str, result: Any, *kinds: Any) -> Any:
            kind = ir.FunctionType(result, kinds)
            return module.globals.get(name) or ir.Function(module, kind, name)

        def loaded(kind: Any, address: Any, align: int) -> Any:
            value = b.load(b.inttoptr(address, ir.PointerType(kind)))
            value.align = align
            return value

        prefetch = declared("llvm.prefetch.p0", ir.VoidType(), byte, number, number, number)
        reduced = declared(f"llvm.vector.reduce.fadd.v{LANES}f32", single, single, singles)
        weight, x, y, step, columns = arguments
        zero = ir.Constant(singles, [0.0] * LANES)
        sums = [[alloca_once_value(b, zero) for _ in range(PARTS)] for _ in range(ROWS)]
        with for_range_slice(b, whole(0), columns, whole(LANES * PARTS)) as (j, _):
            for part in range(PARTS):
                place = b.add(j, whole(part * LANES))
                values = loaded(singles, b.add(x, b.mul(place, whole(4))), 4)
                for row in range(ROWS):
                    start = b.add(weight, b.mul(step, whole(row)))
                    address = b.add(start, b.mul(place, whole(2)))
                    if part * LANES * 2 % CACHE_LINE == 0:
                        later = b.inttoptr(b.add(address, whole(PREFETCH_BYTES)), byte)
                        b.call(prefetch, [later, number(0), number(3), number(1)])
                    wide = b.fpext(loaded(halves, address, 2), singles)
                    sum_ = sums[row][part]
                    scaled = b.fmul(wide, values, flags=("fast",))
                    b.store(b.fadd(b.load(sum_), scaled, flags=("fast",)), sum_)
        for row in range(ROWS):
            total = b.load(sums[row][0])
            for part in range(1, PARTS):
                total = b.fadd(total, b.load(sums[row][part]), flags=("fast",))
            result = b.call(reduced, [single(0), total], fastmath=("fast",))
            b.store(result, b.inttoptr(b.add(y, whole(4 * row)), ir.PointerType(single)))
        return _context.get_dummy_value()

    return types.void(weight, x, y, step, columns), code


row_sums: Any = intrinsic(_row_sums)


@njit(cache=True, fastmath=True)
def matvec(weight: Matrix, x: Float32s) -> Float32s:
    """``weight @ x``."""
    rows, columns = weight.shape
    x = np.ascontiguousarray(x)
    y = np.zeros(rows, np.float32)
    # What goes side by side, and what is left beneath it and to its right.
    side, done = rows - rows % ROWS, columns - columns % (LANES * PARTS)
    if weight.itemsize > 2 or not done:
        side = done = 0
    step = columns * weight.itemsize
    for i in range(0, side, ROWS):
        row_sums(weight.ctypes.data + i * step, x.ctypes.data, y.ctypes.data + 4 * i, step, done)
    add_matvec(weight[side:], x, y[side:])
    if done < columns:
        add_matvec(weight[:side, done:], x[done:], y[:side])
    return y


@njit(cache=True, fastmath=True)
def add_matvec(weight: Matrix, x: Float32s, y: Float32s) -> None:
    """Add ``weight @ x`` to ``y``."""
    for i in range(len(y)):
        total = np.float32(0)
        for j in range(len(x)):
            total += widen(weight[i, j]) * x[j]
        y[i] += total
