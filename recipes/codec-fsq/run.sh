#!/usr/bin/env bash
# codec-fsq, from prepared corpora to weights and the figures of its card.
#
#   recipes/codec-fsq/run.sh            settings: recipes/common.sh; corpora that are missing are named
#   SMOKE=1 recipes/codec-fsq/run.sh
#
# It starts from stage 5 of recipes/codec-16k, which is run where its model is missing:
#
#   INIT     that model                 (default runs/codec-16k/05-linear-spectrum/model)
#
# 36 minutes on one CPU core, after the four hours of those stages. Needs make asr; the evaluation, make judge.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../common.sh"

needs asterisk festvox-ru fillets tuxpaint an4 speechocean762

if [[ -z ${INIT:-} ]]; then
  before=runs/codec-16k
  [[ $SMOKE != 1 ]] || before=$OUT/codec-16k
  INIT=$before/05-linear-spectrum/model
  # A model is there before its stage has finished.
  OUT=$before LAST=05-linear-spectrum bash "$RECIPES/codec-16k/run.sh"
fi
stage 01-one-token 01-one-token init="$INIT"
once quantize-weights speechlm quantize-weights "$OUT/01-one-token/model" "$OUT/model" --encoder

evaluate codec 'clips.sources=['"$DATA"'/an4]' systems.speechlm.model="$OUT/model" systems.speechlm.mode=levels \
  'systems.speechlm.kbps=[0.8]' 'systems.codec-16k={kind: model, mode: levels, kbps: [0.5, 1]}' recognisers.base.model=base
