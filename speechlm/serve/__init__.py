"""A local server that keeps models in memory: ``speechlm serve`` (extra ``serve``).

:mod:`~speechlm.serve.app` has the routes, :mod:`~speechlm.serve.scheduler` runs requests one step
at a time on one thread, :mod:`~speechlm.serve.tasks` is what a request computes.
"""
