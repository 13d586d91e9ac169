"""The same codes with any number of threads and any instruction set."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from speechlm.conformance.result import NotApplicable, require
from speechlm.conformance.subject import CodecSubject, Subject, open_subject
from speechlm.types import Wave

SETS = {
    "AVX2": {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"},
    "baseline": {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41"},
}
"""Environments of a process whose libraries use fewer instructions than the processor has."""


def threads(subject: Subject, waves: list[Wave]) -> Mapping[str, float | str]:
    """One, two and three threads. Limit: the same codes."""
    codec = subject.codec()
    before = torch.get_num_threads()
    wave = torch.from_numpy(waves[0])[None]
    try:
        found = []
        for number in (1, 2, 3):
            torch.set_num_threads(number)
            found.append(codec.encode(wave))
    finally:
        torch.set_num_threads(before)
    different = max(int((found[0] != other).sum()) for other in found[1:])
    figures = {"codes compared": float(found[0].numel()), "different": float(different)}
    require(different == 0, "codes depend on the number of threads", figures)
    return figures


def instruction_sets(subject: Subject, waves: list[Wave]) -> Mapping[str, float | str]:
    """A process each with fewer instructions (:data:`SETS`). Limit: the same codes as here."""
    codec = subject.codec()
    if not isinstance(subject, CodecSubject) or subject.opened_by is None:
        raise NotApplicable("a codec object cannot be opened again in another process")
    here = codec.encode(torch.from_numpy(waves[0])[None])[0].numpy()
    different: dict[str, float | str] = {"codes compared": float(here.size)}
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "wave.npy")
        np.save(source, waves[0])
        for name, variables in SETS.items():
            target = Path(folder, "codes.npy")
            how = "trained" if subject.trained else "random"
            command = [
                sys.executable, "-m", __name__, subject.opened_by, how, str(source), str(target)
            ]  # fmt: skip
            done = subprocess.run(
                command, env={**os.environ, **variables}, capture_output=True, text=True
            )
            if done.returncode:
                raise RuntimeError(done.stderr.strip().splitlines()[-1])
            there = np.load(target)
            count = int((there != here).sum()) if there.shape == here.shape else here.size
            different[f"different with {name}"] = float(count)
    counts = [value for key, value in different.items() if key.startswith("different")]
    require(not any(counts), "codes depend on the instruction set", different)
    return different


def _main(name: str, how: str, source: str, target: str) -> None:
    subject = open_subject(name, how == "random")
    np.save(target, subject.encode(np.load(source)).numpy())


if __name__ == "__main__":
    _main(*sys.argv[1:])
