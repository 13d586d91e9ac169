"""Semantic units above a codec's levels: put together, heard, spoken and modelled."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from speechlm import codec as codecs
from speechlm import hub
from speechlm.data.batches.task_examples import open_corpora
from speechlm.data.tokenize import tokenize
from speechlm.errors import SpeechLMError
from speechlm.lm.patterns import pattern
from speechlm.lm.tasks import TASKS, Example, TokenLayout
from speechlm.lm.vocabulary import Vocabulary
from speechlm.tokenizers import load as units
from speechlm.tokenizers.base import UnitTokenizer
from speechlm.tokenizers.features import TeacherConfig, build
from speechlm.tokenizers.kmeans import KMeansConfig
from speechlm.tokenizers.serialization import SerializationConfig
from speechlm.training import registry

ROOT = Path(__file__).parents[2]
RATE, HOP, CLUSTERS, LEVELS = 16000, 320, 6, 2


def semantic(folder: Path, clusters: int = CLUSTERS, form: str = "runs") -> Path:
    """K-means on cepstra, of random centroids."""
    teacher = TeacherConfig("mfcc")
    dim = build(teacher).dim
    random = torch.manual_seed(0)
    weights = {
        "mean": torch.zeros(dim),
        "scale": torch.ones(dim),
        "centroids": torch.randn(clusters, dim, generator=random),
    }
    config = KMeansConfig(
        "kmeans", "said", teacher, clusters, SerializationConfig(form, hop_length=HOP)
    )
    return hub.save_model(folder, config, weights)


def stack(folder: Path, said: Path, codec: Path | str, *more: str) -> Path:
    settings = [f"semantic={said}", f"units.codec={codec}", f"units.num_codebooks={LEVELS}"]
    recipe = ROOT / "recipes" / "units-stacked.yaml"
    return registry.train_recipe(recipe, [*settings, f"training.out={folder}", *more])


@pytest.fixture(scope="module")
def folder(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("stacked")
    return stack(out, semantic(out / "said"), tiny_model)


@pytest.fixture(scope="module")
def tokenizer(folder: Path) -> UnitTokenizer:
    return units.load(folder)


def noise(samples: int) -> torch.Tensor:
    return 0.1 * torch.randn(1, samples, generator=torch.manual_seed(samples))


def test_its_levels_are_those_of_its_parts(
    tokenizer: UnitTokenizer, folder: Path, tiny_model: Path
) -> None:
    codec = codecs.load(tiny_model)
    assert (tokenizer.units.num_codebooks, tokenizer.units.codebook_size) == (
        1 + LEVELS,
        codec.codebook_size,
    )
    wave = noise(RATE)
    codes = tokenizer.encode(wave)
    assert torch.equal(codes[:, 1:], codec.encode(wave, num_codebooks=LEVELS))
    said = units.load(folder / "units", framed=True).encode(wave)
    assert torch.equal(codes[:, :1, : said.shape[2]], said)
    with pytest.raises(SpeechLMError, match="has 2 to 3 levels, not 4"):
        units.load(folder, 4)
    fewer = units.load(folder, 2)
    assert fewer.units.num_codebooks == 2
    assert torch.equal(fewer.encode(wave), codes[:, :2])
    assert torch.equal(fewer.decode(codes[:, :2]), codec.decode(codes[:, 1:2]))


@pytest.mark.parametrize("ahead", [1, 3, 60])
def test_what_is_said_may_be_ahead_of_its_sound(
    ahead: int, folder: Path, tiny_model: Path, tmp_path: Path
) -> None:
    """By so many frames, as far as there is any; a prompt ends where it is not known yet."""
    late = units.load(stack(tmp_path, folder / "units", tiny_model, f"units.ahead={ahead}"))
    now, wave = units.load(folder), noise(RATE)
    assert late.units.weights != now.units.weights
    codes, others = late.encode(wave), now.encode(wave)
    frames = others.shape[2]
    at = torch.arange(ahead, ahead + frames).clamp(max=frames - 1)
    assert torch.equal(codes[:, 0], others[:, 0, at])
    assert torch.equal(codes[:, 1:], others[:, 1:])
    assert torch.equal(late.decode(codes), now.decode(others))
    assert torch.equal(late.begin(wave), codes[:, :, : max(now.begin(wave).shape[2] - ahead, 0)])


@settings(max_examples=10)
@given(st.integers(1, 3 * HOP))
def test_sound_of_any_length_comes_back_as_long(tokenizer: UnitTokenizer, samples: int) -> None:
    wave = noise(samples)
    codes = tokenizer.encode(wave)
    assert tokenizer.decode(codes, samples).shape == (1, samples)
    assert tokenizer.begin(wave).shape[2] <= samples // HOP


def test_what_is_said_makes_no_sound_and_streamed_is_offline(tokenizer: UnitTokenizer) -> None:
    codes = tokenizer.encode(noise(RATE // 2))
    other = codes.clone()
    other[:, 0] = (other[:, 0] + 1) % CLUSTERS
    whole = tokenizer.decode(codes)
    assert torch.equal(whole, tokenizer.decode(other))
    stream = tokenizer.stream_decoder()
    parts = [stream.push(frame) for frame in other.split(1, dim=2)]
    streamed = torch.cat([*parts, stream.flush()], dim=1)
    assert torch.allclose(streamed, whole, atol=1e-4)


def test_a_language_model_reads_them_from_disk(
    tokenizer: UnitTokenizer, folder: Path, tmp_path: Path
) -> None:
    """What is said comes first in a frame, and is of the kinds of its own level alone."""
    said = tmp_path / "said"
    said.mkdir()
    for number in range(2):
        soundfile.write(said / f"{number}.wav", noise(RATE + 3000 * number)[0].numpy(), RATE)
    tokenize(said, tmp_path / "tokens", str(folder))
    [tokens], held = open_corpora([tmp_path / "tokens"], 1 + LEVELS)
    assert held == tokenizer.units
    vocabulary = Vocabulary(10, held)
    layout = TokenLayout(vocabulary, pattern("depth", held.num_codebooks))
    for entry in tokens.entries:
        codes = tokens.codes(entry).astype(np.int64)
        laid = layout.sequence(TASKS["speech"], Example(speech=codes)).tokens
        assert np.isin(laid[0, 1:-1] - vocabulary.level(0).start, range(CLUSTERS)).all()
        [span] = layout.spans(laid)
        assert np.array_equal(span.content, codes)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"ahead": -1}, "stacked: ahead=-1 is no number of frames"),
        ({"num_codebooks": 0}, "tiny has 1 to 4 levels, not 0"),
        ({"clusters": 2000}, "more kinds of units than tiny: 2000 and 1024"),
        ({"codec": "units"}, "no codec, on whose levels"),
        ({"codec": "codec-24k"}, "not a model folder"),
        ({"semantic": "null"}, "semantic= takes the folder of a tokenizer"),
    ],
)
def test_what_does_not_go_together_is_one_line(
    changes: dict[str, str | int], says: str, tiny_model: Path, tmp_path: Path
) -> None:
    said = semantic(tmp_path / "said", int(changes.get("clusters", CLUSTERS)))
    codec = {"units": str(said)}.get(str(changes.get("codec")), changes.get("codec", tiny_model))
    more = [f"semantic={changes['semantic']}"] if "semantic" in changes else []
    more += [
        f"units.{name}={changes[name]}" for name in ("num_codebooks", "ahead") if name in changes
    ]
    with pytest.raises(SpeechLMError, match=says) as no:
        stack(tmp_path, said, str(codec), *more)
    assert "\n" not in str(no.value)


def test_a_model_stays_where_another_is_none(tiny_model: Path, tmp_path: Path) -> None:
    made = stack(tmp_path, semantic(tmp_path / "said"), tiny_model)
    with pytest.raises(SpeechLMError, match="tiny has 1 to 4 levels, not 0"):
        stack(tmp_path, semantic(tmp_path / "said"), tiny_model, "units.num_codebooks=0")
    assert units.load(made).units.num_codebooks == LEVELS + 1
