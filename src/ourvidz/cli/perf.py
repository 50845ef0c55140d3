"""``ourvidz perf``: what was measured, what it is compared with, and what can be said of it."""

from __future__ import annotations

import typer

from ourvidz.cli import (
    perf_history,
    perf_predict,
    perf_quality,
    perf_report,
    perf_rollouts,
    perf_trace,
    perf_verdicts,
)

app = typer.Typer(
    help="Baselines, history, claims and goals: computed from records.", no_args_is_help=True
)
perf_history.register(app)
perf_verdicts.register(app)
perf_trace.register(app)
perf_report.register(app)
perf_quality.register(app)
perf_rollouts.register(app)
perf_predict.register(app)
