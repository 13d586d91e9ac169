"""The regression gate: it shuts for what got worse beyond chance, and for nothing else."""

from __future__ import annotations

import copy
import io
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from speechlm.errors import SpeechLMError
from speechlm.evaluation.compare import against, compare
from speechlm.evaluation.results import FORMAT, Results

COLUMNS = {
    "kbps": {"title": "Real rate", "unit": "kbps", "better": "lower", "digits": 2, "about": ""},
    "pesq": {"title": "PESQ-wb", "unit": "", "better": "higher", "digits": 2, "about": ""},
    "wer:x": {"title": "WER x", "unit": "%", "better": "lower", "digits": 1, "about": ""},
    "delay": {"title": "Delay", "unit": "ms", "better": None, "digits": 1, "about": ""},
}


def results(clips: int = 40) -> dict:
    random = np.random.default_rng(0)

    def cells():
        values = {"kbps": 3.0, "pesq": random.normal(2, 0.5), "wer:x": random.uniform(0, 50)}
        cells = {name: {"value": float(value)} for name, value in values.items()}
        cells["wer:x"]["weight"] = 5
        return cells | {"delay": {"value": 0.0}}

    return {
        "format": FORMAT,
        "columns": COLUMNS,
        "clips": [{"id": f"c{number}"} for number in range(clips)],
        "systems": {name: {"absent": ""} for name in ("a 3", "a 6")},
        "rows": {name: [{"cells": cells()} for _ in range(clips)] for name in ("a 3", "a 6")},
    }


@pytest.fixture
def files(tmp_path: Path):
    """A function that writes A, and B made from it by ``change``, and compares them."""

    def run(change, **options):
        first = results()
        second = copy.deepcopy(first)
        change(second)
        Results(first).save(tmp_path / "a.json")
        Results(second).save(tmp_path / "b.json")
        return compare(tmp_path / "a.json", tmp_path / "b.json", **options)

    return run


def shift(column, amount, noise=0.0, system="a 3"):
    def change(data):
        random = np.random.default_rng(1)
        for row in data["rows"][system]:
            row["cells"][column]["value"] += amount + noise * random.normal()

    return change


def test_the_same_numbers_pass(files):
    found = files(lambda data: None)
    assert not found.worse
    assert {change.verdict for change in found.changes} == {""}


@pytest.mark.parametrize(
    ("column", "amount", "worse"),
    [("pesq", -0.1, True), ("pesq", 0.1, False), ("wer:x", 3, True), ("wer:x", -3, False)],
)
def test_a_real_change_is_seen_in_its_direction(files, column, amount, worse):
    found = files(shift(column, amount, noise=abs(amount)))
    assert found.worse == worse
    (changed,) = [change for change in found.changes if change.verdict]
    assert (changed.system, changed.column) == ("a 3", column)
    assert changed.verdict == ("worse" if worse else "better")


def test_chance_does_not_shut_the_gate(files):
    assert not files(shift("pesq", -0.01, noise=0.3)).worse


def test_only_named_metrics_and_systems_are_gated(files):
    change = shift("pesq", -0.5)
    assert not files(change, metrics=["wer:x"]).worse
    assert files(change, metrics=["pesq"]).worse
    assert not files(change, systems=["a 6"]).worse


def fail_one(data):
    data["rows"]["a 6"][7]["cells"]["pesq"] = {"value": None, "reason": "crashed"}


def lose_system(data):
    data["systems"]["a 6"]["absent"] = "no weights"
    del data["rows"]["a 6"]


def lose_column(data):
    del data["columns"]["wer:x"]


@pytest.mark.parametrize("loss", [fail_one, lose_system, lose_column])
def test_what_b_lost_is_not_a_pass(files, loss):
    found = files(loss)
    assert found.worse
    assert {change.verdict for change in found.regressions} == {"missing"}


def test_clips_are_matched_by_name(files):
    def reorder(data):
        data["clips"] = data["clips"][::-1][:30]
        for rows in data["rows"].values():
            rows[:] = rows[::-1][:30]

    found = files(reorder)
    assert not found.worse
    assert {change.change.n for change in found.changes} == {30}


