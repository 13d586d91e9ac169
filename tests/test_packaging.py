"""What an installation relies on: pins for everything, a light start, the sample recording."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
import tomllib
from pathlib import Path

import soundfile
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LINES = (ROOT / "constraints.txt").read_text().splitlines()
PINS = {
    canonicalize_name(pin.name): pin
    for pin in (Requirement(line) for line in LINES if not line.startswith("#"))
}


def direct() -> list[Requirement]:
    extras = PROJECT["optional-dependencies"].values()
    return [Requirement(line) for group in (PROJECT["dependencies"], *extras) for line in group]


def test_every_requirement_is_pinned_to_one_version_in_its_range():
    for requirement in direct():
        pin = PINS[canonicalize_name(requirement.name)]
        (exact,) = pin.specifier
        assert exact.operator == "=="
        assert requirement.specifier.contains(exact.version), f"{requirement} but {pin}"


def test_what_the_requirements_need_is_pinned_too():
    # Walks what is installed here: an extra that is absent is not followed.
    todo, seen = direct(), set()
    while todo:
        requirement = todo.pop()
        name = canonicalize_name(requirement.name)
        if (name, *requirement.extras) in seen:
            continue
        seen.add((name, *requirement.extras))
        try:
            needs = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        for need in map(Requirement, needs):
            extras = requirement.extras or {""}
            if need.marker and not any(need.marker.evaluate({"extra": one}) for one in extras):
                continue
            assert canonicalize_name(need.name) in PINS, f"{need.name}, for {name}"
            todo.append(need)
    assert len(seen) > len(PROJECT["dependencies"])


def test_the_command_line_answers_without_loading_torch():
    code = "import sys, speechlm, speechlm.cli; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_the_sample_is_speech_sized_and_its_licence_is_beside_it(sample):
    info = soundfile.info(sample)
    assert (info.samplerate, info.channels, info.subtype) == (16000, 1, "PCM_16")
    assert 6 <= info.duration <= 15
    notes = (sample.parent / "README.md").read_text()
    assert "CC-BY-SA-3.0" in notes
    assert "Allison Smith" in notes
