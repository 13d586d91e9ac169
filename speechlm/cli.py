"""The command line: parse, call one function, print.

Nothing heavy is imported here: ``speechlm --help`` answers without loading torch.
"""

from __future__ import annotations

import math
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from speechlm import cli_lm
from speechlm.errors import SpeechLMError
from speechlm.terminal import Threads, console, errors, print_row, use_threads

app = typer.Typer(
    help="Speech as discrete units: codec, unit language model, vocoder, evaluation.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
stream = typer.Typer(help="Live, from standard input to standard output.", no_args_is_help=True)
bench = typer.Typer(help="Speed against peers, in one run.", no_args_is_help=True)
app.add_typer(stream, name="stream")
app.add_typer(bench, name="bench")
export = typer.Typer(help="Models for other runtimes.", no_args_is_help=True)
app.add_typer(export, name="export")
app.add_typer(cli_lm.app)
export.command("hf")(cli_lm.export_hf)
bench.command("lm")(cli_lm.bench_lm)

Model = Annotated[
    str | None, typer.Option(help="Folder, shipped name, hub id or peer; default: codec-16k.")
]
Kbps = Annotated[float | None, typer.Option(help="Bitrate; default: all that the model has.")]
Mode = Annotated[
    str, typer.Option(help="vbr: the bitrate on average, bits where they matter; cbr: all along.")
]
Quality = Annotated[
    float | None, typer.Option(help="0 to 10: the same everywhere, at whatever bitrate.")
]
PackageCache = Annotated[Path, typer.Option(help="Folder for the Debian package.")]
Overrides = Annotated[list[str] | None, typer.Argument(help="Changes to the file: key=value ...")]
Shard = Annotated[
    str, typer.Option(metavar="I/N", help="Only what falls to job I of N, on any machine.")
]
Packets = Annotated[bool, typer.Option(help="Each chunk in a numbered packet.")]
Conceal = Annotated[bool, typer.Option(help="Fill in what is damaged or lost.")]


def main() -> None:
    """Run the command line; a problem that the user can mend is one line and status 2."""
    try:
        app()
    except SpeechLMError as error:
        errors.print(f"error: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(2)
    except BrokenPipeError:
        # The reader of our output went away: no message, and none at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


@app.command()
def compress(
    source: Annotated[Path, typer.Argument(metavar="IN", help="WAV, FLAC, OGG or MP3.")],
    target: Annotated[Path, typer.Argument(metavar="OUT.slm")],
    kbps: Kbps = None,
    mode: Mode = "vbr",
    max_bytes: Annotated[int | None, typer.Option(min=1, help="Size not to exceed.")] = None,
    quality: Quality = None,
    model: Model = None,
    threads: Threads = 1,
) -> None:
    """Compress a recording."""
    use_threads(threads)
    from speechlm import bitstream, codec, compression
    from speechlm.compression import encoder

    goal = encoder.Goal(kbps, mode, max_bytes, quality)
    coded = compression.compress(source, target, codec.load(model), goal)
    real = bitstream.inspect(target)
    print_row(
        {
            "seconds": f"{coded.seconds:.2f}",
            "kbps": f"{real.kbps:.3f}",
            "levels": f"{coded.levels:.2f}",
            "bytes": str(real.file_bytes),
            "encode RTF": f"{coded.rtf:.4f}",
        }
    )


@app.command()
def decompress(
    source: Annotated[Path, typer.Argument(metavar="IN.slm")],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="WAV, FLAC or OGG.")],
    start: Annotated[float, typer.Option(min=0, help="Seconds to pass over.")] = 0,
    seconds: Annotated[float | None, typer.Option(min=0, help="Only so many.")] = None,
    model: Model = None,
    conceal: Conceal = False,
    threads: Threads = 1,
) -> None:
    """Decompress to a sound file, whole or an excerpt."""
    use_threads(threads)
    from speechlm import codec, compression

    length = math.inf if seconds is None else seconds
    coded = compression.decompress(source, target, codec.load(model), conceal, start, length)
    print_row({"seconds": f"{coded.seconds:.2f}", "decode RTF": f"{coded.rtf:.4f}"})


