"""The best kernel so far against the attempts that were made."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from kernelwright.verifier.evaluation import TimingKind
from kernelwright.web.views.run import AttemptView, Point
from kernelwright.web.words import duration

__all__ = ["best_so_far"]

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 640, 240, 72, 16, 14, 40


def best_so_far(points: Sequence[Point], attempts: Sequence[AttemptView], rounds: int) -> Markup:
    """A falling line of steps, with a dot for every attempt that was timed. Times of another kind than the best's are left out.

    The table of attempts says the same, so it is hidden from screen readers. Empty while nothing has passed.
    """
    kind = next((p.kind for p in reversed(points) if p.kind is not None), None)
    timed = [(a.number, a.seconds) for a in attempts if a.seconds is not None and a.timing_kind is kind]
    if kind is None or not timed:
        return Markup("")
    most_number = max(rounds, max(a.number for a in attempts))
    top = max(seconds for _, seconds in timed) * 1.08

    def x(number: float) -> float:
        return _LEFT + (number - 0.5) / most_number * (_WIDTH - _LEFT - _RIGHT)

    def y(seconds: float) -> float:
        return _TOP + (1 - seconds / top) * (_HEIGHT - _TOP - _BOTTOM)

    grid = "".join(
        f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y(v):.1f}" y2="{y(v):.1f}"/>'
        f'<text x="{_LEFT - 8}" y="{y(v) + 4:.1f}" text-anchor="end">{duration(v) if v else "0"}</text>'
        for v in (0.0, top / 1.08 / 2, top / 1.08)
    )
    steps: list[str] = []
    before: float | None = None
    for point in points:
        if point.kind is not kind or point.seconds is None:
            continue
        if before is None:
            steps.append(f"M{x(point.number):.1f} {y(point.seconds):.1f}")
        else:
            steps.append(f"H{x(point.number):.1f}V{y(point.seconds):.1f}")
        before = point.seconds
    last = max(p.number for p in points)
    steps.append(f"H{x(last + 0.4):.1f}")
    dots = "".join(f'<circle class="dot" cx="{x(n):.1f}" cy="{y(s):.1f}" r="3.5"/>' for n, s in timed)
    every = max(1, most_number // 10)
    marks = "".join(
        f'<text x="{x(n):.1f}" y="{_HEIGHT - _BOTTOM + 18}" text-anchor="middle">{n}</text>'
        for n in range(every if every > 1 else 1, most_number + 1, every)
    )
    what = "measured" if kind is TimingKind.MEASURED else "modelled"
    return Markup(
        f'<svg class="chart" viewBox="0 0 {_WIDTH} {_HEIGHT}" aria-hidden="true" focusable="false">{grid}{marks}'
        f'<path class="line" d="{"".join(steps)}"/>{dots}'
        f'<text x="{(_WIDTH + _LEFT) / 2:.0f}" y="{_HEIGHT - 4}" text-anchor="middle">attempt ({what} time of a call)</text></svg>'
    )
