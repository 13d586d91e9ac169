"""Smaller models: the same codes, nearly the same sound, and all else in their folder."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from speechlm import hub
from speechlm.bitstream.entropy import EntropyModel
from speechlm.cli import app
from speechlm.codec import NeuralCodec
from speechlm.errors import SpeechLMError
from speechlm.quantize_weights import quantize_weights
from speechlm.tokenizers import load as units
from speechlm.tokenizers.load import embed
from speechlm.vocoder import VocoderConfig, VocoderNetwork
from speechlm.vocoder.config import VoiceConfig

from .bitstream.entropy.models import arrays
from .codec.tiny import (
    ARCHITECTURES,
    HOP,
    KINDS,
    assert_same_wave,
    codec,
    config,
    decode_chunks,
    encode_chunks,
    network,
    waves,
)
from .tokenizers.test_stacked import CLUSTERS, semantic


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    """A codec with an entropy model, a card and facts of its training. Not to be changed."""
    made = NeuralCodec(network(config()))
    folder = tmp_path_factory.mktemp("shrink") / "codec"
    hub.save_model(folder, made.network.config, made.network.weights(), {"step": 7, "loss": 0.5})
    (folder / "README.md").write_text("a card")
    made = NeuralCodec.from_pretrained(folder)
    context = EntropyModel(
        arrays(num_codebooks=made.num_codebooks, codebook_size=made.codebook_size)
    )
    hub.save_entropy_model(folder, context, made.weights_hash)
    return folder


@pytest.mark.parametrize("encoder", [False, True])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("kind", KINDS)
def test_what_it_says_is_what_is_loaded(architecture, kind, encoder, tmp_path):
    """The unpacked weights are the model: exact in half precision, and of one hash for ever."""
    codec(architecture, kind).save_pretrained(tmp_path / "whole")
    quantize_weights(str(tmp_path / "whole"), tmp_path / "small", encoder)
    whole, small = (NeuralCodec.from_pretrained(tmp_path / name) for name in ("whole", "small"))
    for name, value in small.network.weights().items():
        half = value.half().float() if value.is_floating_point() else value
        assert torch.equal(value, half)
        assert name.startswith("quantizer.") <= torch.equal(value, whole.network.weights()[name])
    again = NeuralCodec.from_pretrained(small.save_pretrained(tmp_path / "again"))
    assert again.fingerprint == small.fingerprint != whole.fingerprint
    assert again.weights_hash == small.weights_hash

    wave = waves(1, 50 * HOP)
    codes = small.encode(wave)
    assert encoder or torch.equal(codes, whole.encode(wave))
    assert (small.weights_hash != whole.weights_hash) == encoder
    chunks = wave.split(HOP, dim=1)
    assert torch.equal(encode_chunks(small.stream_encoder(), chunks), codes)
    sound = small.decode(codes)
    streamed = decode_chunks(small.stream_decoder(), codes.split(1, dim=2), sound.shape[1])
    assert_same_wave(streamed, sound)
    assert (sound - whole.decode(codes)).norm() < 0.1 * sound.norm()


def test_it_is_smaller_and_all_else_is_there(saved, tmp_path):
    sizes = quantize_weights(str(saved), tmp_path / "out")
    for name, size in sizes.items():
        same = (tmp_path / "out" / name).read_bytes() == (saved / name).read_bytes()
        assert same == (size.after == size.before) == (name != hub.WEIGHTS)
    assert sorted(sizes) == sorted(path.name for path in saved.iterdir())
    assert sizes[hub.WEIGHTS].after < 0.9 * sizes[hub.WEIGHTS].before
    assert hub.load_facts(tmp_path / "out") == {"step": 7, "loss": 0.5}
    assert NeuralCodec.from_pretrained(tmp_path / "out").entropy is not None
    stored = load_file(tmp_path / "out" / hub.WEIGHTS)
    packed = {name for name, value in stored.items() if value.dtype == torch.int8}
    assert packed
    assert all(name.startswith("decoder.") for name in packed)


def test_once_more_it_is_the_same(saved, tmp_path):
    quantize_weights(str(saved), tmp_path / "once")
    quantize_weights(str(tmp_path / "once"), tmp_path / "twice")
    once, twice = (load_file(tmp_path / name / hub.WEIGHTS) for name in ("once", "twice"))
    assert once.keys() == twice.keys()
    for name, value in once.items():
        assert value.dtype == twice[name].dtype
        assert torch.equal(value, twice[name])


def test_a_codec_of_other_codes_has_no_context_model(saved, tmp_path):
    out = tmp_path / "out"
    done = CliRunner().invoke(app, ["quantize-weights", str(saved), str(out), "--encoder"])
    assert done.exit_code == 0, done.output
    assert not (out / hub.CONTEXT).exists()
    assert NeuralCodec.from_pretrained(out).entropy is None
    assert "context.safetensors is left out: it belongs to other codes" in done.output
    for name in (hub.CONFIG, hub.WEIGHTS):
        assert str((saved / name).stat().st_size) in done.output
        assert str((out / name).stat().st_size) in done.output


def test_a_vocoder_keeps_its_units(tmp_path):
    said = semantic(tmp_path / "said", form="frames")
    made = VocoderConfig(
        weights=units.load(said).units.weights,
        codebook_size=CLUSTERS, dim=16, blocks=1, ahead=1, duration_dim=8, voice=VoiceConfig(8, 1,
        4),
    )  # fmt: skip
    hub.save_model(tmp_path / "whole", made, VocoderNetwork(made).state_dict())
    embed(said, tmp_path / "whole")
    sizes = quantize_weights(str(tmp_path / "whole"), tmp_path / "small")
    assert sizes["units/model.safetensors"].before == sizes["units/model.safetensors"].after
    assert sizes[hub.WEIGHTS].after < 0.75 * sizes[hub.WEIGHTS].before
    small, whole = units.load(tmp_path / "small"), units.load(tmp_path / "whole")
    assert small.units == whole.units
    frames = torch.zeros(1, 1, 20, dtype=torch.int64)
    sound = whole.decode(frames)
    assert 0 < (small.decode(frames) - sound).norm() < 0.1 * sound.norm()


def test_what_cannot_be_shrunk_is_one_line(saved, tmp_path):
    said = semantic(tmp_path / "said", clusters=40)
    with pytest.raises(SpeechLMError, match="said: has no weights that could be stored smaller"):
        quantize_weights(str(said), tmp_path / "out")
    with pytest.raises(SpeechLMError, match="said: no codec, whose encoder"):
        quantize_weights(str(said), tmp_path / "out", encoder=True)
    with pytest.raises(SpeechLMError, match="not a model folder"):
        quantize_weights(str(tmp_path / "nowhere"), tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(SpeechLMError, match="said: holds a model already"):
        quantize_weights(str(saved), said)
    with pytest.raises(SpeechLMError, match="codec: holds a model already"):
        quantize_weights(str(saved), saved)
    (tmp_path / "file").touch()
    with pytest.raises(SpeechLMError, match="file: cannot be made"):
        quantize_weights(str(saved), tmp_path / "file")
