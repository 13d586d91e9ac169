"""What a test may need from outside: there, or the test says why it does not run."""

from __future__ import annotations

import os

import pytest

STRICT = os.environ.get("SPEECHLM_REQUIRE_TOOLS") == "1"


def require(condition: bool, reason: str) -> None:
    """Go on when ``condition`` holds; otherwise skip, saying why.

    Under ``SPEECHLM_REQUIRE_TOOLS=1`` (continuous integration) the test fails instead, so that a
    tool missing there cannot hide the tests that need it.

    Example: ``require(shutil.which("opusenc") is not None, "opusenc (Debian: opus-tools)")``.
    """
    if condition:
        return
    if STRICT:
        pytest.fail(f"missing: {reason}", pytrace=False)
    pytest.skip(f"missing: {reason}")
