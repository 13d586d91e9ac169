"""EnCodec and DAC behind the codec seam, with random weights: the released need a network."""

from __future__ import annotations

import importlib.util
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from speechlm import audio, codec
from speechlm.bitstream import inspect
from speechlm.codec.base import Codec
from speechlm.compression.files import compress, decompress
from speechlm.compression.rate_target import RateTarget
from speechlm.errors import SpeechLMError
from speechlm.evaluation import results
from speechlm.evaluation.systems.model import Model

from ..chunks import chunk_sizes, cut
from ..tools import require
from .tiny import assert_same_wave, decode_chunks, encode_chunks, waves

ENCODEC, DAC = "encodec_24khz", "dac_16khz"
PEERS = (ENCODEC, DAC)

# The strides and codebooks of the releases; few channels.
SMALL = {"encoder_dim": 4, "decoder_dim": 64}
SIZES: dict[str, dict[str, Any]] = {
    "dac_16khz": {
        "encoder_rates": [2, 4, 5, 8],
        "decoder_rates": [8, 5, 4, 2],
        "n_codebooks": 12,
        "sample_rate": 16000,
    },
    "dac_24khz": {
        "encoder_rates": [2, 4, 5, 8],
        "decoder_rates": [8, 5, 4, 2],
        "n_codebooks": 32,
        "sample_rate": 24000,
    },
    "dac_44khz": {
        "encoder_rates": [2, 4, 8, 8],
        "decoder_rates": [8, 8, 4, 2],
        "n_codebooks": 9,
        "sample_rate": 44100,
    },
}

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")


def have(package: str, comes_as: str) -> None:
    require(importlib.util.find_spec(package) is not None, f"{comes_as} (make peers)")


@cache
def encodec_network() -> torch.nn.Module:
    have("encodec", "encodec")
    from encodec import EncodecModel

    torch.manual_seed(0)
    model = EncodecModel.encodec_model_24khz(pretrained=False)
    model.requires_grad_(False)
    for name, parameter in model.encoder.named_parameters():
        if "bias" in name:  # initial biases outweigh what initial weights let through of a signal
            parameter.zero_()
    for layer in model.quantizer.vq.layers:  # zero until training's first batch
        layer._codebook.embed.normal_(std=1e-3)
    return model


@cache
def dac_network(name: str = DAC) -> torch.nn.Module:
    have("dac", "descript-audio-codec")
    import dac

    torch.manual_seed(0)
    return dac.DAC(**SMALL, **SIZES[name]).eval().requires_grad_(False)


@cache
def peer(name: str) -> Codec:
    if name == ENCODEC:
        network = encodec_network()
        from speechlm.codec.peers.encodec import Encodec

        return Encodec(name, network)
    network = dac_network(name)
    from speechlm.codec.peers.dac import Dac

    return Dac(name, network)


def save(name: str, path: Path) -> Path:
    """A weights file as the project of ``name`` publishes it."""
    if name == ENCODEC:
        torch.save(encodec_network().state_dict(), path)
    else:
        dac_network(name).save(path, package=False)
    return path


@pytest.mark.parametrize(
    ("name", "facts"),
    [
        ("encodec_24khz", (24000, 320, 32, 24.0)),
        ("dac_16khz", (16000, 320, 12, 6.0)),
        ("dac_24khz", (24000, 320, 32, 24.0)),
        ("dac_44khz", (44100, 512, 9, 7.7519531)),
    ],
)
def test_rates_are_those_published(name, facts):
    model = peer(name)
    assert (model.sample_rate, model.hop_length, model.num_codebooks) == facts[:3]
    assert model.kbps() == pytest.approx(facts[3])
    assert (model.codebook_size, model.model_id, model.decoder_delay) == (1024, name, 0)
    assert model.latency == float("inf")
    assert len(model.weights_hash) == 8


@pytest.mark.parametrize(
    ("name", "kbps", "num_codebooks"),
    [
        (ENCODEC, 0.75, 1),
        (ENCODEC, 1.5, 2),
        (ENCODEC, 4.5, 6),  # between two of its package's five rates
        (ENCODEC, 24.0, 32),
        (DAC, 0.5, 1),
        (DAC, 3.0, 6),
        (DAC, 6.0, 12),
        ("dac_44khz", 8.0, 9),  # as its package calls 7.75
    ],
)
def test_a_rate_is_a_number_of_levels(name, kbps, num_codebooks):
    model = peer(name)
    codes = model.encode(waves(1, 2 * model.hop_length), kbps=kbps)
    assert codes.shape == (1, num_codebooks, 2)


