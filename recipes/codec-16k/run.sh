#!/usr/bin/env bash
# codec-16k, from prepared corpora to weights, entropy model and the figures of its card.
#
#   recipes/codec-16k/run.sh            settings: recipes/common.sh; corpora that are missing are named
#   SMOKE=1 recipes/codec-16k/run.sh
#
# Stages 1 to 5 are about four hours on one CPU core, the decoder 53 minutes, the entropy model 23 and the
# evaluation 50. Needs make asr eval judge.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../common.sh"

needs asterisk festvox-ru fillets tuxpaint an4 speechocean762
# The decoder is trained on English reading.
case $LAST in
  0[1-5]*) ;;
  *) needs librispeech-mini common-voice african-storybook ljspeech-part ;;
esac

stage 01-four-corpora 01-four-corpora
stage 02-six-corpora 02-six-corpora init="$OUT/01-four-corpora/model"
stage 03-linear-spectrum 03-linear-spectrum init="$OUT/02-six-corpora/model"
stage 04-linear-spectrum 03-linear-spectrum init="$OUT/03-linear-spectrum/model" training.steps=2700
stage 05-linear-spectrum 03-linear-spectrum init="$OUT/04-linear-spectrum/model" training.steps=2700
stage 06-decoder 06-decoder init="$OUT/05-linear-spectrum/model"
once quantize-weights speechlm quantize-weights "$OUT/06-decoder/model" "$OUT/model"
# Into OUT/model, as context.safetensors.
stage 07-entropy-model entropy-model codec="$OUT/model" data.cache="$TOKENS" training.resume=auto

evaluate codec-english systems.speechlm.model="$OUT/model" clips.limit=100 runtime.repeats=0
