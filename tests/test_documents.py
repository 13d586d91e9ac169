"""Every command and Python block of README and guides, as written, on tiny data and models."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from accelerate.state import AcceleratorState
from typer.testing import CliRunner

import speechlm
from speechlm import audio, hub
from speechlm.cli import adapt, app
from tests.models import tiny_codec, tiny_lm, tiny_vocoder

ROOT = Path(__file__).parents[1]
DOCUMENTS = [
    ROOT / "README.md",
    *sorted((ROOT / "docs" / "guides").glob("*.md")),
    ROOT / "docs" / "reference" / "api.md",
]
NOT_RUN = {
    r"git clone .*": "needs a network",
    r"make (\S+).*": "the target is looked up instead",
    r"\. \.venv/bin/activate": "is of the shell",
    r"tensorboard .*": "is a server",
    r"accelerate launch .*": "starts processes: tests/training/test_processes.py",
    r"speechlm prepare data/librispeech\.yaml .*": "is a download",
    r"speechlm train .*librispeech.*": "needs that corpus",
    r"import lhotse.*": "needs a prepared corpus",
    r"speechlm tokenize .*speed-0\.9.*": "needs what that writes",
    r"recipes/choose\.sh .*": "evaluates models: tests/evaluation",
    r"speechlm serve .*": "is a server: tests/serve",
    r"speechlm conform .*": "takes a minute: tests/conformance",
    r"python -m http\.server .*": "is a server: tests/demo",
    r"from openai .*": "needs that server: tests/serve",
}
CODEC = [
    "codec.latent=8", "codec.quantizer.num_codebooks=2", "codec.quantizer.codebook_size=16",
    "data.seconds=0.25", "data.batch=1", "data.validation=2", "training.validate_every=1",
    "quantization.quantizer_bypass_steps=0", "training.steps=1", "training.precision=no",
]  # fmt: skip
SMALL = [
    "codec.spectral.encoder_dim=16", "codec.spectral.encoder_blocks=1",
    "codec.spectral.decoder_dim=16", "codec.spectral.decoder_blocks=1",
]  # fmt: skip
EVAL = [
    "clips.sources=[recordings]", "clips.limit=1", "clips.min_seconds=0", "metrics=[stoi]",
    "recognisers.tiny-en=null", "recognisers.base=null", "runtime.repeats=0", "workers=0",
    *(f"systems.{name}=null" for name in ("opus", "speex", "amr-wb", "codec2", "encodec", "dac")),
]  # fmt: skip
LM = [
    "lm.dim=32", "lm.num_layers=1", "lm.ffn_dim=32", "lm.depth.dim=16", "lm.depth.ffn_dim=16",
    "data.batch=1", "data.validation=2", "training.steps=1", "training.precision=no",
]  # fmt: skip
MORE = {
    "train codec": [*CODEC, *SMALL],
    "train codec-smoke": CODEC,
    "train continuation": LM,
    "eval codec": EVAL,
    "compress recordings/": ["--jobs", "1"],  # other processes would take the shipped model
    "decompress out.slm part.wav": ["--start", "0.1", "--seconds", "0.2"],
    "continue": ["--seconds", "0.2"],
}
"""What is added to a command, by how it begins, so that it takes a moment."""


def blocks(path: Path, language: str) -> list[str]:
    """The fenced blocks of a language in a document."""
    found = re.findall(r"^```(\w+)\n(.*?)^```", path.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    return [text for kind, text in found if kind == language]


def commands(block: str) -> Iterator[str]:
    """The commands of a block, without comments."""
    for line in block.replace("\\\n", " ").splitlines():
        text = " ".join(shlex.split(line, comments=True))
        if text:
            yield re.split(r"\s+#\s", line)[0].strip()


@pytest.fixture
def place(
    tiny_model: Path, sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """A folder with the files that the documents name, and tiny models by the shipped names."""
    models = tmp_path / "models"
    monkeypatch.setattr(hub, "SHIPPED", models)
    tiny_codec(models / hub.DEFAULT_CODEC, num_codebooks=12)
    tiny_vocoder(tiny_model, models / hub.DEFAULT_VOCODER)
    tiny_lm(hub.DEFAULT_VOCODER, models / hub.DEFAULT_LM, num_codebooks=None)

    def adapted(
        family: str, folder: Path, out: Path, threads: int, json: bool, **options: Any
    ) -> None:
        """Its options are parsed here, and leave a model; ``tests/adapt`` runs it."""
        assert folder.is_dir()
        shutil.copytree(models / options["model"], out / "model")

    monkeypatch.setattr(adapt, "_adapt", adapted)
    here = tmp_path / "here"
    (here / "speechlm" / "assets").mkdir(parents=True)
    shutil.copy(sample, here / "speechlm" / "assets")
    wave, rate = audio.read(sample, 16000)
    for name in ("in.wav", "me.wav", "prompt.wav"):
        soundfile.write(here / name, wave[: rate // 2], rate)
    for name in ("recordings", "RECORDINGS", "my-voice"):
        (here / name).mkdir()
        for number, part in enumerate(np.array_split(wave, 12)):
            soundfile.write(here / name / f"{number}.wav", part, rate)
    (here / "in.s16").write_bytes((wave[:rate] * 32767).astype("<i2").tobytes())
    for name in ("a.slm", "b.slm"):
        speechlm.compress(here / "in.wav", here / name)
    for name in ("sentences.txt", "books.txt"):
        (here / name).write_text("the tea is ready\nthe tea is cold\n")
    shutil.copytree(ROOT / "eval", here / "eval")
    monkeypatch.chdir(here)
    yield here
    AcceleratorState._reset_state()


def run(line: str) -> None:
    """A pipeline of ``cat``, ``speechlm`` and redirections, in this process."""
    data = b""
    for stage in line.split(" | "):
        words = shlex.split(stage)
        while len(words) > 2 and words[-2] in ("<", ">"):
            kind, file = words[-2:]
            words = words[:-2]
            if kind == "<":
                data = Path(file).read_bytes()
            else:
                target = Path(file)
        if words[0] == "cat":
            data = Path(words[1]).read_bytes()
            continue
        assert words[0] == "speechlm", f"what is {line}?"
        given = " ".join(words[1:])
        for start, more in MORE.items():
            if f"{given} ".startswith(f"{start} "):
                words += more
        result = CliRunner().invoke(app, words[1:], data, catch_exceptions=False)
        assert result.exit_code == 0, (line, result.output)
        data = result.stdout_bytes
        if words[1] == "eval":
            for name in ("A", "B"):
                shutil.copytree(words[words.index("--out") + 1], name)
    if " > " in line:
        assert data
        target.write_bytes(data)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.stem)
def test_commands_run_as_written(path: Path, place: Path) -> None:
    targets = re.findall(r"^([\w-]+(?: [\w-]+)*):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    known = set(" ".join(targets).split())
    for line in (line for block in blocks(path, "sh") for line in commands(block)):
        for part in line.split(" && "):
            skipped = [re.fullmatch(pattern, part) for pattern in NOT_RUN]
            target = next((match[1] for match in skipped if match and match.groups()), None)
            assert target is None or target in known, part
            if not any(skipped) and not part.startswith("cd "):
                run(part)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.stem)
def test_python_runs_as_written(path: Path, place: Path) -> None:
    for block in blocks(path, "python"):
        if any(re.match(pattern, block) for pattern in NOT_RUN):
            continue
        exec(compile(block, str(path), "exec"), {})


def test_the_tables_of_this_file_are_needed() -> None:
    lines = [line for path in DOCUMENTS for block in blocks(path, "sh") for line in commands(block)]
    texts = lines + [block for path in DOCUMENTS for block in blocks(path, "python")]
    assert all(any(re.search(pattern, text) for text in texts) for pattern in NOT_RUN)
    assert all(any(f"speechlm {start} " in f"{line} " for line in lines) for start in MORE)