@pytest.mark.parametrize("name", PEERS)
@settings(max_examples=6, deadline=None)
@given(samples=st.integers(0, 4000), batch=st.integers(1, 2), data=st.data())
def test_any_length_comes_back(name, samples, batch, data):
    model = peer(name)
    num_codebooks = data.draw(st.integers(1, model.num_codebooks))
    wave = waves(batch, samples)
    codes = model.encode(wave, num_codebooks=num_codebooks)
    assert codes.shape == (batch, num_codebooks, model.num_frames(samples))
    assert codes.dtype == torch.int64
    assert not codes.numel() or 0 <= int(codes.min()) <= int(codes.max()) < model.codebook_size
    assert model.decode(codes, samples).shape == (batch, samples)
    assert model.decode(codes).shape == (batch, model.num_frames(samples) * model.hop_length)


@pytest.mark.parametrize("name", PEERS)
@pytest.mark.parametrize("samples", [1, 319, 320, 321])
def test_lengths_about_a_hop(name, samples):
    model = peer(name)
    codes = model.encode(waves(1, samples), num_codebooks=2)
    assert codes.shape == (1, 2, model.num_frames(samples))
    assert model.decode(codes, samples).shape == (1, samples)


@pytest.mark.parametrize("bandwidth", [1.5, 6.0])
def test_encodec_codes_and_decodes_as_its_package_does(bandwidth):
    model, network = peer(ENCODEC), encodec_network()
    wave = waves(2, 3333)
    network.set_target_bandwidth(bandwidth)
    frames = network.encode(wave[:, None])
    codes = model.encode(wave, kbps=bandwidth)
    assert len(codes[:, 0].unique()) > 3  # they follow the wave
    assert torch.equal(codes, frames[0][0])
    assert_same_wave(model.decode(codes, 3333), network.decode(frames)[:, 0, :3333])


@pytest.mark.parametrize("name", SIZES)
def test_dac_codes_and_decodes_as_its_package_does(name):
    model, network = peer(name), dac_network(name)
    wave = waves(2, 3333)
    expected = network(wave[:, None], model.sample_rate, n_quantizers=5)
    codes = model.encode(wave, num_codebooks=5)
    assert len(codes[:, 0].unique()) > 3  # they follow the wave
    assert torch.equal(codes, expected["codes"])
    assert_same_wave(model.decode(codes, 3333), expected["audio"][:, 0])


@pytest.mark.parametrize("name", PEERS)
@settings(max_examples=3, deadline=None)
@given(samples=st.integers(1, 3000), sizes=chunk_sizes(500), frames=chunk_sizes(3))
def test_a_stream_gives_the_same_when_it_ends(name, samples, sizes, frames):
    model = peer(name)
    wave = waves(1, samples)
    codes = model.encode(wave, num_codebooks=3)
    assert torch.equal(
        encode_chunks(model.stream_encoder(num_codebooks=3), cut(wave, sizes)), codes
    )
    streamed = decode_chunks(model.stream_decoder(), cut(codes, frames), samples)
    assert torch.equal(streamed, model.decode(codes, samples))


def test_a_stream_of_nothing_gives_nothing():
    model = peer(DAC)
    assert model.stream_encoder().flush().shape == (1, 12, 0)
    assert model.stream_decoder().flush().shape == (1, 0)


def test_a_loss_is_silence_between_what_is_decoded_alone():
    model = peer(DAC)
    codes = model.encode(waves(2, 7 * model.hop_length), num_codebooks=2)
    stream = model.stream_decoder()
    assert stream.push(codes[..., :3]).shape == (2, 0)
    before = stream.conceal(2)
    assert torch.equal(before[:, : 3 * model.hop_length], model.decode(codes[..., :3]))
    assert torch.equal(before[:, 3 * model.hop_length :], torch.zeros(2, 2 * model.hop_length))
    assert stream.push(codes[..., 5:]).shape == (2, 0)
    assert torch.equal(stream.flush(), model.decode(codes[..., 5:]))


