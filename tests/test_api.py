"""The public API: what ``import speechlm`` offers, and that it loads nothing before it is used."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

import speechlm
from speechlm import SpeechLMError

RATE = 16000
FUNCTIONS = {"compress", "decompress", "info", "load_audio"}
CLASSES = {"Codec", "Generated", "Sampling", "SpeechLM", "SpeechLMError", "Tokenizer", "Vocoder"}


def test_importing_and_listing_loads_no_torch() -> None:
    code = (
        "import sys, speechlm\n"
        "assert 'compress' in dir(speechlm)\n"
        "speechlm.SpeechLMError, speechlm.info, speechlm.compress, speechlm.load_audio\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_public_name_is_there_documented_and_listed() -> None:
    assert set(dir(speechlm)) == FUNCTIONS | CLASSES | {"__version__"}
    for name in FUNCTIONS | CLASSES:
        assert getattr(speechlm, name).__doc__, name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        speechlm.nothing  # noqa: B018


def test_every_public_name_is_in_the_reference() -> None:
    reference = Path(__file__).parents[1] / "docs" / "reference" / "api.md"
    members = {}
    for block in reference.read_text("utf-8").split("::: ")[1:]:
        module, _, options = block.partition("\n")
        for name in options.partition("[")[2].partition("]")[0].split(","):
            members[name.strip()] = module
    for public, source in speechlm._SOURCES.items():
        module, _, name = source.partition(":")
        assert module.startswith(members.get(name, "absent")), public


@pytest.mark.parametrize("path", ["a.wav", Path("a.wav")])
def test_a_path_where_a_waveform_belongs_is_refused(tiny_model: Path, path: str | Path) -> None:
    codec: Any = speechlm.Codec.from_pretrained(tiny_model)
    tokenizer: Any = speechlm.Tokenizer.from_pretrained(tiny_model)
    for take in (codec.encode, codec.stream_encoder().push, tokenizer.encode):
        with pytest.raises(SpeechLMError, match=r"a\.wav: a path, .*speechlm\.load_audio"):
            take(path)
        with pytest.raises(SpeechLMError, match=r"not ndarray: use torch\.from_numpy"):
            take(np.zeros((1, RATE), np.float32))
    for batch in (codec.encode_batch, tokenizer.encode_batch):
        with pytest.raises(SpeechLMError, match=r"a path, .*speechlm\.load_audio"):
            batch([path])


def test_several_of_unequal_lengths(tiny_model: Path, sample: Path) -> None:
    """Each is what it is alone."""
    wave, _ = speechlm.load_audio(sample)
    waves = [wave[0, :RATE], wave[:, 5000:5001], wave[0, :0], wave[:, RATE : 3 * RATE + 77]]
    codec = speechlm.Codec.from_pretrained(tiny_model)
    tokenizer = speechlm.Tokenizer.from_pretrained(tiny_model, num_codebooks=2)
    codes = codec.encode_batch(waves)
    sounds = codec.decode_batch(codes, [each.shape[-1] for each in waves])
    for one, found, units, sound in zip(
        waves, codes, tokenizer.encode_batch(waves), sounds, strict=True
    ):
        alone = codec.encode(one.reshape(1, -1))
        assert torch.equal(found, alone[0])
        assert torch.equal(units, alone[0, :2])
        assert torch.equal(sound, codec.decode(alone, one.shape[-1])[0])
    assert codec.encode_batch([]) == codec.decode_batch([]) == tokenizer.encode_batch([]) == []
    with pytest.raises(SpeechLMError, match="of several is"):
        codec.encode_batch([wave.expand(2, -1)])


def test_public_names_are_those_of_the_type_stubs() -> None:
    """What a type checker sees is what is imported: both lists name the same objects."""
    import ast

    tree = ast.parse(Path(speechlm.__file__).read_text("utf-8"))
    typed = {}
    for block in (node for node in tree.body if isinstance(node, ast.If)):
        for node in block.body:
            assert isinstance(node, ast.ImportFrom)
            for alias in node.names:
                typed[alias.asname or alias.name] = f"{node.module}:{alias.name}"
    assert typed == speechlm._SOURCES


def test_files_and_folders(tiny_model: Path, sample: Path, tmp_path: Path) -> None:
    wave, rate = speechlm.load_audio(sample)
    assert (wave.ndim, len(wave), rate, wave.dtype) == (2, 1, RATE, torch.float32)
    assert speechlm.load_audio(sample, 8000)[0].shape[1] == -(-wave.shape[1] // 2)
    model = str(tiny_model)
    (one,) = speechlm.compress(sample, tmp_path / "a.slm", kbps=1, model=model)
    found = speechlm.info(tmp_path / "a.slm")
    assert found.file_bytes == one.bytes
    assert found.kbps == pytest.approx(1, rel=0.03)
    (tmp_path / "in").mkdir()
    for name in ("a", "b"):
        soundfile.write(tmp_path / "in" / f"{name}.wav", wave[0, :RATE], RATE)
    many = speechlm.compress(tmp_path / "in", tmp_path / "packed", model=model)
    speechlm.decompress([each.target for each in many], tmp_path / "out", model=model)
    assert soundfile.info(tmp_path / "out" / "b.wav").frames == RATE
    (tmp_path / "in" / "c.wav").write_text("This is no sound.")
    with pytest.raises(SpeechLMError, match=r"c\.wav: is not a sound file"):
        speechlm.compress(tmp_path / "in", tmp_path / "packed", model=model)
    with pytest.raises(SpeechLMError, match="not mp3"):
        speechlm.decompress(many[0].target, tmp_path / "out", format="mp3")


def test_codec_and_tokenizer_by_name(tiny_model: Path, sample: Path) -> None:
    wave, _ = speechlm.load_audio(sample)
    codec = speechlm.Codec.from_pretrained(tiny_model)
    codes = codec.encode(wave, kbps=1.0)
    assert codec.decode(codes, length=wave.shape[1]).shape == wave.shape
    encoder = codec.stream_encoder(kbps=1.0)
    assert torch.equal(torch.cat([encoder.push(wave), encoder.flush()], dim=2), codes)
    tokenizer = speechlm.Tokenizer.from_pretrained(tiny_model, num_codebooks=2)
    assert torch.equal(tokenizer.encode(wave), codes[:, :2])
    with pytest.raises(SpeechLMError, match="is not a vocoder"):
        speechlm.Vocoder.from_pretrained(tiny_model)
