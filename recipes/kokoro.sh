# How the synthetic corpora of vocoder-16k and lm-units are prepared (make synthetic).
PREPARE=(
  [kokoro]="kokoro utterances=700 seed=9 verses=.6"
  [kokoro-spelled]="kokoro utterances=1400 seed=6 verses=0 split.dev=0 split.test=0 \
'sentences=[letters,letters,name,name,digits,date,command,number]' 'voices=[af_heart,am_fenrir,af_bella]'"
  [kokoro-verses]="kokoro utterances=900 seed=11 verses=1 split.dev=0 split.test=0 \
'voices=[af_aoede,af_bella,af_heart,af_nova,af_river,af_sarah,af_sky,am_adam,am_echo,am_eric,am_fenrir,am_onyx,\
bf_emma,bf_isabella,bf_lily,bm_daniel,bm_fable,bm_george]'"
)
