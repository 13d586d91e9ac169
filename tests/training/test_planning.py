"""Language models that plan: level 0 is told of what they say, and never of what they hear."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from speechlm import hub
from speechlm.config import load_yaml, to_dataclass
from speechlm.errors import SpeechLMError
from speechlm.lm.config import IdsConfig, LMConfig
from speechlm.lm.generate.sampling import GREEDY, Sampling
from speechlm.lm.language_model import LanguageModel
from speechlm.lm.tasks import TASKS, Example
from speechlm.nn import PackedSequences
from speechlm.tokenizers.base import Units
from speechlm.training.lm import LMObjective, LMRecipe
from speechlm.training.losses.ctc import ctc_loss
from speechlm.training.masking import drop_semantic
from speechlm.training.trainer import train
from tests.lm.corpora import text_model, tokenized

RECIPE = Path(__file__).parents[2] / "recipes" / "lm-smoke.yaml"
IDS = IdsConfig(specials=4, text=6, codebook_size=8, num_codebooks=3)
FIRST, TIME = 10, 120
STACKED = Units("stacked", "89abcdef", 16000, 320, 3, 16, codec=("toy", "01234567"))


def batch(rows: int = 64) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """An example of speech alone, one of text that is read aloud after a voice, and padding."""
    tokens = torch.zeros(rows, 3, TIME, dtype=torch.long)
    speech = torch.tensor([FIRST, FIRST + 8, FIRST + 16])[:, None]
    tokens[:, :, 1:50] = tokens[:, :, 51:60] = tokens[:, :, 70:110] = speech
    tokens[:, 0, 0] = tokens[:, 0, 50] = 1
    tokens[:, 0, 60:70] = 5
    mask = torch.zeros_like(tokens, dtype=torch.bool)
    mask[:, :, 1:50] = mask[:, :, 70:110] = True
    segments = torch.full((rows, TIME), -1)
    segments[:, :50], segments[:, 50:110] = 0, 1
    return tokens, mask, segments


def test_all_is_told_unless_asked_for() -> None:
    tokens, mask, segments = batch()
    for each in drop_semantic(tokens, mask, segments, IDS, 0.0):
        assert torch.equal(each, tokens)


def test_only_the_plan_of_what_is_heard_is_left_out() -> None:
    torch.manual_seed(0)
    tokens, mask, segments = batch(400)
    heard, known = drop_semantic(tokens, mask, segments, IDS, 0.8)
    for each in (heard, known):
        assert torch.equal(each[:, 1:], tokens[:, 1:])  # sound
        assert torch.equal(each[:, 0, 60:], tokens[:, 0, 60:])  # text, and what says it
        assert torch.equal(each[:, 0, [0, 50]], tokens[:, 0, [0, 50]])
    hidden = heard[:, 0] != tokens[:, 0]
    voice, alone = hidden[:, 51:60], hidden[:, 1:50]
    assert torch.equal(voice.any(1), voice.all(1))
    assert 0.75 < float(voice.all(1).float().mean()) < 0.85
    # Of speech alone, a beginning of any length; all of it in half of the cases.
    assert bool((alone[:, :-1] >= alone[:, 1:]).all())
    assert 0.35 < float(alone.all(1).float().mean()) < 0.45
    lengths = alone.sum(1)
    assert len(lengths[(lengths > 0) & (lengths < 49)].unique()) > 20
    below = known[:, 0, 1:50] != tokens[:, 0, 1:50]
    assert torch.equal(below.any(1), below.all(1))
    assert not bool((below.any(1) & ~alone.all(1)).any())
    assert 0.15 < float(below.all(1).float().mean()) < 0.25
    assert torch.equal(known[:, 0, 51:60], tokens[:, 0, 51:60])


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("planning")
    tokenized(folder / "toy", 240, STACKED, aligned=True)
    tokenized(folder / "sound", 60, STACKED.sound)
    text_model(folder)
    return folder


def recipe(data: Path, out: Path, *more: str, corpus: str = "toy") -> LMRecipe:
    off = [f"data.tasks.{name}=null" for name in ("tts", "tts-voice", "interleaved", "text")]
    usual = [f"data.corpora=[{data / corpus}]", f"data.text={data / 'text.model'}"]
    declared = load_yaml(RECIPE, [*usual, f"training.out={out}", *off, *more])
    return to_dataclass(LMRecipe, declared, RECIPE)


PLANS = ("data.num_codebooks=3", "mask.semantic_dropout=0.8", "data.tasks.tts-wordwise={weight: 2}")


@pytest.fixture(scope="module")
def folder(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = recipe(data, tmp_path_factory.mktemp("run"), *PLANS, "loss.ctc=0.5")
    return train(made.training, LMObjective(made))


@pytest.fixture(scope="module")
def model(folder: Path) -> LanguageModel:
    return LanguageModel.from_pretrained(folder)


def sound(frames: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 16, (2, frames))


def test_it_hears_and_gives_the_units_of_the_codec_alone(model: LanguageModel) -> None:
    assert model.network.config.semantic_stream
    assert model.units == STACKED.sound
    assert (model.units.model, model.units.weights, model.units.num_codebooks) == (
        "toy",
        "01234567",
        2,
    )
    assert model.vocabulary.units == STACKED
    how = Sampling(seed=3)
    for said in (
        model.continue_speech(sound(20), 12, how),
        model.synthesize("one two", 30, how),
        model.synthesize("one two", 30, how, sound(9)),
    ):
        codes = np.stack(list(said), axis=1)
        assert len(codes) == 2
        assert ((codes >= 0) & (codes < 16)).all()
    model.transcribe(sound(25))
    score = model.score(sound(40))
    assert len(score.bits) == 2
    assert score.tokens == 80
    assert all(np.isfinite(score.bits))


def test_what_was_learnt_is_heard_without_the_plan(model: LanguageModel) -> None:
    """Each word's sound counts up, and the text is that of the words."""
    rising = np.stack([np.arange(5) * 2 % 16, np.arange(5) * 3 % 16])  # levels 1 and 2 of "one"
    noise = sound(5)
    assert sum(model.score(rising).bits) < 0.8 * sum(model.score(noise).bits)


