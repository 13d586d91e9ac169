"""Evaluation: suites, probes and comparisons of results."""

from __future__ import annotations

from dataclasses import asdict
from json import loads
from pathlib import Path
from typing import Annotated

import typer

from speechlm import resources
from speechlm.cli.common import (
    Json,
    Overrides,
    Shard,
    Threads,
    check_yaml,
    print_figures,
    print_json,
    print_line,
    require_path,
    use_threads,
)
from speechlm.errors import SpeechLMError
from speechlm.utils.terminal import console

app = typer.Typer()


@app.command("eval")
def evaluate(
    suite: Annotated[
        str, typer.Argument(metavar="SUITE", help="A YAML file, or a name: speechlm recipes.")
    ],
    overrides: Overrides = None,
    out: Annotated[Path, typer.Option(help="Folder for results.json and report.html.")] = Path(
        "runs/eval"
    ),
    shard: Shard = "1/1",
    json: Json = False,
) -> None:
    """Evaluate codecs, a language model or a vocoder: results.json and an HTML report."""
    path = resources.find(resources.SUITE, suite)
    check_yaml(path, overrides or [])
    from speechlm.evaluation import suites
    from speechlm.report import suites as report
    from speechlm.utils.distributed import Shard

    if (share := Shard.of_job(shard)).count > 1:
        clips = suites.run_share(path, overrides or [], share)
        if json:
            print_json({"clips": clips})
        else:
            print_line(f"{clips} clips: run it without --shard when all parts are done")
        return
    results = report.run(path, overrides or [], out)
    if json:
        print_json(loads((out / "results.json").read_text("utf-8")))
        return
    console.print(results.table())
    print_line(f"page: {out / 'report.html'}")


@app.command()
def probe(
    config: Annotated[
        str, typer.Argument(metavar="PROBE", help="A YAML file, or a name: probe or layers.")
    ],
    overrides: Overrides = None,
    out: Annotated[Path, typer.Option(help="File for the metrics.")] = Path("runs/probe.json"),
    json: Json = False,
    threads: Threads = 1,
) -> None:
    """Measure how much phone, word and speaker information tokens or layers carry."""
    path = resources.find(resources.SUITE, config)
    check_yaml(path, overrides or [])
    use_threads(threads)
    from speechlm.evaluation.probe.run import run

    tables = run(path, overrides or [], out)
    if json:
        print_json(loads(out.read_text("utf-8")))
        return
    console.print(tables)
    print_line(f"metrics: {out}")


@app.command()
def compare(
    results: Annotated[
        list[str],
        typer.Argument(
            metavar="[NAME=]results.json...",
            help="One or two results; with --markdown, any number.",
        ),
    ],
    to: Annotated[
        str | None, typer.Option(help="Compare the systems of one result with this one of them.")
    ] = None,
    metric: Annotated[list[str] | None, typer.Option(help="Only this metric (repeatable).")] = None,
    system: Annotated[list[str] | None, typer.Option(help="Only this system (repeatable).")] = None,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print language models side by side, as Markdown.")
    ] = False,
    json: Json = False,
) -> None:
    """Paired differences of two results; status 1 when the second is significantly worse.

    With --to, differences of the systems of one result from one of them, such as the original.
    """
    for result in results:
        require_path(Path(result.rpartition("=")[2] if markdown else result))
    if markdown:
        console.print(_table(results), markup=False, highlight=False, soft_wrap=True, end="")
        return
    from speechlm.evaluation import compare as comparing

    paths = [Path(result) for result in results]
    if len(paths) == 2 and to is None:
        comparison = comparing.compare(paths[0], paths[1], metric or [], system or [])
    elif len(paths) == 1 and to is not None:
        comparison = comparing.against(paths[0], to, metric or [], system or [])
    else:
        raise SpeechLMError("compare: give two results.json, or one and --to SYSTEM")
    changes = [asdict(change) for change in comparison.changes]
    print_figures(comparison.table, {"worse": comparison.worse, "changes": changes}, json)
    if comparison.worse:
        raise typer.Exit(1)


def _table(results: list[str]) -> str:
    from speechlm.evaluation.lm.results import LMResults
    from speechlm.evaluation.lm.table import markdown

    models = {}
    for result in results:
        name, _, path = result.rpartition("=")
        loaded = LMResults.load(Path(path))
        models[name or loaded.name] = loaded
    return markdown(models)
