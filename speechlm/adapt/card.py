"""The card of an adapted model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from speechlm.adapt.comparison import ComparisonRow, markdown_table
from speechlm.adapt.options import AdaptOptions
from speechlm.data.corpus import PreparedCorpus
from speechlm.utils.files import atomic_path

CARD = "README.md"


def write_card(
    options: AdaptOptions,
    corpus: PreparedCorpus,
    rows: Sequence[ComparisonRow],
    notes: Sequence[str],
    facts: dict[str, Any],
) -> None:
    """Write ``README.md`` into the model folder: data, licence, training, table."""
    counts, minutes = corpus.utterances, corpus.minutes
    recorded = f"{counts['train']} recordings, {minutes['train']:.1f} minutes"
    held_out = f"{counts['dev']} recordings for validation, {counts['test']} for the table"
    text = f"""---
library_name: speechlm
base_model: {json.dumps(str(options.model))}
datasets: [{json.dumps(corpus.name)}]
tags: [speech, audio, adapted]
---
# {options.model}, adapted to {corpus.name}

| | |
|---|---|
| adapted from | {options.model} |
| data | {corpus.name}: {recorded} |
| held out, by a hash of their names | {held_out} |
| licence of the data | {options.licence} |
| training | {facts["step"]} steps in {options.minutes:g} minutes |

{"".join(f"- {note}{chr(10)}" for note in notes)}
## Measured

The {counts["test"]} held-out recordings, before and after. Intervals are 95 %, over recordings
(bootstrap); differences are paired. Other recordings of the same speakers may be in training.

{markdown_table(rows)}"""
    with atomic_path(options.adapted / CARD) as path:
        path.write_text(text, "utf-8")
