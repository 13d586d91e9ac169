"""Training and what follows on its checkpoints."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from speechlm import resources
from speechlm.cli.common import (
    Force,
    Overrides,
    Threads,
    check_yaml,
    print_line,
    require_folder,
    use_threads,
)
from speechlm.errors import SpeechLMError
from speechlm.utils.files import check_output

app = typer.Typer()


@app.command()
def train(
    recipe: Annotated[
        str, typer.Argument(metavar="RECIPE", help="A YAML file, or a name: speechlm recipes.")
    ],
    overrides: Overrides = None,
    threads: Threads = 1,
) -> None:
    """Train the model of a recipe; run it again to continue.

    A recipe of several stages, such as codec-16k, takes its settings from the environment; run
    one of its stages (codec-16k/06-decoder) to change that stage.
    """
    script = resources.find_script(recipe)
    if script is not None:
        _run_stages(recipe, script, overrides or [], threads)
    path = resources.find(resources.RECIPE, recipe)
    check_yaml(path, overrides or [])
    use_threads(threads)
    from speechlm.training import registry

    print_line(f"model: {registry.train_recipe(path, overrides or [])}")


def _run_stages(recipe: str, script: Path, overrides: list[str], threads: int) -> NoReturn:
    """Become the script of a recipe of several stages, which writes below the current folder."""
    if overrides:
        raise SpeechLMError(
            f"{recipe}: has several stages and takes no {overrides[0]}; give it to one of them, or "
            f"copy the recipe: speechlm recipes copy {recipe} DIR"
        )
    use_threads(threads)
    os.environ.setdefault("PYTHON", sys.executable)
    os.execvp("bash", ["bash", str(script)])


@app.command()
def report(
    run: Annotated[
        Path, typer.Argument(metavar="RUN", help="The run folder: training.out of a recipe.")
    ],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Default: report.html in the run folder.")
    ] = None,
    force: Force = False,
) -> None:
    """Write the learning curves of a training, and its validation clips over the steps, as HTML."""
    require_folder(run)
    page = out or run / "report.html"
    check_output(page, [], (b"<!doctype html>",), "an HTML page", force)
    use_threads(1)
    from speechlm.report import training as training_report

    print_line(f"page: {training_report.write(run, page)}")


@app.command()
def average(
    out: Annotated[Path, typer.Argument(metavar="OUT")],
    models: Annotated[list[str], typer.Argument(metavar="MODEL...")],
    weight: Annotated[
        list[float] | None,
        typer.Option(help="Of each model in turn (repeatable); default: equal."),
    ] = None,
) -> None:
    """Average the weights of checkpoints that were fine-tuned from one model (a model soup)."""
    from speechlm import hub

    for model in models:
        hub.find_model(model)
    use_threads(1)
    from speechlm.training.checkpoint_average import average_checkpoints

    folder = average_checkpoints(models, weight or [1.0] * len(models), out)
    print_line(f"model: {folder}")


app.command("mean", hidden=True)(average)  # its former name
