"""How numbers and verdicts are put into words: used by the terminal, by exported files and by documentation."""

from __future__ import annotations

import unicodedata

from kernelwright.verifier.evaluation import Evaluation, Timing
from kernelwright.verifier.wording import between, counted, duration

__all__ = [
    "between",
    "clock_words",
    "counted",
    "duration",
    "interval_words",
    "kind_words",
    "limited_by",
    "one_line",
    "ratio",
    "share",
    "time_kind",
    "timing_sentence",
]


def ratio(value: float) -> str:
    """A speed-up: ``2.35x``."""
    return f"{value:.2f}x" if value < 100 else f"{value:.0f}x"


def clock_words(seconds: float) -> str:
    """``42 s``, ``3 min 5 s``, ``2 h 10 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def share(value: float) -> str:
    """A share of one in percent: ``94 %``."""
    return f"{100 * value:.0f} %"


def time_kind(timing: Timing) -> str:
    """What kind of time it is and for which GPU, for instance ``modelled for H200``: belongs beside every time."""
    return kind_words(timing.kind, timing.gpu)


def kind_words(kind: str, gpu: str) -> str:
    """``modelled for H200`` or ``measured on H200``."""
    return f"{kind} {'for' if kind == 'modelled' else 'on'} {gpu}"


def timing_sentence(timing: Timing) -> str:
    """One line: ``11.2 µs (8.96 to 14.0 µs) modelled for H200, eager 26.3 µs (2.35x), 94 % of roofline``."""
    return (
        f"{duration(timing.seconds)}{between(timing.seconds_low, timing.seconds_high)} {time_kind(timing)}, {timing.baseline} {duration(timing.baseline_seconds)} "
        f"({ratio(timing.speedup)}), {share(timing.roofline_share)} of roofline"
    )


def interval_words(timing: Timing) -> str:
    """In brackets: the 95 % interval of the speed-up and how often it was timed; empty for what older versions stored."""
    if timing.speedup_low is None or timing.speedup_high is None:
        return ""
    calls = counted(len(timing.own_calls), "verified call")
    low, high = ratio(timing.speedup_low), ratio(timing.speedup_high)
    if low == high:
        return f" (the same over {calls})"
    return f" (95 %: {low} to {high}, {calls})"


def limited_by(evaluation: Evaluation) -> str:
    """What limits the launch or torch op that costs most; empty when there is no timing."""
    if evaluation.timing is None or not evaluation.timing.breakdown:
        return ""
    costliest = max(evaluation.timing.breakdown, key=lambda row: float(row.get("seconds", 0.0)))
    return str(costliest.get("limited_by", ""))


def one_line(text: str, limit: int = 500) -> str:
    """`text` with line breaks and control characters made spaces, at most `limit` characters.

    Names and reasons may come from a hostile file: neither may break out of a comment or move the cursor.
    """
    clean = "".join(" " if unicodedata.category(c) in {"Cc", "Cf", "Zl", "Zp", "Cs"} else c for c in text)
    clean = " ".join(clean.split())
    return clean if len(clean) <= limit else clean[: limit - 3] + "..."
