"""Tokenized corpora: what is in them, and that whatever interrupts them they come out the same."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from lhotse import CutSet, MultiCut, Recording, SupervisionSegment
from lhotse.supervision import AlignmentItem

from speechlm import audio, codec
from speechlm.codec import CodecNetwork, NeuralCodec
from speechlm.data import tokenize as module
from speechlm.data.prepare import prepare
from speechlm.data.tokenize import tokenize
from speechlm.data.tokens import Segment, Tokens
from speechlm.errors import SpeechLMError
from speechlm.utils import files
from tests.codec.test_peers import DAC, ENCODEC, save
from tests.data.trees import text_file, tone, wave_file

FOLDER = Path(__file__).parents[2] / "data" / "folder.yaml"
SECONDS = {"ann-a": 0.5, "ann-b": 0.31, "bob-c": 0.72, "bob-d": 1.0, "bob-e": 0.4}


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recordings")
    random = np.random.default_rng(0)
    for name, seconds in SECONDS.items():
        path = folder / f"{name.replace('-', '/')}.wav"
        noise = 0.05 * random.standard_normal(round(seconds * 16000))
        wave_file(path, tone(seconds) + noise.astype(np.float32))
        text_file(path.with_suffix(".txt"), f"This is {name}")
    return folder


@pytest.fixture(scope="module")
def corpus(recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("corpora") / "mine"
    settings = ["split.by=utterance", "split.dev=0.3", "split.test=0.2", "language=en"]
    prepare(FOLDER, [f"path={recordings}", f"output={out}", "name=mine", *settings])
    return out


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SHARD", 2)


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_units_are_those_of_the_codec(corpus: Path, tiny_model: Path, tmp_path: Path) -> None:
    tokens = tokenize(corpus, tmp_path / "out", str(tiny_model), num_codebooks=3)
    own = codec.load(tiny_model)
    assert tokens.units.model == "tiny"
    assert tokens.units.weights == own.weights_hash
    assert (tokens.units.num_codebooks, tokens.units.codebook_size, tokens.units.frame_rate) == (
        3,
        1024,
        50,
    )
    assert {entry.id: entry.text for entry in tokens.entries} == {
        name: f"This is {name}" for name in SECONDS
    }
    assert len({entry.split for entry in tokens.entries}) > 1
    for entry in tokens.entries:
        cuts = json.loads(json.dumps([cut.id for cut in _cuts(corpus, entry.split)]))
        assert entry.id in cuts
        wave, _ = audio.read(corpus / "audio" / f"{entry.id}.flac")
        expected = own.encode(torch.from_numpy(wave)[None], num_codebooks=3)[0].numpy()
        found = tokens.codes(entry)
        assert found.dtype == np.uint16
        np.testing.assert_array_equal(found, expected)
        assert (entry.language, entry.speaker) == ("en", entry.id[:3])
    assert tokens.seconds == pytest.approx(sum(SECONDS.values()), abs=0.06 * len(SECONDS))


def _cuts(corpus: Path, split: str) -> CutSet:
    return CutSet.from_jsonl(corpus / f"cuts-{split}.jsonl.gz")


def test_numpy_alone_reads_them(corpus: Path, tiny_model: Path, tmp_path: Path) -> None:
    tokens = tokenize(corpus, tmp_path / "out", str(tiny_model))
    for shard in range(3):
        array = np.load(tmp_path / "out" / f"{shard:05d}.npy", mmap_mode="r")
        for line in (tmp_path / "out" / f"{shard:05d}.jsonl").read_text().splitlines():
            fields = json.loads(line)
            (entry,) = [each for each in tokens.entries if each.id == fields["id"]]
            mine = array[fields["first"] : fields["first"] + fields["frames"]]
            np.testing.assert_array_equal(mine.T, tokens.codes(entry))
    code = (
        "import sys; from speechlm.data.tokens import Tokens\n"
        "t = Tokens(sys.argv[1]); print(sum(int(t.codes(e).sum()) for e in t.entries))\n"
        "sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "out")], capture_output=True, check=True
    )
    assert int(done.stdout) == sum(int(tokens.codes(entry).sum()) for entry in tokens.entries)


def test_processes_write_the_same(corpus: Path, tiny_model: Path, tmp_path: Path) -> None:
    tokenize(corpus, tmp_path / "one", str(tiny_model), num_codebooks=2)
    tokenize(corpus, tmp_path / "two", str(tiny_model), num_codebooks=2, workers=2)
    assert content(tmp_path / "one") == content(tmp_path / "two")


def test_a_job_that_was_killed_goes_on(
    corpus: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenize(corpus, tmp_path / "whole", str(tiny_model))
    out = tmp_path / "out"
    real_replace, calls = files.os.replace, []

    def killed() -> None:
        def replace(*paths: Path) -> None:
            calls.append(paths)
            if len(calls) == 4:
                os.kill(os.getpid(), signal.SIGKILL)
            real_replace(*paths)

        files.os.replace = replace
        tokenize(corpus, out, str(tiny_model))

    process = multiprocessing.get_context("fork").Process(target=killed)
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    # tokens.json, and a whole shard: the next one's array had not got its name yet.
    assert {"tokens.json", "00000.npy", "00000.jsonl"} == {
        path.name for path in out.iterdir() if not path.name.startswith(".")
    }
    with pytest.raises(SpeechLMError, match=r"not finished, 00001\.jsonl is missing; run speechlm"):
        Tokens(out)
    done = []
    real = module.shard_file
    monkeypatch.setattr(module, "shard_file", lambda *a: (done.append(a[1]), real(*a))[1])
    tokenize(corpus, out, str(tiny_model))
    assert done == [1, 2]
    assert content(out) == content(tmp_path / "whole")
    tokenize(corpus, out, str(tiny_model))
    assert done == [1, 2]


def test_nothing_is_mixed(corpus: Path, tiny_model: Path, recordings: Path, tmp_path: Path) -> None:
    out, other = tmp_path / "out", tmp_path / "other"
    tokenize(corpus, out, str(tiny_model), num_codebooks=2)
    torch.manual_seed(5)
    NeuralCodec(
        CodecNetwork(NeuralCodec.from_pretrained(tiny_model).network.config)
    ).save_pretrained(other)
    before = content(out)
    for source, model, num_codebooks, says in (
        (corpus, tiny_model, 3, "holds the units of 2 levels of tiny"),
        (corpus, other, 2, "holds the units of 2 levels of tiny"),
        (recordings, tiny_model, 2, "holds other utterances"),
    ):
        with pytest.raises(SpeechLMError, match=says) as no:
            tokenize(source, out, str(model), num_codebooks=num_codebooks)
        assert str(out) in str(no.value)
    assert content(out) == before


def test_a_folder_of_recordings(recordings: Path, tiny_model: Path, tmp_path: Path) -> None:
    tokens = tokenize(recordings, tmp_path / "out", str(tiny_model))
    assert {(e.id, e.text, e.speaker, e.split) for e in tokens.entries} == {
        (name, f"This is {name}", name[:3], "train") for name in SECONDS
    }


def test_cuts_with_words_and_sentences(tiny_model: Path, tmp_path: Path) -> None:
    """Words where they are aligned, or else sentences, in frames; a cut from within a recording."""
    stereo = np.stack([tone(3.0), np.zeros(48000, np.float32)], axis=1)
    wave_file(tmp_path / "a.wav", stereo)
    recording = Recording.from_file(tmp_path / "a.wav")
    recording.sources[0].source = "a.wav"
    aligned = SupervisionSegment("s1", "a", 0.2, 0.8, text="one two", speaker="ann", language="en")
    aligned.alignment = {"word": [AlignmentItem("one", 0.2, 0.3), AlignmentItem("two", 0.5, 0.5)]}
    plain = SupervisionSegment("s2", "a", 1.0, 0.49, text="and three", speaker="ann")
    alone = SupervisionSegment("s3", "a", 0.0, 1.0, text="alone")
    both = {"channel": [0, 1], "recording": recording}
    cuts = [
        MultiCut("first", start=0.0, duration=1.5, supervisions=[plain, aligned], **both),
        MultiCut("second", start=1.5, duration=1.0, supervisions=[alone], **both),
        MultiCut("third", start=2.0, duration=1.0, **both),
    ]
    CutSet.from_cuts(cuts).to_file(tmp_path / "cuts-dev.jsonl.gz")
    tokens = tokenize(tmp_path / "cuts-dev.jsonl.gz", tmp_path / "out", str(tiny_model))
    first, second, third = tokens.entries
    assert first.segments == (
        Segment("one", 10, 25), Segment("two", 25, 50), Segment("and three", 50, 74),
    )  # fmt: skip
    assert (first.text, second.text, third.text) == ("one two and three", "alone", None)
    assert not second.segments
    assert {entry.split for entry in tokens.entries} == {"dev"}
    own = codec.load(tiny_model)
    wave = torch.from_numpy(audio.read(tmp_path / "a.wav")[0])[None, 24000:40000]
    np.testing.assert_array_equal(tokens.codes(second), own.encode(wave)[0])


@pytest.mark.parametrize("name", [ENCODEC, DAC])
def test_units_of_a_peer(name: str, corpus: Path, tmp_path: Path) -> None:
    model = f"{name}={save(name, tmp_path / 'weights.pth')}"
    tokens = tokenize(corpus, tmp_path / "out", model, num_codebooks=2)
    assert (tokens.units.model, tokens.units.num_codebooks) == (name, 2)
    own = codec.load(model)
    entry = tokens.entries[0]
    wave, _ = audio.read(corpus / "audio" / f"{entry.id}.flac", own.sample_rate)
    expected = own.encode(torch.from_numpy(wave)[None], num_codebooks=2)[0]
    np.testing.assert_array_equal(tokens.codes(entry), expected)


def test_a_broken_recording_is_left_out_and_counted(
    recordings: Path, tiny_model: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "mine"
    for name in ("a", "b"):
        wave_file(folder / f"{name}.wav", tone(0.4))
    (folder / "b.wav").write_bytes(b"RIFF and no more")
    tokens = tokenize(folder, tmp_path / "out", str(tiny_model))
    assert [entry.id for entry in tokens.entries] == ["a"]
    assert list(tokens.dropped) == ["b"]
    assert str(folder / "b.wav") in tokens.dropped["b"]
    (folder / "a.wav").write_bytes(b"")
    with pytest.raises(SpeechLMError, match=r"no recording could be tokenized; a: .*a\.wav"):
        tokenize(folder, tmp_path / "none", str(tiny_model))


def test_what_cannot_be_tokenized_is_one_line(tiny_model: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    text_file(tmp_path / "cuts.jsonl", "this is no cut\n")
    for source, says in (
        ("nowhere", "nowhere: no such prepared corpus, cut manifest or folder"),
        ("empty", "empty: holds no recordings"),
        ("cuts.jsonl", r"cuts\.jsonl: not a manifest of cuts"),
    ):
        with pytest.raises(SpeechLMError, match=says) as no:
            tokenize(tmp_path / source, tmp_path / "out", str(tiny_model))
        assert "\n" not in str(no.value)
    assert not (tmp_path / "out").exists()
    with pytest.raises(SpeechLMError, match="not a tokenized corpus; make one with speechlm tok"):
        Tokens(tmp_path / "empty")


def test_damage_is_one_line(corpus: Path, tiny_model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    tokens = tokenize(corpus, out, str(tiny_model))
    index = (out / "00000.jsonl").read_text()
    (out / "00000.jsonl").write_text(index.splitlines()[0] + "\n")
    with pytest.raises(SpeechLMError, match=r"00000\.npy: uint16 .* as its index says"):
        Tokens(out).codes(tokens.entries[0])
    (out / "00000.jsonl").write_text(index.replace("frames", "frame"))
    with pytest.raises(SpeechLMError, match=r"00000\.jsonl: not an index of tokens"):
        Tokens(out)
    (out / "00000.jsonl").write_text(index)
    (out / "00000.npy").write_bytes(b"")
    with pytest.raises(SpeechLMError, match=r"00000\.npy: not an array of tokens"):
        Tokens(out).codes(tokens.entries[0])
    (out / "tokens.json").write_text("{}")
    with pytest.raises(SpeechLMError, match=r"tokens\.json: "):
        Tokens(out)