@pytest.mark.parametrize("name", PEERS)
def test_files_go_through_the_container(name, tmp_path):
    model = peer(name)
    wave = waves(1, 8000)[0].numpy()
    audio.write(tmp_path / "in.wav", wave, 16000)
    compress(tmp_path / "in.wav", tmp_path / "a.slm", model, RateTarget(3.0))
    for goal in (RateTarget(quality=5), RateTarget(max_bytes=900)):
        with pytest.raises(SpeechLMError, match=f"{name} has as many levels in all frames"):
            compress(tmp_path / "in.wav", tmp_path / "b.slm", model, goal)
    assert not (tmp_path / "b.slm").exists()
    decompress(tmp_path / "a.slm", tmp_path / "out.wav", model)
    facts = inspect(tmp_path / "a.slm")
    assert facts.model == name
    assert facts.num_codebooks == model.choose_num_codebooks(kbps=3.0)
    found, rate = audio.read(tmp_path / "out.wav")
    assert (len(found), rate) == (8000 * rate // 16000, model.sample_rate)
    own, _ = audio.read(tmp_path / "in.wav", model.sample_rate)
    whole = torch.from_numpy(own)[None]
    expected = model.decode(model.encode(whole, kbps=3.0), len(own))[0].clamp(-1, 1)
    np.testing.assert_allclose(found, expected.numpy(), atol=2**-15)


def test_evaluation_judges_a_peer_and_knows_no_latency_for_it(tmp_path):
    system = Model(3.0, f"{DAC}={save(DAC, tmp_path / 'weights.pth')}")
    wave = waves(1, 5000)[0].numpy()
    encoded = system.encode(wave)
    assert encoded.payload_bits == 6 * 10 * 16
    assert system.decode(encoded, len(wave)).shape == wave.shape
    assert system.streamed_difference(wave) == {"codes": 0, "wave": 0}
    assert results.plain(system.latency) is None


@pytest.mark.parametrize("name", PEERS)
def test_a_weights_file_loads_by_name(name, tmp_path):
    path = save(name, tmp_path / "weights=1.pth")
    loaded = Codec.from_pretrained(f"{name}={path}")
    model = peer(name)
    assert (loaded.model_id, loaded.weights_hash) == (name, model.weights_hash)
    wave = waves(1, 2000)
    assert torch.equal(loaded.encode(wave), model.encode(wave))
    for number, found in zip((2000, 900), loaded.encode_batch([wave, wave[0, :900]]), strict=True):
        assert torch.equal(found, model.encode(wave[:, :number])[0])


def test_a_downloaded_file_loads_by_name_alone(tmp_path, monkeypatch):
    have("dac", "descript-audio-codec")
    path = save(DAC, tmp_path / "weights.pth")
    monkeypatch.setattr("dac.utils.download", lambda *asked: path)
    assert codec.load(DAC).weights_hash == peer(DAC).weights_hash


def test_a_kept_encodec_is_not_downloaded_again(tmp_path, monkeypatch):
    have("encodec", "encodec")
    (tmp_path / "checkpoints").mkdir()
    save(ENCODEC, tmp_path / "checkpoints" / "encodec_24khz-d7cc33bc.th")
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path))
    assert codec.load(ENCODEC).weights_hash == peer(ENCODEC).weights_hash


@pytest.mark.parametrize(
    ("name", "package", "client"),
    [
        (ENCODEC, "encodec", "torch.hub.load_state_dict_from_url"),
        (DAC, "dac", "dac.utils.download"),
    ],
)
def test_without_a_network_one_line_says_where_the_file_goes(
    name, package, client, tmp_path, monkeypatch
):
    have(package, package)

    def fail(*asked: Any, **how: Any) -> None:
        raise ConnectionError("no route\nand a traceback")

    monkeypatch.setattr(client, fail)
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(SpeechLMError) as caught:
        codec.load(name)
    message = str(caught.value)
    assert message.startswith(f"{name}: its weights cannot be downloaded (no route); put https://")
    assert f" at {tmp_path}" in message
    assert message.endswith(f"name it: {name}=FILE")
    assert "\n" not in message


