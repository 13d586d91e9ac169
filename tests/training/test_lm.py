"""Language models: training trains every task, exactly resumed, with the best one kept."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from difflib import SequenceMatcher
from pathlib import Path

import numpy as np
import pytest
import torch

from speechlm import audio, hub
from speechlm.cli.models import export_hf
from speechlm.codec import NeuralCodec
from speechlm.config import load_yaml, to_dataclass
from speechlm.data.prepare import prepare
from speechlm.data.tokenize import tokenize
from speechlm.data.tokens import Tokens
from speechlm.errors import SpeechLMError
from speechlm.evaluation.kneser_ney import UnitNgrams
from speechlm.lm import hf
from speechlm.lm.config import LMConfig
from speechlm.lm.generate.sampling import GREEDY
from speechlm.lm.language_model import LanguageModel
from speechlm.lm.model import UnitLM
from speechlm.lm.patterns import PATTERNS
from speechlm.lm.tasks import TASKS
from speechlm.lm.vocabulary import END_OF_SPEECH, Vocabulary
from speechlm.tokenizers.text import FILE, TextTokenizer
from speechlm.training import lm, registry
from speechlm.training.lm import LMObjective, LMRecipe
from speechlm.training.trainer import train
from speechlm.utils import distributed
from speechlm.utils.distributed import Shard
from tests.codec.test_peers import DAC, ENCODEC, save
from tests.lm.corpora import FRAMES, WORDS, text_model, tokenized, units

from .runs import assert_same_run, log

RECIPE = Path(__file__).parents[2] / "recipes" / "lm-smoke.yaml"

FOLDER = RECIPE.parents[1] / "data" / "folder.yaml"

OF_UNTRAINED, OF_UNIGRAMS = 0.35, 0.60
"""Bounds on the validation loss and on the bits a second; the recipe says what was measured."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lm")
    tokenized(folder / "toy", 240)
    text_model(folder)
    return folder


def settings(data: Path, out: Path, *more: str) -> list[str]:
    usual = [f"data.corpora=[{data / 'toy'}]", f"data.text={data / 'text.model'}"]
    return [*usual, f"training.out={out}", *more]


def recipe(data: Path, out: Path, *more: str) -> LMRecipe:
    """A few steps of a smaller model, with something random in each."""
    small = ["training.steps=6", "training.validate_every=3", "training.checkpoint_every=2"]
    small += [
        "lm.dim=16",
        "lm.num_layers=1",
        "lm.ffn_dim=16",
        "lm.depth.dim=8",
        "lm.depth.ffn_dim=8",
    ]
    small += ["lm.dropout=0.2", "training.log_every=1", "data.batch=1", "data.validation=4"]
    declared = load_yaml(RECIPE, settings(data, out, *small, *more))
    return to_dataclass(LMRecipe, declared, RECIPE)


def run(made: LMRecipe) -> Path:
    return train(made.training, LMObjective(made))


def test_seconds_of_training_beat_none_and_unigrams(data: Path, tmp_path: Path) -> None:
    folder = registry.train_recipe(RECIPE, settings(data, tmp_path))
    lines = [line for line in log(tmp_path) if line["kind"] == "valid"]
    trained = min(lines, key=lambda line: line["loss"])
    made = to_dataclass(LMRecipe, load_yaml(RECIPE, settings(data, tmp_path)), RECIPE)
    objective = LMObjective(made)
    untrained = objective.validate(objective.model.eval())
    assert trained["loss"] < OF_UNTRAINED * untrained["loss"]
    tokens = Tokens(data / "toy")
    codes = {
        split: [tokens.codes(e) for e in tokens.entries if e.split == split]
        for split in ("train", "dev")
    }
    unigrams = UnitNgrams(codes["train"], 16, 1)
    bits = 50 * np.concatenate([unigrams.bits(each) for each in codes["dev"]], axis=1).mean(axis=1)
    for task in ("speech", "tts", "tts-voice", "interleaved"):
        assert trained[f"{task}/bits_per_second"] < OF_UNIGRAMS * bits.sum()
        assert untrained[f"{task}/bits_per_second"] > bits.sum()
    for task in ("text", "asr", "interleaved"):
        assert trained[f"{task}/perplexity"] < 0.05 * untrained[f"{task}/perplexity"]
    # What is heard helps to write it.
    assert trained["asr/perplexity"] < trained["text/perplexity"]

    config, weights = hub.load_model(folder, LMConfig)
    model = UnitLM(config).eval()
    model.load_state_dict(weights)
    assert objective.validate(model)["loss"] == pytest.approx(trained["loss"], rel=2e-3)
    assert Vocabulary.load(folder) == objective.data.vocabulary
    assert TextTokenizer.load(folder / FILE).model == objective.data.text.model


