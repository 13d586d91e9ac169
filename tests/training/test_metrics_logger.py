"""The log of a run."""

from __future__ import annotations

import json

from speechlm.training.metrics_logger import MetricsLogger


def read(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def test_lines_after_the_step_of_a_resume_are_written_once(tmp_path):
    logger = MetricsLogger(tmp_path, 0)
    for step in (2, 4, 6):
        logger.write(step, "train", {"loss": step / 3})
    logger.write(6, "valid", {"loss": 1.0})
    logger.close()
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write('{"step": 8, "ki')  # a kill in the middle of a line
    logger = MetricsLogger(tmp_path, 4)
    assert [line["step"] for line in read(tmp_path)] == [2, 4]
    # No line is lost.
    superseded = (tmp_path / "log.superseded.jsonl").read_text().splitlines()
    assert [line[:11] for line in superseded] == ['{"step": 6,', '{"step": 6,', '{"step": 8,']
    logger.write(6, "train", {"loss": 0.5})
    logger.close()
    assert read(tmp_path) == [
        {"step": 2, "kind": "train", "loss": 0.666667},
        {"step": 4, "kind": "train", "loss": 1.33333},
        {"step": 6, "kind": "train", "loss": 0.5},
    ]


def test_lines_that_are_no_entries_are_superseded(tmp_path):
    (tmp_path / "log.jsonl").write_text(
        '{"step": 1}\n\nnot json\n{"stop": 2}\n[1]\n{"step": null}\n'
    )
    MetricsLogger(tmp_path, 5).close()
    assert read(tmp_path) == [{"step": 1}]


def test_a_new_run_keeps_the_log_of_the_old_one(tmp_path):
    for number in range(3):
        with MetricsLogger(tmp_path, 0, anew=True) as logger:
            logger.write(1, "train", {"loss": float(number)})
    losses = [
        json.loads((tmp_path / name).read_text())["loss"]
        for name in ("log.1.jsonl", "log.2.jsonl", "log.jsonl")
    ]
    assert losses == [0, 1, 2]
