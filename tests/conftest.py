"""What every test gets: one torch thread, repeatable property tests, corpora, a recording."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from hypothesis import settings

import speechlm
from tests.tools import require

# A job in the background, or under nohup, ignores these signals, and its children inherit that: the
# tests of signals would wait for ever.
for _signal in (signal.SIGINT, signal.SIGHUP):
    if signal.getsignal(_signal) is signal.SIG_IGN:
        signal.signal(_signal, signal.default_int_handler)

# Under several pytest workers, more threads only fight each other; set before torch is imported.
os.environ["OMP_NUM_THREADS"] = "1"

settings.register_profile("local", deadline=None)
settings.register_profile("ci", parent=settings.get_profile("local"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what is marked ``gpu`` where there is none: no machine must have one."""
    if item.get_closest_marker("gpu") is not None:
        import torch

        if not torch.cuda.is_available():
            pytest.skip("no GPU that CUDA drives")


@pytest.fixture(scope="session")
def sample() -> Path:
    """The recording that the package ships: speech, 16 kHz mono FLAC, 7.27 s."""
    return Path(speechlm.__file__).parent / "assets" / "sample.flac"


@pytest.fixture(scope="session")
def corpora() -> Path:
    """The folder of corpora as they were published (``an4/test/wav``, ...): SPEECHLM_CORPORA."""
    folder = os.environ.get("SPEECHLM_CORPORA")
    require(folder is not None, "SPEECHLM_CORPORA, the folder of corpora")
    path = Path(folder or "")
    require(path.is_dir(), f"{path}, the folder that SPEECHLM_CORPORA names")
    return path


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder: a tiny codec with random weights, 50 Hz, four levels of 1024 entries."""
    from tests.models import tiny_codec

    return tiny_codec(tmp_path_factory.mktemp("models") / "tiny")