@app.command()
def info(
    file: Annotated[Path, typer.Argument(metavar="FILE.slm")],
    chunks: Annotated[bool, typer.Option("--chunks", help="Tell of each chunk.")] = False,
    model: Annotated[
        str | None, typer.Option(help="Its codec: tells levels of entropy-coded chunks apart.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    threads: Threads = 1,
) -> None:
    """Tell what a compressed file holds, and where its bits are; needs no model."""
    from speechlm import bitstream

    entropy = None
    if model is not None:
        use_threads(threads)
        from speechlm import codec

        entropy = codec.load(model).entropy
    found = bitstream.inspect(file, entropy, chunks)
    facts = {
        **asdict(found),
        "frame_rate": found.frame_rate,
        "seconds": found.seconds,
        "kbps": found.kbps,
    }
    if json:
        console.print_json(data=facts)
        return
    table = Table(show_header=False)
    for name, value in facts.items():
        if name not in ("level_bytes", "each"):
            table.add_row(name, f"{value:.3f}" if isinstance(value, float) else str(value))
    console.print(table)
    budget = Table("where", "bytes", "kbps")
    for name, size in found.budget.items():
        rate = size * 8e-3 / found.seconds if found.seconds else math.nan
        budget.add_row(name, f"{size:.1f}".removesuffix(".0"), f"{rate:.3f}")
    console.print(budget)
    if chunks:
        parts = Table("from, s", "frames", "levels a frame", "payload", "bytes", "kbps")
        for one in found.each:
            kbps = one.bytes * 8e-3 * found.frame_rate / one.frames if one.frames else math.nan
            start, levels = f"{one.start:.2f}", f"{one.levels:.2f}"
            row = start, f"{one.frames}", levels, one.payload, f"{one.bytes}", f"{kbps:.3f}"
            parts.add_row(*row)
        console.print(parts)


@app.command("cat")
def join(
    files: Annotated[list[Path], typer.Argument(metavar="IN.slm ... OUT.slm")],
) -> None:
    """Join files of one model without decoding them: their sounds, one after another."""
    from speechlm import compression

    *sources, target = files
    if not sources:
        raise SpeechLMError(f"{target}: name what to join, and last where to")
    print_row({"samples": str(compression.join(sources, target))})


@stream.command()
def encode(
    kbps: Kbps = None,
    mode: Mode = "cbr",
    quality: Quality = None,
    chunk: Annotated[float, typer.Option(min=0.001, help="Seconds a chunk.")] = 0.2,
    packets: Packets = False,
    model: Model = None,
    threads: Threads = 1,
) -> None:
    """Raw 16-bit mono PCM at the model's sample rate to .slm, chunk by chunk."""
    use_threads(threads)
    from speechlm import codec, compression
    from speechlm.compression import encoder

    goal = encoder.Goal(kbps, mode, quality=quality)
    streams = sys.stdin.buffer, sys.stdout.buffer
    compression.stream_encode(*streams, codec.load(model), goal, chunk, packets)


@stream.command()
def decode(
    model: Model = None,
    conceal: Conceal = False,
    packets: Packets = False,
    jitter: Annotated[int, typer.Option(min=0, help="Packets to wait for a missing one.")] = 4,
    threads: Threads = 1,
) -> None:
    """.slm to raw 16-bit mono PCM at the model's sample rate, chunk by chunk."""
    use_threads(threads)
    from speechlm import codec, compression

    streams = sys.stdin.buffer, sys.stdout.buffer
    compression.stream_decode(*streams, codec.load(model), conceal, packets, jitter)


@app.command()
def train(
    recipe: Annotated[Path, typer.Argument(help="A recipe, as recipes/codec.yaml.")],
    overrides: Overrides = None,
    threads: Threads = 1,
) -> None:
    """Train what a recipe says; run it again to continue."""
    use_threads(threads)
    from speechlm.training import recipes

    console.print(f"model: {recipes.run(recipe, overrides or [])}", highlight=False)


@app.command()
def mean(
    out: Annotated[Path, typer.Argument(metavar="OUT")],
    models: Annotated[list[str], typer.Argument(metavar="MODEL...")],
    share: Annotated[
        list[float] | None, typer.Option(help="Of each model in turn (repeatable); default: equal.")
    ] = None,
) -> None:
    """Average the weights of models that were trained from the same one."""
    from speechlm.training.soup import mean

    folder = mean(models, share or [1.0] * len(models), out)
    console.print(f"model: {folder}", highlight=False)


@app.command()
def shrink(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Model folder, name or hub id.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder for the smaller one.")],
    encoder: Annotated[
        bool, typer.Option("--encoder", help="Of a codec, too: it is then one of other codes.")
    ] = False,
) -> None:
    """Store a model in about half the room: matrices in eight bits instead of sixteen."""
    use_threads(1)
    from speechlm.shrink import shrink

    sizes = shrink(model, out, encoder)
    table = Table("bytes of", "before", "after")
    for name, size in sizes.items():
        table.add_row(name, str(size.before), "-" if size.after is None else str(size.after))
    before = sum(size.before for size in sizes.values())
    table.add_row("all", str(before), str(sum(size.after or 0 for size in sizes.values())))
    console.print(table)
    for name in (name for name, size in sizes.items() if size.after is None):
        console.print(f"{name} is left out: it is of other codes", highlight=False)
    console.print(f"model: {out}", highlight=False)


@app.command()
def convert(
    source: Annotated[Path, typer.Argument(metavar="IN", help="WAV, FLAC, OGG or MP3.")],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="WAV, FLAC or OGG.")],
    voice: Annotated[Path, typer.Option(help="A recording of the voice to use.")],
    model: Annotated[
        str | None, typer.Option(help="Folder or hub id; default: vocoder-16k.")
    ] = None,
    threads: Threads = 1,
) -> None:
    """Voice conversion: what a recording says, in the voice of another."""
    use_threads(threads)
    from speechlm.vocoder.convert import convert as convert_recording

    seconds = convert_recording(source, voice, target, model)
    print_row({"seconds": f"{seconds:.2f}"})


