"""What the server counts, in the format of Prometheus."""

from __future__ import annotations

import platform
import time
from collections import Counter as Tally
from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from kernelwright import __version__
from kernelwright.db.health import Counts
from kernelwright.db.store import Store
from kernelwright.errors import StoreError
from kernelwright.service.queue import JobState, Queue
from kernelwright.web.limits import Streams

__all__ = ["CONTENT_TYPE", "Metrics"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"})
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_KEPT_SECONDS = 10.0
"""That figures of the store are given again: counting a million rows is not free, and scrapers ask twice a minute."""
_WORKER = "worker"
"""The kind of the locks that workers hold."""


class Metrics:
    """One server's own registry. Every label has few values: routes as they are written, never as they are asked for."""

    def __init__(
        self, store: Store, queue: Queue, streams: Streams, clock: Callable[[], float] = time.monotonic
    ) -> None:  # fmt: skip
        self._registry = registry = CollectorRegistry()
        self._requests = Counter(
            "kernelwright_http_requests", "Requests answered.", ("route", "method", "status"), registry=registry
        )
        self._seconds = Histogram(
            "kernelwright_http_request_seconds", "Time until an answer was sent; streams are left out.",
            ("route", "method"), buckets=_SECONDS, registry=registry,
        )  # fmt: skip
        opened = Gauge("kernelwright_streams_open", "Event streams that are open.", registry=registry)
        opened.set_function(lambda: len(streams))
        build = Info("kernelwright_build", "Version of the program.", registry=registry)
        build.info({"version": __version__, "python": platform.python_version()})
        ProcessCollector(registry=registry)
        registry.register(_Stored(store, queue, clock))

    def count(self, route: str, method: str, status: int, seconds: float, *, stream: bool) -> None:
        """Counts one answer."""
        known = method if method in _METHODS else "other"
        self._requests.labels(route, known, str(status)).inc()
        if not stream:
            self._seconds.labels(route, known).observe(seconds)

    def text(self) -> bytes:
        """All figures as they are now."""
        return generate_latest(self._registry)


class _Stored(Collector):
    """Figures of store and queue, looked up when they are asked for."""

    def __init__(self, store: Store, queue: Queue, clock: Callable[[], float]) -> None:
        self._store, self._queue, self._clock = store, queue, clock
        self._counts: tuple[float, Counts] | None = None

    def describe(self) -> list[GaugeMetricFamily]:
        """Nothing: registering must not ask the store."""
        return []

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The figures; `kernelwright_store_up` is 0 and those that can't be had are left out when the store or queue fails."""
        up = 1.0
        try:
            counts = self._current()
            runs = GaugeMetricFamily("kernelwright_runs", "Runs that are stored.", labels=("status",))
            for status, number in counts.runs.items():
                runs.add_metric((status.value,), number)
            yield runs
            yield GaugeMetricFamily(
                "kernelwright_evaluations", "Evaluations that are stored.", value=counts.evaluations
            )
            jobs = GaugeMetricFamily("kernelwright_jobs", "Searches that wait or are made, 1000 at most.", labels=("state",))  # fmt: skip
            tally = Tally(job.state for job in self._queue.open_jobs())
            for state in (JobState.WAITING, JobState.TAKEN):
                jobs.add_metric((state.value,), tally[state])
            yield jobs
            yield GaugeMetricFamily(
                "kernelwright_workers",
                "Workers that are alive, on all machines.",
                value=self._store.locks.count(_WORKER),
            )
        except StoreError:
            up = 0.0
        yield GaugeMetricFamily("kernelwright_store_up", "Whether store and queue could be read.", value=up)

    def _current(self) -> Counts:
        now = self._clock()
        if self._counts is None or now - self._counts[0] >= _KEPT_SECONDS:
            self._counts = (now, self._store.counts())
        return self._counts[1]
