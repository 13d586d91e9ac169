"""What a language model is trained on: right examples of each task, in the shares asked for."""

from __future__ import annotations

import itertools
import tracemalloc
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from omegaconf import OmegaConf

from speechlm.config import to_dataclass
from speechlm.data.batches import task_mixture as module
from speechlm.data.batches.pack import PackedBatch
from speechlm.data.batches.task_examples import SHORTEST, Examples
from speechlm.data.batches.task_mixture import Mixture, MixtureConfig, TaskConfig
from speechlm.data.batches.task_utterances import Utterances
from speechlm.data.tokens import Tokens, claim
from speechlm.errors import SpeechLMError
from speechlm.lm.patterns import PATTERNS
from speechlm.lm.tasks import TASKS, Span
from speechlm.tokenizers.text import TextTokenizer
from tests.lm.corpora import text_model, tokenized, units, write_shard

ANYHOW = [name for name in TASKS if not name.startswith("tts-wordwise")]
"""The tasks that do without segments."""


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tokenized(tmp_path_factory.mktemp("tokens") / "toy")


@pytest.fixture(scope="module")
def aligned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tokenized(tmp_path_factory.mktemp("tokens") / "words", aligned=True)


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return text_model(tmp_path_factory.mktemp("text"))


def config(corpus: Path, text: Path, *names: str, **settings: Any) -> MixtureConfig:
    named = {name: TaskConfig() for name in names or ANYHOW}
    usual: dict[str, Any] = {"num_codebooks": 2, "batch": 4, "length": 512, "tasks": named}
    return MixtureConfig([str(corpus)], text=str(text), **(usual | settings))


def test_former_keys_of_recipes_are_read() -> None:
    declared = OmegaConf.create({"levels": 2, "tasks": {"read": {"weight": 3.0}}})
    read = to_dataclass(MixtureConfig, declared, "recipe.yaml", warn=False)
    assert (read.num_codebooks, list(read.tasks)) == (2, ["tts-wordwise"])


def examples(batch: PackedBatch) -> list[tuple[np.ndarray, np.ndarray]]:
    """Tokens and mask of each example in a batch."""
    found = []
    for tokens, mask, segments in zip(batch.tokens, batch.mask, batch.segments, strict=True):
        for segment in range(segments.max() + 1):
            inside = segments == segment
            found.append((tokens[:, inside], mask[:, inside]))
    return found


def said(made: Mixture, spans: list[Span]) -> list[Any]:
    return [
        made.text.decode(span.content) if span.kind == "text" else np.asarray(span.content).tolist()
        for span in spans
    ]


@pytest.mark.parametrize("kind", PATTERNS)
def test_examples_are_utterances_of_the_corpus(kind: str, corpus: Path, text: Path) -> None:
    tokens = Tokens(corpus)
    for split in ("train", "dev"):
        codes = {e.id: tokens.codes(e).tolist() for e in tokens.entries if e.split == split}
        texts = {e.id: e.text for e in tokens.entries if e.split == split}
        speakers = {e.id: e.speaker for e in tokens.entries}
        for name in ("speech", "text", "asr", "tts", "tts-voice"):
            made = Mixture(config(corpus, text, name), kind, seed=0)
            batches = [made.batches(0)] if split == "train" else made.held_out[name]
            seen = set()
            for sequence, _ in [each for batch in batches for each in examples(batch)]:
                parts = said(made, made.layout.spans(sequence))
                ids = [
                    one
                    for one in codes
                    if all(part in (codes[one], texts[one]) for part in parts[-2:])
                ]
                assert ids
                assert len(parts) == {"asr": 2, "tts": 2, "tts-voice": 3}.get(name, 1)
                if name == "tts-voice":
                    (voice,) = [one for one in codes if codes[one] == parts[0]]
                    assert voice not in ids
                    assert speakers[voice] in {speakers[one] for one in ids}
                seen |= set(ids)
            assert len(seen) > 5


