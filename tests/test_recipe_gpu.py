"""recipes/gpu/run.sh, in its reduced form on a CPU: what it writes can be used."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from io import BytesIO
from pathlib import Path

import pytest

from speechlm.codec import NeuralCodec

ROOT = Path(__file__).parents[1]


def run(folder: Path, *stages: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "REDUCED": "1", "WORK": str(folder), "MINUTES": "30"}
    command = ["bash", str(ROOT / "recipes" / "gpu" / "run.sh"), *stages]
    return subprocess.run(
        command, env={**environment, "PYTHON": sys.executable}, capture_output=True, text=True
    )


@pytest.mark.timeout(1800)  # half a minute of CPU time, which is long on a busy machine
def test_it_measures_trains_and_reports(tmp_path: Path) -> None:
    done = run(tmp_path, "bench", "train")
    assert done.returncode == 0, done.stderr
    out = tmp_path / "out"
    codec = json.loads((out / "bench-codec.json").read_text())
    assert [report["amount"] for report in codec] == [0.25, 0.5]
    (language_model,) = json.loads((out / "bench-lm.json").read_text())
    assert language_model["unit"] == "columns"
    assert all(0 < report["mfu"] < 1 for report in [*codec, language_model])
    pieces = b"".join(piece.read_bytes() for piece in sorted(out.glob("model.tar.*")))
    with tarfile.open(fileobj=BytesIO(pieces)) as archive:
        archive.extractall(tmp_path / "got", filter="data")
    assert NeuralCodec.from_pretrained(tmp_path / "got" / "model").num_codebooks == 2
    report = (out / "report.md").read_text()
    assert "| codec | 0 audio s | 1 |" in report
    assert "| step | validation loss |" in report
    assert report == done.stdout[done.stdout.index("# Training on this device") :]


def test_an_unknown_stage_is_one_line(tmp_path: Path) -> None:
    done = run(tmp_path, "tests")
    assert done.returncode == 2
    assert done.stderr == "error: stages are test, bench and train, not tests\n"
