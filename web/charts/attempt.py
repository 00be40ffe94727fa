"""The charts of an attempt, from what its page shows."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from kernelwright.web.charts.intervals import Bar, bars
from kernelwright.web.charts.roofline import Place, roofline
from kernelwright.web.charts.spread import spread
from kernelwright.web.views.attempt import CallTimes
from kernelwright.web.views.figures import TimingView
from kernelwright.web.views.roofs import ProfileView

__all__ = ["distribution", "roofs", "times"]


def times(timing: TimingView) -> Markup:
    """The kernel's time beside the baseline's and the bound."""
    rows = [
        Bar("this kernel", timing.seconds, timing.seconds_low, timing.seconds_high, own=True),
        Bar(timing.baseline, timing.baseline_seconds, timing.baseline_seconds_low, timing.baseline_seconds_high),
        Bar("bound", timing.bound_seconds),
    ]
    return bars(rows, timing.kind.value, timing.gpu)


def distribution(timing: TimingView, calls: Sequence[CallTimes]) -> Markup:
    """Every timed call."""
    what = "medians of batches of calls, measured" if timing.kind.value == "measured" else "verified calls, modelled"
    return spread({group.name: group.seconds for group in calls}, what)


def roofs(profile: ProfileView) -> Markup:
    """The roofline of a profile; empty where no kernel has a place in it."""
    found = profile.roofline
    if found is None:
        return Markup("")
    places = [
        Place(point.kernel, point.intensity, point.achieved, point.pipe)
        for point in found.points
        if point.intensity is not None and point.achieved > 0
    ]
    return roofline(places, found.bandwidth, found.peaks, profile.kind.value, found.gpu)
