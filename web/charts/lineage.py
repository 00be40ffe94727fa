"""The tree of a run: attempts from left to right in their order, the faster ones higher, a line from each parent to its child."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from markupsafe import Markup

from kernelwright.web.charts.frame import Box, beside, label, logarithmic, text

__all__ = ["LETTERS", "Node", "tree"]

LETTERS = {
    "passed": "", "outclassed": "o", "wrong": "W", "cheating": "C", "unsafe": "U", "rejected": "R", "compile_error": "E",
    "crashed": "X", "timeout": "T", "unsupported": "N",
}  # fmt: skip
"""What stands in the node of a verdict, so that it is told without its colour; that of a kernel that passed is empty."""
_STEP = 36
_LEAST = 640


@dataclass(frozen=True)
class Node:
    """An attempt."""

    number: int
    parents: tuple[int, ...]
    """Numbers of attempts; those that are not in the picture are left out."""
    verdict: str
    speedup: float | None
    """Over the baseline; None where it was not timed."""
    best: bool
    href: str
    title: str


def tree(nodes: Sequence[Node], kind: str) -> Markup:
    """The chart; empty without nodes.

    Args:
        kind: of the speed-ups, `measured`, `modelled`, or empty where none is known.
    """
    if not nodes:
        return Markup("")
    width = max(_LEAST, 90 + _STEP * len(nodes))
    box = Box(width=width, height=360, left=64, right=26, top=28, bottom=86)
    known = [node.speedup for node in nodes if node.speedup]
    low, high = min([*known, 1.0]) / 1.1, max([*known, 1.0]) * 1.15
    up = logarithmic(low, high, box.y1, box.top, 7)
    ground = box.height - 34
    order = {node.number: place for place, node in enumerate(nodes)}
    gap = (box.x1 - box.left - 30) / max(1, len(nodes) - 1) if len(nodes) > 1 else 0.0
    at = {
        node.number: (
            box.left + 20 + min(gap, 1.6 * _STEP) * order[node.number],
            up.place(node.speedup) if node.speedup else ground,
        )
        for node in nodes
    }
    parts = [beside(box, up, lambda t: f"{t:g}x", f"speed-up over the baseline{', ' + kind if kind else ''}")]
    parts.append(text(box.left - 6, ground + 4, "not timed", anchor="end"))
    parts.append(f'<line class="axis" x1="{box.left}" x2="{box.x1}" y1="{box.y1 + 14:.1f}" y2="{box.y1 + 14:.1f}"/>')
    for node in nodes:
        x, y = at[node.number]
        for parent in node.parents:
            if parent in at and parent != node.number:
                a, b = at[parent]
                bend = (x - a) / 2
                parts.append(
                    f'<path class="edge" d="M{a:.1f},{b:.1f}C{a + bend:.1f},{b:.1f} {x - bend:.1f},{y:.1f} {x:.1f},{y:.1f}"/>'
                )
    parts += [_node(node, *at[node.number]) for node in nodes]
    title = "Lineage: attempts in their order, the faster the higher; a line leads from parent to child"
    whole = (
        f'<svg class="chart tree" viewBox="0 0 {box.width:.0f} {box.height:.0f}" width="{box.width:.0f}" height="{box.height:.0f}" '
        f'role="group" aria-label="{title}">{"".join(parts)}</svg>'
    )
    return Markup(whole)  # numbers, and text that was escaped


def _node(node: Node, x: float, y: float) -> str:
    passed = node.verdict == "passed"
    body = (
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="12"/>'
        if passed
        else f'<rect x="{x - 11:.1f}" y="{y - 11:.1f}" width="22" height="22" rx="3"/>'
    )
    ring = f'<circle class="ring" cx="{x:.1f}" cy="{y:.1f}" r="16"/>' if node.best else ""
    words = LETTERS.get(node.verdict, "?") or str(node.number)
    slower = " slower" if passed and (node.speedup or 0.0) < 1 else ""
    under = "" if passed else text(x, y + 25, str(node.number), anchor="middle", kind="name")
    verdict = escape(node.verdict, quote=True)
    return (
        f'<a href="{escape(node.href, quote=True)}" class="node {verdict}{slower}"><title>{label(node.title, 200)}</title>{ring}{body}'
        f'<text x="{x:.1f}" y="{y + 4:.1f}" text-anchor="middle">{escape(words)}</text></a>{under}'
    )
