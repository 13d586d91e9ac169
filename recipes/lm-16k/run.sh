#!/usr/bin/env bash
# lm-16k, from prepared corpora to weights and the figures of its card.
#
#   recipes/lm-16k/run.sh               settings: recipes/common.sh; corpora that are missing are named
#   SMOKE=1 recipes/lm-16k/run.sh
#
# Nine hours and a half on one CPU core, after the alignments and the units. Needs make asr units.
#
# What is recorded of the shipped weights are the stages, their steps, averages and the settings that the card named.
# Not recorded, and taken from the recipe of the time: weights of tasks in stages 7 to 9, warm-ups of restarts.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../common.sh"
PREPARE=(
  [kokoro-mixed]="kokoro utterances=673 verses=.15"
  [kokoro-sentences]="kokoro utterances=800 seed=5 verses=0 split.dev=0 split.test=0 \
'voices=[af_heart,am_fenrir,af_bella,bm_george]'"
  [kokoro-letters]="kokoro utterances=1100 seed=6 verses=0 split.dev=0 split.test=0 \
'sentences=[letters,letters,name,name,digits,digits,date,command]' 'voices=[af_heart,am_fenrir,af_bella]'"
  [kokoro-names]="kokoro utterances=1100 seed=7 verses=0 split.dev=0 split.test=0 \
'sentences=[letters,name,letters,name,date,digits,command]' 'voices=[af_bella,af_heart,am_fenrir]'"
)

english=(an4 speechocean762 asterisk)
synthetic=(kokoro-mixed kokoro-sentences kokoro-letters kokoro-names)
other=(tuxpaint festvox-ru fillets amazon-queen)
needs "${english[@]}" "${synthetic[@]}" "${other[@]}"
verses

align attention - "${english[@]}" "${synthetic[@]}"
at_speeds=()
for corpus in an4 "${synthetic[@]}"; do
  at_speeds+=("$corpus@0.9" "$corpus@1.1")
done
tokenize codec codec-16k codec "${english[@]}" "${synthetic[@]}" "${other[@]}" "${at_speeds[@]}"
once text-tokenizer speechlm text-tokenizer "$TOKENS/text.model" "$TOKENS"/codec/{an4,speechocean762} --kind char --size 512

# Of the codec's units.
stage 01-asr 01-asr
stage 02-tts 02-tts init="$OUT/01-asr/model"
stage 03-tts 02-tts init="$OUT/02-tts/model" training.steps=700 training.optimizer.warmup=30
stage 04-read 04-read init="$OUT/03-tts/model"
stage 05-read 04-read init="$OUT/04-read/model" training.steps=275
stage 06-read 04-read init="$OUT/05-read/model" training.steps=720 mask.speech_given_text=0.6
stage 07-read 04-read init="$OUT/06-read/model" training.steps=420 mask.speech_given_text=0.6 data.tasks.tts-wordwise.weight=15
average mean-of-codec-units "$OUT/04-read/model" 2 "$OUT/06-read/model" 1 "$OUT/07-read/model" 1

# With a semantic stream.
stage units units-whisper units.clusters=500 units.name=speechlm-units-whisper-500 data.minutes=60 \
  "data.corpora=[$DATA/kokoro-mixed,$DATA/kokoro-sentences,$DATA/an4,$DATA/speechocean762,$DATA/asterisk]"
stage stacked units-stacked semantic="$OUT/units/model" units.ahead=2 units.name=speechlm-units-stacked-500
tokenize plan "$OUT/stacked/model" plan "${english[@]}" "${synthetic[@]}" "${at_speeds[@]}"
stage 08-plan 08-plan init="$OUT/mean-of-codec-units/model" training.steps=400 mask.semantic_dropout=0
stage 09-plan 08-plan init="$OUT/08-plan/model"
stage 10-all-corpora 10-all-corpora init="$OUT/09-plan/model"
average mean-of-plans "$(at_step 10-all-corpora 1200)" 2 "$(at_step 10-all-corpora 800)" 1 "$OUT/09-plan/model" 1
stage 11-all-corpora 10-all-corpora init="$OUT/mean-of-plans/model" training.steps=1000 data.tasks.tts-wordwise.weight=7 \
  mask.speech_given_text=0.2
stage 12-letters 12-letters init="$OUT/11-all-corpora/model"
average mean-of-letters "$OUT/12-letters/model" 2 "$(at_step 12-letters 1000)" 1 "$OUT/11-all-corpora/model" 1
stage 13-letters 12-letters init="$OUT/mean-of-letters/model" training.steps=1200
stage 14-names 14-names init="$OUT/13-letters/model"
once quantize-weights speechlm quantize-weights "$OUT/14-names/model" "$OUT/model"

evaluate lm model="$OUT/model" "tokens=[$TOKENS/codec/*]" tts.clips.limit=40
