"""Speech to ``.slm`` files and streams, and back: codec + rate control + bitstream.

:mod:`~speechlm.compression.rate_target` says what a file may take,
:mod:`~speechlm.compression.encoder` meets it, :mod:`~speechlm.compression.decoder` decodes all or
an excerpt, through losses, and :mod:`~speechlm.compression.files` applies both to sound files and
live streams, :mod:`~speechlm.compression.batch` to many files.
"""
