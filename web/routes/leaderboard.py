"""The leaderboard."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query

from kernelwright.verifier.evaluation import TimingKind
from kernelwright.web.charts.fast_p import fast_p_chart
from kernelwright.web.context import Here
from kernelwright.web.twins import Twins
from kernelwright.web.views.leaderboard import MOST_P, Board, BoardChoice, leaderboard_view

__all__ = ["twins"]

twins = Twins("leaderboard")

Text = Annotated[str, Query(max_length=200)]


@twins.page("/leaderboard", "leaderboard.html.j2", chart=fast_p_chart, most_p=MOST_P)
def leaderboard(
    site: Here,
    suite: Text = "",
    task: Annotated[str, Query(max_length=200, description="Name of a task: only its medals are listed.")] = "",
    gpu: Text = "",
    dtype: Annotated[str, Query(max_length=200, description="Figures are over tasks of this dtype only.")] = "",
    author: Annotated[str, Query(max_length=200, description="A part of the name.")] = "",
    kind: Annotated[TimingKind | None, Query(description="Only sections with this kind of time.")] = None,
    p: Annotated[
        float, Query(ge=0, le=MOST_P, description="fast_p is the share of tasks with a speed-up above this.")
    ] = 1.0,
) -> Board:
    """Everything that was run on a suite, here or by those who sent it in; ranks hold within a section only."""
    texts = {"suite": suite, "task": task, "gpu": gpu, "dtype": dtype, "author": author}
    choice = BoardChoice(**{name: text.strip() for name, text in texts.items()}, kind=kind, p=p)
    return leaderboard_view(site.store, site.kept, choice)
