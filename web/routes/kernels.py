"""Kernels: the list of them, to be searched."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query

from kernelwright.db.catalogue_search import Order
from kernelwright.rl.archive.features import TAGS
from kernelwright.verifier.evaluation import TimingKind, Verdict
from kernelwright.web.context import Here
from kernelwright.web.twins import Twins
from kernelwright.web.views.kernels import KernelList, kernel_list

__all__ = ["twins"]

twins = Twins("kernels")

Text = Annotated[str, Query(max_length=200)]


@twins.page("/kernels", "kernels.html.j2", techniques=TAGS, verdicts=[verdict.value for verdict in Verdict])
def kernels(
    site: Here,
    q: Annotated[
        str,
        Query(
            max_length=200,
            description="Words of tasks, operations, classes, CUDA kernels, plans and authors; one that nothing has stands for all that begin so.",
        ),
    ] = "",
    op: Annotated[
        str, Query(max_length=200, description="An operation of the task: `softmax`, `F.relu`, `nn.Linear`, `@`.")
    ] = "",
    shape: Annotated[
        str, Query(max_length=200, description="Shape of an input, `4096x1024`, or one of its extents.")
    ] = "",
    dtype: Annotated[str, Query(max_length=200, description="`float16`, `bf16`, ...: named in the task.")] = "",
    technique: Annotated[str, Query(max_length=200, description=f"One of {', '.join(TAGS)}.")] = "",
    gpu: Text = "",
    arch: Annotated[str, Query(max_length=200, description="`sm_90`, ...")] = "",
    author: Text = "",
    verdict: Annotated[str, Query(max_length=200, description=f"One of {', '.join(Verdict)}.")] = "",
    task: Annotated[str, Query(max_length=200, description="Id of a task.")] = "",
    kind: Annotated[TimingKind | None, Query(description="Measured or modelled times: they share no list.")] = None,
    sort: Order = Order.SPEEDUP,
    after: Annotated[str, Query(max_length=80, description="`after` of the page before.")] = "",
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
) -> KernelList:
    """Kernels by what they are, a page at a time. One that was judged on several tasks or GPUs is there for each."""
    texts = {
        "q": q, "op": op, "shape": shape, "dtype": dtype, "technique": technique, "gpu": gpu, "arch": arch, "author": author,
        "verdict": verdict, "task": task,
    }  # fmt: skip
    given = {name: text.strip() for name, text in texts.items()} | {"sort": sort} | ({"kind": kind} if kind else {})
    return kernel_list(site.store, site.kept, given, after, limit)
