"""The tools, as a client sees them. Their docstrings are what a model reads: what to send, what comes back, what to do next."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import ToolAnnotations

from kernelwright import __version__
from kernelwright.agents.protocols import PastAttempt
from kernelwright.db.store import Store, Winner
from kernelwright.errors import KernelwrightError, MisuseError, NotFoundError
from kernelwright.events import Observer
from kernelwright.jobs import stored_kernel
from kernelwright.mcp.answers import (
    BestKernel,
    Explained,
    Judged,
    Profiled,
    RunState,
    SimilarKernel,
    SimilarKernels,
    Submitted,
    TaskList,
    TaskText,
    cut,
    judged,
    stages_of,
    times_of,
)
from kernelwright.mcp.arguments import argument_problem
from kernelwright.mcp.bench import Bench, Report
from kernelwright.mcp.catalog import Catalog, check_source
from kernelwright.mcp.runs import Runs, advise
from kernelwright.sandbox.kernel import Kernel

__all__ = ["Tools", "make_server"]

_INSTRUCTIONS = """\
Kernelwright judges CUDA kernels that you write for PyTorch modules: it compiles them, runs them (on a CPU emulator of a GPU where
there is none), compares every output with the module in float64 under secret seeds, looks for races and bad accesses at their
source line, and gives a time. Work like this: list_tasks, read_task, search_similar for kernels that won before, start_run, then
submit again and again: read the reason and the advice, change the kernel, submit it with its parent and your plan. evaluate_kernel
tries something outside of a run, profile_kernel says which source lines cost most. best gives the winner."""

_RULES = """\
A kernel is one Python module that defines `class ModelNew(torch.nn.Module)`, with the constructor arguments, the forward arguments
and (where there are weights) the parameter names of `Model`. Its CUDA C++ stands in the module: as cupy.RawModule(code=...), or
as torch.utils.cpp_extension.load_inline. Its own kernels must do the work: library calls, a fall-back to torch, keeping outputs,
reading data in host code, threads and files are refused. Outputs must be as exact as honest arithmetic in the task's dtype is; lower
precision inside is found. Allocate outputs with torch.empty or torch.empty_like, guard every index, and expect inputs that are not
contiguous, constant, huge, tiny or zero. Shapes may be fixed to the task's. It runs in a sandbox without network or files."""

_MOST_WINNERS = 20