def test_a_score_is_what_sound_takes_without_any_plan(model: LanguageModel) -> None:
    """By the network itself, of tokens whose level 0 is padding throughout."""
    codes = sound(30)
    unknown = np.concatenate([np.full((1, 30), -1), codes])
    sequence = model.layout.sequence(TASKS["speech"], Example(speech=unknown, complete=False))
    assert not sequence.mask[0].any()
    assert (sequence.tokens[0, 1:] == model.layout.pad).all()
    tokens, mask = torch.from_numpy(sequence.tokens)[None], torch.from_numpy(sequence.mask)[None]
    nll = model.network.nll(tokens, mask, torch.zeros_like(tokens[:, 0]))
    assert float(nll[nll >= 0].sum()) == pytest.approx(
        sum(model.score(codes).bits) * np.log(2), rel=1e-5
    )
    assert not model.layout.spans(sequence.tokens)  # no frame is whole: who knows its level 0?


def test_a_prompt_is_gone_on_with_as_if_it_were_read_at_once(model: LanguageModel) -> None:
    """Cache or none: the next frame after a prompt and its first continuation is the same."""
    heard = sound(16)
    more = list(model.continue_speech(heard, 6, GREEDY))
    generator = model.generator
    end = model.vocabulary.id("<end of speech>")
    prompt = model.layout.prompt(TASKS["speech"], Example())
    whole = model._with_unknown_semantic(heard)
    found = []
    for _ in range(len(more)):
        [frame] = next(generator.generate_speech([prompt], [whole], end, 1, 50.0, GREEDY))
        found.append(frame[1:])
        whole = np.concatenate([whole, frame[:, None]], axis=1)
    assert np.array_equal(np.stack(found), np.stack(more))


@pytest.mark.parametrize("text", [None, "one two"])
def test_guidance_moves_sound_away_from_that_without_a_plan(folder: Path, text: str | None) -> None:
    """All by itself where nothing is read aloud; with a guidance of 0, it does not see the plan."""
    model = LanguageModel.from_pretrained(folder)

    def said(guidance: float | None) -> list[list[int]]:
        how = Sampling(temperature=0.0, guidance=guidance)
        if text is None:
            found = model.continue_speech(sound(12), 10, how)
        else:
            found = model.synthesize(text, 30, how, sound(9))
        return [frame.tolist() for frame in found]

    assert said(1.0) == said(1 + 1e-6) == said(None)
    assert said(1.0) != said(9.0)
    model.generator.guidance = 9.0
    assert said(None) == said(9.0)
    if text is None:
        before, rows = said(0.0), model.vocabulary.level(0)
        with torch.no_grad():
            model.network.embedding.weight[rows.start : rows.stop].normal_()
        model = LanguageModel(model.network, model.vocabulary, model.text)
        after = said(0.0)
        shared = min(len(before), len(after))
        assert shared > 0
        assert after[:shared] == before[:shared]


