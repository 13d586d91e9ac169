"""One server for all tests of its routes, in a process of its own."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
import soundfile

from speechlm import audio, resources
from speechlm.benchmarks.serve import running_server
from tests.tools import require


@pytest.fixture(scope="session")
def recording() -> bytes:
    """Two seconds of the sample recording, as WAV."""
    wave, rate = audio.read(resources.SAMPLE)
    file = io.BytesIO()
    soundfile.write(file, wave[: 2 * rate], rate, format="WAV", subtype="PCM_16")
    return file.getvalue()


@pytest.fixture(scope="session")
def voices(tmp_path_factory: pytest.TempPathFactory, recording: bytes) -> Path:
    folder = tmp_path_factory.mktemp("voices")
    (folder / "reader.wav").write_bytes(recording)
    return folder


@pytest.fixture(scope="session")
def server(voices: Path) -> Iterator[str]:
    """The address of a server."""
    for package in ("fastapi", "uvicorn", "faster_whisper"):
        require(find_spec(package) is not None, f"{package} (extras serve and asr)")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with running_server(["--voices", str(voices), "--queue", "3", "--max-seconds", "20"]) as (
        address,
        _,
    ):
        yield address
