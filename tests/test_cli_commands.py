"""What holds for all subcommands: --json, quick refusals, completion."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import soundfile
import typer
from typer.testing import CliRunner

from speechlm import audio
from speechlm.cli import app
from tests.models import tiny_lm, tiny_vocoder

NO_FIGURES = {
    "average", "export hf", "export web", "push", "recipes copy", "report", "serve",
    "stream decode", "stream encode", "train", "verses", "words",
}  # fmt: skip
"""They print where something is, or nothing."""

MISSING = [
    "compress no.wav a.slm",
    "decompress no.slm a.wav",
    "info no.slm",
    "cat no.slm b.slm",
    "stream encode --model no",
    "stream decode --model no",
    "continue no.wav a.wav",
    "say hi a.wav --voice no.wav",
    "transcribe no.wav",
    "score no.wav",
    "convert no.wav a.wav --voice no.wav",
    "prepare no",
    "align no",
    "tokenize no out",
    "text-tokenizer a.model no",
    "text-lm no -o x",
    "recipes copy no out",
    "train no",
    "report no",
    "average out no",
    "adapt codec no",
    "adapt vocoder no",
    "adapt lm no",
    "eval no",
    "probe no",
    "compare no.json no.json",
    "compare no.json --markdown",
    "quantize-weights no out",
    "push no someone/no",
    "demo no.wav",
    "demo --lm no",
    "conform no",
    "export onnx no out",
    "export web out --model no",
    "export hf out --model no",
    "serve --voices no",
    "bench rate no",
    "bench loss no",
    "bench align no",
    "bench scale no",
    "bench codec no.wav",
    "bench entropy no",
    "bench judges no",
    "bench train no",
]
NOTHING_TO_REFUSE = {"bench lm", "bench serve", "verses", "words"}
"""They name no input."""

REFUSE = """
import sys
from speechlm.cli import app
from speechlm.errors import SpeechLMError
for line in sys.argv[1:]:
    try:
        app(line.split(), standalone_mode=False)
    except (SpeechLMError, OSError) as error:
        assert "no" in str(error), error
    else:
        sys.exit(f"{line}: is accepted")
    loaded = {"torch", "transformers", "scipy"} & set(sys.modules)
    if loaded:
        sys.exit(f"{line}: loads {loaded}")
"""


def commands(command: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """All subcommands by name, but for hidden ones."""
    if not hasattr(command, "commands"):
        yield name, command
        return
    if name == "recipes":  # does something without a subcommand, too
        yield name, command
    for part, inner in command.commands.items():
        if not inner.hidden:
            yield from commands(inner, f"{name} {part}".strip())


ALL = dict(commands(typer.main.get_command(app)))


def test_whatever_prints_figures_prints_json() -> None:
    with_json = {
        name
        for name, command in ALL.items()
        if any("--json" in parameter.opts for parameter in command.params)
    }
    assert set(ALL) - with_json == NO_FIGURES


def test_what_is_not_there_is_refused_before_anything_heavy_is_loaded(tmp_path: Path) -> None:
    named = {name for name in ALL for line in MISSING if f"{line} ".startswith(f"{name} ")}
    assert set(ALL) - named - {"recipes"} == NOTHING_TO_REFUSE
    done = subprocess.run(
        [sys.executable, "-c", REFUSE, *MISSING],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_complete_subcommands_and_options(shell: str) -> None:
    def complete(words: str) -> str:
        environment = {
            "_SPEECHLM_COMPLETE": f"complete_{shell}",
            "_TYPER_COMPLETE_ARGS": words,
            "_TYPER_COMPLETE_FISH_ACTION": "get-args",
            "COMP_WORDS": words,
            "COMP_CWORD": str(len(words.split()) - 1),
        }
        return CliRunner().invoke(app, [], prog_name="speechlm", env=environment).output

    assert "quantize-weights" in complete("speechlm quan")
    assert "--kbps" in complete("speechlm compress --kb")


def test_figures_as_json(
    tiny_model: Path, sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    wave, rate = audio.read(sample, 16000)
    soundfile.write("in.wav", wave[:8000], rate)
    Path("recordings").mkdir()
    for number in range(3):
        soundfile.write(f"recordings/{number}.wav", wave[8000 * number :][:8000], rate)
    Path("texts.txt").write_text("the tea is ready\nthe tea is cold\n")
    lm = tiny_lm(tiny_model, tmp_path / "lm")
    vocoder = tiny_vocoder(tiny_model, tmp_path / "vocoder")

    def run(*words: object) -> Any:
        done = CliRunner().invoke(app, [*map(str, words), "--json"], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    assert run("prepare", "folder", "path=recordings", "name=mine")["utterances"]["train"] >= 1
    tokenized = run("tokenize", "data/prepared/mine", "tokens", "--model", tiny_model)
    assert sum(split["utterances"] for split in tokenized["splits"].values()) == 3
    assert run("text-tokenizer", "text.model", "texts.txt")["pieces"] > 257
    assert run("text-lm", "texts.txt", "-o", "text-lm", "--rare", 1)["words"] == 5
    assert run("convert", "in.wav", "a.wav", "--voice", "in.wav", "--model", vocoder) == {
        "seconds": pytest.approx(0.5, abs=0.05)
    }
    assert run("score", "--text", "tea", "--model", lm)["text"]["characters"] == 3
    assert run("quantize-weights", vocoder, "small")["bytes"]["model.safetensors"]["after"] > 0
