"""Progress in redirected output."""

from __future__ import annotations

from io import StringIO

from speechlm.training.progress import INTERVAL, LineProgress


def test_a_line_each_interval_and_at_the_end():
    now = 0.0
    stream = StringIO()
    progress = LineProgress(stream, 100, 200, clock=lambda: now)
    for step in range(101, 201):
        progress.amount(24.0, "audio s")
        now += 1.0
        if step == 120:
            progress.losses({"model/loss": 1.25})
        progress.step(step)
    lines = stream.getvalue().splitlines()
    assert INTERVAL == 30
    assert lines == [
        "step 130/200, model loss 1.2500, 24.0 audio s/s, 0:01:10 left",
        "step 160/200, model loss 1.2500, 24.0 audio s/s, 0:00:40 left",
        "step 190/200, model loss 1.2500, 24.0 audio s/s, 0:00:10 left",
        "step 200/200, model loss 1.2500, 24.0 audio s/s",
    ]