@pytest.mark.parametrize("kind", PATTERNS)
def test_words_are_written_and_then_spoken(kind: str, aligned: Path, text: Path) -> None:
    made = Mixture(config(aligned, text, "tts-wordwise", "tts-wordwise-voice"), kind, seed=0)
    tokens = Tokens(aligned)
    known = [
        [(s.text, tokens.codes(e)[:, s.start : s.stop].tolist()) for s in e.segments]
        for e in tokens.entries
        if e.split == "train"
    ]
    voices = 0
    for sequence, _ in examples(made.batches(1)) + examples(made.batches(2)):
        parts = said(made, made.layout.spans(sequence))
        if not isinstance(parts[0], str):
            voices += 1
            del parts[0]
        whole, *words = parts
        assert list(zip(words[::2], words[1::2], strict=True)) in known
        assert " ".join(words[::2]) == whole
    assert voices


def test_short_words_are_read_with_the_next(text: Path, tmp_path: Path) -> None:
    made = units()
    codes = np.arange(made.num_codebooks * 20).reshape(made.num_codebooks, 20) % made.codebook_size
    line = {"id": "it", "first": 0, "frames": 20, "text": "one two six two"}
    line["segments"] = [["one", 2, 9], ["two", 9, 10], ["six", 10, 19], ["two", 20, 20]]
    folder = tmp_path / "short"
    claim(folder, made, "made up", 1)
    lines = [line | {"split": split} for split in ("train", "dev")]
    write_shard(folder, 0, [codes], lines, made.num_codebooks)
    mixture = Mixture(config(folder, text, "tts-wordwise"), "depth", seed=0)
    sequence, _ = examples(mixture.batches(0))[0]
    whole, *words = said(mixture, mixture.layout.spans(sequence))
    shortest = round(SHORTEST * made.frame_rate)
    assert (whole, words[::2]) == ("one two six two", ["one", "two six", "two"])
    assert [len(part[0]) for part in words[1::2]] == [9, 11 - shortest, shortest]


def test_segments_are_spoken_and_written_in_turn(aligned: Path, corpus: Path, text: Path) -> None:
    for folder in (aligned, corpus):
        made = Mixture(config(folder, text, "interleaved"), "depth", seed=0)
        tokens = Tokens(folder)
        texts = [e.text or "" for e in tokens.entries if e.split == "train"]
        codes = [tokens.codes(e).tolist() for e in tokens.entries if e.split == "train"]
        first = Counter()
        number = Counter()
        for sequence, mask in examples(made.batches(1)) + examples(made.batches(2)):
            assert mask[0, 1:].all()
            spans = made.layout.spans(sequence)
            kinds = [span.kind for span in spans]
            assert all(one != other for one, other in itertools.pairwise(kinds))
            first[kinds[0]] += 1
            number[len(kinds)] += 1
            for part in said(made, spans):
                if isinstance(part, str):
                    assert any(part in text for text in texts)
                else:
                    assert any(_within(part, one) for one in codes)
        assert set(first) == {"text", "speech"}
        assert max(number) > 1


def _within(part: list[list[int]], whole: list[list[int]]) -> bool:
    width = len(part[0])
    starts = range(len(whole[0]) - width + 1)
    return any([level[at : at + width] for level in whole] == part for at in starts)


def test_tasks_come_by_weight(corpus: Path, text: Path) -> None:
    weights = {"asr": 1.0, "tts": 3.0, "text": 4.0}
    tasks = {name: TaskConfig(weight) for name, weight in weights.items()}
    made = Mixture(config(corpus, text, tasks=tasks), "depth", seed=0)
    starts = {made.vocabulary.id(name): task for name, task in (
        ("<speech>", "asr"), ("<text>", "tts"), ("<generate text>", "text"),
    )}  # fmt: skip
    counts = Counter(
        starts[int(sequence[0, 0])]
        for step in range(60)
        for sequence, _ in examples(made.batches(step))
    )
    total = sum(counts.values())
    for name, weight in weights.items():
        # Five standard errors.
        assert counts[name] / total == pytest.approx(weight / 8, abs=5 * (0.25 / total) ** 0.5)


