"""The verbs, as a user runs them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import typer
from typer.core import TyperGroup
from typer.testing import CliRunner

import speechlm
from speechlm import bitstream
from speechlm.cli import app, main
from speechlm.codec import CodecNetwork, NeuralCodec

RATE = 16000
PARTS = "header_bytes", "framing_bytes", "count_bytes", "code_bytes"


def run(
    *arguments: object, stdin: bytes = b"", expect: int = 0
) -> subprocess.CompletedProcess[bytes]:
    """Run the command line; whatever happens, no traceback."""
    command = [sys.executable, "-m", "speechlm", *map(str, arguments)]
    done = subprocess.run(command, input=stdin, capture_output=True, check=False)
    assert b"Traceback" not in done.stderr, done.stderr.decode()
    assert done.returncode == expect, done.stderr.decode()
    return done


def error_line(*arguments: object, stdin: bytes = b"") -> str:
    """The one line that a failing command prints."""
    lines = run(*arguments, stdin=stdin, expect=2).stderr.decode().strip().splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("error: ")
    return lines[0]


@pytest.fixture
def model(tiny_model: Path) -> Path:
    """The codec of these tests: fast, and good for nothing else."""
    return tiny_model


def test_help_is_fast() -> None:
    code = "import sys, speechlm, speechlm.cli; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert b"compress" in run("--help").stdout


def test_compress_and_decompress(model: Path, sample: Path, tmp_path: Path) -> None:
    packed, sound = tmp_path / "a.slm", tmp_path / "a.wav"
    run("compress", sample, packed, "--kbps", 1, "--model", model)
    run("decompress", packed, sound, "--model", model)
    assert soundfile.info(sound).frames == soundfile.info(sample).frames
    facts = json.loads(run("info", packed, "--json").stdout)
    assert facts["model"] == "tiny"
    assert facts["num_codebooks"] == 4
    assert facts["frame_rate"] == 50
    assert facts["samples"] == soundfile.info(sample).frames
    assert facts["kbps"] == pytest.approx(packed.stat().st_size * 8e-3 / facts["seconds"])
    assert facts["kbps"] == pytest.approx(1, rel=0.03)
    told = run("info", packed, "--chunks", "--model", model).stdout
    for part in (b"around chunks", b"codes of level 4", b"levels a frame"):
        assert part in told
    assert sum(facts[part] for part in PARTS) == packed.stat().st_size


def test_version_and_help_of_every_command() -> None:
    assert run("--version").stdout.decode().split() == ["speechlm", speechlm.__version__]
    runner = CliRunner()
    command = typer.main.get_command(app)
    assert isinstance(command, TyperGroup)
    for name, sub in command.commands.items():
        done = runner.invoke(app, [name, "--help"])
        assert done.exit_code == 0, name
        assert sub.help, name


def test_folders(model: Path, sample: Path, tmp_path: Path) -> None:
    """Many files in two processes: paths are kept, one bad file is one line and costs no other."""
    wave = soundfile.read(sample)[0]
    (tmp_path / "in" / "deep").mkdir(parents=True)
    soundfile.write(tmp_path / "in" / "a.wav", wave[:RATE], RATE)
    soundfile.write(tmp_path / "in" / "deep" / "b.flac", wave[: 2 * RATE], RATE)
    (tmp_path / "in" / "bad.wav").write_text("This is no sound.")
    (tmp_path / "in" / "notes.txt").write_text("These are notes.")
    options = "--model", model, "--jobs", 2, "--json"
    done = run("compress", tmp_path / "in", tmp_path / "packed", *options, expect=2)
    figures = json.loads(done.stdout)
    assert [Path(file["source"]).name for file in figures["files"]] == [
        "a.wav",
        "bad.wav",
        "b.flac",
    ]
    assert [file["error"] is None for file in figures["files"]] == [True, False, True]
    assert figures["seconds"] == pytest.approx(3)
    assert b"bad.wav" in done.stderr
    packed = sorted(path for path in (tmp_path / "packed").rglob("*") if path.is_file())
    assert [str(path.relative_to(tmp_path / "packed")) for path in packed] == [
        "a.slm",
        "deep/b.slm",
    ]
    run("compress", tmp_path / "in" / "a.wav", tmp_path / "one.slm", "--model", model)
    assert packed[0].read_bytes() == (tmp_path / "one.slm").read_bytes()
    target = tmp_path / "out"
    run("decompress", *packed, target, "--format", "flac", "--model", model)
    assert soundfile.info(target / "a.flac").frames == RATE
    assert soundfile.info(target / "b.flac").frames == 2 * RATE


def test_standard_input_and_output(model: Path, sample: Path, tmp_path: Path) -> None:
    run("compress", sample, tmp_path / "a.slm", "--model", model)
    piped = run("compress", "-", "-", "--model", model, stdin=sample.read_bytes()).stdout
    assert piped == (tmp_path / "a.slm").read_bytes()
    run("decompress", tmp_path / "a.slm", tmp_path / "a.flac", "--model", model)
    sound = run("decompress", "-", "-", "--format", "flac", "--model", model, stdin=piped).stdout
    assert sound == (tmp_path / "a.flac").read_bytes()


@pytest.mark.parametrize("kbps", [1.5, 3, 4.5, 6])
def test_real_size_is_near_nominal(kbps: float, sample: Path, tmp_path: Path) -> None:
    """Ten seconds, header and all, through the shipped model: within 3 %; or all that there is."""
    wave = np.tile(soundfile.read(sample)[0], 2)[: 10 * RATE]
    soundfile.write(tmp_path / "ten.wav", wave, RATE)
    run("compress", tmp_path / "ten.wav", tmp_path / "ten.slm", "--kbps", kbps)
    found = bitstream.inspect(tmp_path / "ten.slm")
    if kbps < 5:
        assert found.kbps == pytest.approx(kbps, rel=0.03)
    else:
        assert set(found.level_codes) == {found.frames}
        assert 5 < found.kbps <= kbps


def test_excerpts_and_joins(model: Path, sample: Path, tmp_path: Path) -> None:
    packed, twice, sound = tmp_path / "a.slm", tmp_path / "b.slm", tmp_path / "c.wav"
    run("compress", sample, packed, "--max-bytes", 900, "--model", model)
    assert packed.stat().st_size <= 900
    run("cat", packed, packed, twice)
    frames = soundfile.info(sample).frames
    assert bitstream.inspect(twice).samples == 2 * frames
    run("decompress", twice, sound, "--start", 7, "--seconds", 0.5, "--model", model)
    assert soundfile.info(sound).frames == RATE // 2
    (tmp_path / "x.slm").write_bytes(b"RIFF")
    assert "x.slm: is not a speechlm file" in error_line(
        "cat", packed, tmp_path / "x.slm", tmp_path / "y.slm"
    )
    assert bitstream.inspect(twice).samples == 2 * frames


def test_streams_give_what_files_give(model: Path, sample: Path, tmp_path: Path) -> None:
    wave = soundfile.read(sample, dtype="int16")[0]
    soundfile.write(tmp_path / "a.wav", wave, RATE, subtype="PCM_16")
    run("compress", tmp_path / "a.wav", tmp_path / "a.slm", "--model", model)
    run("decompress", tmp_path / "a.slm", tmp_path / "b.wav", "--model", model)
    streamed = run("stream", "encode", "--model", model, stdin=wave.tobytes()).stdout
    (tmp_path / "s.slm").write_bytes(streamed)
    assert codes(tmp_path / "s.slm").tolist() == codes(tmp_path / "a.slm").tolist()
    sound = np.frombuffer(run("stream", "decode", "--model", model, stdin=streamed).stdout, "<i2")
    filed = soundfile.read(tmp_path / "b.wav", dtype="int16")[0].astype(int)
    assert len(sound) == len(wave)
    # Random weights are loud: the last bits of floats far beyond full scale.
    assert np.abs(sound - filed).max() <= 3


def test_packets(model: Path, sample: Path) -> None:
    wave = soundfile.read(sample, dtype="int16")[0][: 2 * RATE]
    sent = run(
        "stream", "encode", "--packets", "--chunk", 0.02, "--model", model, stdin=wave.tobytes()
    ).stdout
    heard = run("stream", "decode", "--packets", "--model", model, stdin=sent).stdout
    assert len(heard) == 2 * len(wave)
    places = [0]
    while places[-1] < len(sent):
        size = 4 + (int.from_bytes(sent[places[-1] : places[-1] + 2], "little") & 0x7FFF)
        places.append(places[-1] + size)
    gap = sent[: places[40]] + sent[places[43] :]
    decode = "stream", "decode", "--packets", "--model", model
    assert "is lost; --conceal" in error_line(*decode, stdin=gap)
    assert len(run(*decode, "--conceal", stdin=gap).stdout) == 2 * len(wave)


def codes(path: Path) -> np.ndarray:
    with path.open("rb") as file:
        return np.concatenate([chunk.codes for chunk in bitstream.Reader(file)], axis=1)


def test_stream_is_live(model: Path, sample: Path) -> None:
    """Chunks come out while the input is still open."""
    wave = soundfile.read(sample, dtype="int16")[0][: 3 * RATE].tobytes()
    command = [sys.executable, "-m", "speechlm", "stream"]
    encoder = subprocess.Popen(
        [*command, "encode", "--model", str(model)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert encoder.stdin is not None
    assert encoder.stdout is not None
    decoder = subprocess.Popen(
        [*command, "decode", "--model", str(model)], stdin=encoder.stdout, stdout=subprocess.PIPE
    )
    assert decoder.stdout is not None
    encoder.stdout.close()
    encoder.stdin.write(wave)
    encoder.stdin.flush()
    early = decoder.stdout.read(RATE)  # half a second of sound, before the end of the input
    encoder.stdin.close()
    rest = decoder.stdout.read()
    assert len(early) + len(rest) == len(wave)
    assert encoder.wait() == 0
    assert decoder.wait() == 0


def test_damage(model: Path, sample: Path, tmp_path: Path) -> None:
    packed, sound = tmp_path / "a.slm", tmp_path / "a.wav"
    run("compress", sample, packed, "--model", model)
    data = bytearray(packed.read_bytes())
    data[len(data) // 2] ^= 4
    packed.write_bytes(data)
    message = error_line("decompress", packed, sound, "--model", model)
    assert str(packed) in message
    assert not sound.exists()
    assert not [path for path in tmp_path.iterdir() if path.suffix == ".wav"]
    run("decompress", packed, sound, "--model", model, "--conceal")
    assert soundfile.info(sound).frames == soundfile.info(sample).frames


def test_another_model(model: Path, sample: Path, tmp_path: Path) -> None:
    packed = tmp_path / "a.slm"
    run("compress", sample, packed, "--model", model)
    message = error_line("decompress", packed, tmp_path / "a.wav")
    assert "tiny" in message
    assert "--model" in message
    other = tmp_path / "other"
    torch.manual_seed(1)
    codec = NeuralCodec.from_pretrained(model)
    NeuralCodec(CodecNetwork(codec.network.config)).save_pretrained(other)
    assert "weights" in error_line("decompress", packed, tmp_path / "a.wav", "--model", other)
    assert not (tmp_path / "a.wav").exists()


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["compress", "absent.wav", "a.slm"], "absent.wav"),
        (["compress", "text.wav", "a.slm"], "text.wav"),
        (["compress", "good.wav", "a.slm", "--kbps", 50], "50"),
        (["compress", "good.wav", "nowhere/a.slm"], "nowhere"),
        (["decompress", "text.wav", "a.wav"], "text.wav"),
        (["decompress", "absent.slm", "a.wav"], "absent.slm"),
        (["info", "text.wav"], "text.wav"),
        (["info", "absent.slm"], "absent.slm"),
        (["train", "absent.yaml"], "absent.yaml"),
        (["train", "bad.yaml"], "bad.yaml"),
        (["prepare", "absent.yaml"], "absent.yaml"),
        (["compress", "good.wav", "a.slm", "--model", "nowhere"], "nowhere"),
        (["compress", "good.wav", "a.slm", "--kbps", 3, "--quality", 5], "one of"),
        (["compress", "good.wav"], "good.wav"),
        (["compress", "good.wav", "good.wav"], "its own target"),
        (["compress", "good.wav", "./good.wav", "out"], "same target"),
        (["compress", ".", "-"], "-"),
        (["decompress", ".", "out"], ".slm"),
        (["decompress", "text.wav", "out", "--format", "mp3"], "mp3"),
        (["eval", "absent.yaml"], "absent.yaml"),
        (["transcribe", "absent.wav"], "absent.wav"),
        (["say", "hello", "a.wav", "--voice", "absent.wav"], "absent.wav"),
        (["say", "hello", "a.wav", "--model", "nowhere"], "nowhere"),
        (["align", "nowhere"], "nowhere"),
        (["tokenize", "nowhere", "out"], "nowhere"),
        (["compare", __file__], "--to"),
        (["compare", "absent.json"], "absent.json: no such file"),
    ],
)
def test_errors_are_one_line(
    arguments: list[object],
    named: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("text.wav").write_text("This is no sound.")
    Path("bad.yaml").write_text("kind: codec\nsteps: 3\n")
    soundfile.write("good.wav", np.zeros(RATE), RATE)
    before = sorted(path.name for path in tmp_path.iterdir())
    # In this process: a dozen starts of Python would take longer than the rest of these tests.
    monkeypatch.setattr(sys, "argv", ["speechlm", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2
    lines = capfd.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("error: ")
    assert named in lines[0]
    assert sorted(path.name for path in tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    "arguments",
    [
        ["compress", "a.wav", "b.wav"],
        ["compress", "a.wav", "a.wav"],
        ["decompress", "a.slm", "notes.flac"],
        ["cat", "a.slm", "b.slm", "c.slm"],
        ["decompress", "a.slm", "out.wav", "--start", "inf"],
        ["compress", "a.wav", "out.slm", "--kbps", "nan"],
    ],
)
def test_nothing_else_is_replaced(
    model: Path,
    sample: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    arguments: list[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a.wav", "b.wav"):
        Path(name).write_bytes(sample.read_bytes())
    for name in ("a.slm", "b.slm", "c.slm"):
        Path(name).write_bytes(bitstream.MAGIC + b"\1")
    Path("notes.flac").write_text("notes")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    monkeypatch.setattr(sys, "argv", ["speechlm", *arguments])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2
    assert len(capfd.readouterr().err.strip().splitlines()) == 1
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_audio_files_are_no_raw_samples(model: Path, sample: Path) -> None:
    line = error_line("stream", "encode", "--model", model, stdin=sample.read_bytes())
    assert "standard input is a FLAC file, not raw 16-bit samples" in line


def test_a_full_output_is_one_line(model: Path, sample: Path, tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    run("compress", sample, tmp_path / "a.slm", "--model", model)
    for command in (
        ["stream", "decode", "--model", model],
        ["info", tmp_path / "a.slm", "--json"],
        ["--help"],
    ):
        with Path("/dev/full").open("wb") as full:
            done = subprocess.run(
                [sys.executable, "-m", "speechlm", *map(str, command)],
                input=(tmp_path / "a.slm").read_bytes(),
                stdout=full,
                stderr=subprocess.PIPE,
                check=False,
            )
        lines = done.stderr.decode().strip().splitlines()
        assert done.returncode == 2 and len(lines) == 1, lines
        assert lines[0].endswith("No space left on device")


def test_text_from_files_is_not_interpreted(model: Path, tmp_path: Path) -> None:
    header = bitstream.Header("[/x] :smile:", "00000000", RATE, 320, 10, 1, 1)
    with (tmp_path / "[bold]a.slm").open("wb") as file:
        writer = bitstream.Writer(file, header)
        writer.write(np.zeros((1, 1), np.int64))
        writer.finish(320)
    assert b"[/x] :smile:" in run("info", tmp_path / "[bold]a.slm").stdout
    assert "[/x] :smile:" in error_line("decompress", tmp_path / "[bold]a.slm", tmp_path / "a.wav")


def test_json_has_no_nan(tmp_path: Path) -> None:
    header = bitstream.Header("empty", "00000000", RATE, 320, 10, 1, 1)
    with (tmp_path / "a.slm").open("wb") as file:
        bitstream.Writer(file, header).finish(0)

    def refuse(name: str) -> None:
        raise AssertionError(name)

    text = run("info", tmp_path / "a.slm", "--json").stdout
    assert json.loads(text, parse_constant=refuse)["kbps"] is None


def test_memory_is_constant(model: Path, tmp_path: Path) -> None:
    """Half an hour takes hardly more memory than a minute."""
    peaks = [peak_of_compressing(minutes, model, tmp_path) for minutes in (1, 30)]
    assert peaks[1] - peaks[0] < 40 << 20


def peak_of_compressing(minutes: int, model: Path, folder: Path) -> int:
    """Peak resident bytes of the process that compresses so many minutes of noise."""
    source = folder / f"{minutes}.flac"
    random = np.random.default_rng(0)
    with soundfile.SoundFile(source, "w", RATE, 1) as file:
        for _ in range(minutes):
            file.write(random.normal(0, 0.05, 60 * RATE))
    code = (
        "import resource, sys; from pathlib import Path\n"
        "from speechlm import codec\n"
        "from speechlm.compression.files import compress\n"
        "compress(Path(sys.argv[1]), Path(sys.argv[2]), codec.load(sys.argv[3]))\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    command = [sys.executable, "-c", code, str(source), str(folder / "a.slm"), str(model)]
    done = subprocess.run(command, capture_output=True, check=True, env={**os.environ})
    return int(done.stdout) * 1024


def test_demo(tmp_path: Path) -> None:
    printed = run("demo", "--out", tmp_path / "demo").stdout.decode()
    assert "STOI" in printed
    names = {path.name for path in (tmp_path / "demo").iterdir()}
    assert {"original.wav", "1.5kbps.slm", "3kbps.wav", "6kbps.slm"} <= names
