"""Expected times of jobs, with intervals, before they start and while they run."""

from ourvidz.perf.prediction.forecaster import MOST_RECORDS, Forecaster
from ourvidz.perf.prediction.predictor import (
    LEVEL,
    Prediction,
    Predictor,
    environment_key,
    fit,
)
from ourvidz.perf.prediction.prior import Rates, cpu_rates, local_rates, rates_of

__all__ = [
    "LEVEL",
    "MOST_RECORDS",
    "Forecaster",
    "Prediction",
    "Predictor",
    "Rates",
    "cpu_rates",
    "environment_key",
    "fit",
    "local_rates",
    "rates_of",
]