def test_the_place_named_for_dac_is_where_its_package_looks(tmp_path, monkeypatch):
    have("dac", "descript-audio-codec")
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = tmp_path / ".cache" / "descript" / "dac"
    folder.mkdir(parents=True)
    save(DAC, folder / "weights_16khz_8kbps_0.0.5.pth")
    assert codec.load(DAC).weights_hash == peer(DAC).weights_hash


class Unsafe:
    """Unpickling it leaves a file behind."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def another(name: str, path: Path) -> None:
    torch.save({"linear.weight": torch.zeros(2)}, path)


def cut_short(name: str, path: Path) -> None:
    path.write_bytes(save(name, path).read_bytes()[:9999])


def unfit(name: str, path: Path) -> None:
    """All of the file but one tensor."""
    saved = torch.load(save(name, path), weights_only=True)
    weights = saved if name == ENCODEC else saved["state_dict"]
    weights.popitem()
    torch.save(saved, path)


@pytest.mark.parametrize("name", PEERS)
@pytest.mark.parametrize(
    ("write", "says"),
    [
        (lambda name, path: None, "No such file"),
        (lambda name, path: path.mkdir(), "Is a directory"),
        (lambda name, path: path.write_bytes(b""), "not a weights file"),
        (lambda name, path: path.write_bytes(b"RIFF and so on"), "not a weights file"),
        (cut_short, "a weights file"),
        (lambda name, path: torch.save([1, 2], path), "not (the weights|a weights file) of"),
        (another, "not (the weights|a weights file) of"),
        (unfit, f"not the weights of ({ENCODEC}|{DAC})"),
    ],
)
def test_a_wrong_file_is_one_line(name, write, says, tmp_path):
    peer(name)  # or the test is skipped
    path = tmp_path / "file.pth"
    write(name, path)
    with pytest.raises(SpeechLMError, match=says) as caught:
        codec.load(f"{name}={path}")
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", PEERS)
def test_nothing_in_a_file_is_run(name, tmp_path):
    peer(name)
    path, trace = tmp_path / "file.pth", tmp_path / "trace"
    torch.save({"state_dict": {}, "metadata": {"kwargs": Unsafe(trace)}}, path)
    with pytest.raises(SpeechLMError, match="not safe to load"):
        codec.load(f"{name}={path}")
    assert not trace.exists()


def test_arguments_that_make_no_dac_are_one_line(tmp_path):
    path = save(DAC, tmp_path / "weights.pth")
    saved = torch.load(path, weights_only=True)
    saved["metadata"]["kwargs"]["encoder_rates"] = "fast"
    torch.save(saved, path)
    with pytest.raises(SpeechLMError, match=r"weights\.pth: makes no DAC: ") as caught:
        codec.load(f"{DAC}={path}")
    assert "\n" not in str(caught.value)


def test_a_dac_of_another_rate_is_one_line(tmp_path):
    path = save("dac_44khz", tmp_path / "weights.pth")
    with pytest.raises(SpeechLMError, match="not dac_16khz, but a model for 44100 Hz"):
        codec.load(f"dac_16khz={path}")


@pytest.mark.parametrize(("name", "package"), [(ENCODEC, "encodec"), (DAC, "dac")])
def test_without_its_package_one_line_names_the_extra(name, package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(SpeechLMError, match=r"extra \[peers\]: make peers") as caught:
        codec.load(name)
    assert str(caught.value).startswith(f"{package} cannot be imported")


def test_other_names_are_models_of_this_project():
    for name in ("dac_22khz", "encodec_24khz_mine", "dac_16khz/none/here", Path("dac_16khz")):
        with pytest.raises(SpeechLMError, match=r"not a model folder .* nor a hub id"):
            codec.load(name)


def test_wrong_codes_and_lengths_are_one_line():
    model = peer(DAC)
    codes = torch.zeros(1, 2, 3, dtype=torch.int64)
    for wrong, says in (
        (codes.float(), "int64"),
        (codes[0], "int64"),
        (codes.expand(1, 2, 3).repeat(1, 7, 1), "1 to 12 levels"),
        (codes + 1024, r"lie in \[0, 1024\)"),
    ):
        with pytest.raises(SpeechLMError, match=says):
            model.decode(wrong)
        with pytest.raises(SpeechLMError, match=says):
            model.stream_decoder().push(wrong)
    with pytest.raises(SpeechLMError, match="3 frames hold 960 samples, not 961"):
        model.decode(codes, 961)
