"""Speed of the language model: beside transformers on the same weights, in turn; and of speech."""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from rich.progress import track
from rich.table import Table
from torch import Tensor

from speechlm import audio
from speechlm.benchmarks.codec import Cost, Spread
from speechlm.codec import Codec, load
from speechlm.lm import hf
from speechlm.lm.config import IdsConfig, LMConfig
from speechlm.lm.generate.generator import Generator
from speechlm.lm.generate.sampling import GREEDY, Sampling
from speechlm.lm.model import UnitLM
from speechlm.resources import SAMPLE
from speechlm.utils.terminal import errors

GENERATE_GOAL, TRAIN_GOAL, FIRST_GOAL = 3.0, 1.3, 0.3
PROMPT, TOKENS = 50, 200
"""Tokens of the prompt, and of what is generated after it."""
LENGTH = 256
EVEN = [[LENGTH]] * 4
MIXED = [[256], [192, 64], [128, 128], [192, 64]]
"""Lengths of the examples in each sequence."""
SECONDS_HEARD, SECONDS_SPOKEN = 3.0, 4.0
SPECIALS, TEXT, NUM_CODEBOOKS = 8, 92, 4
NEVER = 1
"""An id whose logits are zero, far below the largest of random weights: it stands for an end."""


@dataclass(frozen=True)
class SpeedRatio:
    """Tokens a second of this project's and of transformers' code, and the ratio, run by run."""

    own: Spread
    peer: Spread
    ratio: Spread

    @classmethod
    def of(cls, tokens: int, costs: list[tuple[float, float]]) -> SpeedRatio:
        """From seconds of each run: (own, peer)."""
        return cls(
            Spread.of([tokens / own for own, _ in costs]),
            Spread.of([tokens / peer for _, peer in costs]),
            Spread.of([peer / own for own, peer in costs]),
        )


@dataclass(frozen=True)
class GenerationFigures:
    """What one clock measured. ``pairs`` by what was done; seconds until the first sound after a
    prompt, reading it included; and seconds of work for a second of speech after that."""

    pairs: dict[str, SpeedRatio]
    first: Spread
    speech: Spread


@dataclass(frozen=True)
class GenerationReport:
    """Figures of the clock on the wall, which a machine's other work inflates, and of the time that
    the processor spent. ``same`` is whether both generated the same tokens in every run.
    """

    parameters: int
    threads: int
    wall: GenerationFigures
    cpu: GenerationFigures
    same: bool | None
    absent: list[str]

    @property
    def goals(self) -> dict[str, bool]:
        """Which of the project's goals hold here, by the clock on the wall."""
        wall = self.wall
        goals = {
            f"first sound within {FIRST_GOAL * 1000:g} ms": wall.first.median <= FIRST_GOAL,
            "speech in real time": wall.speech.median <= 1,
        }
        if wall.pairs:
            generated, trained = wall.pairs["generate"], wall.pairs["train"]
            goals |= {
                f"the same tokens, {GENERATE_GOAL:g} times as fast": bool(self.same)
                and generated.ratio.median >= GENERATE_GOAL,
                f"training {TRAIN_GOAL:g} times as fast": trained.ratio.median >= TRAIN_GOAL,
            }
        return goals

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "goals": self.goals}

    def table(self) -> Table:
        title = f"{self.parameters / 1e6:.1f} M parameters, {self.threads} thread(s): "
        table = Table(
            "tokens a second",
            "clock",
            "speechlm",
            "transformers",
            "ratio",
            title=title + "median (least to most)",
        )
        for clock, figures in (("wall", self.wall), ("CPU", self.cpu)):
            for name, pair in figures.pairs.items():
                table.add_row(name, clock, str(pair.own), str(pair.peer), str(pair.ratio))
            table.add_section()
        verdicts = {True: "holds", False: "missed"}
        lines = [
            f"first sound {SECONDS_HEARD:g} s of prompt: {self.wall.first} s, CPU {self.cpu.first}",
            f"work for a second of speech: {self.wall.speech} s, CPU {self.cpu.speech}",
            "train: sequences of one length; train, mixed lengths: packed here, padded there",
        ]
        lines += [f"{verdicts[holds]}: {goal}" for goal, holds in self.goals.items()]
        table.caption = "\n".join(lines + self.absent)
        return table


