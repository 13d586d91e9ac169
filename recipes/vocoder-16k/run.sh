#!/usr/bin/env bash
# vocoder-16k and its tokenizer, from prepared corpora to weights and the figures of its card.
#
#   recipes/vocoder-16k/run.sh          settings: recipes/common.sh; corpora that are missing are named
#   SMOKE=1 recipes/vocoder-16k/run.sh
#
# Some two hours and a quarter on one CPU core, after the units. Needs make asr eval units judge.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../common.sh"
source "$RECIPES/kokoro.sh"

needs asterisk festvox-ru tuxpaint an4 speechocean762 kokoro kokoro-spelled kokoro-verses

units=(units="$OUT/01-units/model" data.cache="$TOKENS")
stage 01-units 01-units
stage 02-adversarial 02-adversarial "${units[@]}"
stage 03-all-corpora 03-all-corpora "${units[@]}" init="$(at_step 02-adversarial 5000)"
stage 04-asr-feature 04-asr-feature "${units[@]}" init="$OUT/03-all-corpora/model"
once quantize-weights speechlm quantize-weights "$(at_step 04-asr-feature 4000)" "$OUT/model"

evaluate vocoder 'clips.sources=['"$DATA"'/an4]' clips.limit=40 systems.units.model="$OUT/model" recognisers.base.model=base
evaluate conversion 'clips.sources=['"$DATA"'/an4]' clips.limit=40 model="$OUT/model" recognisers.base.model=base
