"""The same bytes on any machine, with any threads and kernels; and files that decode for ever."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from speechlm.bitstream import Reader
from speechlm.bitstream.entropy import EntropyCoder, EntropyModel, integer_linear

from .models import arrays, cut, model, random_codes

GOLDEN = Path(__file__).parent / "golden"
MODEL_HASH = "f2e90a27"
GOLDEN_CODES = {
    "full": "49657b080c332155",
    "ragged": "3577132da42335df",
    "long": "bd9b6d37b4ad163c",
}
"""Files that the first version wrote, and a digest of the codes in them. Never to be changed."""

GOLDEN_CHUNKS = ["fd600d0148325115", "238d487df10d026c", "876dbbb6bf6fdbdc"]

SHAPES = {"full": (4, 60), "ragged": (4, 90), "long": (2, 700)}


def golden_codes(name: str) -> np.ndarray:
    num_codebooks, frames = SHAPES[name]
    codes = random_codes(num_codebooks, frames, 32, seed=len(name))
    return cut(codes) if name == "ragged" else codes


def digest(codes: np.ndarray) -> str:
    return hashlib.sha256(codes.astype("<i8").tobytes()).hexdigest()[:16]


def test_the_model_of_the_golden_files_is_the_same():
    assert model().hash == MODEL_HASH


@pytest.mark.parametrize("name", SHAPES)
def test_golden_payloads_decode_to_the_same_codes_for_ever(name):
    payload = (GOLDEN / f"{name}.bin").read_bytes()
    coder = EntropyCoder(model())
    codes = coder.decode(payload, *SHAPES[name])
    assert digest(codes) == GOLDEN_CODES[name]
    assert coder.encode(codes) == payload


def test_a_golden_stream_decodes_to_the_same_codes_for_ever():
    """Entropy-coded chunks with and without all levels, and a packed one."""
    with (GOLDEN / "stream.slm").open("rb") as file:
        reader = Reader(file, entropy=EntropyCoder(model()))
        chunks = list(reader)
    assert [chunk.coding for chunk in chunks] == [2, 2, 0]
    assert [digest(chunk.codes) for chunk in chunks] == GOLDEN_CHUNKS
    assert reader.samples == 110 * 160 - 7


WIDE = {
    "num_codebooks": 3,
    "codebook_size": 1024,
    "width": 64,
    "trunk": 128,
    "hidden": 128,
    "head": 64,
}
"""Sizes at which BLAS has kernels and threads to choose from."""


def of_layout(layout: str) -> EntropyModel:
    plain = arrays(**WIDE)
    if layout == "columns":
        return EntropyModel({name: array.copy(order="F") for name, array in plain.items()})
    if layout == "strided":
        return EntropyModel({name: strided(array) for name, array in plain.items()})
    return EntropyModel(plain)


def strided(array: np.ndarray) -> np.ndarray:
    """The same values, every third of a larger array, backwards."""
    if not array.ndim:
        return array
    larger = np.zeros((*array.shape[:-1], 3 * array.shape[-1]), array.dtype)
    larger[..., ::-3] = array
    view = larger[..., ::-3]
    assert not view.flags.c_contiguous
    return view


def written(layout: str = "rows") -> str:
    """A digest of a payload, and of what it decodes to."""
    chosen = of_layout(layout)
    coder = EntropyCoder(chosen)
    codes = random_codes(3, 90, 1024)
    payload = coder.encode(codes)
    assert np.array_equal(coder.decode(payload, *codes.shape), codes)
    return f"{chosen.hash} {hashlib.sha256(payload).hexdigest()}"


@pytest.fixture(scope="module")
def here() -> str:
    return written()


@pytest.mark.parametrize("layout", ["columns", "strided"])
def test_the_memory_layout_of_the_weights_changes_nothing(layout, here):
    assert written(layout) == here


@pytest.mark.parametrize(
    "settings",
    [
        {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
        {"OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2", "MKL_NUM_THREADS": "2"},
        {"OPENBLAS_CORETYPE": "Prescott", "MKL_CBWR": "COMPATIBLE"},
        {"OPENBLAS_CORETYPE": "Haswell", "MKL_CBWR": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"},
        {"NPY_DISABLE_CPU_FEATURES": "AVX512F AVX512_SKX X86_V4"},
    ],
    ids=lambda settings: "-".join(settings.values()).replace(" ", "-"),
)
def test_threads_and_kernels_change_nothing(settings, here):
    """In a process of its own, since BLAS chooses at its start."""
    code = "from tests.bitstream.entropy.test_portable import written; print(written())"
    root = str(Path(__file__).parents[3])
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        env=os.environ | {"PYTHONPATH": root} | settings,
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == here


def test_one_frame_at_a_time_is_many_at_once():
    """The numbers themselves, before any coding."""
    chosen = of_layout("rows")
    random = np.random.default_rng(0)
    frames = random.integers(-2000, 2000, (70, chosen.trunk)).astype(np.float32)
    below = random.integers(-500, 500, (70, chosen.width)).astype(np.float32)
    together = chosen.trunk_outputs(chosen.initial_history(), frames)
    history = chosen.initial_history()
    singly = np.concatenate([chosen.trunk_outputs(history, frame[None]) for frame in frames])
    assert np.array_equal(together, singly)
    for level in range(chosen.num_codebooks):
        tables = [
            chosen.frequencies(level, together[i : i + 1], below[i : i + 1]) for i in range(70)
        ]
        assert np.array_equal(np.concatenate(tables), chosen.frequencies(level, together, below))


def test_a_blas_that_takes_short_cuts_is_refused(monkeypatch):
    assert integer_linear.products_are_exact()
    monkeypatch.setattr(integer_linear, "products_are_exact", lambda: False)
    with pytest.raises(ValueError, match="less than its precision"):
        model()


def test_weights_that_could_make_a_sum_inexact_are_refused():
    large = arrays(**WIDE)
    large["join.weight"] = np.full_like(large["join.weight"], 127)
    large["join.bias"] = np.full_like(large["join.bias"], 1 << 23)
    with pytest.raises(ValueError, match="too large for exact sums"):
        EntropyModel(large)
