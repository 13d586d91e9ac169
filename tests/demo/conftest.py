"""The page as `make docs` builds it, served from this machine."""

from __future__ import annotations

import fcntl
import functools
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.evaluation.browser import chromium
from tests.tools import require

from .node import DEMO


@pytest.fixture(scope="session")
def site(tmp_path_factory) -> Path:
    """What `docs/demo/build.sh` makes; once for all processes of a run."""
    require(chromium() is not None, "chromium (Debian: chromium)")
    for name in ("onnx", "onnxscript"):
        require(importlib.util.find_spec(name) is not None, f"{name} (extra onnx)")
    for name in ("node", "npm"):
        require(shutil.which(name) is not None, f"{name} (Debian: npm)")
    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "demo"
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "built").exists():
            environment = os.environ | {"PYTHON": sys.executable, "OMP_NUM_THREADS": "1"}
            command = [str(DEMO / "build.sh"), str(folder)]
            done = subprocess.run(
                command, env=environment, capture_output=True, text=True, timeout=500, check=False
            )
            require(not re.search("npm (error|ERR)", done.stderr), "onnxruntime-web from npm")
            assert done.returncode == 0, done.stderr[-3000:]
            (folder / "built").touch()
    return folder


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Nothing: requests are no news."""


@pytest.fixture(scope="session")
def address(site) -> Iterator[str]:
    """Where the page is served."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()
