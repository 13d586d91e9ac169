"""Model folders: what is written is read back, and what is broken is one line."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from speechlm import hub
from speechlm.codec import Codec, CodecConfig, CodecNetwork, NeuralCodec
from speechlm.errors import SpeechLMError
from speechlm.lm.language_model import LanguageModel
from speechlm.vocoder.model import VocodedUnits

from .codec.tiny import ARCHITECTURES, KINDS, codec, config, network, waves

MATRIX = "encoder.stack.stages.0.linear.weight"

FILES = [hub.JSON_CONFIG, hub.CONFIG, hub.WEIGHTS]


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    """A model folder. To be copied before it is broken."""
    return NeuralCodec(network(config())).save_pretrained(tmp_path_factory.mktemp("hub") / "tiny")


@pytest.fixture
def folder(saved, tmp_path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "tiny"))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_codec_comes_back_the_same(architecture, kind, tmp_path):
    first = codec(architecture, kind)
    once = NeuralCodec.from_pretrained(first.save_pretrained(tmp_path / "once"))
    again = NeuralCodec.from_pretrained(once.save_pretrained(tmp_path / "again"))
    assert once.network.config == first.network.config
    assert once.model_id == "tiny"
    # Half precision changes the weights, and their hash, at the first save alone.
    assert again.weights_hash == once.weights_hash != first.weights_hash
    for name, value in first.network.state_dict().items():
        half = value.half().float() if value.is_floating_point() else value
        assert torch.equal(once.network.state_dict()[name], half)
    wave = waves(2, 200)
    codes = once.encode(wave)
    assert torch.equal(again.encode(wave), codes)
    assert torch.equal(again.decode(codes, 200), once.decode(codes, 200))
    stored = load_file(tmp_path / "once" / hub.WEIGHTS)
    assert {value.dtype for value in stored.values()} <= {torch.float16, torch.bool}


def test_saving_again_writes_the_same_files(folder, tmp_path):
    other = NeuralCodec.from_pretrained(folder).save_pretrained(tmp_path / "other")
    for name in (hub.JSON_CONFIG, hub.CONFIG, hub.WEIGHTS):
        assert (other / name).read_bytes() == (folder / name).read_bytes()
    assert sorted(path.name for path in other.iterdir()) == [
        hub.JSON_CONFIG,
        hub.CONFIG,
        hub.WEIGHTS,
    ]


def test_facts_go_into_the_weights_file(tmp_path):
    hub.save_model(tmp_path, config(), network(config()).state_dict(), {"step": 7, "loss": 0.5})
    data = (tmp_path / hub.WEIGHTS).read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    assert header["__metadata__"] == {"format": "pt", "step": "7", "loss": "0.5"}
    assert hub.load_facts(tmp_path) == {"step": 7, "loss": 0.5}


def test_facts_that_are_none_are_one_line(folder):
    assert hub.load_facts(folder) == {}
    tensors = load_file(folder / hub.WEIGHTS)
    save_file(tensors, folder / hub.WEIGHTS, {"format": "pt", "loss": "low"})
    for harm in (lambda folder: None, cut(100), remove(hub.WEIGHTS)):
        harm(folder)
        with pytest.raises(SpeechLMError, match=r"model\.safetensors: ") as caught:
            hub.load_facts(folder)
        assert "\n" not in str(caught.value)


def test_any_codec_loads_through_the_seam(folder):
    loaded = Codec.from_pretrained(folder)
    assert isinstance(loaded, NeuralCodec)
    assert loaded.weights_hash == NeuralCodec.from_pretrained(str(folder)).weights_hash


def test_the_hash_is_of_names_types_shapes_and_values():
    weights = {"a": torch.zeros(2, 3), "b": torch.tensor(True)}
    plain = hub.weights_hash(weights)
    assert re.fullmatch("[0-9a-f]{8}", plain)
    assert hub.weights_hash({name: weights[name].clone() for name in ("b", "a")}) == plain
    changed = [
        weights | {"a": torch.zeros(2, 3).index_fill(0, torch.tensor(1), 1e-7)},
        weights | {"a": torch.zeros(3, 2)},
        weights | {"a": torch.zeros(2, 3).half()},
        weights | {"b": torch.tensor(False)},
        {"a": weights["a"], "c": weights["b"]},
        weights | {"c": torch.zeros(0)},
    ]
    hashes = {hub.weights_hash(other) for other in changed}
    assert len(hashes) == len(changed)
    assert plain not in hashes


def test_the_fingerprint_changes_with_any_weight_and_the_hash_with_what_codes_mean():
    net = network(config())
    prints, hashes = {NeuralCodec(net).fingerprint}, {NeuralCodec(net).weights_hash}
    for parameter in net.parameters():
        with torch.no_grad():
            parameter.view(-1)[0] += 1e-3
        prints.add(NeuralCodec(net).fingerprint)
        hashes.add(NeuralCodec(net).weights_hash)
    assert len(prints) == 1 + len(list(net.parameters()))
    assert len(hashes) == 1 + len(list(net.parameters())) - len(list(net.decoder.parameters()))


def write(name: str, text: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_text(text) and None


def remove(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def edit(old: str, new: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        text = (folder / hub.CONFIG).read_text()
        assert old in text
        (folder / hub.CONFIG).write_text(text.replace(old, new, 1))

    return change


def weights(change: Callable[[dict[str, torch.Tensor]], object]) -> Callable[[Path], None]:
    def rewrite(folder: Path) -> None:
        tensors = load_file(folder / hub.WEIGHTS)
        change(tensors)
        save_file(tensors, folder / hub.WEIGHTS)

    return rewrite


def cut(size: int) -> Callable[[Path], None]:
    return lambda folder: (
        (folder / hub.WEIGHTS).write_bytes((folder / hub.WEIGHTS).read_bytes()[:size]) and None
    )


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (shutil.rmtree, "not a model folder"),
        (remove(hub.CONFIG), "not a model folder"),
        (remove(hub.WEIGHTS), "not a model folder"),
        (write(hub.CONFIG, "name: [tiny"), "config.yaml: "),
        (write(hub.CONFIG, "- tiny\n"), "config.yaml: is not a mapping"),
        (write(hub.CONFIG, "\0\x01"), "config.yaml: "),
        (
            edit("hop_length: 12", "hope: 12"),
            "config.yaml: unknown key hope; known: name, sample_rate",
        ),
        (edit("codebook_size", "size"), r"config.yaml: unknown key quantizer\.size"),
        (edit("hop_length: 12", "hop_length: twelve"), "config.yaml: hop_length: "),
        (edit("hop_length: 12", "hop_length: 0"), "hop"),
        (edit("hop_length: 12", "hop_length: 10"), "the weights do not fit"),
        (edit("latent: 8", "latent: -8"), "codec: "),
        (edit("num_codebooks: 4", "num_codebooks: 0"), "one level or more"),
        (edit("num_codebooks: 4", "num_codebooks: 5"), "the weights do not fit"),
        (edit("sample_rate: 1200", "sample_rate: 0"), "sample_rate is 0"),
        (edit("architecture: spectral", "architecture: conformer"), "not conformer"),
        (edit("architecture: spectral", "architecture: seanet"), "the weights do not fit"),
        (edit("head: complex", "head: real"), "'complex' or 'polar', not 'real'"),
        (edit("kind: residual-vector", "kind: product"), "not product"),
        (edit("update: ema", "update: sgd"), "'ema' or 'gradient', not 'sgd'"),
        (weights(lambda tensors: tensors.popitem()), "the weights do not fit"),
        (weights(lambda tensors: tensors.update(more=torch.zeros(1))), "the weights do not fit"),
        (
            weights(lambda tensors: tensors.update({f"{MATRIX}{hub.SCALE}": torch.zeros(3)})),
            r"model.safetensors: scales \(3,\) of torch.float16 \(16, 26\)",
        ),
        (
            weights(lambda tensors: tensors.update({f"{MATRIX}{hub.SCALE}": tensors.pop(MATRIX)})),
            "the weights do not fit",
        ),
        (write(hub.WEIGHTS, ""), "model.safetensors: "),
        (write(hub.WEIGHTS, "PK\3\4"), "model.safetensors: "),
        (cut(100), "model.safetensors: "),
        (cut(-1), "model.safetensors: "),
    ],
)
def test_a_broken_folder_is_one_line(folder, harm, says):
    harm(folder)
    with pytest.raises(SpeechLMError, match=says) as caught:
        NeuralCodec.from_pretrained(folder)
    message = str(caught.value)
    assert "\n" not in message
    assert "tiny" in message or "codec: " in message


def test_a_name_that_is_neither_folder_nor_hub_id_is_one_line():
    for name in ("nowhere", "a/b/c", "./nowhere/"):
        with pytest.raises(SpeechLMError, match=r"not a model folder .* nor a hub id"):
            NeuralCodec.from_pretrained(name)


def test_a_shipped_model_goes_by_the_name_of_its_folder(folder, tmp_path, monkeypatch):
    shipped = hub.find_model(hub.DEFAULT_CODEC)
    assert shipped == hub.find_model(None)
    with pytest.raises(SpeechLMError, match=f"shipped model .*{hub.DEFAULT_CODEC}"):
        hub.find_model("codec-32k")
    # A folder of that name comes first; a path is no name.
    monkeypatch.chdir(tmp_path)
    folder.rename(tmp_path / hub.DEFAULT_CODEC)
    assert hub.find_model(hub.DEFAULT_CODEC) == Path(hub.DEFAULT_CODEC)
    with pytest.raises(SpeechLMError, match="not a model folder"):
        hub.find_model(f"./elsewhere/{hub.DEFAULT_CODEC}")


def test_a_hub_id_is_fetched(folder, monkeypatch):
    asked = []

    def snapshot(name: str, allow_patterns: list[str]) -> str:
        asked.append((name, allow_patterns))
        return str(folder)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot)
    loaded = NeuralCodec.from_pretrained("owner/name")
    files = [hub.CONFIG, hub.WEIGHTS, hub.CONTEXT, *hub.LANGUAGE, *hub.UNITS]
    assert asked
    assert all(each == ("owner/name", files) for each in asked)
    assert loaded.weights_hash == NeuralCodec.from_pretrained(folder).weights_hash
    (folder / hub.CONFIG).unlink()
    with pytest.raises(SpeechLMError, match=r"config\.yaml: no such file"):
        NeuralCodec.from_pretrained("owner/name")


@pytest.mark.parametrize("message", ["offline\nand more", ""])
def test_a_hub_that_fails_is_one_line(message, monkeypatch):
    def snapshot(name: str, allow_patterns: list[str]) -> str:
        raise ConnectionError(message)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot)
    with pytest.raises(SpeechLMError) as caught:
        NeuralCodec.from_pretrained("owner/name")
    reason = message.splitlines()[0] if message else "ConnectionError"
    assert str(caught.value) == f"owner/name: cannot be fetched from the hub: {reason}"


def test_a_failed_save_leaves_the_old_model(folder, monkeypatch):
    before = NeuralCodec.from_pretrained(folder).weights_hash

    def fail(tensors, path, metadata=None):
        Path(path).write_bytes(b"half a fi")
        raise OSError("disk full")

    monkeypatch.setattr("safetensors.torch.save_file", fail)
    with pytest.raises(SpeechLMError, match="cannot be written: disk full"):
        NeuralCodec(network(config(), seed=1)).save_pretrained(folder)
    assert NeuralCodec.from_pretrained(folder).weights_hash == before
    assert sorted(path.name for path in folder.iterdir()) == [
        hub.JSON_CONFIG,
        hub.CONFIG,
        hub.WEIGHTS,
    ]


def test_impossible_configurations_are_one_line():
    made = CodecConfig(architecture="seanet", hop_length=100)
    with pytest.raises(SpeechLMError, match=r"seanet\.strides \[2, 4, 5, 8\] is not the hop 100"):
        CodecNetwork(made)


def test_a_configuration_refers_to_nothing_and_weights_are_numbers(
    tiny_model: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_model, folder)
    config = (folder / hub.CONFIG).read_text()
    (folder / hub.CONFIG).write_text(config + "\nsecret: ${oc.env:HOME}\n")
    with pytest.raises(SpeechLMError, match="holds values, not references"):
        hub.load_model(folder, CodecConfig)
    (folder / hub.CONFIG).write_text(config)
    weights = hub.load_weights(folder)
    next(iter(weights.values())).view(-1)[0] = float("nan")
    hub.save_weights(folder, weights)
    with pytest.raises(SpeechLMError, match="holds NaN or infinity"):
        hub.load_weights(folder)


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("codec-nano", "encoder_dim: 80", "encoder_dim: 80000000"),
        ("codec-nano", "encoder_blocks: 3", "encoder_blocks: 3000000000"),
        ("codec-nano", "cardinality: 1024", "cardinality: 1024000000"),
        ("lm-units", "dim: 192", "dim: 19200000"),
        ("vocoder-16k", "dim: ", "dim: 900000"),
    ],
)
def test_a_network_larger_than_its_weights_is_not_built(name, old, new, tmp_path):
    shutil.copytree(hub.SHIPPED / name, tmp_path / name)
    path = tmp_path / name / hub.CONFIG
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    opened = {"codec-nano": Codec, "lm-units": LanguageModel, "vocoder-16k": VocodedUnits}[name]
    with pytest.raises(SpeechLMError, match=r"config\.yaml describes a network that is larger"):
        opened.from_pretrained(tmp_path / name)


def test_a_download_is_compared_with_its_hashes(tmp_path):
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshots" / "main"
    blobs.mkdir()
    snapshot.mkdir(parents=True)
    names = {
        hub.WEIGHTS: hashlib.sha256(b"weights").hexdigest(),
        hub.CONFIG: hashlib.sha1(b"blob 6\0config").hexdigest(),
    }
    for (name, digest), data in zip(names.items(), (b"weights", b"config"), strict=True):
        (blobs / digest).write_bytes(data)
        (snapshot / name).symlink_to(blobs / digest)
    hub.verify_snapshot(snapshot)
    for name, digest in names.items():
        good = (blobs / digest).read_bytes()
        (blobs / digest).write_bytes(good[:-1] + b"!")
        with pytest.raises(SpeechLMError, match=f"{name}: is not what the hub has"):
            hub.verify_snapshot(snapshot)
        (blobs / digest).write_bytes(good)