class Tools:
    """What the tools do; each public method is one."""

    def __init__(self, catalog: Catalog, bench: Bench, runs: Runs, store: Store) -> None:
        self._catalog, self._bench, self._runs, self._store = catalog, bench, runs, store

    def list_tasks(self, text: str = "") -> TaskList:
        """List the tasks that a kernel can be written for: PyTorch modules, with their operations, shapes and dtypes.

        text: only tasks that have each of these words in their name, file or operations ("softmax", "matmul relu"); empty: all.
        Next: read_task with a name or id from the list.
        """
        with _told():
            return self._catalog.listed(text)

    def read_task(self, task: str) -> TaskText:
        """Read a task: the source of its PyTorch reference, the kinds of inputs it is checked on, the rules for a kernel.

        task: a name or an id from list_tasks, or the path of a file inside the tasks' folders.
        Next: write a module with ModelNew; search_similar shows kernels that won on tasks like it.
        """
        with _told():
            found, where = self._catalog.task(task)
            return TaskText(
                name=found.name,
                id=found.id,
                where=where,
                source=found.source,
                workloads=[workload.name for workload in found.workloads],
                gradients=found.backward,
                gpu=self._bench.target.gpu.name,
                rules=_RULES,
            )

    async def evaluate_kernel(
        self, ctx: Context, task: str, source: str | None = None, path: str | None = None
    ) -> Judged:
        """Judge a kernel without a run: does it compile, is it safe, is it right on every kind of input, how fast is it?

        Send exactly one of source (the text of a Python module that defines ModelNew, at most 256 KB) and path (of such a file
        inside the tasks' folders). task: a name or an id from list_tasks.
        It takes 2 to 60 seconds and is stored; progress is told by stage. `reason` says what to change, `stages` name the source
        lines, `advice` what the roofline judge would do next. To keep your attempts together with their plans use submit.
        """
        with _told():
            found, _ = self._catalog.task(task)
            kernel = Kernel(self._source(source, path), self._runs.author(""), path=path)

            def work(observer: Observer) -> Judged:
                evaluation = self._bench.judge(found, kernel, observer)
                evaluation_id = self._store.add_evaluation(found, kernel, evaluation)
                advice = advise(self._bench, PastAttempt(1, kernel, evaluation))
                return judged(found, kernel, evaluation, evaluation_id, advice)

            return await self._bench.run(work, _progress(ctx))

    async def profile_kernel(
        self,
        ctx: Context,
        task: str | None = None,
        source: str | None = None,
        path: str | None = None,
        kernel: str | None = None,
    ) -> Profiled:
        """Say what each launch of a kernel costs, what limits it, and which source lines do the work. Does not judge it.

        Send task with source or path, as for evaluate_kernel; or kernel alone: the id of a stored kernel, evaluation or run (its
        best). Counters are of instructions that were executed, times are modelled. `violations` come first where there are any.
        """
        with _told():
            if kernel is not None:
                if task is not None or source is not None or path is not None:
                    raise MisuseError("a stored kernel needs no task, source or path.", mend="Send `kernel` alone.")
                kept = stored_kernel(self._store, kernel)
                found, chosen = kept.task, kept.kernel
            elif task is None:
                raise MisuseError(
                    "no task and no stored kernel was named.", mend="Send `task` with `source`, or `kernel`."
                )
            else:
                found, _ = self._catalog.task(task)
                chosen = Kernel(self._source(source, path), self._runs.author(""), path=path)
            return await self._bench.run(lambda observer: self._bench.profile(found, chosen, observer), _progress(ctx))

    def search_similar(self, task: str | None = None, text: str | None = None, limit: int = 3) -> SimilarKernels:
        """Find kernels that passed before, with their source and time: on this task, on the same module in other sizes, on
        modules with like operations; the most alike first, one a task.

        Send task (a name or id from list_tasks), or text (words that the name or source of stored tasks has). limit: 1 to 20.
        Next: take over what made them fast, and name the kernel's id as the parent when you submit.
        """
        with _told():
            if (task is None) == (text is None):
                raise MisuseError("search by a task or by text.", mend="Send exactly one of `task` and `text`.")
            if not 1 <= limit <= _MOST_WINNERS:
                raise MisuseError(f"limit can't be {limit}.", mend=f"Ask for 1 to {_MOST_WINNERS}.")
            wanted = text[:1000] if text is not None else self._catalog.task(task or "")[0]
            winners = self._store.similar(wanted, self._bench.target.gpu.name, limit)
            return SimilarKernels(winners=[_similar(winner) for winner in winners])

    def start_run(self, task: str, attempts: int = 50, author: str = "") -> RunState:
        """Begin a run on a task: your attempts are kept in it with their plans, parents, verdicts and times.

        task: a name or id from list_tasks. attempts: how many submissions it may have (1 to 1000). author: your name, for the
        record. Next: submit with the `run` that comes back.
        """
        with _told():
            return self._runs.start(self._catalog.task(task)[0], author, attempts)

    async def submit(
        self, ctx: Context, run: str, source: str, plan: str, parent: int | str | None = None
    ) -> Submitted:
        """Judge a kernel and store it as the next attempt of a run.

        run: from start_run. source: the text of a Python module that defines ModelNew, at most 256 KB. plan: one line, what is
        new in this one and why it should help. parent: the number of the attempt, or the id of the kernel, that it came from;
        null if you wrote it from the reference.
        It takes 2 to 60 seconds. If it did not pass, `judged.reason` says why: mend that and submit again with this attempt as the
        parent. If it did, `judged.advice` says what limits it. A failed attempt counts and is kept.
        """
        with _told():
            opened = self._runs.open(run)
            kernel = self._runs.kernel(opened, check_source(source), parent)
            return await self._bench.run(
                lambda observer: self._runs.submit(opened, kernel, plan, observer), _progress(ctx)
            )

    def finish_run(self, run: str, message: str = "") -> RunState:
        """Say that a run is done: nothing can be submitted to it any more. message: one line on why you stopped."""
        with _told():
            opened = self._runs.open(run)
            self._runs.finish(opened.id, cut(message) or "The client has finished.")
            return self._runs.state(opened.id)

    def best(self, run: str | None = None, task: str | None = None) -> BestKernel:
        """Get the fastest kernel that passed, its source and its time: of a run, or of a task over all runs.

        Send exactly one of run (an id from start_run) and task (a name or id from list_tasks).
        """
        with _told():
            if (run is None) == (task is None):
                raise MisuseError("the best of a run or of a task.", mend="Send exactly one of `run` and `task`.")
            return self._best_of_run(run) if run is not None else self._best_of_task(task or "")

    def explain_verdict(self, evaluation: str) -> Explained:
        """Say in plain words what each stage of a stored evaluation found or proved, with the source lines.

        evaluation: the evaluation_id of a verdict; or the id of a kernel or a run, for its best evaluation.
        """
        with _told():
            kept = stored_kernel(self._store, evaluation)
            return Explained(
                task=kept.task.name,
                kernel_id=kept.kernel.id,
                verdict=kept.evaluation.verdict.value,
                reason=cut(kept.evaluation.reason),
                stages=stages_of(kept.task, kept.kernel, kept.evaluation),
            )

    # -- inside -------------------------------------------------------------------------------------------------

    def _source(self, source: str | None, path: str | None) -> str:
        if (source is None) == (path is None):
            raise MisuseError(
                "one kernel must be sent, as text or as a path.", mend="Send exactly one of `source` and `path`."
            )
        return check_source(source if source is not None else self._catalog.kernel_text(path or ""))

    def _best_of_run(self, run_id: str) -> BestKernel:
        run = self._store.run(run_id)
        found = self._store.best(run.id)
        if found is None or found.evaluation.timing is None:
            raise NotFoundError(
                f"no attempt of run {run.id} has passed.", mend="Read the last reason, mend the kernel and submit it."
            )
        return BestKernel(
            task=run.task.name,
            task_id=run.task.id,
            run=run.id,
            attempt=found.number,
            plan=found.plan,
            author=found.kernel.author,
            kernel_id=found.kernel.id,
            source=found.kernel.source,
            times=times_of(found.evaluation.timing),
            reason=found.evaluation.reason,
        )

    def _best_of_task(self, name: str) -> BestKernel:
        task, _ = self._catalog.task(name)
        winners = self._store.similar(task, self._bench.target.gpu.name, 1)
        if not winners or winners[0].task.id != task.id or winners[0].evaluation.timing is None:
            raise NotFoundError(
                f"the store has no kernel that passed on {task.name}.",
                mend="Write one: read_task, start_run, submit. search_similar shows winners of tasks like it.",
            )
        found = winners[0]
        assert found.evaluation.timing is not None
        return BestKernel(
            task=task.name,
            task_id=task.id,
            run=None,
            attempt=None,
            plan="",
            author=found.kernel.author,
            kernel_id=found.kernel.id,
            source=found.kernel.source,
            times=times_of(found.evaluation.timing),
            reason=found.evaluation.reason,
        )


