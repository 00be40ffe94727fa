"""Submitting a module: the form, the look at it while it is written, and the search that it becomes."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Any

from fastapi import Request
from fastapi.responses import RedirectResponse, Response
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile

from kernelwright.errors import TaskError
from kernelwright.jobs import queue_search
from kernelwright.web.access.identity import Identity, Who
from kernelwright.web.context import Here, Site
from kernelwright.web.rendering import render
from kernelwright.web.twins import Problem, Twins
from kernelwright.web.views.submit import (
    MOST_SOURCE,
    Created,
    FieldProblem,
    Inspection,
    LoweringView,
    Offer,
    Refused,
    Source,
    Submission,
    checked,
    created,
    inspect,
    lowering,
    offer,
    with_workloads,
)
from kernelwright.words import one_line

__all__ = ["twins"]

twins = Twins("submit")


class RefusedBody(Problem):
    """What is wrong, and at which fields."""

    problems: list[FieldProblem] = []  # noqa: RUF012 (pydantic copies it)


_busy: dict[int | str, dict[str, Any]] = {422: {"model": RefusedBody}, 503: {"model": Problem}}


@twins.page("/submit", "submit.html.j2", given=None, problems=(), inspection=None)
def submit(site: Here) -> Offer:
    """What can be asked for."""
    return offer(site.settings)


@twins.api.post("/inspections", responses=_busy)
def inspection(site: Here, asked: Source) -> Inspection:
    """Opens a module in a fence and tells what it is like; nothing is stored."""
    return inspect(site.inspector, asked, gpu=site.on_gpu)


@twins.api.post("/lowerings", responses=_busy)
def lowerings(site: Here, asked: Source) -> LoweringView:
    """Tells which operations a module has, and which of them the built-in coder could write."""
    return lowering(site.inspector, asked, gpu=site.on_gpu)


@twins.api.post("/runs", status_code=201, responses=_busy)
def search(site: Here, who: Who, asked: Submission) -> Created:
    """Puts a search for kernels of a module into the queue."""
    return created(_queued(site, who, asked))


@twins.pages.post("/submit/look")
async def look(site: Here, request: Request) -> Response:
    """What a look at the module of a form found, as a part of the page."""
    asked, problems, _ = await _form(request, Source)
    if asked is None:
        return render(request, "submit_look.html.j2", inspection=None, problems=problems)
    found = await run_in_threadpool(inspect, site.inspector, asked, gpu=site.on_gpu)
    return render(request, "submit_look.html.j2", inspection=found, problems=found.problems)


@twins.pages.post("/submit/lowering")
async def lowering_part(site: Here, request: Request) -> Response:
    """What could be lowered, as a part of the page."""
    asked, _, _ = await _form(request, Source)
    if asked is None:
        return Response(status_code=204)
    try:
        found = await run_in_threadpool(lowering, site.inspector, asked, gpu=site.on_gpu)
    except TaskError as error:
        return render(request, "submit_lowering.html.j2", lowering=None, error=error)
    return render(request, "submit_lowering.html.j2", lowering=found, error=None)


@twins.pages.post("/submit")
async def submitted(site: Here, who: Who, request: Request) -> Response:
    """Puts what a form asks for into the queue and shows the run; or shows the form again, with what is wrong at its fields."""
    asked, problems, given = await _form(request, Submission)
    if asked is not None:
        try:
            run = await run_in_threadpool(_queued, site, who, asked)
            return RedirectResponse(f"/runs/{run.id}", status_code=303)
        except Refused as error:
            problems = error.problems
    return render(
        request, "submit.html.j2", status=422, view=offer(site.settings), given=given, problems=problems, inspection=None
    )  # fmt: skip


def _queued(site: Site, who: Identity, asked: Submission) -> Any:
    settings = checked(site.settings, asked)
    try:
        task = site.inspector.look(with_workloads(asked), name=asked.name).at(asked.scale, gpu=site.on_gpu)
    except TaskError as error:
        raise Refused(
            [FieldProblem(field="source", message=error.message, mend=error.mend or "", line=error.line)]
        ) from error
    run = queue_search(task, settings, store=site.store)
    if who.name:
        site.store.own_run(run.id, who.name)
    site.queue.put(run.id)
    return run


async def _form(request: Request, kind: type[Any]) -> tuple[Any, list[FieldProblem], dict[str, str]]:
    """A form as one of our models: the model or None, what is wrong at its fields, and the fields as given."""
    form = await request.form(max_files=1, max_fields=200, max_part_size=4 * MOST_SOURCE)
    try:
        given, problems = await _given(form)
    finally:
        await form.close()
    if problems:
        return None, problems, given
    fields: dict[str, Any] = {
        name: given[name] for name in kind.model_fields if given.get(name, "").strip() and name != "workloads"
    }
    if "source" in fields:
        fields["source"] = fields["source"].replace("\r\n", "\n")  # as browsers send lines
    if "budget" in fields:
        try:
            fields["budget"] = Decimal(fields["budget"])
        except InvalidOperation:
            problems.append(
                FieldProblem(field="budget", message="This is no sum of dollars.", mend="Write it as 2.50.")
            )
            return None, problems, given
    try:
        fields["workloads"] = _workloads(given.get("workloads", ""))
        return kind.model_validate(fields), [], given
    except ValidationError as error:
        problems = [
            FieldProblem(field=str(each["loc"][0]) if each["loc"] else "source", message=one_line(each["msg"], 300))
            for each in error.errors()
        ]
    except ValueError as error:
        problems = [FieldProblem(field="workloads", message=one_line(str(error), 300))]
    return None, problems, given


async def _given(form: FormData) -> tuple[dict[str, str], list[FieldProblem]]:
    given: dict[str, str] = {}
    problems = []
    for name, value in form.multi_items():
        if isinstance(value, str):
            given[name] = value
        elif isinstance(value, UploadFile) and value.filename:
            data = await value.read(4 * MOST_SOURCE)
            try:
                given["source"] = data.decode("utf-8-sig")
            except UnicodeDecodeError:
                problems.append(
                    FieldProblem(
                        field="source", message="The file is no UTF-8 text.", mend="Give a Python source file."
                    )
                )
    return given, problems


def _workloads(text: str) -> list[Any]:
    """The field of added workloads: a distribution a line, with ``seeds=2``, ``strided`` or ``NUMBER=VALUE`` behind it."""
    found = []
    for number, line in enumerate(filter(None, map(str.strip, text.splitlines())), 1):
        distribution, *rest = line.split()
        row: dict[str, Any] = {"distribution": distribution, "name": f"added {number}", "sizes": {}}
        for word in rest:
            name, equals, value = word.partition("=")
            if word == "strided":
                row["strided"] = True
            elif not equals or not value.lstrip("-").isdecimal():
                raise ValueError(f"line {number}: {word!r} is neither `strided` nor NAME=NUMBER.")
            elif name == "seeds":
                row["seeds"] = int(value)
            else:
                row["sizes"][name] = int(value)
        found.append(row)
    return found