def test_a_model_of_the_codec_grows_a_plan(data: Path, tmp_path: Path) -> None:
    """Of speech whose plan it is not told, its backbone gives what it gave."""
    made = recipe(data, tmp_path / "sound", "training.steps=3", corpus="sound")
    first = train(made.training, LMObjective(made))
    old = LanguageModel.from_pretrained(first)
    grown = LMObjective(recipe(data, tmp_path / "grown", *PLANS, f"init={first}")).model.eval()
    codes = sound(20)
    before = torch.from_numpy(old.layout.sequence(TASKS["speech"], Example(codes)).tokens)[None]
    new = LMObjective(recipe(data, tmp_path / "new", *PLANS))
    unknown = np.concatenate([np.full((1, 20), -1), codes])
    after = torch.from_numpy(new.data.layout.sequence(TASKS["speech"], Example(unknown)).tokens)[
        None
    ]
    packing = PackedSequences(torch.zeros_like(before[:, 0]))
    with torch.no_grad():
        assert torch.allclose(old.network(before, packing), grown(after, packing), atol=1e-5)
    assert old.network.depth is not None
    assert grown.depth is not None
    for name in ("embedding.weight", "heads"):
        theirs = old.network.depth.state_dict()[name]
        assert torch.equal(grown.depth.state_dict()[name][-len(theirs) :], theirs)
    own = old.network.first
    assert torch.equal(grown.head[:own], old.network.head[:own])


def test_beside_stacked_units_there_may_be_others_of_their_codec(
    data: Path, tmp_path: Path
) -> None:
    """Whose level 0 nobody knows: it is neither told nor asked for."""
    both = f"data.corpora=[{data / 'sound'},{data / 'toy'}]"
    made = recipe(data, tmp_path, *PLANS, both, "training.steps=3", "loss.ctc=0.5")
    objective = LMObjective(made)
    assert objective.data.vocabulary.units == STACKED
    [asr] = [each for each in objective.data._train if each.task.name == "asr"]
    plans = {one.tokens.folder.name: one.codes[0] for one in asr.utterances}
    assert (plans["sound"] == -1).all()
    assert (plans["toy"] >= 0).all()
    loss = float(ctc_of(objective, "sound").detach())
    assert np.isfinite(loss)
    assert loss > 0
    train(made.training, objective)
    with pytest.raises(SpeechLMError, match="has 2 levels, not 3"):
        LMObjective(recipe(data, tmp_path, "data.num_codebooks=4", both))


def ctc_of(objective: LMObjective, corpus: str) -> torch.Tensor:
    """Of an example that transcribes an utterance of ``corpus``."""
    [examples] = [each for each in objective.data._train if each.task.name == "asr"]
    at = [one.tokens.folder.name for one in examples.utterances].index(corpus)
    index = examples.heard.tolist().index(at)
    tokens = torch.from_numpy(examples.sequence(index, np.random.default_rng(0)).tokens)[None]
    segments = torch.zeros_like(tokens[:, 0])
    model = objective.model
    assert model.ctc is not None
    h = model(tokens, PackedSequences(segments))
    return ctc_loss(model.ctc, h, tokens, segments, objective.data.vocabulary)


def test_units_remember_their_codec() -> None:
    assert Units(**{**STACKED.__dict__, "codec": ["toy", "01234567"]}) == STACKED
    assert STACKED.sound == Units("toy", "01234567", 16000, 320, 2, 16)
    assert STACKED.sound is not None
    assert STACKED.sound.sound is None


def test_what_cannot_plan_is_one_line(data: Path, tmp_path: Path) -> None:
    with pytest.raises(SpeechLMError, match="needs stacked units, and lm\\.pattern"):
        LMObjective(recipe(data, tmp_path, "mask.semantic_dropout=0.5", corpus="sound"))
    with pytest.raises(SpeechLMError, match="needs stacked units, and lm\\.pattern"):
        LMObjective(recipe(data, tmp_path, *PLANS, "lm.pattern=delay"))
    other = replace(STACKED, codec=("other", "01234567"))
    tokenized(tmp_path / "other", 60, other)
    made = recipe(data, tmp_path / "a", "training.steps=2", corpus="sound")
    first = train(made.training, LMObjective(made))
    with pytest.raises(
        SpeechLMError, match=r"speaks 2 levels of toy .*, and this recipe's data is 3"
    ):
        LMObjective(
            recipe(
                tmp_path,
                tmp_path / "b",
                "data.num_codebooks=3",
                f"data.text={data / 'text.model'}",
                f"init={first}",
                corpus="other",
            )
        )
    assert hub.load_model(first, LMConfig)[0].semantic_stream is False