def run(runs: int = 5, config: LMConfig | None = None) -> GenerationReport:
    """Generate, train and speak with random weights of ``config``'s sizes (by default a model of
    six million parameters), and do the first two with transformers, one after the other, ``runs``
    times.

    Raises:
        SpeechLMError: when the sizes make no model.
    """
    codec = load()
    config = config or LMConfig()
    flat, deep = (_model(config, kind, codec.codebook_size) for kind in ("flatten", "depth"))
    absent = []
    peer = None
    if find_spec("transformers"):
        peer = _peer(flat)
    else:
        absent.append("transformers is not installed: pip install 'speechlm[hf]'")
    speaker, writer = Generator(deep), Generator(flat)
    jobs = _jobs(flat, writer, peer) if peer is not None else {}
    costs: dict[str, list[tuple[Cost, Cost]]] = {name: [] for name in jobs}
    first, speech = [], []
    same = None if peer is None else True
    # The first round warms up and is not counted.
    for number in track(range(runs + 1), "benchmark", console=errors):
        for name, (_, own, theirs) in jobs.items():
            ours, ids = _timed(own)
            others, peer_ids = _timed(theirs)
            if name == "generate":
                same = same and ids == peer_ids
            if number:
                costs[name].append((ours, others))
        start, rest = _speak(speaker, codec)
        if number:
            first.append(start)
            speech.append(rest)

    def figures(clock: int) -> GenerationFigures:
        pairs = {
            name: SpeedRatio.of(jobs[name][0], [(own[clock], other[clock]) for own, other in each])
            for name, each in costs.items()
        }
        return GenerationFigures(
            pairs, Spread.of([cost[clock] for cost in first]), Spread.of([c[clock] for c in speech])
        )

    parameters = sum(weight.numel() for weight in deep.parameters())
    return GenerationReport(
        parameters, torch.get_num_threads(), figures(0), figures(1), same, absent
    )


@torch.no_grad()
def _model(config: LMConfig, kind: str, codebook_size: int) -> UnitLM:
    """A model of random weights, of such precision as model files have."""
    torch.manual_seed(0)
    ids = IdsConfig(SPECIALS, TEXT, codebook_size, NUM_CODEBOOKS)
    model = UnitLM(replace(config, pattern=kind, dropout=0.0, ids=ids)).eval()
    for weight in model.parameters():
        if weight.ndim > 1:
            weight.add_(0.05 * torch.randn_like(weight))
        weight.copy_(weight.half())
    model.embedding.weight[ids.pad] = 0
    model.output[NEVER] = 0
    return model


def _peer(model: UnitLM) -> Any:
    """The same weights in transformers."""
    from transformers import LlamaForCausalLM
    from transformers import logging as messages

    messages.set_verbosity_error()
    messages.disable_progress_bar()
    logging.getLogger("transformers").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        return LlamaForCausalLM.from_pretrained(hf.export(model, folder)).eval()


Job = tuple[int, Callable[[], Any], Callable[[], Any]]


