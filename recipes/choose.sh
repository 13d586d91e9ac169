#!/usr/bin/env bash
# Choose among the models of a run with training.keep_models=true, by the CER of synthesised sentences.
#
#   recipes/choose.sh RUN [KEY=VALUE...]      of eval/lm.yaml, as tts.seed=30
#
# tts.seed gives sentences other than those that are reported.
set -euo pipefail
run=$1
shift
PYTHON=${PYTHON:-python3}
for model in "$run"/models/*; do
  "$PYTHON" -m speechlm eval eval/lm.yaml model="$model" likelihood=null choice=null asr=null continuation=null \
    tts.clips=null tts.made_up=40 tts.seed=30 "$@" --out "$run/choose/${model##*/}"
done
found=()
for result in "$run"/choose/*; do
  found+=("${result##*/}=$result/results.json")
done
"$PYTHON" -m speechlm compare --markdown "${found[@]}"