def test_a_batch_is_a_function_of_seed_and_step(corpus: Path, text: Path) -> None:
    made = [Mixture(config(corpus, text), "delay", seed) for seed in (0, 0, 1)]
    first = made[0].batches(7)
    made[1].batches(3)
    again = made[1].batches(7)
    for name in ("tokens", "mask", "segments"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
    assert first.tokens.tolist() != made[2].batches(7).tokens.tolist()
    for name in ANYHOW:
        for one, other in zip(made[0].held_out[name], made[2].held_out[name], strict=True):
            np.testing.assert_array_equal(one.tokens, other.tokens)


def test_long_speech_is_cropped_and_other_long_examples_are_counted(
    corpus: Path, text: Path
) -> None:
    made = Mixture(config(corpus, text, "speech", "tts", length=22), "depth", seed=0)
    entries = [e for e in Tokens(corpus).entries if e.split == "train"]
    too_long = sum(3 + len(e.text or "") + 1 + e.frames > 22 for e in entries)
    assert made.skipped == {"speech": 0, "tts": too_long}
    assert 0 < too_long < len(entries)
    frames = {e.frames for e in entries}
    assert max(frames) > 20
    codes = [Tokens(corpus).codes(e).tolist() for e in entries]
    end = made.vocabulary.id("<end of speech>")
    crops = ends = 0
    for step in range(20):
        for sequence, _ in examples(made.batches(step)):
            if sequence[0, 0] != made.vocabulary.id("<generate speech>"):
                continue
            (part,) = said(made, made.layout.spans(sequence))
            ended = sequence[0, -1] == end
            whole = part in codes
            assert any(_within(part, one) for one in codes)
            if not whole:
                crops += 1
                ends += ended
                assert len(part[0]) == 20
                assert ended == any([level[-20:] for level in one] == part for one in codes)
    assert 0 < ends < crops


def test_languages_and_corpora_are_chosen(corpus: Path, aligned: Path, text: Path) -> None:
    task = TaskConfig(languages=["nl"], corpora=[str(corpus)])
    made = MixtureConfig(
        [str(corpus), str(aligned)], 2, str(text), {"asr": task, "tts": TaskConfig()}, 4, 128
    )
    found = Mixture(made, "depth", 0)
    chosen = [
        {
            (examples.utterances[place].tokens.folder, examples.utterances[place].entry.language)
            for place in examples.heard.tolist()
        }
        for examples in found._train
    ]
    assert chosen == [{(corpus, "nl")}, set(itertools.product((corpus, aligned), ("en", "nl")))]


def test_further_texts_are_split_by_themselves(
    corpus: Path, text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "DEV_LINES", 0.3)
    lines = [f"{one} {other}" for one in ("one", "six") for other in ("two", "ten", "too", "tea")]
    (tmp_path / "lines.txt").write_text("\n".join(lines) + "\n\n")
    tasks = {"text": TaskConfig(lines=[str(tmp_path / "lines.txt")])}
    made = Mixture(config(corpus, text, tasks=tasks), "depth", 0)
    written = {made.text.decode(one) for one in made._train[0].written}
    dev = {
        said(made, made.layout.spans(sequence))[0]
        for batch in made.held_out["text"]
        for sequence, _ in examples(batch)
    }
    assert written | (dev & set(lines)) == set(lines)
    assert not written & dev
    assert written


def test_only_the_first_levels_are_learnt(tmp_path: Path, text: Path) -> None:
    folder = tokenized(tmp_path / "deep", made=units(num_codebooks=4))
    made = Mixture(config(folder, text, "speech"), "depth", 0)
    assert made.vocabulary.units.num_codebooks == 2
    sequence, _ = examples(made.batches(0))[0]
    (span,) = made.layout.spans(sequence)
    tokens = Tokens(folder)
    assert any(tokens.codes(e)[:2].tolist() == span.content.tolist() for e in tokens.entries)


def test_nobody_is_another_of_one(corpus: Path, text: Path) -> None:
    utterances = Utterances([Tokens(corpus)], "train", 2, TextTokenizer.load(text))
    random = np.random.default_rng(0)
    drawn = Counter(utterances.other(0, random) for _ in range(400))
    same = utterances.same(0).tolist()
    assert set(drawn) == {other for other in same if other != 0}
    assert 0 in same


def test_utterances_are_those_of_a_split_and_know_who_speaks(
    corpus: Path, aligned: Path, text: Path
) -> None:
    opened = [Tokens(corpus), Tokens(aligned)]
    utterances = Utterances(opened, "dev", 1, TextTokenizer.load(text))
    entries = [(t.folder, e) for t in opened for e in t.entries if e.split == "dev"]
    assert [(one.tokens.folder, one.entry) for one in utterances] == entries
    for place, (folder, entry) in enumerate(entries):
        same = [k for k, (f, e) in enumerate(entries) if (f, e.speaker) == (folder, entry.speaker)]
        assert utterances.same(place).tolist() == same
        assert utterances.number_of_same()[place] == len(same)
        np.testing.assert_array_equal(utterances[place].codes, Tokens(folder).codes(entry)[:1])
    nobody = Utterances([], "train", 1, utterances.text)
    assert len(nobody) == len(nobody.number_of_same()) == 0


def test_who_is_not_known_is_nobody_else(text: Path, tmp_path: Path) -> None:
    made = units()
    claim(tmp_path, made, "made up", 1)
    speakers = [None, "ann", None, "ann"]
    lines = [
        {"id": f"{k}", "split": "train", "first": 2 * k, "frames": 2}
        | ({} if speaker is None else {"speaker": speaker})
        for k, speaker in enumerate(speakers)
    ]
    write_shard(tmp_path, 0, [np.zeros((2, 2), int)] * 4, lines, 2)
    utterances = Utterances([Tokens(tmp_path)], "train", 2, TextTokenizer.load(text))
    assert utterances.number_of_same().tolist() == [0, 2, 0, 2]
    assert [utterances.same(k).tolist() for k in range(4)] == [[], [1, 3], [], [1, 3]]
    assert utterances.other(1, np.random.default_rng(0)) == 3


def test_an_utterance_takes_some_bytes_of_memory(text: Path, tmp_path: Path) -> None:
    """Not its text and its name, which are read when it is drawn."""
    sizes, held = [], []
    for number in (200, 200, 1200):  # the first loads what is loaded once
        folder = tokenized(tmp_path / f"{number}{len(sizes)}", number)
        Tokens(folder)  # its index is made once
        tracemalloc.start()
        held.append(Mixture(config(folder, text, "speech", "asr"), "depth", 0))
        sizes.append(tracemalloc.get_traced_memory()[0])
        tracemalloc.stop()
    # 31 of all, and 12 of each task; a record of each would be 1,250.
    assert (sizes[2] - sizes[1]) / 1000 < 80


def test_what_does_not_fit_together_is_one_line(corpus: Path, text: Path, tmp_path: Path) -> None:
    other = tokenized(tmp_path / "other", made=units(codebook_size=17))
    usual = {"text": TaskConfig()}
    for settings, says in (
        ({"corpora": []}, "no tokenized corpora are named"),
        ({"corpora": [str(tmp_path)]}, "not a tokenized corpus; make one with speechlm tokenize"),
        ({"corpora": [str(corpus), str(other)]}, r"other 2 levels of toy .*: a model learns the"),
        ({"num_codebooks": 3}, "toy: has 2 levels, not 3"),
        ({"tasks": {}}, "data.tasks names no task; there are speech, text, asr"),
        ({"tasks": {"asr": None}}, "data.tasks names no task"),
        ({"tasks": {"sing": TaskConfig()}}, "a task is one of speech, .*, not sing"),
        ({"tasks": {"asr": TaskConfig(0)}}, r"data\.tasks\.asr\.weight=0 must be above 0"),
        ({"tasks": {"asr": TaskConfig(corpora=["x"])}}, "x is not in data.corpora"),
        ({"tasks": {"asr": TaskConfig(languages=["fr"])}}, "data.tasks.asr: train: no example"),
        ({"length": 5, "tasks": usual}, r"at most 5 columns \(\d+ are longer\)"),
        ({"text": str(tmp_path / "none")}, "none: no such file; make one with speechlm text-tok"),
        ({"batch": 0}, "batch, length and validation are 1 or more"),
    ):
        made = config(corpus, text)
        for name, value in settings.items():
            setattr(made, name, value)
        with pytest.raises(SpeechLMError, match=says) as no:
            Mixture(made, "depth", 0)
        assert "\n" not in str(no.value)


def test_examples_say_what_they_lack(corpus: Path, text: Path) -> None:
    made = Mixture(config(corpus, text, "speech"), "depth", 0)
    with pytest.raises(SpeechLMError, match="no example for the task tts-voice: it needs speech,"):
        Examples(TASKS["tts-voice"], made.layout, Utterances([], "dev", 2, made.text), 99)
