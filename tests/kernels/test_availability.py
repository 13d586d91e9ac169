"""The compiler is optional: what is wrong with it changes the time, and ends no program."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from speechlm import kernels
from speechlm.kernels import numba_available


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    numba_available.cache_clear()
    yield
    numba_available.cache_clear()


def test_a_disabled_compiler_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    assert not numba_available()


@pytest.mark.parametrize("error", [RuntimeError("no locator available"), ImportError(), OSError()])
def test_a_compiler_that_fails_is_not_used(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(name: str) -> None:
        raise error

    monkeypatch.setattr(kernels, "find_spec", lambda name: True)
    monkeypatch.setattr(kernels, "import_module", fail)
    assert not numba_available()


def test_a_function_that_does_not_compile_ends_nothing(monkeypatch):
    pytest.importorskip("numba")
    from speechlm.kernels import transformer_block

    def fails(*_):
        raise OSError("no space left on the device that caches")

    monkeypatch.setattr(transformer_block, "rms_norm", fails)
    assert not numba_available()
