#!/usr/bin/env bash
# lm-units, from prepared corpora to weights and the figures of its card.
#
#   recipes/lm-units/run.sh             settings: recipes/common.sh; corpora that are missing are named
#   SMOKE=1 recipes/lm-units/run.sh
#
# It is a model of the units of a vocoder:
#
#   VOCODER  a model                    (default vocoder-16k, as it ships; recipes/vocoder-16k trains another)
#
# Under three hours on one CPU core, after the alignments and the units. Needs make asr; the evaluation, make judge.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../common.sh"
source "$RECIPES/kokoro.sh"
VOCODER=${VOCODER:-vocoder-16k}

read_aloud=(an4 speechocean762 kokoro kokoro-spelled kokoro-verses)
all=("${read_aloud[@]}" asterisk festvox-ru tuxpaint)
faster_and_slower=(an4@0.9 an4@1.1 speechocean762@0.9 speechocean762@1.1)
needs "${all[@]}"
verses
vocoder=(lm.units="$VOCODER")

# Words by the attention of Whisper.
align attention - "${read_aloud[@]}"
tokenize attention "$VOCODER" units-attention "${all[@]}" "${faster_and_slower[@]}"
stage 01-spelled 01-spelled "${vocoder[@]}"
stage 02-kokoro 02-kokoro "${vocoder[@]}" init="$OUT/01-spelled/model"
stage 03-verses 03-verses "${vocoder[@]}" init="$(at_step 02-kokoro 2800)"
stage 04-read 04-read "${vocoder[@]}" init="$OUT/03-verses/model"
average mean "$OUT/03-verses/model" 1 "$OUT/04-read/model" 1

# Words by an aligner that learns from the transcripts.
stage aligner aligner
align aligner "$OUT/aligner/model" "${read_aloud[@]}"
tokenize aligner "$VOCODER" units "${all[@]}" "${faster_and_slower[@]}"
stage 05-aligned 05-aligned "${vocoder[@]}" init="$OUT/mean/model"
stage 06-speech 06-speech "${vocoder[@]}" init="$OUT/05-aligned/model"
once quantize-weights speechlm quantize-weights "$OUT/06-speech/model" "$OUT/model"

evaluate lm model="$OUT/model" 'tokens=['"$TOKENS"'/units/*]' recognisers.base.kind=whisper recognisers.base.model=base
