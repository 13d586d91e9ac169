"""Language models: what they predict, write, say and go on with.

Each part of a suite is a module with ``run``, which gives a :class:`~.section.Section` to read and
cards to listen to.
"""
