"""What an installation relies on: pins for everything, a light start, the sample recording."""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import numpy as np
import pytest
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


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a wheel holds, unpacked where an installation would have it."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (path,) = folder.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


COMMANDS = [
    ["prepare", "folder", "path=recordings", "name=mine", "split.by=utterance", "split.dev=0.3"],
    ["train", "codec-smoke", "data.corpora=[data/prepared/mine]", "training.steps=1"],
    ["eval", "smoke", "systems.opus=null", "systems.amr-wb=null", "recognisers.tiny-en=null",
     "metrics=[stoi]", "runtime.repeats=0", "workers=0", "cache=cache"],
    ["recipes", "copy", "lm-units", "copy"],
]  # fmt: skip
RUN = """
import sys, speechlm
from pathlib import Path
from speechlm.cli import app
assert Path(speechlm.__file__).is_relative_to(sys.argv[1]), speechlm.__file__
for command in eval(sys.argv[2]):
    app(command, standalone_mode=False)
"""


def test_a_wheel_has_recipes_corpora_and_suites(wheel: Path, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(scale=0.1, size=(8, 16000))
    (tmp_path / "recordings").mkdir()
    for number, wave in enumerate(noise):
        soundfile.write(tmp_path / "recordings" / f"{number}.wav", wave, 16000)
    environment = os.environ | {"PYTHONPATH": str(wheel), "OMP_NUM_THREADS": "1"}

    def run(*command: str | Path) -> str:
        done = subprocess.run(
            [sys.executable, *command], cwd=tmp_path, env=environment, capture_output=True
        )
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode()

    run("-c", RUN, wheel, repr(COMMANDS))
    assert (tmp_path / "runs" / "codec-smoke" / "model" / "config.yaml").is_file()
    assert (tmp_path / "runs" / "eval" / "report.html").is_file()
    assert os.access(tmp_path / "copy" / "recipes" / "lm-units" / "run.sh", os.X_OK)

    found = json.loads(run("-m", "speechlm", "recipes", "--json"))
    assert {one["name"] for one in found if one["kind"] == "corpus"} == names("data/*.yaml")
    assert {one["name"] for one in found if one["kind"] == "suite"} == names("eval/*.yaml")
    recipes = {one["name"] for one in found if one["kind"] == "recipe"}
    assert recipes >= names("recipes/*.yaml") | {"codec-16k", "codec-16k/06-decoder", "gslm/lm"}
    assert all(Path(one["path"]).is_relative_to(wheel) for one in found)
    assert all(one["description"] for one in found)


def names(pattern: str) -> set[str]:
    return {path.stem for path in ROOT.glob(pattern)}
