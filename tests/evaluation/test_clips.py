"""Recordings are found wherever they are declared, and named by what they hold."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from speechlm.errors import SpeechLMError
from speechlm.evaluation.clips import find
from speechlm.evaluation.config import ClipsConfig

from .voices import RATE


def test_a_folder_with_texts_beside_the_recordings(clips):
    found = find(ClipsConfig([str(clips)]))
    assert [clip.id for clip in found] == ["voice-0", "voice-1", "voice-2"]
    assert [clip.text for clip in found] == [None, "la la la", None]
    assert [len(clip.read(RATE)) for clip in found] == [round(c.seconds * RATE) for c in found]


def test_a_list_of_recordings(clips, tmp_path):
    for path in clips.glob("*.wav"):
        shutil.copy(path, tmp_path)
    lines = [{"audio": f"voice-{n}.wav", "text": f"text {n}", "speaker": "s"} for n in (2, 0)]
    (tmp_path / "list.jsonl").write_text("\n".join(map(json.dumps, lines)), "utf-8")
    found = find(ClipsConfig([str(tmp_path / "list.jsonl")]))
    assert [(c.id, c.text, c.speaker) for c in found] == [
        ("voice-0", "text 0", "s"),
        ("voice-2", "text 2", "s"),
    ]


def test_cuts_are_stretches_of_a_recording(clips, tmp_path):
    from lhotse import CutSet, MonoCut, Recording, SupervisionSegment

    recording = Recording.from_file(clips / "voice-2.wav")
    said = SupervisionSegment("s", recording.id, 0, 0.5, text="la", speaker="ann")
    cut = MonoCut("cut", 0.25, 0.5, 0, supervisions=[said], recording=recording)
    CutSet.from_cuts([cut]).to_file(tmp_path / "cuts.jsonl.gz")
    (clip,) = find(ClipsConfig([str(tmp_path / "cuts.jsonl.gz")]))
    whole, _ = soundfile.read(clips / "voice-2.wav", dtype="float32")
    np.testing.assert_array_equal(clip.read(RATE), whole[4000:12000])
    assert (clip.text, clip.speaker) == ("la", "ann")


def test_the_first_source_that_exists_is_taken_within_limits(clips):
    sources = ["no/such/*", str(clips), str(clips / "voice-1.wav")]
    assert len(find(ClipsConfig(sources))) == 3
    assert [c.text for c in find(ClipsConfig([str(clips / "*-[12].wav")]))] == ["la la la", None]
    assert [c.id for c in find(ClipsConfig(sources, limit=2))] == ["voice-0", "voice-2"]
    assert [c.id for c in find(ClipsConfig(sources, min_seconds=1.3))] == ["voice-1", "voice-2"]
    assert [c.id for c in find(ClipsConfig(sources, max_seconds=1.3))] == ["voice-0"]
    both = ClipsConfig([str(clips / f"voice-{n}.wav") for n in (2, 0, 9)], combine=True)
    assert [c.id for c in find(both)] == ["voice-0", "voice-2"]


def test_clips_of_one_name_are_kept_apart(clips, tmp_path):
    lines = [{"audio": str(clips / "voice-0.wav"), "speaker": who} for who in ("ann", "bob")]
    (tmp_path / "list.jsonl").write_text("\n".join(map(json.dumps, lines)), "utf-8")
    found = find(ClipsConfig([str(tmp_path / "list.jsonl")]))
    assert [(c.id, c.speaker) for c in found] == [
        ("00000-voice-0", "ann"),
        ("00001-voice-0", "bob"),
    ]


def test_audio_is_named_by_its_content_not_its_place(clips, tmp_path):
    shutil.copy(clips / "voice-0.wav", tmp_path / "other-name.wav")
    (copy,) = find(ClipsConfig([str(tmp_path)]))
    first, second, _ = find(ClipsConfig([str(clips)]))
    assert copy.digest == first.digest != second.digest


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda folder: None, "no recordings at .*nothing.*: give clips.sources"),
        (lambda folder: (folder / "nothing").mkdir(), "holds no recording"),
        (lambda folder: (folder / "nothing").write_text("hello"), "not a list of recordings"),
        (lambda folder: (folder / "nothing").write_text('{"id": 1}'), "neither a cut manifest"),
        (lambda folder: (folder / "nothing").write_text('{"audio": "x.wav"}'), "x.wav: No such"),
        (lambda folder: (folder / "nothing").write_text('{"audio": 1}\n{}'), "names no audio"),
    ],
)
def test_what_is_no_recording_is_refused_in_one_line(make, reason, tmp_path: Path):
    make(tmp_path)
    with pytest.raises(SpeechLMError, match=reason) as refused:
        find(ClipsConfig([str(tmp_path / "nothing")]))
    assert "\n" not in str(refused.value)