class _Server(MCPServer[Any]):
    """Looks at the arguments of a call before it is made, and says in our words what is wrong with them."""

    async def call_tool(self, name: str, arguments: dict[str, Any], context: Context[Any, Any] | None = None) -> Any:
        schema = next((tool.input_schema for tool in await self.list_tools() if tool.name == name), None)
        if schema is not None and (problem := argument_problem(name, schema, arguments)):
            raise ToolError(problem)
        return await super().call_tool(name, arguments, context)


def make_server(tools: Tools) -> MCPServer[Any]:
    """A server with every tool; it opens nothing."""
    server: MCPServer[Any] = _Server(
        "kernelwright", title="Kernelwright", instructions=_INSTRUCTIONS, version=__version__, subscriptions=False
    )
    reads = ToolAnnotations(read_only_hint=True, open_world_hint=False)
    stores = ToolAnnotations(read_only_hint=False, destructive_hint=False, open_world_hint=False)
    reading: tuple[Callable[..., Any], ...] = (
        tools.list_tasks, tools.read_task, tools.search_similar, tools.best, tools.explain_verdict, tools.profile_kernel,
    )  # fmt: skip
    storing: tuple[Callable[..., Any], ...] = (
        tools.evaluate_kernel, tools.start_run, tools.submit, tools.finish_run,
    )  # fmt: skip
    for tool in (*reading, *storing):
        server.add_tool(
            tool, description=inspect.getdoc(tool), annotations=reads if tool in reading else stores,
            structured_output=True,
        )  # fmt: skip
    return server


@contextmanager
def _told() -> Iterator[None]:
    """Errors of ours become what the model reads; others are bugs, which the log gets."""
    try:
        yield
    except KernelwrightError as error:
        raise ToolError(cut(str(error))) from error


def _progress(ctx: Context) -> Report:
    """Tells the client, if it asked for progress; the number counts the lines."""
    numbers = count(1)

    async def report(words: str) -> None:
        await ctx.report_progress(next(numbers), message=words[:500])

    return report


def _similar(winner: Winner) -> SimilarKernel:
    timing = winner.evaluation.timing
    assert timing is not None
    return SimilarKernel(
        similarity=winner.similarity,
        why=winner.why,
        task=winner.task.name,
        task_id=winner.task.id,
        kernel_id=winner.kernel.id,
        author=winner.kernel.author,
        times=times_of(timing),
        source=winner.kernel.source,
    )
