"""Kernels: one of them, as a page and as files to take away."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Query, Response
from fastapi.responses import PlainTextResponse

from kernelwright.web.context import Here
from kernelwright.web.source_lines import source_lines
from kernelwright.web.twins import Problem, Twins
from kernelwright.web.views.kernel import Form, KernelPage, evidence_of, kernel_page, taken

__all__ = ["twins"]

twins = Twins("kernels")

KernelId = Annotated[str, Path(max_length=64, pattern=r"^[^\x00]+$")]
EvaluationId = Annotated[
    str | None,
    Query(
        max_length=64, pattern=r"^[^\x00]+$", description="Whose verdict it carries; the kernel's main one without it."
    ),
]
_PROBLEMS = {404: {"model": Problem}, 422: {"model": Problem}}


@twins.page("/kernels/{kernel_id}", "kernel.html.j2", source_lines=source_lines)
def kernel(site: Here, kernel_id: KernelId) -> KernelPage:
    """One kernel: its judgements, source, parents and children."""
    return kernel_page(site.store, kernel_id)


@twins.pages.get("/kernels/{kernel_id}/download", name="download_file", response_class=PlainTextResponse)
@twins.api.get("/kernels/{kernel_id}/download", response_class=PlainTextResponse, responses=_PROBLEMS)  # type: ignore[arg-type]
def download(
    site: Here, kernel_id: KernelId, form: Form = Form.PYTHON, evaluation: EvaluationId = None
) -> PlainTextResponse:
    """The kernel as a file: a Python module with CuPy, one that `load_inline` builds, or the CUDA C++ alone."""
    found = taken(site.store, kernel_id, form, evaluation)
    return PlainTextResponse(found.text.encode("utf-8", "replace"), headers=_attached(found.name))


@twins.pages.get("/kernels/{kernel_id}/evidence", name="evidence_file", response_class=Response)
@twins.api.get(
    "/kernels/{kernel_id}/evidence",
    response_class=Response,
    responses={**_PROBLEMS, 200: {"content": {"application/octet-stream": {}}}},  # type: ignore[dict-item]
)
def evidence(site: Here, kernel_id: KernelId, evaluation: EvaluationId = None) -> Response:
    """The evidence bundle: all that the verdict rests on, for `kernelwright recheck`."""
    name, data = evidence_of(site.store, site.settings, kernel_id, evaluation)
    return Response(data, media_type="application/octet-stream", headers=_attached(name))


def _attached(name: str) -> dict[str, str]:
    return {"Content-Disposition": f'attachment; filename="{name}"'}
