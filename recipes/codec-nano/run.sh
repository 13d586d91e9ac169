#!/usr/bin/env bash
# codec-nano, from prepared corpora to weights and the figures of its card.
#
#   recipes/codec-nano/run.sh           settings: recipes/common.sh; corpora that are missing are named
#   SMOKE=1 recipes/codec-nano/run.sh
#
# About 46 minutes on one CPU core. The evaluation needs make asr judge.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../common.sh"

needs asterisk festvox-ru fillets tuxpaint an4 speechocean762

stage 01-from-scratch 01-from-scratch
stage 02-restart 02-restart init="$OUT/01-from-scratch/model"
stage 03-long 03-long init="$OUT/02-restart/model"
once quantize-weights speechlm quantize-weights "$OUT/03-long/model" "$OUT/model" --encoder

evaluate codec 'clips.sources=['"$DATA"'/an4]' systems.speechlm.model="$OUT/model" systems.speechlm.mode=levels \
  'systems.speechlm.kbps=[1.5,4]' recognisers.base.model=base
