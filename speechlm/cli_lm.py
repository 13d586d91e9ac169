"""The verbs of language models. As in :mod:`speechlm.cli`, nothing heavy is imported here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from speechlm.errors import SpeechLMError
from speechlm.terminal import Threads, console, print_row, use_threads

if TYPE_CHECKING:
    from speechlm.lm.verbs import Spoken

app = typer.Typer()

Model = Annotated[
    str | None, typer.Option(help="Folder, shipped name or hub id; default: lm-units.")
]
Units = Annotated[
    str | None,
    typer.Option(help="The codec, tokenizer or vocoder of its units; default: the model's."),
]
Source = Annotated[Path, typer.Argument(metavar="IN", help="WAV, FLAC, OGG or MP3.")]
Target = Annotated[Path, typer.Argument(metavar="OUT", help="WAV, FLAC or OGG.")]
Temperature = Annotated[float, typer.Option(help="0: always the most probable unit.")]
TopK = Annotated[int, typer.Option(help="Choose among so many units at most; 0: all.")]
TopP = Annotated[float, typer.Option(help="Choose among units that are so probable together.")]
Seed = Annotated[int, typer.Option(help="The same seed gives the same speech.")]


@app.command("continue")
def go_on(
    source: Source,
    target: Target,
    seconds: Annotated[float, typer.Option(help="So much more, at most.")] = 8.0,
    least: Annotated[float, typer.Option(help="About so many seconds before it may end.")] = 0.0,
    temperature: Temperature = 0.9,
    top_k: TopK = 0,
    top_p: TopP = 0.95,
    seed: Seed = 0,
    model: Model = None,
    units: Units = None,
    threads: Threads = 1,
) -> None:
    """Continue a recording: speech goes on after it, until it ends or the time is up."""
    use_threads(threads)
    from speechlm.lm import verbs
    from speechlm.lm.load import LanguageModel
    from speechlm.lm.sampling import Sampling

    how = Sampling(temperature, top_k, top_p, seed=seed, least=least)
    loaded = LanguageModel.from_pretrained(model)
    _report(verbs.continue_recording(source, target, loaded, loaded.tokenizer(units), seconds, how))


@app.command()
def say(
    text: Annotated[str, typer.Argument(metavar="TEXT")],
    target: Target,
    voice: Annotated[Path | None, typer.Option(help="A recording of the voice to use.")] = None,
    temperature: Temperature = 0.5,
    top_k: TopK = 0,
    top_p: TopP = 0.9,
    guidance: Annotated[
        float | None, typer.Option(help="Above 1: nearer to the text. Default: the model's.")
    ] = None,
    attempts: Annotated[
        int | None,
        typer.Option(help="Of so many, what it best understands itself. Default: the model's."),
    ] = None,
    seed: Seed = 0,
    model: Model = None,
    units: Units = None,
    threads: Threads = 1,
) -> None:
    """Text to speech."""
    use_threads(threads)
    from speechlm.lm import verbs
    from speechlm.lm.load import LanguageModel
    from speechlm.lm.sampling import Sampling

    how = Sampling(temperature, top_k, top_p, guidance=guidance, attempts=attempts, seed=seed)
    loaded = LanguageModel.from_pretrained(model)
    _report(verbs.say(text, target, loaded, loaded.tokenizer(units), voice, how))


@app.command()
def transcribe(
    source: Source, model: Model = None, units: Units = None, threads: Threads = 1
) -> None:
    """Speech to text. A recording beyond the model's context is cut where it is quiet."""
    use_threads(threads)
    from speechlm.lm import verbs
    from speechlm.lm.load import LanguageModel

    loaded = LanguageModel.from_pretrained(model)
    text = verbs.transcribe(source, loaded, loaded.tokenizer(units))
    console.print(text, markup=False, highlight=False, soft_wrap=True)


@app.command()
def score(
    source: Annotated[
        Path | None, typer.Argument(metavar="[IN]", help="WAV, FLAC, OGG or MP3.")
    ] = None,
    text: Annotated[str | None, typer.Option(help="A text to score, too or alone.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    model: Model = None,
    units: Units = None,
    threads: Threads = 1,
) -> None:
    """The information in speech, or in a text, to the model: minus the log2 of its probability.

    In all, a second (or a character), and by level of units. A recording beyond the context is
    read in windows that overlap by half.
    """
    if source is None and text is None:
        raise SpeechLMError("nothing to score: give a recording, or --text")
    use_threads(threads)
    from speechlm.lm import verbs
    from speechlm.lm.load import LanguageModel

    loaded = LanguageModel.from_pretrained(model)
    found: dict[str, dict[str, object]] = {}
    if source is not None:
        speech = verbs.score(source, loaded, loaded.tokenizer(units))
        found["speech"] = {
            "seconds": speech.length,
            "units": speech.tokens,
            "bits": sum(speech.bits),
            "bits_per_second": speech.rate,
            "bits_per_second_by_level": [bits / speech.length for bits in speech.bits],
        }
    if text is not None:
        written = loaded.score_text(text)
        found["text"] = {
            "characters": written.length,
            "pieces": written.tokens,
            "bits": sum(written.bits),
            "bits_per_character": written.rate,
        }
    if json:
        console.print_json(data=found)
        return
    for kind, values in found.items():
        print_row({kind: ""} | {name: _short(value) for name, value in values.items()})


@app.command()
def table(
    results: Annotated[
        list[str],
        typer.Argument(metavar="[NAME=]results.json...", help="Of speechlm eval, of each model."),
    ],
) -> None:
    """Language models side by side, as Markdown: their main figures, with intervals."""
    from speechlm.evaluation.lm.results import LMResults
    from speechlm.evaluation.lm.table import markdown

    models = {}
    for word in results:
        name, _, path = word.rpartition("=")
        found = LMResults.load(Path(path))
        models[name or found.name] = found
    console.print(markdown(models), markup=False, highlight=False, soft_wrap=True, end="")


def export_hf(
    out: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to write.")],
    model: Model = None,
) -> None:
    """A language model's backbone as a Llama of transformers, in float32."""
    use_threads(1)
    from speechlm.lm import hf
    from speechlm.lm.load import LanguageModel

    loaded = LanguageModel.from_pretrained(model)
    folder = hf.export(loaded.network, out)
    loaded.vocabulary.save(folder)
    loaded.text.save(folder / hf.TOKENIZER)
    console.print(f"Llama of {loaded.network.size} ids: {folder}", highlight=False)


def bench_lm(
    runs: Annotated[int, typer.Option(min=1, help="Rounds.")] = 5,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    threads: Threads = 1,
) -> None:
    """Generation and training against transformers on the same weights, and speech in real time."""
    use_threads(threads)
    from speechlm.benchmarks import lm

    report = lm.run(runs)
    if json:
        console.print_json(data=report.to_json())
    else:
        console.print(report.table())


def _report(spoken: Spoken) -> None:
    print_row(
        {
            "seconds": f"{spoken.seconds:.2f}",
            "first sound after": f"{spoken.first:.3f} s",
            "RTF": f"{spoken.rtf:.3f}",
        }
    )


def _short(value: object) -> str:
    if isinstance(value, list):
        return " ".join(_short(each) for each in value)
    return f"{value:.1f}" if isinstance(value, float) else str(value)
