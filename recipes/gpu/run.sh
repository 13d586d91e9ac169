#!/usr/bin/env bash
# Twelve minutes of one GPU: the tests that need one, the throughput of training, and a codec.
#
#   recipes/gpu/run.sh                        # all three stages: test bench train
#   MINUTES=5 recipes/gpu/run.sh test bench   # or in two runs
#   MINUTES=7 recipes/gpu/run.sh train
#   REDUCED=1 recipes/gpu/run.sh              # the same on a CPU, in a minute: does the script work?
#
# Settings, from the environment:
#
#   OUT       what comes out (default runs/gpu/out): report.md; tests.txt; bench-*.json; train.jsonl, the log
#             of training; and the trained model in pieces of 15 MB, put together by
#             cat model.tar.* | tar -x
#   WORK      checkpoints and the like (default runs/gpu)
#   CORPORA   prepared corpora to train on (default: all of data/prepared; if there are none, the
#             recording that the package ships, cut into pieces)
#   SETTINGS  further KEY=VALUE of recipes/codec.yaml, such as init=FOLDER training.compile=true
#   MINUTES   how long it may take in all (default 12); training takes what the other stages leave
#   PYTHON    the interpreter with speechlm (default .venv/bin/python, else python3)
#
# Training stops in time with the model of its last validation. The exit status is that of the first
# stage that failed; the later ones run all the same.
set -uo pipefail
cd "$(dirname "$0")/../.."

REDUCED=${REDUCED:-}
WORK=${WORK:-runs/gpu}
OUT=${OUT:-$WORK/out}
MINUTES=${MINUTES:-12}
if [[ -z ${PYTHON:-} ]]; then
  PYTHON=python3
  [[ ! -x .venv/bin/python ]] || PYTHON=.venv/bin/python
fi
DEVICE=cuda LIMIT=150
if [[ $REDUCED == 1 ]]; then
  # A slow machine shall not fail: only the whole is bounded.
  DEVICE=cpu LIMIT=600
  export ACCELERATE_USE_CPU=1
fi
mkdir -p "$WORK" "$OUT"
export PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH}
DEADLINE=$((SECONDS + $("$PYTHON" -c "print(int(60 * $MINUTES))")))
status=0

speechlm() { "$PYTHON" -m speechlm "$@"; }
left() { echo $((DEADLINE - SECONDS)); }
# within SECONDS COMMAND...: SIGTERM after so long, on which training saves what it has.
within() { timeout --signal=TERM --kill-after=30 "$@"; }
failed() {
  echo "== $1: failed" >&2
  ((status)) || status=$2
}

run_tests() {
  local files
  mapfile -t files < <(grep -rl 'mark\.gpu' tests --include='test_*.py')
  within "$(($(left) / 2))" "$PYTHON" -m pytest -m gpu -q -p no:cacheprovider --timeout 150 \
    --numprocesses "$([[ $REDUCED == 1 ]] && echo 0 || echo 4)" \
    "${files[@]}" 2>&1 | tee "$OUT/tests.txt"
}

# measure NAME RECIPE [ARGUMENT...]: the throughput of a recipe, into OUT/bench-NAME.json.
measure() {
  local name=$1
  shift
  echo "== bench $name"
  within "$LIMIT" "$PYTHON" -m speechlm bench train "$@" --device "$DEVICE" --json >"$OUT/bench-$name.json" || {
    rm -f "$OUT/bench-$name.json"
    failed "bench $name" 1
  }
}

run_bench() {
  if [[ $REDUCED == 1 ]]; then
    measure codec codec "${SMALL[@]}" --batch 1 --batch 2 --steps 1
    measure lm lm lm.dim=32 lm.num_layers=1 lm.ffn_dim=32 data.batch=1 data.length=128 --batch 1 --steps 1
    return
  fi
  measure codec codec --batch 24 --batch 96 --batch 384
  measure codec-compiled codec training.compile=true --batch 384
  measure codec-float32 codec training.precision=no --batch 96
  measure lm lm --batch 8 --batch 64 --batch 256
  measure lm-compiled lm training.compile=true --batch 256
  measure lm-large lm lm.dim=1024 lm.num_layers=16 lm.num_heads=16 lm.num_kv_heads=4 lm.ffn_dim=2816 --batch 64
}

