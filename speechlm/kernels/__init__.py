"""What needs a compiler: optional, and never the only path."""

from __future__ import annotations

from importlib.util import find_spec


def numba_available() -> bool:
    """Whether numba is installed (extra ``live``), which compiles the frame-by-frame paths."""
    return find_spec("numba") is not None