def test_seconds_of_training_teach_to_read_aloud(tmp_path: Path) -> None:
    """Sentences that it never saw: each word's codes, in order, and an end by itself."""
    tokenized(tmp_path / "toy", 240, aligned=True)
    text_model(tmp_path)
    off = [f"data.tasks.{name}=null" for name in TASKS if not name.startswith("tts-wordwise")]
    on = ["data.tasks.tts-wordwise={weight: 3}", "data.tasks.tts-wordwise-voice={weight: 1}"]
    longer = "training.steps=180"  # with a margin on every processor
    folder = registry.train_recipe(RECIPE, settings(tmp_path, tmp_path / "run", *off, *on, longer))
    model = LanguageModel.from_pretrained(folder)
    assert model.network.config.wordwise_tts
    voice = np.array([[2, 3, 4], [4, 6, 8]])
    for given in (None, voice):
        words = ["six", "one", "three", "two", "six", "five", "four"]
        said = [int(frame[0]) for frame in model.synthesize(" ".join(words), 80, GREEDY, given)]
        expected = [2 * WORDS[word] + frame for word in words for frame in range(FRAMES)]
        assert SequenceMatcher(None, said, expected).ratio() > 0.85


def test_an_interrupted_run_goes_on(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(recipe(data, tmp_path / "whole"))
    real = LMObjective.batch
    for at in (1, 5):

        def batch(objective: LMObjective, step: int, at: int = at) -> dict[str, torch.Tensor]:
            if step == at:
                raise KeyboardInterrupt
            return real(objective, step)

        with monkeypatch.context() as patch:
            patch.setattr(LMObjective, "batch", batch)
            with pytest.raises(SpeechLMError, match="interrupted"):
                run(recipe(data, tmp_path / "stopped"))
    run(recipe(data, tmp_path / "stopped"))
    assert_same_run(tmp_path / "stopped", tmp_path / "whole")


@pytest.mark.parametrize("other", ["text", "units"])
def test_a_run_does_not_go_on_with_others_of_the_same_shape(
    other: str, data: Path, tmp_path: Path
) -> None:
    run(recipe(data, tmp_path / "run"))
    made = units() if other == "text" else replace(units(), weights="76543210")
    tokenized(tmp_path / "toy", 240, made)
    text = TextTokenizer.load(text_model(tmp_path))
    if other == "text":
        TextTokenizer.train([" ".join(WORDS) + 50 * "x"], "char", 300).save(tmp_path / "text.model")
        changed = TextTokenizer.load(tmp_path / "text.model")
        assert changed.size == text.size and changed.pieces != text.pieces
    with pytest.raises(SpeechLMError, match="trained with other units or another vocabulary"):
        run(recipe(tmp_path, tmp_path / "run"))


def test_the_best_model_is_kept_also_by_a_resumed_run(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = {2: 3.0, 4: 1.0, 6: 2.0, 8: 1.5}
    real = LMObjective.validate
    calls = iter(losses.values())
    monkeypatch.setattr(
        LMObjective, "validate", lambda self, model: {**real(self, model), "loss": next(calls)}
    )
    usual = ["training.validate_every=2"]
    run(recipe(data, tmp_path, *usual, "training.steps=6"))
    kept = [path.read_bytes() for path in sorted((tmp_path / "model").iterdir())]
    assert _step(tmp_path) == 4
    assert not (tmp_path / "models").exists()
    run(recipe(data, tmp_path, *usual, "training.steps=8", "keep=true"))
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["000008"]
    assert LanguageModel.from_pretrained(tmp_path / "models" / "000008").network
    assert [path.read_bytes() for path in sorted((tmp_path / "model").iterdir())] == kept
    assert [line["loss"] for line in log(tmp_path) if line["kind"] == "valid"] == [3, 1, 2, 1.5]


@pytest.mark.parametrize("name", [ENCODEC, DAC])
def test_units_of_a_peer_train_a_model(name: str, data: Path, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    (tmp_path / "wav").mkdir()
    for index in range(6):
        wave = 0.1 * random.standard_normal(16000).astype(np.float32)
        audio.write(tmp_path / "wav" / f"{index}.wav", wave, 16000)
    prepare(FOLDER, [f"path={tmp_path / 'wav'}", f"output={tmp_path / 'corpus'}", "split.dev=0.5"])
    weights = save(name, tmp_path / "weights.pth")
    tokenize(tmp_path / "corpus", tmp_path / "units", f"{name}={weights}", num_codebooks=2)
    units = [f"data.corpora=[{tmp_path / 'units'}]", "data.num_codebooks=2", "data.length=512"]
    made = recipe(data, tmp_path / "run", *units, "lm.max_position_embeddings=512")
    made.data.tasks = {"speech": made.data.tasks["speech"]}
    assert Vocabulary.load(run(made)).units.model == name


def _step(out: Path) -> int:
    from safetensors import safe_open

    with safe_open(out / "model" / "model.safetensors", "pt") as file:
        return int(file.metadata()["step"])


@pytest.mark.parametrize("backbone", ["llama", "gru", "wavenet"])
@pytest.mark.parametrize("kind", PATTERNS)
def test_a_packed_example_is_predicted_as_it_is_alone(
    kind: str, backbone: str, data: Path, tmp_path: Path
) -> None:
    more = [f"lm.pattern={kind}", f"lm.backbone={backbone}", "data.length=512", "data.batch=2"]
    objective = LMObjective(recipe(data, tmp_path, *more))
    model = objective.model.eval()
    batch = objective.batch(3)
    packed = model.nll(**batch)
    tokens, mask, segments = batch["tokens"], batch["mask"], batch["segments"]
    assert int(segments.max()) > 1
    for row in range(2):
        for segment in range(int(segments[row].max()) + 1):
            inside = segments[row] == segment
            alone = model.nll(
                tokens[row, :, inside][None], mask[row, :, inside][None], 0 * inside[inside][None]
            )
            torch.testing.assert_close(packed[row, :, inside], alone[0], atol=1e-4, rtol=0)
            assert ((alone[0] >= 0) == mask[row, :, inside]).all()


def test_figures_are_sums_over_all_that_is_held_out(data: Path, tmp_path: Path) -> None:
    objective = LMObjective(recipe(data, tmp_path, "data.validation=1000"))
    figures = objective.validate(objective.model.eval())
    loss = 0.0
    weights = {name: task.weight for name, task in objective.recipe.data.tasks.items()}
    for name, batches in objective.data.held_out.items():
        nll, tokens = [], []
        for batch in batches:
            each = objective.model.nll(
                *(torch.from_numpy(a) for a in (batch.tokens, batch.mask, batch.segments))
            )
            nll.append(each[each >= 0].numpy())
            tokens.append(batch.tokens[(each >= 0).numpy()])
        nats, ids = np.concatenate(nll), np.concatenate(tokens)
        vocabulary = objective.data.vocabulary
        total = 0.0
        for level in range(2):
            at = np.isin(ids, vocabulary.level(level))
            if at.any():
                bits = 50 * nats[at].mean() / math.log(2)
                assert figures[f"{name}/level {level}"] == pytest.approx(bits, rel=1e-5)
                total += bits
        at = np.isin(ids, vocabulary.text)
        assert figures.get(f"{name}/bits_per_second", 0.0) == pytest.approx(total, rel=1e-5)
        assert (f"{name}/perplexity" in figures) == bool(at.any())
        if at.any():
            expected = math.exp(nats[at].mean())
            assert figures[f"{name}/perplexity"] == pytest.approx(expected, rel=1e-5)
        loss += weights[name] * nats.mean() / sum(weights.values())
    assert figures["loss"] == pytest.approx(loss, rel=1e-5)
    assert set(weights) == {name for name in TASKS if not name.startswith("tts-wordwise")}


def test_init_starts_from_a_model_or_from_a_llama(data: Path, tmp_path: Path) -> None:
    first = run(recipe(data, tmp_path / "first"))
    objective = LMObjective(recipe(data, tmp_path, f"init={first}", "training.seed=9"))
    saved = hub.load_model(first, LMConfig)[1]
    exported = hf.export(objective.model, tmp_path / "llama")
    other = LMObjective(recipe(data, tmp_path, f"init={exported}", "training.seed=8"))
    for name, value in objective.model.state_dict().items():
        assert torch.equal(value, saved[name])
        torch.testing.assert_close(other.model.state_dict()[name], value)
    run(recipe(data, tmp_path / "second", f"init={first}"))
    with pytest.raises(SpeechLMError, match="another architecture than that of the recipe"):
        LMObjective(recipe(data, tmp_path, f"init={first}", "lm.num_layers=2"))
    TextTokenizer.train(["other words"]).save(tmp_path / "text.model")
    with pytest.raises(SpeechLMError, match="other pieces of text than this recipe's data"):
        LMObjective(recipe(data, tmp_path, f"init={first}", f"data.text={tmp_path / 'text.model'}"))


def test_init_tells_what_a_recipe_leaves_out_and_what_a_vocabulary_lacks(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = run(recipe(data, tmp_path / "first", "loss.ctc=0.5"))
    capsys.readouterr()
    LMObjective(recipe(data, tmp_path, f"init={first}", "loss.ctc=0.5"))
    assert capsys.readouterr().err == ""
    LMObjective(recipe(data, tmp_path, f"init={first}"))
    (line,) = capsys.readouterr().err.splitlines()
    assert line == f"{first}: its weights of ctc are left out; to keep them, set loss.ctc above 0"
    vocabulary = Vocabulary.load(first)
    replace(vocabulary, specials=vocabulary.specials[:-1]).save(first)
    says = rf"lacks {re.escape(vocabulary.specials[-1])}\).* train without init"
    with pytest.raises(SpeechLMError, match=says) as no:
        LMObjective(recipe(data, tmp_path, f"init={first}", "loss.ctc=0.5"))
    assert "\n" not in str(no.value)


def other_letters(data: Path, folder: Path) -> str:
    """The option that names a tokenizer of as many pieces as the data's, of other letters."""
    ours = TextTokenizer.load(data / "text.model")
    letters = {piece for piece in ours.pieces if len(piece) == 1 and piece != "\u2581"}
    others = [chr(ord("a") + number) for number in range(26) if chr(97 + number) not in letters]
    greek = [chr(0x3B1 + number) for number in range(24)]
    made = TextTokenizer.train([" ".join((others + greek)[: len(letters)])])
    assert made.size == ours.size and made.pieces != ours.pieces
    made.save(folder / "other.model")
    return f"data.text={folder / 'other.model'}"


def other_units(folder: Path) -> str:
    """The option that names a corpus of as many units as the data's, of other weights."""
    tokenized(folder / "other", 240, replace(units(), weights="76543210"))
    return f"data.corpora=[{folder / 'other'}]"


def exported(model: Path, folder: Path) -> Path:
    """What the command line writes of a model folder."""
    export_hf(folder, str(model))
    return folder


@pytest.mark.parametrize("form", ["ours", "llama"])
def test_init_takes_no_other_letters_or_units_of_equal_number(
    form: str, data: Path, tmp_path: Path
) -> None:
    model = run(recipe(data, tmp_path / "first"))
    init = f"init={model if form == 'ours' else exported(model, tmp_path / 'llama')}"
    LMObjective(recipe(data, tmp_path, init))
    for option, says in (
        (other_letters(data, tmp_path), "has other pieces of text than this recipe's data"),
        (other_units(tmp_path), r"speaks 2 levels of toy \(01234567\), and .* toy \(76543210\)"),
    ):
        with pytest.raises(SpeechLMError, match=says) as no:
            LMObjective(recipe(data, tmp_path, init, option))
        assert "\n" not in str(no.value)


def test_an_export_shares_its_pieces_with_models_of_other_units(
    data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    model = run(recipe(data, tmp_path / "first"))
    llama = exported(model, tmp_path / "llama")
    tokenized(tmp_path / "more", 240, units(num_codebooks=3))
    option = f"data.corpora=[{tmp_path / 'more'}]"
    found = LMObjective(recipe(data, tmp_path, option, "data.num_codebooks=3", f"init={llama}"))
    text = found.data.vocabulary.text
    saved = hub.load_model(model, LMConfig)[1]["embedding.weight"]
    kept = found.model.embedding.weight[text.start : text.stop]
    assert torch.equal(kept, saved[text.start : text.stop])
    assert f"{len(text)} of {found.model.size} ids keep" in capfd.readouterr().err


def test_embeddings_begin_by_the_codebooks_of_the_units_codec(data: Path, tmp_path: Path) -> None:
    codec = NeuralCodec.from_pretrained()
    tokens = Tokens(data / "toy")
    with pytest.raises(SpeechLMError, match=f"codec-16k: its weights are {codec.weights_hash}"):
        LMObjective(recipe(data, tmp_path, "codec=codec-16k"))
    units = replace(tokens.units, weights=codec.weights_hash)
    vectors = lm._vectors("codec-16k", replace(units, num_codebooks=2))
    assert vectors.shape[:2] == (2, codec.codebook_size)
    codes = torch.tensor([[[3, 5], [700, 0]]])
    total = vectors[0, codes[0, 0]] + vectors[1, codes[0, 1]]
    torch.testing.assert_close(total.T[None], codec.latents(codes))


def test_the_loss_is_the_weighted_mean_of_what_is_predicted(data: Path, tmp_path: Path) -> None:
    more = ["loss.text=5", "loss.codebook_weights=[2]", "lm.dropout=0"]
    objective = LMObjective(recipe(data, tmp_path, *more))
    batch = objective.batch(0)
    nll = objective.model.nll(**batch)
    kinds = objective.model.kinds_of_ids[batch["tokens"]]
    weights = torch.tensor([5.0, 5.0, 2.0, 1.0])[kinds]
    # Where speech may end a unit may stand too: neither is to seem more probable for its weight.
    weights[batch["tokens"] == objective.data.vocabulary.id(END_OF_SPEECH)] = 2.0
    weights = weights * (nll >= 0)
    total, _ = objective(*objective.micro_batches(batch, 1), "model", 0)
    torch.testing.assert_close(total, (weights * nll).sum() / weights.sum())
    assert total.item() != pytest.approx(nll[nll >= 0].mean().item(), rel=1e-3)


def test_the_mean_over_processes_and_parts_is_that_of_one(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    more = ["loss.text=5", "lm.dropout=0", "data.batch=4"]
    objective = LMObjective(recipe(data, tmp_path, *more))
    whole, _ = objective(*objective.micro_batches(objective.batch(0), 1), "model", 0)
    seen: list[torch.Tensor] = []

    def both() -> list[torch.Tensor]:
        found = []
        for index in range(2):
            objective.shard = Shard(index, 2)
            for number, rows in enumerate(objective.micro_batches(objective.batch(0), 2)):
                with distributed.micro_batch(number, 2):
                    found.append(objective(rows, "model", 0)[0])
        return found

    monkeypatch.setattr(distributed, "all_reduce_mean", lambda x: seen.append(x) or x)
    both()
    monkeypatch.setattr(distributed, "all_reduce_mean", lambda x: torch.stack(seen).mean())
    torch.testing.assert_close(sum(both()) / 4, whole)


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("loss.codebook_weights=[1,1,1]", "weights are 0 or more, of at most 2 codebooks"),
        ("loss.text=-1", "weights are 0 or more"),
        ("init=nowhere", "nowhere: not a model folder"),
        (
            "lm.max_position_embeddings=100",
            r"data\.length=256 is longer than lm\.max_position_embeddings=100",
        ),
        ("lm.num_layers=0", "num_layers is 1 or more, not 0"),
        ("lm.num_heads=0", "num_heads is 1 or more, not 0"),
        ("lm.num_kv_heads=0", "num_kv_heads is 1 or more, not 0"),
        ("lm.depth.num_heads=0", r"depth\.num_heads is 1 or more, not 0"),
        ("lm.pattern=spiral", "pattern is one of depth, delay, flatten, not spiral"),
        ("data.tasks.sing={}", "a task is one of speech, .* not sing"),
        ("data.tasks.asr.weights=2", r"unknown key data\.tasks\.asr\.weights"),
        ("data.corpora=[nowhere]", "nowhere: not a tokenized corpus"),
    ],
)
def test_a_bad_recipe_is_one_line(override: str, says: str, data: Path, tmp_path: Path) -> None:
    with pytest.raises(SpeechLMError, match=says) as no:
        registry.train_recipe(RECIPE, settings(data, tmp_path, override))
    assert "\n" not in str(no.value)
