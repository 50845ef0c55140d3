"""A predictor that stays current: what a service and a worker ask, from any thread."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from typing import Any

from ourvidz.core.clock import Clock, SystemClock
from ourvidz.core.errors import OurVidzError
from ourvidz.core.phase import LoadState
from ourvidz.core.request import GenerationRequest
from ourvidz.core.workload import workload_facts
from ourvidz.perf.prediction.predictor import Prediction, Predictor, fit
from ourvidz.perf.prediction.prior import Rates
from ourvidz.perf.record import PerformanceRecord
from ourvidz.perf.records import RecordReader

_log = logging.getLogger(__name__)

MOST_RECORDS = 400  # the newest; older ones tell of another machine's mood
_GROWTH = 0.1  # fitted anew when so much more is known
_READ_S = 20.0  # between two readings


class Forecaster:
    """Answers at once from the last fit, and fits anew on a thread of its own when it is stale."""

    def __init__(
        self,
        reader: RecordReader | None = None,
        *,
        rates: Rates | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Begin without history.

        Args:
            reader: where records are; None: only what ``add`` brings.
            rates: this machine's, for what has no history.
            clock: says when to read again.
        """
        self._reader = reader
        self._rates = rates
        self._clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._records: dict[str, PerformanceRecord] = {}
        self._predictor = fit((), rates=rates)
        self._fitted_ids: frozenset[str] = frozenset()
        self._num_added = 0  # since the last fit
        self._read_at_s: float | None = None
        self._is_fitting = False

    @property
    def is_blank(self) -> bool:
        """Whether there is no history and none to be read."""
        return self._reader is None and not self._records

    def add(self, record: PerformanceRecord) -> None:
        """Tell of a job that has just ended."""
        with self._lock:
            self._keep(record)
            self._num_added += 1

    def expect(
        self,
        workload: Mapping[str, Any],
        *,
        environment_key: str | None = None,
        state: str,
        source: str | None = None,
    ) -> Prediction | None:
        """Return what a job is expected to take: see ``Predictor.predict``. Never waits."""
        self._fit_if_stale()
        return self._predictor.predict(
            workload, environment_key=environment_key, state=state, source=source
        )

    def expect_cold(self, request: GenerationRequest, source: str | None) -> Prediction | None:
        """Return what a request is expected to take that may have to load its models first."""
        return self.expect(workload_facts(request), state=LoadState.COLD.value, source=source)

    def refresh(self) -> Predictor:
        """Read and fit now; return the predictor.

        Raises:
            OurVidzError: what the reader raises; the last fit stays.
        """
        if self._reader is not None:
            found = list(self._reader.records(limit=MOST_RECORDS))
            with self._lock:
                for record in found:
                    self._keep(record)
        with self._lock:
            records = list(self._records.values())
            self._num_added = 0
            self._read_at_s = self._clock.monotonic()
            ids = frozenset(self._records)
        if ids != self._fitted_ids:
            self._predictor = fit(records, rates=self._rates)
            self._fitted_ids = ids
        return self._predictor

    def _keep(self, record: PerformanceRecord) -> None:
        self._records.pop(record.id, None)
        self._records[record.id] = record
        while len(self._records) > MOST_RECORDS:
            del self._records[next(iter(self._records))]

    def _fit_if_stale(self) -> None:
        with self._lock:
            if self._is_fitting or not self._is_stale():
                return
            self._is_fitting = True
        threading.Thread(target=self._fit, name="forecast", daemon=True).start()

    def _is_stale(self) -> bool:
        if self._num_added > _GROWTH * (len(self._records) - self._num_added):
            return True
        if self._reader is None:
            return False
        return self._read_at_s is None or self._clock.monotonic() - self._read_at_s > _READ_S

    def _fit(self) -> None:
        try:
            self.refresh()
        except OurVidzError as error:  # the store is away, which others tell
            _log.debug("no forecast from new records: %s", error.code)
        except Exception:  # noqa: BLE001 - jobs go on without
            _log.exception("no forecast from new records")
        finally:
            with self._lock:
                self._read_at_s = self._clock.monotonic()
                self._is_fitting = False
