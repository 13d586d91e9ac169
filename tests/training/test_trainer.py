"""The loop: batches, log, divergence, what a run leaves."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import replace

import pytest
import torch
from accelerate.state import AcceleratorState
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.nn import functional as F

from speechlm import hub
from speechlm.codec import NeuralCodec
from speechlm.errors import SpeechLMError
from speechlm.training.checkpoint import load_checkpoint, save_checkpoint
from speechlm.training.codec import CodecObjective
from speechlm.training.config import OptimizerConfig
from speechlm.training.trainer import Trainer
from speechlm.training.validation_clips import ValidationClips

from .runs import CODECS, KEEP, STEPS, log, recipe, run


def test_a_batch_is_a_function_of_the_step(corpus, tmp_path):
    one, other = (CodecObjective(recipe(corpus, tmp_path)) for _ in range(2))
    waves = {step: one.batch(step)["wave"] for step in (0, 1, 7)}
    for step in (7, 0, 1, 7):
        torch.manual_seed(step)
        before = torch.get_rng_state()
        assert torch.equal(other.batch(step)["wave"], waves[step])
        assert torch.equal(torch.get_rng_state(), before)  # it runs beside a step that draws
    assert not torch.equal(waves[0], waves[1])
    seeded = CodecObjective(recipe(corpus, tmp_path, seed=1))
    assert not torch.equal(seeded.batch(0)["wave"], waves[0])


@pytest.mark.parametrize("kind", CODECS)
def test_a_run_leaves_a_log_a_checkpoint_and_a_model(kind, corpus, tmp_path):
    made = recipe(corpus, tmp_path, kind)
    assert run(made) == tmp_path / "model"
    lines = log(tmp_path)
    assert [(line["step"], line["kind"]) for line in lines] == [
        (2, "train"), (4, "train"), (5, "valid"), (6, "train"), (8, "train"),
        (10, "train"), (10, "valid"),
    ]  # fmt: skip
    assert all(
        math.isfinite(value) for line in lines for name, value in line.items() if name != "kind"
    )
    assert load_checkpoint(tmp_path / "checkpoint.pt")["step"] == STEPS
    # What is exported is the average, of the best step by the validation loss or of the last.
    valid = [line for line in lines if line["kind"] == "valid"]
    best = min(valid, key=lambda line: line["loss"])
    is_last = CodecObjective(made).selects_best is False
    assert is_last == (kind == "adversarial")
    content = load_checkpoint(tmp_path / ("checkpoint.pt" if is_last else "checkpoint-best.pt"))
    exported = valid[-1] if is_last else best
    assert content["step"] == exported["step"]
    codec = NeuralCodec.from_pretrained(tmp_path / "model")
    for name, value in codec.network.weights().items():
        mean = content["average"][name]
        assert torch.equal(value, mean.half().float() if mean.is_floating_point() else mean)
    objective = CodecObjective(made)
    objective.model.load_state_dict(content["average"])
    figures = objective.validate(objective.model.eval())
    for name, value in figures.items():
        assert exported[name] == pytest.approx(value, rel=1e-5)
    assert any(tmp_path.glob("tensorboard/events*"))


def test_half_precision_is_for_computing_alone(corpus, tmp_path, request):
    """The same losses to its rounding, and weights that stay in single precision."""
    curves = []
    for precision in ("no", "bf16"):
        AcceleratorState._reset_state()  # a process has one precision
        request.addfinalizer(AcceleratorState._reset_state)
        out = tmp_path / precision
        run(recipe(corpus, out, "scalars", precision=precision, log_every=1))
        curves.append([line["model/loss"] for line in log(out) if line["kind"] == "train"])
        content = load_checkpoint(out / "checkpoint.pt")
        floats = [value for value in content["average"].values() if value.is_floating_point()]
        assert {value.dtype for value in floats} == {torch.float32}
    assert curves[0] != curves[1]
    assert curves[1] == pytest.approx(curves[0], rel=0.05)


def test_validation_is_the_mean_over_levels_of_the_weighted_losses(corpus, tmp_path):
    made = recipe(corpus, tmp_path)
    made.loss.mel, made.loss.linear, made.loss.complex = 0.5, 2.0, 3.0
    objective = CodecObjective(made)
    figures = objective.validate(objective.model.eval())
    assert figures["loss"] == pytest.approx(
        sum(
            0.5 * figures[f"mel@{k}"] + 2.0 * figures[f"linear@{k}"] + 3.0 * figures[f"complex@{k}"]
            for k in (1, 2)
        )
        / 2
    )


def test_the_adversarial_phase_begins_at_its_step(corpus, tmp_path):
    run(recipe(corpus, tmp_path, "adversarial", log_every=1))
    for line in log(tmp_path):
        if line["kind"] == "train":
            begun = line["step"] > 5
            assert ("discriminator/loss" in line) == begun
            assert ("adversarial" in line) == ("feature_matching" in line) == begun


@pytest.mark.parametrize("kind", ["vectors", "adversarial"])
def test_a_decoder_alone_gets_better_on_the_same_codes(kind, corpus, tmp_path):
    made = recipe(corpus, tmp_path / "decoder", kind, ema_decay=0.5)
    with pytest.raises(SpeechLMError, match="name in init the model"):
        CodecObjective(replace(made, decoder_only=True))
    first = run(recipe(corpus, tmp_path / "both", kind))
    made = replace(made, init=str(first), decoder_only=True)
    untrained = CodecObjective(made)
    loss = untrained.validate(untrained.model.eval())["loss"]
    then = run(made)
    before, after = NeuralCodec.from_pretrained(first), NeuralCodec.from_pretrained(then)
    assert after.weights_hash == before.weights_hash
    # The log rounds to six digits.
    assert log(tmp_path / "decoder")[-1]["loss"] < loss - 1e-4


def test_each_phase_moves_its_own_weights(corpus, tmp_path):
    made = recipe(corpus, tmp_path, "adversarial", steps=7)
    calls = []
    real = CodecObjective.forward

    def forward(objective, batch, phase, step):
        now = {name: value.clone() for name, value in objective.named_parameters()}
        calls.append((phase, step, now))
        return real(objective, batch, phase, step)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CodecObjective, "forward", forward)
        run(made)
    assert [(phase, step) for phase, step, _ in calls] == [
        *(("model", step) for step in range(5)),
        ("model", 5), ("discriminator", 5), ("model", 6), ("discriminator", 6),
    ]  # fmt: skip
    for (phase, _, now), (_, _, then) in itertools.pairwise(calls):
        moved = {name.split(".")[0] for name in now if not torch.equal(now[name], then[name])}
        assert moved == {"model" if phase == "model" else "discriminators"}


@pytest.mark.parametrize(
    ("at", "noticed", "is_read"),
    [(0, 1, True), (6, 7, True), (0, 3, False), (5, 6, False), (7, 8, False), (8, 9, False)],
)
def test_a_loss_that_is_not_finite_ends_the_run_and_spares_the_checkpoint(
    at, noticed, is_read, corpus, tmp_path, monkeypatch
):
    """At once where norms are read, else by what comes first: log, model or checkpoint."""
    monkeypatch.setattr(Trainer, "reads_each_norm", is_read)
    real = CodecObjective.forward

    def forward(objective, batch, phase, step):
        loss, logs = real(objective, batch, phase, step)
        return loss * (math.nan if step == at else 1.0), logs

    settings = {"log_every": 9, "validate_every": 3, "checkpoint_every": 4}
    with monkeypatch.context() as patch:
        patch.setattr(CodecObjective, "forward", forward)
        with pytest.raises(SpeechLMError) as no:
            run(recipe(corpus, tmp_path, **settings))
    then = f"continue from step {at // KEEP * KEEP}" if at >= KEEP else "start again"
    assert str(no.value) == (
        f"{tmp_path}: the loss or its gradient is not finite at step {noticed}; "
        f"lower training.optimizer.rate and run the same command to {then}"
    )
    path = tmp_path / "checkpoint.pt"
    assert path.exists() == (at >= KEEP)
    if path.exists():
        content = load_checkpoint(path)
        assert content["step"] == at // KEEP * KEEP
        assert all(torch.isfinite(value).all() for value in content["objective"].values())
    # The way out that the message names.
    run(recipe(corpus, tmp_path, **settings, optimizer=OptimizerConfig(rate=1e-4)))
    assert log(tmp_path)[-1]["step"] == STEPS


def test_a_diverging_rate_is_noticed(corpus, tmp_path):
    optimizer = OptimizerConfig(rate=1e30, warmup=0, clip=1e30)
    with pytest.raises(SpeechLMError, match="the loss or its gradient is not finite"):
        run(recipe(corpus, tmp_path, optimizer=optimizer))


@pytest.mark.parametrize("name", ["steps", "log_every", "validate_every", "checkpoint_every"])
def test_nothing_happens_every_zero_steps(name, corpus, tmp_path):
    with pytest.raises(SpeechLMError, match=name):
        run(recipe(corpus, tmp_path, **{name: 0}))


def test_levels_are_drawn_evenly_but_for_those_that_keep_all(corpus, tmp_path):
    made = recipe(corpus, tmp_path)
    made.codec.quantizer.num_codebooks = 4
    objective = CodecObjective(made)
    torch.manual_seed(0)
    drawn = objective.quantization.draw_num_codebooks(8000, objective.shard)
    shares = F.one_hot(drawn - 1, 4).double().mean(dim=0)
    # A quarter keep all; the rest are even. Five standard errors are .025.
    expected = torch.tensor([0.75 / 4] * 3 + [0.25 + 0.75 / 4]).double()
    torch.testing.assert_close(shares, expected, atol=0.025, rtol=0)


def test_commitment_is_soft_at_first(corpus, tmp_path):
    made = recipe(corpus, tmp_path)
    made.quantization.quantizer_bypass_steps, made.loss.commitment_warmup_steps = 0, 1
    made.loss.commitment_warmup_weight, made.loss.commitment = 0.25, 4.0
    made.loss.mel = made.loss.linear = made.loss.complex = 0.0
    objective = CodecObjective(made).eval()
    for step, weight in ((0, 0.25), (1, 4.0)):
        torch.manual_seed(0)
        total, terms = objective(objective.batch(0), "model", step)
        torch.testing.assert_close(total, weight * terms["commitment"])


def test_init_starts_from_a_model(corpus, tmp_path):
    first = run(recipe(corpus, tmp_path / "first"))
    made = recipe(corpus, tmp_path / "second")
    made.init = str(first)
    codec = NeuralCodec.from_pretrained(first)
    for name, value in codec.network.weights().items():
        assert torch.equal(CodecObjective(made).model.state_dict()[name], value)
    other = recipe(corpus, tmp_path / "third", "adversarial")
    other.init = str(first)
    with pytest.raises(SpeechLMError, match="another architecture than that of the recipe"):
        CodecObjective(other)


def test_more_decoder_blocks_than_those_of_init_start_as_the_identity(corpus, tmp_path):
    first = run(recipe(corpus, tmp_path / "first"))
    made = recipe(corpus, tmp_path / "second")
    made.init = str(first)
    blocks = made.codec.spectral.decoder_blocks + 2
    made.codec = replace(made.codec, spectral=replace(made.codec.spectral, decoder_blocks=blocks))
    network = CodecObjective(made).model.eval()
    codec = NeuralCodec.from_pretrained(first)
    wave = 0.1 * torch.randn(1, 3200)
    with torch.no_grad():
        latents = codec.network.encoder(wave)
        torch.testing.assert_close(network.decoder(latents), codec.network.decoder(latents))
    # They are trained nevertheless.
    made.decoder_only = True
    run(made)
    scales = [
        value
        for name, value in NeuralCodec.from_pretrained(
            tmp_path / "second/model"
        ).network.decoder.named_parameters()
        if name.endswith("scale")
    ]
    assert len(scales) == blocks
    assert all(scale.abs().max() > 0 for scale in scales)
    made.codec = replace(made.codec, spectral=replace(made.codec.spectral, decoder_blocks=0))
    with pytest.raises(SpeechLMError, match="another architecture than that of the recipe"):
        CodecObjective(made)


def test_init_leaves_a_quantizer_of_another_shape_out(corpus, tmp_path):
    first = run(recipe(corpus, tmp_path / "first"))
    made = recipe(corpus, tmp_path / "second", "scalars")
    untrained = CodecObjective(made).model.state_dict()
    made.init = str(first)
    before = NeuralCodec.from_pretrained(first).network.state_dict()
    for name, value in CodecObjective(made).model.state_dict().items():
        expected = untrained if name.startswith("quantizer.") else before
        assert torch.equal(value, expected[name])


@pytest.mark.parametrize(
    ("split", "says"), [("train", "no train recordings"), ("dev", "no dev recordings")]
)
def test_a_corpus_without_a_split_is_one_line(split, says, corpus, tmp_path, monkeypatch):
    from speechlm.training import codec

    real = codec.recordings
    monkeypatch.setattr(codec, "recordings", lambda c, s: [] if s == split else real(c, s))
    with pytest.raises(SpeechLMError, match=says):
        CodecObjective(recipe(corpus, tmp_path))


def test_what_is_no_corpus_is_one_line(tmp_path):
    with pytest.raises(SpeechLMError, match="not a prepared corpus; make one with speechlm prep"):
        CodecObjective(recipe(tmp_path / "nowhere", tmp_path))


def test_the_log_has_norms_codebook_use_rates_and_waits(corpus, tmp_path):
    run(recipe(corpus, tmp_path, "adversarial"))
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    line = [line for line in lines if line["kind"] == "train"][-1]
    assert line["model/grad_norm"] > 0 and line["discriminator/grad_norm"] > 0
    assert 0 < line["codebook_use"] <= 1
    perplexities = [line[f"codebook_perplexity/{number}"] for number in (1, 2)]
    assert all(1 <= value <= 8 for value in perplexities)
    assert line["codebook_perplexity"] == pytest.approx(sum(perplexities) / 2, rel=1e-4)
    assert line["data_seconds"] <= line["seconds"]
    # Two crops of a tenth of a second.
    assert line["audio_s_per_second"] == pytest.approx(0.2 / line["seconds"], rel=1e-3)


def test_the_exported_model_is_the_best_though_the_last_is_another(corpus, tmp_path, monkeypatch):
    made = recipe(corpus, tmp_path, validate_every=2, keep_models=True)
    losses = iter([3.0, 1.0, 2.0, 1.5, 1.0])
    monkeypatch.setattr(CodecObjective, "validate", lambda objective, model: {"loss": next(losses)})
    model = run(made)
    assert hub.load_facts(model)["step"] == 4  # the first of equals
    assert load_checkpoint(tmp_path / "checkpoint-best.pt")["step"] == 4
    last = load_checkpoint(tmp_path / "checkpoint.pt")
    assert (last["step"], last["best_loss"]) == (STEPS, 1.0)
    kept = sorted(path.name for path in (tmp_path / "models").iterdir())
    assert kept == [f"{step:06d}" for step in (2, 4, 6, 8, 10)]
    # A longer run knows what is to be beaten.
    losses = iter([0.9, 1.1])
    run(recipe(corpus, tmp_path, validate_every=2, steps=14, optimizer=OptimizerConfig(warmup=3)))
    assert hub.load_facts(model)["step"] == 12


def test_checkpoints_of_language_models_had_the_best_loss_elsewhere(corpus, tmp_path):
    """It was a buffer of the objective."""
    run(recipe(corpus, tmp_path, steps=5))
    path = tmp_path / "checkpoint.pt"
    content = load_checkpoint(path)
    del content["best_loss"], content["metrics"]
    content["objective"]["best"] = torch.tensor(0.0)
    save_checkpoint(path, content)
    run(recipe(corpus, tmp_path))
    assert load_checkpoint(path)["best_loss"] == 0.0
    assert hub.load_facts(tmp_path / "model")["step"] == 5


def test_audio_of_a_validation_goes_to_the_board_and_the_run_folder(corpus, tmp_path):
    made = recipe(corpus, tmp_path, steps=2)
    out = run(made).parent
    events = EventAccumulator(str(out / "tensorboard")).Reload()
    names = ["clip-1", "clip-2", "clip-3"]
    tags = [f"valid/{name}" for name in names] + [f"valid/original/{name}" for name in names]
    assert sorted(events.Tags()["audio"]) == sorted(events.Tags()["images"]) == tags
    (clip,) = events.Audio("valid/clip-1")
    assert (clip.step, clip.sample_rate, clip.length_frames) == (2, 16000, 1600)
    # As recorded, and as the averaged weights of step 2 decode them.
    saved = ValidationClips(out)
    originals, decoded = saved.read(None), saved.read(2)
    assert list(originals) == list(decoded) == names
    held_out = CodecObjective(made).held_out(0)
    content = load_checkpoint(out / "checkpoint.pt")
    objective = CodecObjective(made)
    objective.model.load_state_dict(content["average"])
    expected = objective.validation_samples(objective.model.eval())
    for wave, name in zip(held_out, names, strict=True):
        assert originals[name][0] == pytest.approx(wave, abs=2**-15)
        assert decoded[name][0] == pytest.approx(expected[name][0].clamp(-1, 1).numpy(), abs=2**-14)


def test_a_time_budget_ends_a_run(corpus, tmp_path):
    """It ends within the step that exceeds it, its rate has fallen, and it is not started again."""
    budget = 0.03
    made = recipe(corpus, tmp_path, minutes=budget, steps=100_000, log_every=1)
    run(made)
    content = load_checkpoint(tmp_path / "checkpoint.pt")
    lines = log(tmp_path)
    assert content["seconds"] >= 60 * budget
    assert 1 < content["step"] < 100_000
    assert lines[-1]["step"] == content["step"]
    rates = [line["rate"] for line in lines if line["kind"] == "train"]
    assert rates[-1] < max(rates) / 2
    run(made)
    assert load_checkpoint(tmp_path / "checkpoint.pt")["step"] == content["step"]
    more = replace(made, training=replace(made.training, minutes=2 * budget))
    run(more)
    assert load_checkpoint(tmp_path / "checkpoint.pt")["step"] > content["step"]
