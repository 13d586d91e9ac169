"""``speechlm adapt``: fine-tune a model on a folder of recordings, and measure what that changed.

The folder is prepared as by ``speechlm prepare data/folder.yaml``; some recordings are held out;
the trainer runs for a time; the models before and after are compared on the held-out recordings.
Everything is in one folder, which is where a second run of the same command continues::

    OUT/
      adapt.json        what is adapted to what
      corpus/           the prepared recordings
      tokens/           their units (vocoder, language model)
      checkpoint.pt     of the training, with log.jsonl
      model/            the adapted model, with a card
      evaluation/       results.json and report.html of the models before and after
"""
