"""Conformance of codecs: what holds for any of them, whatever it sounds like.

``speechlm conform MODEL`` runs the checks of :mod:`speechlm.conformance.checks`, one a file, on a
:class:`~speechlm.conformance.subject.Subject`: a codec behind :class:`speechlm.codec.Codec`, or two
commands that encode and decode files.
"""