@app.command()
def prepare(
    corpus: Annotated[Path, typer.Argument(help="A corpus, as data/asterisk.yaml.")],
    overrides: Overrides = None,
    threads: Threads = 1,
) -> None:
    """Fetch and prepare recorded speech; run it again to continue."""
    use_threads(threads)
    from speechlm.data.prepare import prepare

    done = prepare(corpus, overrides or [])
    table = Table("split", "utterances", "minutes")
    for split, utterances in done.utterances.items():
        table.add_row(split, str(utterances), f"{done.minutes[split]:.1f}")
    console.print(table)
    console.print(f"{done.name}: {done.folder}", highlight=False)


@app.command()
def align(
    corpus: Annotated[Path, typer.Argument(metavar="CORPUS", help="A prepared corpus.")],
    language: Annotated[str, typer.Option(help="Only what is in this one.")] = "en",
    model: Annotated[
        str | None,
        typer.Option(help="A trained aligner, or Whisper for CTranslate2; default: tiny.en."),
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Also what is aligned already.")] = False,
    threads: Threads = 1,
) -> None:
    """Find when each word of a prepared corpus is said; run it again for what is new."""
    use_threads(threads)
    from speechlm.data.align import align

    table = Table("", "utterances")
    for outcome, number in align(corpus, language, model, again).most_common():
        table.add_row(outcome, str(number))
    console.print(table)


@app.command()
def tokenize(
    source: Annotated[
        Path, typer.Argument(metavar="CUTS", help="Prepared corpus, folder, Lhotse cuts or Shar.")
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder for the units.")],
    model: Annotated[
        str | None, typer.Option(help="A codec, or a unit tokenizer; default: codec-16k.")
    ] = None,
    levels: Annotated[
        int | None, typer.Option(min=1, help="Levels of its units; default: all.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes, of one thread each.")] = 1,
    shard: Shard = "1/1",
) -> None:
    """Turn recordings into units for a language model; run it again to continue."""
    use_threads(1)
    from speechlm.data.tokenize import tokenize_share
    from speechlm.data.tokens import Tokens
    from speechlm.nn.collective import Share

    missing = tokenize_share(source, out, Share.of_job(shard), model, levels, workers)
    if missing:
        console.print(f"{out}: {len(missing)} shards are left to other jobs", highlight=False)
        return
    tokens = Tokens(out)
    table = Table("split", "utterances", "minutes")
    for split, (utterances, frames) in tokens.entries.totals().items():
        table.add_row(split, str(utterances), f"{frames / tokens.units.frame_rate / 60:.1f}")
    console.print(table)
    for name, reason in tokens.dropped.items():
        console.print(f"dropped: {name}: {reason}", highlight=False, markup=False)
    console.print(f"{tokens.units}: {out}", highlight=False, markup=False)


@app.command("text-tokenizer")
def text_tokenizer(
    out: Annotated[Path, typer.Argument(metavar="OUT.model")],
    sources: Annotated[
        list[Path], typer.Argument(metavar="TEXTS...", help="Tokenized corpora, or text files.")
    ],
    kind: Annotated[str, typer.Option(help="char, unigram or bpe.")] = "char",
    size: Annotated[int, typer.Option(min=1, help="Pieces at most, with 257 for bytes.")] = 512,
    lower: Annotated[bool, typer.Option(help="Make all text lower case.")] = True,
) -> None:
    """Train the text tokenizer of a language model."""
    from speechlm.data import texts
    from speechlm.units.text import TextTokenizer

    tokenizer = TextTokenizer.train(texts.read_all(sources), kind, size, lower)
    tokenizer.save(out)
    console.print(f"{tokenizer.size} pieces: {out}", highlight=False)


@app.command()
def verses(
    out: Annotated[Path, typer.Argument(metavar="OUT.txt")],
    cache: PackageCache = Path("data/packages"),
) -> None:
    """Write the World English Bible, a verse a line: text for a language model to read."""
    from speechlm.data.verses import world_english_bible

    _write_lines(world_english_bible(cache), "verses", out)


@app.command()
def words(
    out: Annotated[Path, typer.Argument(metavar="OUT.txt")],
    cache: PackageCache = Path("data/packages"),
) -> None:
    """Write the words of American English, a word a line: a dictionary to judge speech by."""
    from speechlm.data.words import american_english

    _write_lines(american_english(cache), "words", out)


def _write_lines(lines: list[str], what: str, out: Path) -> None:
    from speechlm.utils.files import atomic_path

    out.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(out) as path:
        path.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    console.print(f"{len(lines)} {what}: {out}", highlight=False)


@app.command("eval")
def evaluate(
    suite: Annotated[Path, typer.Argument(help="A suite, as eval/codec.yaml.")],
    overrides: Overrides = None,
    out: Annotated[Path, typer.Option(help="Folder for the results and the page.")] = Path(
        "runs/eval"
    ),
    shard: Shard = "1/1",
) -> None:
    """Judge codecs, a language model or a vocoder: one results.json, one page to listen to."""
    from speechlm.evaluation import suites
    from speechlm.nn.collective import Share

    if (share := Share.of_job(shard)).count > 1:
        judged = suites.run_share(suite, overrides or [], share)
        console.print(f"{judged} clips: run it without --shard when all are done", highlight=False)
        return
    results = suites.run(suite, overrides or [], out)
    console.print(results.table())
    console.print(f"page: {out / 'report.html'}", highlight=False)


@app.command()
def probe(
    config: Annotated[Path, typer.Argument(help="As eval/probe.yaml, or eval/layers.yaml.")],
    overrides: Overrides = None,
    out: Annotated[Path, typer.Option(help="File for the figures.")] = Path("runs/probe.json"),
    threads: Threads = 1,
) -> None:
    """What units of tokenizers, or of layers of a teacher, tell of phones, words and speakers."""
    use_threads(threads)
    from speechlm.evaluation.probe.run import run

    console.print(run(config, overrides or [], out))
    console.print(f"figures: {out}", highlight=False)


@app.command()
def compare(
    before: Annotated[Path, typer.Argument(metavar="A/results.json")],
    after: Annotated[Path | None, typer.Argument(metavar="B/results.json")] = None,
    to: Annotated[
        str | None, typer.Option(help="Compare the systems of A with this one of them instead.")
    ] = None,
    metric: Annotated[list[str] | None, typer.Option(help="Only this metric (repeatable).")] = None,
    system: Annotated[list[str] | None, typer.Option(help="Only this system (repeatable).")] = None,
) -> None:
    """Paired differences of two results; status 1 when B is worse beyond the interval.

    With --to, of the systems of one result from one of them, such as the original.
    """
    from speechlm.evaluation import compare as comparing

    if after is not None and to is None:
        comparison = comparing.compare(before, after, metric or [], system or [])
    elif to is not None and after is None:
        comparison = comparing.against(before, to, metric or [], system or [])
    else:
        raise SpeechLMError("compare: give B/results.json, or --to SYSTEM of A")
    console.print(comparison.table)
    if comparison.worse:
        raise typer.Exit(1)


@app.command()
def demo(
    source: Annotated[Path | None, typer.Argument(metavar="IN")] = None,
    out: Annotated[Path, typer.Option(help="Folder for the files.")] = Path("demo"),
    model: Model = None,
    lm: Annotated[str | None, typer.Option(help="Language model; default: a shipped one.")] = None,
    threads: Threads = 1,
) -> None:
    """Compress a recording (yours, or the shipped one) at three bitrates, and judge the result.

    With a language model of its units, also continue it, and say a sentence.
    """
    use_threads(threads)
    from speechlm import codec
    from speechlm import demo as demonstration
    from speechlm.lm.load import LanguageModel

    if lm is None and model is None:
        lm = demonstration.language_model()
    language = None if lm is None else LanguageModel.from_pretrained(lm)
    source = source or demonstration.SAMPLE
    out.mkdir(parents=True, exist_ok=True)
    rows = demonstration.run(source, out, codec.load(model))
    columns = "seconds", "kbps asked", "real", "levels", "PESQ-wb", "STOI", "RTF encode", "decode"
    table = Table(*columns)
    for row in rows:
        table.add_row(
            f"{row.seconds:.2f}",
            f"{row.kbps:g}",
            f"{row.real_kbps:.2f}",
            f"{row.levels:.2f}",
            f"{row.pesq.value:.2f}",
            f"{row.stoi.value:.3f}",
            f"{row.encode_rtf:.4f}",
            f"{row.decode_rtf:.4f}",
        )
    console.print(table)
    for note in sorted({score.reason for row in rows for score in (row.pesq, row.stoi)} - {""}):
        console.print(note, highlight=False)
    console.print(f"files: {out}/", highlight=False)
    spoken = demonstration.speak(source, out, language, model) if language else []
    page = demonstration.write_page(source, out, model, spoken)
    console.print(f"page:  {page.resolve().as_uri()}", highlight=False, soft_wrap=True)


@export.command()
def onnx(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Model folder, name or hub id.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder for the graphs.")],
    kbps: Kbps = None,
    threads: Threads = 1,
) -> None:
    """Encoder and decoder of a codec as ONNX graphs of one frame, with their state."""
    use_threads(threads)
    from speechlm.codec import NeuralCodec
    from speechlm.codec.onnx import export as export_graphs

    codec = NeuralCodec.from_pretrained(model)
    for path in export_graphs(codec.network, codec.choose_levels(kbps=kbps), out):
        console.print(f"{path}: {path.stat().st_size / 2**20:.1f} MiB", highlight=False)


@bench.command("rate")
def bench_rate(
    corpus: Annotated[Path, typer.Argument(help="A prepared corpus, or a folder.")],
    model: Model = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    threads: Threads = 1,
) -> None:
    """Variable beside constant bitrate, in files of the same size."""
    use_threads(threads)
    from speechlm.benchmarks import rate

    report = rate.run(corpus, model)
    if json:
        console.print_json(data=report.to_json())
    else:
        console.print(report.table())


@bench.command("loss")
def bench_loss(
    corpus: Annotated[Path, typer.Argument(help="A prepared corpus with texts, or a folder.")],
    kbps: Annotated[float, typer.Option(help="Of payload, for all.")] = 6.0,
    clips: Annotated[int, typer.Option(min=2, help="Recordings of the test split.")] = 60,
    normaliser: Annotated[str, typer.Option(help="Of texts: english, spelled, basic.")] = "english",
    model: Model = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    threads: Threads = 1,
) -> None:
    """Lost packets: concealment beside silence, and beside Opus with its own."""
    use_threads(threads)
    from speechlm.benchmarks import loss

    report = loss.run(corpus, model, kbps, clips, normaliser)
    if json:
        console.print_json(data=report.to_json())
    else:
        console.print(report.table())


@bench.command("align")
def bench_align(
    corpus: Annotated[Path, typer.Argument(help="A prepared corpus with texts, of clean speech.")],
    aligner: Annotated[
        list[str] | None, typer.Option(help="A trained aligner's folder, beside Whisper.")
    ] = None,
    split: Annotated[str, typer.Option(help="Whose recordings.")] = "test",
    language: Annotated[str, typer.Option(help="That is spoken.")] = "en",
    joints: Annotated[int, typer.Option(min=2, help="Pairs of utterances.")] = 160,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    threads: Threads = 1,
) -> None:
    """How far aligners are off where two utterances are joined."""
    use_threads(threads)
    from speechlm.benchmarks import align

    report = align.run(corpus, [None, *(aligner or [])], split, language, joints)
    if json:
        console.print_json(data=report.to_json())
    else:
        console.print(report.table())


@bench.command("scale")
def bench_scale(
    corpus: Annotated[Path, typer.Argument(help="A prepared corpus.")],
    minutes: Annotated[float, typer.Option(min=0.1, help="Of 1x the data; 4x and 16x too.")] = 2,
    processes: Annotated[int, typer.Option(min=1, help="At most.")] = 2,
    model: Model = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """What an hour of speech costs: preparing, tokenizing, training, in several processes."""
    use_threads(1)
    from speechlm.benchmarks import scale

    report = scale.run(corpus, model, minutes, processes)
    if json:
        console.print_json(data=report.to_json())
    else:
        console.print(report.table())


@bench.command("codec")
def bench_codec(
    source: Annotated[Path | None, typer.Argument(metavar="IN")] = None,
    model: Model = None,
    runs: Annotated[int, typer.Option(min=1, help="Rounds.")] = 5,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    threads: Threads = 1,
) -> None:
    """Encode and decode speed against EnCodec and DAC, and frame by frame."""
    use_threads(threads)
    from speechlm.benchmarks import codec

    report = codec.run(model, source, runs=runs)
    if json:
        console.print_json(data=report.to_json())
    else:
        console.print(report.table())


@bench.command("entropy")
def bench_entropy(
    corpora: Annotated[list[Path], typer.Argument(help="Prepared corpora, or folders.")],
    split: Annotated[list[str] | None, typer.Option(help="Default: dev and test.")] = None,
    model: Model = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    threads: Threads = 1,
) -> None:
    """What entropy coding saves on held-out speech, and its decoding speed."""
    use_threads(threads)
    from speechlm.benchmarks import entropy

    report = entropy.run(corpora, split or ["dev", "test"], model)
    if json:
        console.print_json(data=report.to_json())
    else:
        console.print(report.table())
