"""Statistics of runs: numpy alone, torch-free, the same answer every time.

Every function takes plain sequences or arrays, refuses what is not a finite number, and says in its
docstring which formula it uses, from where, and what it gives when n is small. Nothing uses a
global random generator. ``docs/guides/statistics.md`` explains the methods in plain words.
"""

from ourvidz.perf.stats.alarms import (
    Alarm,
    AlarmPolicy,
    Direction,
    Rule,
    first_alarm,
    installation_alarms,
    judge,
    standing_alarm,
)
from ourvidz.perf.stats.bootstrap import bootstrap_interval
from ourvidz.perf.stats.change import ChangePoint, Split, best_split, change_points
from ourvidz.perf.stats.describe import (
    MAD_TO_SIGMA,
    Summary,
    allowed_quantile,
    mad,
    median,
    quantile,
    smallest_n,
    summarize,
)
from ourvidz.perf.stats.multiple import holm
from ourvidz.perf.stats.outliers import flag_outliers, modified_z
from ourvidz.perf.stats.power import minimum_detectable_effect
from ourvidz.perf.stats.prediction import (
    Prediction,
    PredictionMethod,
    Score,
    is_watched,
    prediction_interval,
)
from ourvidz.perf.stats.proportion import wilson_interval
from ourvidz.perf.stats.ranks import (
    Alternative,
    MannWhitney,
    mann_whitney,
    midranks,
    smallest_p,
)
from ourvidz.perf.stats.sample import Interval, Sample
from ourvidz.perf.stats.shift import Shift, hodges_lehmann, relative_shift

__all__ = [
    "MAD_TO_SIGMA",
    "Alarm",
    "AlarmPolicy",
    "Alternative",
    "ChangePoint",
    "Direction",
    "Interval",
    "MannWhitney",
    "Prediction",
    "PredictionMethod",
    "Rule",
    "Sample",
    "Score",
    "Shift",
    "Split",
    "Summary",
    "allowed_quantile",
    "best_split",
    "bootstrap_interval",
    "change_points",
    "first_alarm",
    "flag_outliers",
    "hodges_lehmann",
    "holm",
    "installation_alarms",
    "is_watched",
    "judge",
    "mad",
    "mann_whitney",
    "median",
    "midranks",
    "minimum_detectable_effect",
    "modified_z",
    "prediction_interval",
    "quantile",
    "relative_shift",
    "smallest_n",
    "smallest_p",
    "standing_alarm",
    "summarize",
    "wilson_interval",
]
