"""A corpus to train on, and a device on which a step gives the same bits each time."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from speechlm.data.prepare import prepare

FOLDER = Path(__file__).parents[2] / "data" / "folder.yaml"

os.environ["ACCELERATE_USE_CPU"] = "1"


def prepared(source: Path, folder: Path, dev: float) -> Path:
    """A folder of recordings as a corpus, split by recording, ``dev`` of them held out."""
    settings = [f"path={source}", f"output={folder}", f"name={folder.name}", "min_seconds=0.05"]
    prepare(FOLDER, [*settings, "split.by=utterance", f"split.dev={dev}", "split.test=0"])
    return folder


@pytest.fixture(scope="session")
def corpus(tmp_path_factory) -> Path:
    """Twelve sounds of half a second: gliding tones in noise."""
    source = tmp_path_factory.mktemp("sounds")
    random = np.random.default_rng(0)
    time = np.arange(8000) / 16000
    for number in range(12):
        glide = np.sin(2 * np.pi * (200 + 50 * number) * time * (1 + time))
        wave = 0.3 * glide + 0.02 * random.standard_normal(8000)
        soundfile.write(source / f"{number}.wav", wave, 16000)
    return prepared(source, tmp_path_factory.mktemp("corpora") / "toy", dev=0.3)
