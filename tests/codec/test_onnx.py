"""The exported graphs, run by onnxruntime frame by frame, against the codec in PyTorch."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from speechlm import audio, codec, hub
from speechlm.cli import app
from speechlm.codec import Codec, NeuralCodec
from speechlm.codec.onnx import export
from tests.codec.tiny import config, network, waves
from tests.tools import require


@pytest.fixture(autouse=True)
def onnx() -> None:
    for name in ("onnx", "onnxscript", "onnxruntime"):
        require(importlib.util.find_spec(name) is not None, f"{name} (extra onnx)")


class Graph:
    """A stream through an exported graph, as its documentation says to run one."""

    def __init__(self, path: Path):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(path, options)
        self.facts = self.session.get_modelmeta().custom_metadata_map
        self.name, *states = [one.name for one in self.session.get_inputs()]
        shapes = {one.name: one.shape for one in self.session.get_inputs()}
        self.state = {name: np.zeros(shapes[name], np.float32) for name in states}

    def push(self, x: np.ndarray) -> np.ndarray:
        y, *states = self.session.run(None, {self.name: x, **self.state})
        self.state = dict(zip(self.state, states, strict=True))
        return y


def run(folder: Path, wave: np.ndarray, frames: int) -> tuple[np.ndarray, np.ndarray]:
    """Codes (codebooks, frames) of ``wave`` (samples,), and the samples that they give, in time."""
    encoder, decoder = Graph(folder / "encoder.onnx"), Graph(folder / "decoder.onnx")
    hop_length, delay = int(encoder.facts["hop"]), int(encoder.facts["delay"])
    padded = np.zeros(frames * hop_length, np.float32)
    padded[: len(wave)] = wave
    codes = [encoder.push(hop_of[None]) for hop_of in padded.reshape(frames, hop_length)]
    made = np.concatenate([decoder.push(code)[0] for code in codes])
    return np.concatenate(codes, axis=2)[0], made[delay:][: len(wave)]


def decoded(model: Codec, codes: np.ndarray, samples: int) -> np.ndarray:
    return model.decode(torch.from_numpy(codes)[None], samples)[0].numpy()


@pytest.mark.parametrize(
    ("architecture", "kind"),
    [
        ("spectral", "residual-vector"),
        ("spectral-short", "residual-vector"),
        ("seanet", "residual-scalar"),
    ],
)
def test_graphs_give_what_the_codec_gives(architecture, kind, tmp_path):
    net = network(config(architecture, kind))
    export(net, 3, tmp_path)
    model = NeuralCodec(net)
    wave = waves(1, 500)
    codes, made = run(tmp_path, wave[0].numpy(), model.num_frames(500))
    expected = model.encode(wave, num_codebooks=3)[0].numpy()
    assert codes.dtype == np.int64
    assert codes.shape == expected.shape
    assert (codes != expected).any(axis=0).mean() < 0.05
    again = decoded(model, codes, 500)
    np.testing.assert_allclose(made, again, atol=1e-5 * max(1.0, np.abs(again).max()))


def test_the_shipped_codec_on_a_whole_recording(sample, tmp_path):
    result = CliRunner().invoke(app, ["export", "onnx", hub.DEFAULT_CODEC, str(tmp_path)])
    assert result.exit_code == 0, result.output
    model = codec.load()
    wave, _ = audio.read(sample, model.sample_rate)
    codes, made = run(tmp_path, wave, model.num_frames(len(wave)))
    expected = model.encode(torch.from_numpy(wave)[None])[0].numpy()
    # Single precision takes the other of two near entries in a few frames of a thousand; what
    # follows in the frame differs with it.
    assert (codes != expected).any(axis=0).mean() < 0.01
    # From the same codes, the same samples: to -90 dB of full scale.
    np.testing.assert_allclose(made, decoded(model, codes, len(wave)), atol=3e-5)
    facts = Graph(tmp_path / "decoder.onnx").facts
    assert facts["weights_hash"] == model.weights_hash
    assert facts["model"] == model.model_id
    assert int(facts["sample_rate"]) == model.sample_rate
    assert (int(facts["hop"]), int(facts["delay"])) == (model.hop_length, model.decoder_delay)
    assert (int(facts["levels"]), int(facts["cardinality"])) == (
        model.num_codebooks,
        model.codebook_size,
    )


def test_what_cannot_be_exported_is_one_line(tmp_path):
    for arguments, message in (
        (["dac_16khz"], "dac_16khz: not a model folder"),
        ([hub.DEFAULT_CODEC, "--kbps", "64"], "reaches 0.5 to 6 kbps, not 64"),
    ):
        name, *options = arguments
        result = CliRunner().invoke(app, ["export", "onnx", name, str(tmp_path / "out"), *options])
        assert message in str(result.exception)
        assert not (tmp_path / "out").exists()
