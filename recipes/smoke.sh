# SMOKE=1: the stages of a recipe as they are, but for few steps of few examples. Recordings:
#
#   SMOKE_DATA   a folder of recordings with their texts (data/README.md)
#                (default: phrases of the recording that the package ships)

# smoke_corpora CORPUS...: one small corpus, by the first name of all, and links to it by the others.
SMOKE_CORPUS=
smoke_corpora() {
  local corpus
  SMOKE_CORPUS=${SMOKE_CORPUS:-$1}
  mkdir -p "$DATA"
  [[ -n ${SMOKE_DATA:-} ]] || once smoke-phrases smoke_phrases "$OUT/phrases"
  once smoke-corpus speechlm prepare folder path="${SMOKE_DATA:-$OUT/phrases}" \
    name=smoke output="$DATA/$SMOKE_CORPUS" language=en split.by=utterance split.dev=0.25 split.test=0.25
  for corpus in "$@"; do
    [[ $corpus == "$SMOKE_CORPUS" ]] || ln -sfn "$SMOKE_CORPUS" "$DATA/$corpus"
  done
  [[ -e $VERSES ]] || printf '%s\n' 'in the beginning' 'and it was so' 'and there was light' >"$VERSES"
}

# smoke_phrases FOLDER: the sample recording in phrases, a few of which are held out.
smoke_phrases() {
  "$PYTHON" - "$1" <<'PYTHON'
import json, sys
from pathlib import Path
import soundfile, speechlm

# Where phrases begin and end (s), by `speechlm align`. The names of speakers are made up: voice conversion needs
# two recordings of each of two in the test split, and synthesis by a voice two of one in the others.
PHRASES = [
    (0.0, 1.47, "train", "to look into your messages"),
    (0.0, 2.91, "train", "to look into your messages press one now"),
    (2.91, 4.47, "train", "you may quit voicemail"),
    (2.91, 5.49, "train", "you may quit voicemail at any time"),
    (4.47, 7.27, "train", "at any time by pressing the pound key"),
    (1.47, 2.91, "dev", "press one now"),
    (4.47, 7.27, "dev", "at any time by pressing the pound key"),
    (2.91, 5.49, "test", "you may quit voicemail at any time"),
    (5.49, 7.27, "test", "by pressing the pound key"),
    (0.0, 2.91, "test", "to look into your messages press one now"),
    (4.47, 5.49, "test", "at any time"),
]
out = Path(sys.argv[1])
out.mkdir(parents=True, exist_ok=True)
wave, rate = soundfile.read(Path(speechlm.__file__).parent / "assets" / "sample.flac", dtype="int16")
lines = []
for number, (start, stop, split, text) in enumerate(PHRASES):
    soundfile.write(out / f"{number}.wav", wave[round(start * rate) : round(stop * rate)], rate)
    speaker = f"speaker-{number % 2}" if split == "test" else split
    entry = {"audio": f"{number}.wav", "split": split, "text": text, "speaker": speaker}
    lines.append(json.dumps(entry) + "\n")
(out / "list.jsonl").write_text("".join(lines))
PYTHON
}

# smoke_training FILE: what is changed in a recipe, a line each, by its kind.
smoke_training() {
  local kind steps
  kind=$(sed -n 's/^kind: *//p' "$1")
  steps=(training.steps=2 training.validate_every=1 training.log_every=1 data.validation=2)
  case $kind in
    codec)
      printf '%s\n' "${steps[@]}" data.batch=2 data.seconds=0.5 \
        quantization.quantizer_bypass_steps=0
      ;;
    vocoder) printf '%s\n' "${steps[@]}" data.batch=2 data.seconds=0.5 data.prompt=0.5 \
      default_speaker=null ;;
    entropy-model) printf '%s\n' "${steps[@]}" data.batch=2 floats=1 ;;
    aligner) printf '%s\n' "${steps[@]}" data.batch=2 ;;
    lm) printf '%s\n' "${steps[@]}" data.batch=2 ;;
    units) printf '%s\n' units.clusters=16 data.minutes=1 ;;
    stacked) ;;
    *)
      echo "error: $1: smoke.sh knows no recipe of kind $kind" >&2
      return 1
      ;;
  esac
}

# smoke_evaluation SUITE: what is changed in a suite: few clips, the metrics and the recogniser of a
# basic installation with the extra asr.
smoke_evaluation() {
  case $1 in
    lm)
      printf '%s\n' likelihood.seeds=1 likelihood.utterances=2 choice.pairs=4 choice.prompt=0.3 \
        choice.seconds=0.3 asr.clips.limit=1 tts.clips=null tts.made_up=1 \
        continuation.clips.limit=1 continuation.clips.min_seconds=0.6 continuation.prompt=0.3 \
        continuation.seconds=0.5
      ;;
    conversion) printf '%s\n' clips.limit=4 clips.min_seconds=0 ;;
    *)
      printf '%s\n' clips.limit=1 clips.min_seconds=0 'metrics=[stoi]' runtime.repeats=0 workers=0
      ;;
  esac
  case $1 in
    codec) printf 'systems.%s=null\n' opus speex amr-wb codec2 encodec dac ;;
    vocoder) printf '%s\n' systems.speechlm=null ;;
  esac
  if [[ $1 == codec-english ]]; then
    printf '%s\n' recognisers.base.model=null # tiny.en, in place of base
  else
    printf '%s\n' recognisers.base=null
  fi
  printf '%s\n' page.clips=1
}