def _jobs(model: UnitLM, writer: Generator, peer: Any) -> dict[str, Job]:
    """What both do: tokens, and one call for each."""
    generator = torch.Generator().manual_seed(0)
    prompt = torch.randint(SPECIALS, model.size, (1, PROMPT), generator=generator)
    ids = torch.randint(SPECIALS, model.size, (sum(map(len, MIXED)), LENGTH), generator=generator)
    sampling = replace(GREEDY, repetition_window=0)

    def generate() -> list[int | None]:
        pieces = [each for each in range(model.size) if each != NEVER]
        steps = writer.generate_text([prompt.numpy()], pieces, NEVER, TOKENS, sampling)
        return [each for [each] in steps]

    def generate_there() -> list[int]:
        mask = torch.ones_like(prompt)
        options = {"max_new_tokens": TOKENS, "min_new_tokens": TOKENS, "do_sample": False}
        found = peer.generate(prompt, attention_mask=mask, pad_token_id=0, **options)
        return list(found[0, PROMPT:].tolist())

    train, train_there = _trained(model), _trained(peer)
    return {
        "generate": (TOKENS, generate, generate_there),
        **{
            name: (
                len(rows) * LENGTH,
                partial(train, partial(_loss, model, ids, rows)),
                partial(train_there, partial(_loss_there, peer, ids, rows)),
            )
            for name, rows in (("train", EVEN), ("train, mixed lengths", MIXED))
        },
    }


def _trained(model: torch.nn.Module) -> Callable[[Callable[[], Tensor]], None]:
    """A step of the same optimizer; at a rate of zero, so that the weights stay the same."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.0, weight_decay=0.0)

    def step(loss: Callable[[], Tensor]) -> None:
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()

    return step


def _loss(model: UnitLM, ids: Tensor, rows: list[list[int]]) -> Tensor:
    """Examples packed into sequences of one length."""
    tokens = torch.zeros(len(rows), 1, LENGTH, dtype=torch.int64)
    segments = torch.zeros(len(rows), LENGTH, dtype=torch.int64)
    number = 0
    for row, lengths in enumerate(rows):
        at = 0
        for length in lengths:
            tokens[row, 0, at : at + length] = ids[number, :length]
            segments[row, at : at + length] = number
            at, number = at + length, number + 1
    return model.loss(tokens, torch.ones_like(tokens, dtype=torch.bool), segments)[0]


def _loss_there(peer: Any, ids: Tensor, rows: list[list[int]]) -> Tensor:
    """Examples padded to the longest."""
    lengths = torch.tensor([length for row in rows for length in row])
    ids = ids[: len(lengths)]
    inside = torch.arange(LENGTH) < lengths[:, None]
    mask = None if bool(inside.all()) else inside.long()
    labels = ids.masked_fill(~inside, -100)
    loss: Tensor = peer(ids, attention_mask=mask, labels=labels, use_cache=False).loss
    return loss


def _speak(speaker: Generator, codec: Codec) -> tuple[Cost, Cost]:
    """Until the first sound after a prompt; and for a second of the sound that follows."""
    recording, _ = audio.read(SAMPLE, codec.sample_rate)
    wave = torch.from_numpy(np.resize(recording, round(SECONDS_HEARD * codec.sample_rate)))[None]
    prompt = np.zeros((NUM_CODEBOOKS, 1), np.int64)
    prompt[0] = 2
    frames = round(SECONDS_SPOKEN * codec.frame_rate)

    wall, cpu = time.perf_counter(), time.process_time()
    heard = codec.stream_encoder(num_codebooks=NUM_CODEBOOKS).push(wave)
    decoder = codec.stream_decoder()
    steps = speaker.generate_speech(
        [prompt], [heard[0].numpy()], NEVER, frames, codec.frame_rate, Sampling(1.0)
    )
    first: Cost | None = None
    samples = 0
    for [frame] in steps:
        if frame is None:
            break
        sound = decoder.push(torch.from_numpy(frame.copy())[None, :, None])
        if first is None and sound.shape[1]:
            first = time.perf_counter() - wall, time.process_time() - cpu
        elif first is not None:
            samples += sound.shape[1]
    if first is None or samples == 0:
        raise RuntimeError("random weights ended at once")
    seconds = samples / codec.sample_rate
    wall, cpu = time.perf_counter() - wall - first[0], time.process_time() - cpu - first[1]
    return first, (wall / seconds, cpu / seconds)


def _timed(work: Callable[[], Any]) -> tuple[Cost, Any]:
    wall, cpu = time.perf_counter(), time.process_time()
    done = work()
    return (time.perf_counter() - wall, time.process_time() - cpu), done