corpora() {
  local found=(data/prepared/*/corpus.json)
  if [[ -n ${CORPORA:-} ]]; then
    # shellcheck disable=SC2086
    printf '%s\n' $CORPORA
  elif [[ -e ${found[0]} && $REDUCED != 1 ]]; then
    printf '%s\n' "${found[@]%/corpus.json}"
  else
    [[ -d $WORK/pieces ]] || "$PYTHON" - "$WORK/pieces" <<'PIECES'
import sys
from pathlib import Path

import numpy as np
import soundfile

folder = Path(sys.argv[1])
folder.mkdir()
wave, rate = soundfile.read("speechlm/assets/sample.flac", dtype="int16")
for number, piece in enumerate(np.array_split(wave, 12)):
    soundfile.write(folder / f"{number}.wav", piece, rate)
PIECES
    [[ -d $WORK/sample ]] || speechlm prepare data/folder.yaml name=sample path="$WORK/pieces" \
      output="$WORK/sample" split.by=utterance split.dev=0.2 split.test=0 min_seconds=0.05 >&2
    printf '%s\n' "$WORK/sample"
  fi
}

# Without augmentation, which runs on the CPU, the corpus stays on the GPU and is cropped there.
BIG=(data.augment.noise=0 data.augment.reverb=0 data.augment.band=0 data.batch=384)
SMALL=(codec.latent=8 codec.quantizer.num_codebooks=2 codec.quantizer.codebook_size=16
  codec.spectral.encoder_dim=16 codec.spectral.encoder_blocks=1 codec.spectral.decoder_dim=16
  codec.spectral.decoder_blocks=1 data.seconds=0.25 data.validation=2)

run_train() {
  local list settings steps save=60
  mapfile -t list < <(corpora)
  ((${#list[@]})) || return 1
  settings=("data.corpora=[$(IFS=,; echo "${list[*]}")]" "${BIG[@]}")
  [[ $REDUCED != 1 ]] || settings+=("${SMALL[@]}" data.batch=2)
  # Words of SETTINGS are settings of their own.
  # shellcheck disable=SC2206
  settings+=(${SETTINGS:-})
  if [[ $REDUCED == 1 ]]; then
    steps=3
  else
    speechlm bench train recipes/codec.yaml "${settings[@]}" --device "$DEVICE" --steps 10 --json \
      >"$WORK/step.json" || return
    steps=$("$PYTHON" -c 'import json, sys
seconds = json.load(open(sys.argv[1]))["step_seconds"]
print(max(10, int(0.85 * (int(sys.argv[2]) - int(sys.argv[3])) / seconds)))' "$WORK/step.json" "$(left)" $save)
  fi
  echo "== train: $steps steps on ${list[*]}"
  rm -rf "$WORK/train"
  within "$(($(left) - save))" "$PYTHON" -m speechlm train recipes/codec.yaml "${settings[@]}" \
    training.out="$WORK/train" training.steps="$steps" training.log_every=$((steps < 100 ? 1 : 50)) \
    training.validate_every=$((steps / 6 + 1)) training.checkpoint_every=$((steps / 6 + 1))
  local code=$?
  ((code == 0 || code == 143)) || return $code
  cp "$WORK/train/log.jsonl" "$OUT/train.jsonl"
  rm -f "$OUT"/model.tar.*
  tar -C "$WORK/train" -c model | split -b 15000000 -d - "$OUT/model.tar."
}

(($#)) || set -- test bench train
for stage; do
  echo "== $stage, $(left) s left"
  case $stage in
    test) run_tests ;;
    bench) run_bench ;;
    train) run_train ;;
    *) echo "error: stages are test, bench and train, not $stage" >&2; exit 2 ;;
  esac || failed "$stage" $?
done
"$PYTHON" recipes/gpu/report.py "$OUT" | tee "$OUT/report.md" || failed report $?
exit $status
