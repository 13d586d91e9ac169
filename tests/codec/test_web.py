"""The files for the browser, run by onnxruntime: margins say where its codes are Python's."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
import torch
from safetensors import safe_open

from speechlm.codec import CodecNetwork, NeuralCodec
from speechlm.codec.spectral import SpectralEncoder
from speechlm.codec.web import export
from speechlm.errors import SpeechLMError
from tests.codec.tiny import HOP, config, network, waves
from tests.tools import require


@pytest.fixture(autouse=True)
def onnx() -> None:
    for name in ("onnx", "onnxscript", "onnxruntime"):
        require(importlib.util.find_spec(name) is not None, f"{name} (extra onnx)")


def run(path, x: np.ndarray, pieces: list[int]) -> list[np.ndarray]:
    """Outputs but for states, over time, of ``x`` (1, rows, frames) given in pieces of any size."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options)
    name, *states = [one.name for one in session.get_inputs()]
    shapes = {one.name: one.shape for one in session.get_inputs()}
    state = {each: np.zeros(shapes[each], np.float32) for each in states}
    outputs = []
    for piece in np.split(x, np.cumsum(pieces)[:-1], axis=2):
        made = session.run(None, {name: piece, **state})
        kept = len(made) - len(states)
        outputs.append(made[:kept])
        state = dict(zip(states, made[kept:], strict=True))
    return [np.concatenate(parts, axis=-1) for parts in zip(*outputs, strict=True)]


def test_graphs_of_any_length_and_margins(tmp_path):
    net = network(config("spectral-short"))
    NeuralCodec(net).save_pretrained(tmp_path / "model")
    paths = export(tmp_path / "model", tmp_path / "web")
    assert [path.name for path in paths] == ["encoder.onnx", "decoder.onnx", "codec.safetensors"]
    model = NeuralCodec.from_pretrained(tmp_path / "model")
    frames = 120
    wave = waves(1, frames * HOP)
    encoder = model.network.encoder
    assert isinstance(encoder, SpectralEncoder)
    spectrum, _ = encoder.stft.step(wave.double(), encoder.stft.initial_state(wave.double()))
    features = encoder.features(spectrum).float().numpy()
    latents, codes, margins = run(paths[0], features, [1, 50, 2, 1, 66])
    expected = model.stream_encoder().push(wave).numpy()
    sure = (margins > 0).all(axis=1)
    assert sure.mean() > 0.9
    np.testing.assert_array_equal(codes.transpose(0, 2, 1)[sure], expected.transpose(0, 2, 1)[sure])
    z = model.latents(torch.from_numpy(expected)).numpy()
    assert latents.shape == z.shape
    (sound,) = run(paths[1], z, [3, 1, 116])
    again = model.decode(torch.from_numpy(expected))[0].numpy()
    np.testing.assert_allclose(sound[0, model.decoder_delay :], again, atol=1e-4)
    with safe_open(paths[2], "np") as file:
        facts = file.metadata()
        assert facts["weights_hash"] == model.weights_hash
        assert file.get_tensor("codebooks").dtype == np.float16


@pytest.mark.parametrize(
    ("architecture", "kind"), [("seanet", "residual-vector"), ("spectral", "residual-scalar")]
)
def test_other_codecs_are_refused(architecture, kind, tmp_path):
    made: CodecNetwork = network(config(architecture, kind))
    NeuralCodec(made).save_pretrained(tmp_path / "model")
    with pytest.raises(SpeechLMError, match="spectral codecs of plain residual vectors only"):
        export(tmp_path / "model", tmp_path / "web")
    assert not (tmp_path / "web").exists()
