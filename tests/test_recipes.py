"""The scripts that reproduce the shipped models, as far as they go without training.

``make smoke`` runs two of them end to end; ``tests/training/test_registry.py`` loads every YAML.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
RECIPES = ROOT / "recipes"
SHIPPED = sorted(path.parent.name for path in ROOT.glob("speechlm/models/*/config.yaml"))


def run(command: list[str | Path], **environment: Path | str) -> subprocess.CompletedProcess[str]:
    values = {key: str(value) for key, value in environment.items()}
    inherited = {key: value for key, value in os.environ.items() if key != "SMOKE"}
    return subprocess.run(command, env=inherited | values, capture_output=True, text=True)


def test_each_shipped_model_has_a_script() -> None:
    assert SHIPPED
    assert [name for name in SHIPPED if not (RECIPES / name / "run.sh").is_file()] == []


@pytest.mark.parametrize("name", SHIPPED)
def test_missing_corpora_are_named_with_their_commands(name: str, tmp_path: Path) -> None:
    out, data = tmp_path / "out", tmp_path / "data"
    ended = run([RECIPES / name / "run.sh"], DATA=data, OUT=out)
    assert ended.returncode == 2
    first, *commands = ended.stderr.splitlines()
    assert first.startswith(f"error: corpora are missing in {data}")
    assert f"speechlm prepare asterisk output={data}/asterisk" in ended.stderr
    for line in commands:
        found = re.fullmatch(rf"  speechlm prepare ([a-z0-9-]+)\b.* output={data}/.+", line)
        assert found, line
        assert (ROOT / "data" / f"{found[1]}.yaml").is_file()
    assert not out.exists()


@pytest.mark.parametrize("name", SHIPPED)
def test_stages_and_files_are_each_others(name: str) -> None:
    folder = RECIPES / name
    stages = re.findall(r"^stage (\S+) (\S+)", (folder / "run.sh").read_text(), re.MULTILINE)
    assert len({stage for stage, _ in stages}) == len(stages)
    used = {file for _, file in stages}
    own = {path.stem for path in folder.glob("*.yaml")}
    assert own <= used
    assert all((RECIPES / f"{file}.yaml").is_file() for file in used - own)


STAGES = """
source {common}
speechlm() {{ echo "speechlm $*"; [[ $2 != "$OUT"/yaml/two.yaml || -e $OUT/mended ]]; }}
stage one 01-one-token
stage two 01-one-token init="$OUT/one/model"
once three echo three
"""


def test_a_stopped_script_goes_on_at_the_stage_that_failed(tmp_path: Path) -> None:
    # The script lies where a recipe of the repository does: common.sh goes to the root from there.
    folder = tmp_path / "recipes" / "mine"
    folder.mkdir(parents=True)
    text = 'kind: codec\ninit: "data/prepared/x"\n'
    (folder / "01-one-token.yaml").write_text(text)
    script = folder / "run.sh"
    script.write_text("set -euo pipefail" + STAGES.format(common=RECIPES / "common.sh"))
    settings = {"OUT": tmp_path / "out", "DATA": tmp_path / "corpora"}

    failed = run(["bash", script], **settings)
    assert failed.returncode == 1
    assert "== two" in failed.stdout
    assert "three" not in failed.stdout
    made = (tmp_path / "out" / "yaml" / "one.yaml").read_text()
    assert made == text.replace("data/prepared", f"{tmp_path}/corpora")

    (tmp_path / "out" / "mended").touch()
    ended = run(["bash", script], **settings)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines() == [
        "== one: finished before",
        "== two",
        f"speechlm train {tmp_path}/out/yaml/two.yaml training.out={tmp_path}/out/two"
        f" init={tmp_path}/out/one/model",
        "== three",
        "three",
    ]
    last = run(["bash", script], **settings, LAST="one")
    assert last.stdout.splitlines() == ["== one: finished before"]
