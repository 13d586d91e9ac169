"""Every codec in the package: loads by its name, has a card, is as small as it says, and codes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from pystoi import stoi

from speechlm import audio
from speechlm.codec import Codec, load
from speechlm.codec.config import CodecConfig
from speechlm.codec.network import CodecNetwork
from speechlm.errors import SpeechLMError
from speechlm.hub import SHIPPED, load_model
from speechlm.training.codec import CodecRecipe, _initial

STOI = {"codec-16k": 0.943, "codec-nano": 0.896, "codec-fsq": 0.797}
"""Of the sample recording at all levels, as measured. A frame late it is .63 to .70."""
MOST_BYTES = 32 << 20


@pytest.mark.parametrize("folder", sorted(SHIPPED.glob("codec-*")), ids=lambda folder: folder.name)
def test_a_shipped_codec(folder: Path, sample: Path) -> None:
    codec = load(folder.name)
    card = (folder / "README.md").read_text()
    assert f"\n# {codec.model_id}\n" in card
    for part in ("data", "licence", "steps", "recipe"):
        assert f"| {part}" in card
    wave, _ = audio.read(sample, codec.sample_rate)
    codes = codec.encode(torch.from_numpy(wave)[None])
    assert codes.shape == (1, codec.num_codebooks, codec.num_frames(len(wave)))
    sound = codec.decode(codes, len(wave))[0].numpy()
    assert stoi(wave, sound, codec.sample_rate) == pytest.approx(STOI[folder.name], abs=0.01)


@pytest.mark.parametrize("name", ["codec-16k", "codec-nano", "codec-fsq"])
def test_training_starts_from_all_of_its_weights(name: str) -> None:
    """Its codebooks too, whatever their names were when it was published."""
    config, _ = load_model(name, CodecConfig)
    network = CodecNetwork(config)
    found = _initial(CodecRecipe(codec=config, init=name, decoder_only=True), network)
    assert set(found) == set(network.weights())
    published = load(name).network.weights()
    assert all(torch.equal(found[each], published[each]) for each in published)


def test_all_weights_together_stay_small() -> None:
    """Of ``text.model``, all but 5 kB is the table of Unicode that comes with sentencepiece."""
    files = SHIPPED.rglob("*.safetensors")
    assert sum(path.stat().st_size for path in files) < MOST_BYTES


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 0.2 * 2**15])
def test_a_wave_of_another_scale_is_refused(value: float) -> None:
    """As it is in a file; in a stream too, in its first chunk and in the single hops after it."""
    codec = Codec.from_pretrained("codec-nano")
    wave = torch.full((1, 3 * codec.hop_length), 0.1)
    wave[0, 2 * codec.hop_length + 5] = value
    message = "NaN or infinite" if not abs(value) < float("inf") else "samples of 6553.6"
    with pytest.raises(SpeechLMError, match=message):
        codec.encode(wave)
    with pytest.raises(SpeechLMError, match=message):
        codec.stream_encoder().push(wave)
    stream = codec.stream_encoder()
    for hop_length in wave.split(codec.hop_length, dim=1)[:2]:
        stream.push(hop_length)
    with pytest.raises(SpeechLMError, match=message):
        stream.push(wave[:, 2 * codec.hop_length :])
