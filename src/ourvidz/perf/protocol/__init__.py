"""The test protocol, as far as it executes nothing: plan, checks, judgement, hints, results, text.

What runs jobs is ``ourvidz.bench.protocol``; both are told of in ``docs/guides/benchmarking.md``.
"""
