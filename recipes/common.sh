# What every recipes/NAME/run.sh begins with. Settings, from the environment:
#
#   DATA     folder of prepared corpora         (default data/prepared)
#   TOKENS   folder of tokenized corpora        (default data/tokens)
#   VERSES   text for language models           (default data/verses.txt)
#   OUT      a folder for each stage, the model (OUT/model) and its evaluation (OUT/eval)
#            (default runs/NAME)
#   PYTHON   the interpreter with speechlm      (default .venv/bin/python, else python3)
#   LAST     the last stage to run              (default: all, and the evaluation)
#   SMOKE    1: the same stages end to end in minutes, see smoke.sh
#
# Paths are relative to the current folder. Run the same command again after a stop: a stage
# that has finished has a file in OUT/.done, and training continues from its checkpoint.

RECIPE=$(cd "$(dirname "${BASH_SOURCE[1]}")" && pwd)
NAME=${RECIPE##*/}
RECIPES=$(dirname "$RECIPE")
ROOT=$(dirname "$RECIPES")

SMOKE=${SMOKE:-}
LAST=${LAST:-}
if [[ $SMOKE == 1 ]]; then
  # Nothing of a smoke run gets into the folders of a full one.
  OUT=${OUT:-runs/smoke/$NAME}
  DATA=$OUT/prepared TOKENS=$OUT/tokens VERSES=$OUT/verses.txt
else
  OUT=${OUT:-runs/$NAME}
  DATA=${DATA:-data/prepared} TOKENS=${TOKENS:-data/tokens} VERSES=${VERSES:-data/verses.txt}
fi
if [[ -z ${PYTHON:-} ]]; then
  PYTHON=python3
  [[ ! -x $ROOT/.venv/bin/python ]] || PYTHON=$ROOT/.venv/bin/python
fi

speechlm() { "$PYTHON" -m speechlm "$@"; }

# once MARK COMMAND...: runs a command, unless it has finished before.
once() {
  local mark=$OUT/.done/$1
  shift
  if [[ -e $mark ]]; then
    echo "== ${mark##*/}: finished before"
    return
  fi
  echo "== ${mark##*/}"
  "$@"
  mkdir -p "$OUT/.done"
  touch "$mark"
}

# placed FILE NAME: writes FILE to OUT/yaml/NAME.yaml, with the folders of this run; prints that path.
placed() {
  local text
  text=$(<"$1")
  text=${text//data\/prepared/"$DATA"}
  text=${text//data\/tokens/"$TOKENS"}
  text=${text//data\/verses.txt/"$VERSES"}
  mkdir -p "$OUT/yaml"
  printf '%s\n' "$text" >"$OUT/yaml/$2.yaml"
  printf '%s' "$OUT/yaml/$2.yaml"
}

# stage NAME FILE [KEY=VALUE...]: trains a recipe in OUT/NAME. FILE is of this folder, or of recipes/.
stage() {
  local name=$1 file=$RECIPE/$2.yaml smoke=() path
  [[ -e $file ]] || file=$RECIPES/$2.yaml
  shift 2
  path=$(placed "$file" "$name")
  [[ $SMOKE != 1 ]] || mapfile -t smoke < <(smoke_training "$path")
  once "$name" speechlm train "$path" training.out="$OUT/$name" "$@" "${smoke[@]}"
  [[ $LAST != "$name" ]] || exit 0
}

# at_step NAME STEP: the model of a stage with training.keep_models after that step.
at_step() {
  local models=("$OUT/$1/models"/*)
  if [[ $SMOKE == 1 ]]; then
    printf '%s' "${models[-1]}"
  else
    printf '%s/%06d' "$OUT/$1/models" "$2"
  fi
}

# average NAME MODEL WEIGHT...: the mean of models, into OUT/NAME/model.
average() {
  local name=$1 arguments=()
  shift
  while (($#)); do
    arguments+=("$1" --weight "$2")
    shift 2
  done
  once "$name" speechlm average "$OUT/$name/model" "${arguments[@]}"
}

# evaluate SUITE [KEY=VALUE...]: what the figures of the card come from, into OUT/eval/SUITE.
evaluate() {
  local suite=$1 smoke=() path
  shift
  path=$(placed "$ROOT/eval/$suite.yaml" "eval-$suite")
  [[ $SMOKE != 1 ]] || mapfile -t smoke < <(smoke_evaluation "$suite")
  once "eval-$suite" speechlm eval "$path" "$@" "${smoke[@]}" --out "$OUT/eval/$suite"
}

# needs CORPUS...: stops, with the commands that prepare them, where prepared corpora are missing.
# A recipe may say in PREPARE[CORPUS] how its own are prepared.
declare -A PREPARE=()
needs() {
  local corpus missing=0
  if [[ $SMOKE == 1 ]]; then
    smoke_corpora "$@"
    return
  fi
  for corpus in "$@"; do
    [[ ! -e $DATA/$corpus/corpus.json ]] || continue
    ((missing++)) || echo "error: corpora are missing in $DATA; run:" >&2
    echo "  speechlm prepare $(how_to_prepare "$corpus") output=$DATA/$corpus" >&2
  done
  ((missing == 0)) || exit 2
}

how_to_prepare() {
  if [[ -v PREPARE[$1] ]]; then
    echo "${PREPARE[$1]} name=$1"
  elif [[ $1 == an4 || $1 == speechocean762 ]]; then
    echo "$1 path=FOLDER"
  elif [[ -e $ROOT/data/$1.yaml ]]; then
    echo "$1"
  else
    echo "folder path=FOLDER name=$1 language=en"
  fi
}

# align MARK MODEL CORPUS...: finds when words are said; MODEL is an aligner, or - for Whisper.
align() {
  local mark=$1 options=() corpus
  [[ $2 == - ]] || options=(--model "$2")
  shift 2
  for corpus in "$@"; do
    # Corpora of a smoke run are links to one.
    [[ ! -L $DATA/$corpus ]] || continue
    once "align-$mark-$corpus" speechlm align "$DATA/$corpus" --force "${options[@]}"
  done
}

# tokenize MARK MODEL OUT CORPUS...: into TOKENS/OUT/CORPUS; a corpus NAME@SPEED at that speed.
tokenize() {
  local mark=$1 model=$2 folder=$TOKENS${3:+/$3} corpus source
  shift 3
  mkdir -p "$folder"
  for corpus in "$@"; do
    if [[ -L $DATA/${corpus%@*} || ($SMOKE == 1 && $corpus == *@*) ]]; then
      ln -sfn "$(basename "$(readlink -f "$DATA/${corpus%@*}")")" "$folder/${corpus/@/-}"
      continue
    fi
    source=$DATA/$corpus
    if [[ $corpus == *@* ]]; then
      source=$DATA/${corpus%@*}/speed-${corpus#*@}-train.jsonl.gz
      once "cuts-$mark-$corpus" at_speed "$DATA/${corpus%@*}" "${corpus#*@}" "$source"
    fi
    once "tokens-$mark-$corpus" speechlm tokenize "$source" "$folder/${corpus/@/-}" --model "$model"
  done
}

# at_speed CORPUS SPEED FILE: the cuts of its training split at another speed, words included.
at_speed() {
  "$PYTHON" -c 'import sys, lhotse
folder, speed, out = sys.argv[1:]
cuts = lhotse.CutSet.from_file(f"{folder}/cuts-train.jsonl.gz")
cuts.perturb_speed(float(speed)).to_file(out)' "$@"
}

# verses: text for language models, where it is missing.
verses() {
  [[ -e $VERSES ]] || speechlm verses "$VERSES"
}

if [[ $SMOKE == 1 ]]; then
  source "$RECIPES/smoke.sh"
fi
