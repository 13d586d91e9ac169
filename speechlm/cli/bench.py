"""Benchmarks: ratios against peers, measured in one run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from speechlm import hub, resources
from speechlm.benchmarks import SYNTHETIC
from speechlm.cli.common import (
    CodecModel,
    Json,
    Threads,
    check_audio,
    check_yaml,
    finite,
    print_json,
    print_report,
    require_corpus,
    require_folder,
    require_path,
    use_threads,
)

app = typer.Typer(help="Speed against peers, in one run.", no_args_is_help=True)


@app.command("rate")
def bench_rate(
    corpus: Annotated[Path, typer.Argument(help="A prepared corpus, or a folder.")],
    model: CodecModel = None,
    json: Json = False,
    threads: Threads = 1,
) -> None:
    """Variable against constant bitrate, in files of the same size."""
    require_path(corpus)
    use_threads(threads)
    from speechlm.benchmarks import rate

    report = rate.run(corpus, model)
    print_report(report, json)


@app.command("loss")
def bench_loss(
    corpus: Annotated[Path, typer.Argument(help="A prepared corpus with texts, or a folder.")],
    kbps: Annotated[float, typer.Option(help="Payload bitrate of all systems.")] = 6.0,
    clips: Annotated[int, typer.Option(min=2, help="Recordings of the test split.")] = 60,
    normaliser: Annotated[
        str, typer.Option(help="Text normaliser: english, spelled or basic.")
    ] = "english",
    model: CodecModel = None,
    json: Json = False,
    threads: Threads = 1,
) -> None:
    """Packet loss: concealment against silence and against Opus with its own concealment."""
    require_path(corpus)
    use_threads(threads)
    from speechlm.benchmarks import loss

    report = loss.run(corpus, model, kbps, clips, normaliser)
    print_report(report, json)


@app.command("align")
def bench_align(
    corpus: Annotated[Path, typer.Argument(help="A prepared corpus with texts, of clean speech.")],
    aligner: Annotated[
        list[str] | None, typer.Option(help="Folder of a trained aligner to compare with Whisper.")
    ] = None,
    split: Annotated[str, typer.Option(help="Split to measure on.")] = "test",
    language: Annotated[str, typer.Option(help="Language of the recordings.")] = "en",
    joints: Annotated[int, typer.Option(min=2, help="Pairs of utterances.")] = 160,
    json: Json = False,
    threads: Threads = 1,
) -> None:
    """Boundary error of aligners where two utterances are joined."""
    require_path(corpus)
    use_threads(threads)
    from speechlm.benchmarks import align

    report = align.run(corpus, [None, *(aligner or [])], split, language, joints)
    print_report(report, json)


@app.command("scale")
def bench_scale(
    corpus: Annotated[Path, typer.Argument(help="A prepared corpus.")],
    minutes: Annotated[float, typer.Option(min=0.1, help="At 1x; 4x and 16x follow.")] = 2,
    processes: Annotated[int, typer.Option(min=1, help="Maximum number of processes.")] = 2,
    model: CodecModel = None,
    json: Json = False,
) -> None:
    """Cost of an hour of speech: prepare, tokenize and train, in several processes."""
    require_corpus(corpus)
    use_threads(1)
    from speechlm.benchmarks import scale

    report = scale.run(corpus, model, minutes, processes)
    print_report(report, json)


@app.command("codec")
def bench_codec(
    source: Annotated[Path | None, typer.Argument(metavar="IN")] = None,
    model: CodecModel = None,
    runs: Annotated[int, typer.Option(min=1, help="Rounds.")] = 5,
    json: Json = False,
    threads: Threads = 1,
) -> None:
    """Encode and decode speed against EnCodec and DAC, and frame by frame."""
    if source is not None:
        check_audio(source)
    hub.check_codec(model)
    use_threads(threads)
    from speechlm.benchmarks import codec

    report = codec.run(model, source, runs=runs)
    print_report(report, json)


@app.command("entropy")
def bench_entropy(
    corpora: Annotated[list[Path], typer.Argument(help="Prepared corpora, or folders.")],
    split: Annotated[list[str] | None, typer.Option(help="Default: dev and test.")] = None,
    model: CodecModel = None,
    json: Json = False,
    threads: Threads = 1,
) -> None:
    """Bits that entropy coding saves on held-out speech, and its decoding speed."""
    for corpus in corpora:
        require_path(corpus)
    use_threads(threads)
    from speechlm.benchmarks import entropy

    report = entropy.run(corpora, split or ["dev", "test"], model)
    print_report(report, json)


@app.command("judges")
def bench_judges(
    folder: Annotated[
        Path, typer.Argument(help="Ratings of a MUSHRA test and the audio that was rated.")
    ] = Path("data/mushra"),
    metric: Annotated[
        list[str] | None, typer.Option(help="A metric or a group of them; default: all.")
    ] = None,
    json: Json = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown.")] = False,
    threads: Threads = 1,
) -> None:
    """Correlation of each metric with listening scores."""
    require_folder(folder)
    use_threads(threads)
    from speechlm.benchmarks import judges

    report = judges.run(folder, metric or ())
    if markdown:
        typer.echo(report.markdown(), nl=False)
    else:
        print_report(report, json)


@app.command("serve")
def bench_serve(
    options: Annotated[
        list[str] | None, typer.Argument(help="Options of speechlm serve, after --.")
    ] = None,
    clients: Annotated[int, typer.Option(min=1, help="Clients that ask at the same time.")] = 16,
    seconds: Annotated[float, typer.Option(callback=finite, help="Seconds of load.")] = 300.0,
    source: Annotated[
        Path, typer.Option("--audio", help="Recording that clients send the start of.")
    ] = resources.SAMPLE,
    json: Json = False,
) -> None:
    """Latency, refusals and memory of the server under load."""
    from speechlm.benchmarks import serve

    report = serve.run(clients, seconds, source, options or [])
    print_report(report, json)


@app.command("train")
def bench_train(
    recipe: Annotated[
        str,
        typer.Argument(help="codec, vocoder or lm, on synthetic sounds; or another recipe."),
    ],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="KEY=VALUE...", help="Changes to the recipe.")
    ] = None,
    steps: Annotated[int, typer.Option(min=1, help="Steps to measure.")] = 20,
    batch: Annotated[
        list[int] | None,
        typer.Option(
            min=1,
            help="Value of data.batch; several are measured in turn, and --json is then a list.",
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    json: Json = False,
    threads: Threads = 1,
) -> None:
    """Throughput of training, and time of a step by part: networks, losses, backward, optimizers.

    MFU is in relation to a large matrix product on the same device.
    """
    changes, batches = overrides or [], batch or []
    path = None
    if recipe not in SYNTHETIC:
        path = resources.find(resources.RECIPE, recipe)
        check_yaml(path, changes)
    use_threads(threads)
    from speechlm.benchmarks import train

    if path is None:
        reports = train.synthetic(recipe, changes, steps, batches, device)
    else:
        reports = train.run(path, changes, steps, batches, device)
    if json and batches:
        print_json([report.to_json() for report in reports])
        return
    for report in reports:
        print_report(report, json)


@app.command("lm")
def bench_lm(
    runs: Annotated[int, typer.Option(min=1, help="Rounds.")] = 5,
    json: Json = False,
    threads: Threads = 1,
) -> None:
    """Generation and training against transformers on the same weights, and speech in real time."""
    use_threads(threads)
    from speechlm.benchmarks import lm

    report = lm.run(runs)
    print_report(report, json)
