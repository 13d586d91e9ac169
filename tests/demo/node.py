"""Node, for the tests of what runs in a browser."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

from tests.tools import require

DEMO = Path(__file__).parents[2] / "docs" / "demo"
"""The page and the npm package, as the documentation site serves them."""


def node(*arguments: str | Path, stdin: Any = None, cwd: Path = DEMO) -> str:
    """Standard output of a Node program that takes ``stdin`` as JSON.

    Raises:
        AssertionError: when it fails.
    """
    program = shutil.which("node")
    require(program is not None, "node (Debian: nodejs)")
    done = subprocess.run(
        [str(program), *map(str, arguments)],
        input=json.dumps(stdin), cwd=cwd, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:] + done.stdout[-4000:]
    return done.stdout