def test_the_table_shows_numbers_with_intervals(files):
    found = files(shift("pesq", -0.5, noise=0.1))
    text = io.StringIO()
    Console(file=text, width=140).print(found.table)
    assert "PESQ-wb" in text.getvalue()
    assert "worse" in text.getvalue()
    assert "\u22120.5" in text.getvalue()


def test_what_cannot_be_compared_is_refused(files, tmp_path):
    with pytest.raises(SpeechLMError, match="has no 'pesk', only kbps, pesq, wer:x"):
        files(lambda data: None, metrics=["pesk"])
    with pytest.raises(SpeechLMError, match="share no clip"):
        files(lambda data: [clip.update(id="z" + clip["id"]) for clip in data["clips"]])
    (tmp_path / "x.json").write_text("[]")
    for name, reason in (("none.json", "No such file"), ("x.json", "is not a results.json")):
        with pytest.raises(SpeechLMError, match=reason):
            compare(tmp_path / name, tmp_path / "a.json")


def test_systems_of_one_result_are_told_from_one_of_them(tmp_path):
    data = results()
    for old, new in zip(data["rows"]["a 3"], data["rows"]["a 6"], strict=True):
        for name, better in (("pesq", 0.5), ("wer:x", -4.0)):
            new["cells"][name] = old["cells"][name] | {
                "value": old["cells"][name]["value"] + better
            }
    path = tmp_path / "a.json"
    Results(data).save(path)
    found = {change.column: change for change in against(path, "a 3").changes}
    assert {change.system for change in found.values()} == {"a 6"}
    assert found["pesq"].change.mean == pytest.approx(0.5)
    assert found["wer:x"].change.high == pytest.approx(-4.0)
    assert found["pesq"].verdict == found["wer:x"].verdict == "better"
    (back,) = against(path, "a 6", ["pesq"]).changes
    assert (back.system, back.verdict) == ("a 3", "worse")
    with pytest.raises(SpeechLMError, match="has no 'original', only a 3, a 6"):
        against(path, "original")


def test_speakers_are_the_resampling_unit_where_all_are_known():
    def run(known):
        data = results()
        for number, clip in enumerate(data["clips"]):
            clip["speaker"] = f"s{number // 10}" if known(number) else None
        return data

    first, second = run(lambda number: True), run(lambda number: number != 7)
    for data, expected in ((first, 4), (second, None)):
        found = Results(data)
        found.summarise()
        assert found.data["summary"]["a 3"]["pesq"]["speakers"] == expected
        change = found.difference("a 6", "a 3", "pesq")
        assert (change.n, change.clusters) == (40, expected)
    assert Results(first).extent == "n=40 clips of 4 speakers"
    assert Results(second).extent == "n=40 clips"


def test_a_share_is_over_speakers_too():
    """Of two speakers who always or never do, forty clips say no more than two do."""
    data = results()
    data["columns"] = COLUMNS | {"nearer": COLUMNS["pesq"] | {"share": True}}
    for number, (clip, row) in enumerate(zip(data["clips"], data["rows"]["a 3"], strict=True)):
        clip["speaker"] = f"s{number // 20}"
        row["cells"]["nearer"] = {"value": 100.0 * (number < 20)}
    found = Results(data).mean("a 3", "nearer")
    assert (found.mean, found.n, found.clusters) == (50.0, 40, 2)
    assert found.low < 10 and found.high > 90


def test_the_number_of_speakers_is_in_the_comparison(tmp_path):
    data = results()
    for number, clip in enumerate(data["clips"]):
        clip["speaker"] = f"s{number % 13}"
    Results(data).save(tmp_path / "a.json")
    found = compare(tmp_path / "a.json", tmp_path / "a.json")
    assert {(change.change.n, change.change.clusters) for change in found.changes} == {(40, 13)}
    text = io.StringIO()
    Console(file=text, width=140).print(found.table)
    assert "speakers" in text.getvalue() and "13" in text.getvalue()
