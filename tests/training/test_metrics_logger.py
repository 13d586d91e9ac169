"""The log of a run."""

from __future__ import annotations

import json

from speechlm.training.metrics_logger import MetricsLogger


def read(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def test_lines_after_the_step_of_a_resume_are_written_once(tmp_path):
    journal = MetricsLogger(tmp_path, 0)
    for step in (2, 4, 6):
        journal.write(step, "train", {"loss": step / 3})
    journal.write(6, "valid", {"loss": 1.0})
    journal.close()
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write('{"step": 8, "ki')  # a kill in the middle of a line
    journal = MetricsLogger(tmp_path, 4)
    assert [line["step"] for line in read(tmp_path)] == [2, 4]
    journal.write(6, "train", {"loss": 0.5})
    journal.close()
    assert read(tmp_path) == [
        {"step": 2, "kind": "train", "loss": 0.666667},
        {"step": 4, "kind": "train", "loss": 1.33333},
        {"step": 6, "kind": "train", "loss": 0.5},
    ]


def test_lines_that_are_no_entries_are_dropped(tmp_path):
    (tmp_path / "log.jsonl").write_text(
        '{"step": 1}\n\nnot json\n{"stop": 2}\n[1]\n{"step": null}\n'
    )
    MetricsLogger(tmp_path, 5).close()
    assert read(tmp_path) == [{"step": 1}]
