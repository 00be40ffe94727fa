"""The commands that judge kernels: `optimize`, `translate`, `resume`, `verify`."""

from __future__ import annotations

from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kernelwright.cli.base import Function, Interrupted, RunId, common_flags, console, device_flags, print_json, start
from kernelwright.cli.flags import search_flags
from kernelwright.errors import MisuseError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kernelwright.config import Settings
    from kernelwright.db.store import Store
    from kernelwright.events import Observer
    from kernelwright.jobs import Outcome
    from kernelwright.writers import Traffic

__all__ = ["optimize", "resume", "translate", "verify"]

_LANGUAGES = {
    ".c": "c", ".h": "c", ".cc": "c++", ".cpp": "c++", ".cxx": "c++", ".hpp": "c++", ".cu": "cuda", ".cuh": "cuda", ".py": "python",
}  # fmt: skip
"""What `translate` takes a file for, by how its name ends."""
_LARGEST_START = 256 << 10
"""Bytes of a file to translate: some 80,000 tokens, what the contexts of models hold beside the rest."""


def _file_flags(function: Function) -> Function:
    """Adds what `optimize` and `translate` have beside `search_flags`: recordings, and the file to write."""
    for option in reversed(
        (
            *_traffic_flags,
            click.option(
                "--out", type=click.Path(path_type=Path), help="File to write (default: NAME.kernel.py here)."
            ),
            click.option("--force", is_flag=True, help="Overwrite a file at --out that kernelwright did not write."),
        )
    ):
        function = option(function)
    return function


_traffic_flags = (
    click.option(
        "--record",
        type=click.Path(path_type=Path, file_okay=False),
        metavar="DIR",
        help="Keep every exchange with a model server there, without secrets.",
    ),
    click.option(
        "--replay",
        type=click.Path(path_type=Path, file_okay=False),
        metavar="DIR",
        help="Answer from what --record kept, in place of a server.",
    ),
)


@click.command()
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE")
@search_flags
@_file_flags
@device_flags
@common_flags
def optimize(
    file: Path,
    out: Path | None,
    force: bool,
    record: Path | None,
    replay: Path | None,
    as_json: bool,
    verbose: bool,
    debug: bool,
    **flags: Any,
) -> int:
    """Write, judge and improve CUDA kernels for a module.

    FILE defines Model, get_inputs() and get_init_inputs(), as KernelBench files do. The best kernel that passed is
    written as NAME.kernel.py, which needs torch and cupy only. Every attempt is stored; Ctrl-C loses none.

    \b
    Examples:
      kernelwright optimize examples/softmax.py
      kernelwright optimize my_module.py --gpu A100 --rounds 10 --out fast.py
      kernelwright optimize my_module.py --model anthropic:NAME --budget 2.50
      kernelwright optimize my_module.py --json > result.json
    """
    from kernelwright.bench_tasks.reading import read_any_task
    from kernelwright.export import check_target, default_target
    from kernelwright.jobs import optimize_task

    settings = start(verbose=verbose, **flags)
    traffic = _traffic(record, replay, settings, flags)
    task = read_any_task(file)
    target = out or default_target(task)
    check_target(target, force=force)

    def work(store: Store, observer: Observer) -> Outcome:
        return optimize_task(task, settings, store=store, observer=observer, traffic=traffic)

    return _search(work, settings, target, force=force, as_json=as_json)


@click.command()
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE")
@click.option(
    "--reference",
    type=click.Path(path_type=Path),
    required=True,
    metavar="TASK",
    help="The module that says what is right: Model, get_inputs(), get_init_inputs().",
)
@search_flags
@_file_flags
@device_flags
@common_flags
def translate(
    file: Path,
    reference: Path,
    out: Path | None,
    force: bool,
    record: Path | None,
    replay: Path | None,
    as_json: bool,
    verbose: bool,
    debug: bool,
    **flags: Any,
) -> int:
    """Make CUDA kernels from a C or C++ loop nest, or from existing CUDA.

    FILE (.c, .cpp, .cu, or .py) is where the language model starts from; TASK says what is right, and kernels are judged
    as everywhere. It needs --model.

    \b
    Example:
      kernelwright translate stencil.c --reference stencil_task.py --model openai:NAME --budget 1
    """
    from kernelwright.agents.llm.briefing import StartingPoint
    from kernelwright.bench_tasks.reading import read_any_task
    from kernelwright.export import check_target, default_target
    from kernelwright.jobs import optimize_task

    settings = start(verbose=verbose, **flags)
    traffic = _traffic(record, replay)
    language = _LANGUAGES.get(file.suffix.lower())
    if language is None:
        raise MisuseError(
            f"{file.name} can't be translated: what language it is in is told by how its name ends.",
            mend=f"Known are {', '.join(_LANGUAGES)}.",
        )
    beginning = StartingPoint(_text_of(file), language)  # type: ignore[arg-type]
    task = read_any_task(reference)
    target = out or default_target(task)
    check_target(target, force=force)

    def work(store: Store, observer: Observer) -> Outcome:
        return optimize_task(task, settings, store=store, observer=observer, start=beginning, traffic=traffic)

    return _search(work, settings, target, force=force, as_json=as_json)


@click.command()
@click.argument("run_id", metavar="ID")
@click.option("--budget", type=str, metavar="DOLLARS", help="All that the model calls of the run may cost together.")
@_traffic_flags[0]
@_traffic_flags[1]
@click.option("--out", type=click.Path(path_type=Path), help="File to write (default: NAME.kernel.py here).")
@click.option("--force", is_flag=True, help="Overwrite a file at --out that kernelwright did not write.")
@common_flags
def resume(
    run_id: str,
    budget: str | None,
    record: Path | None,
    replay: Path | None,
    out: Path | None,
    force: bool,
    as_json: bool,
    verbose: bool,
    debug: bool,
) -> int:
    """Go on with an interrupted run.

    ID may be the first characters of a run's id, if no other begins so. Its module need not exist as a file any more. A
    model's reply that was paid for is not paid twice.

    \b
    Example:
      kernelwright resume softmax-7k3f
    """
    from kernelwright.export import check_target, default_target
    from kernelwright.jobs import open_store, resume_run

    settings = start(verbose=verbose, budget=budget)
    traffic = _traffic(record, replay)
    with open_store(settings, to_read=True) as store:
        run = store.run(run_id)
    target = out or default_target(run.task)
    check_target(target, force=force)

    def work(store: Store, observer: Observer) -> Outcome:
        return resume_run(run.id, settings, store=store, observer=observer, budget=more, traffic=traffic)

    own = run.settings.get("budget")
    more = settings.budget if budget is not None else None
    shown = settings.model_copy(update={"gpu": run.gpu, "budget": more or (Decimal(own) if own else None)})
    return _search(work, shown, target, force=force, as_json=as_json)


@click.command()
@click.argument("task", type=click.Path(path_type=Path), metavar="TASK")
@click.argument("kernel", type=click.Path(path_type=Path), metavar="KERNEL")
@click.option(
    "--bundle",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write all evidence to one file, for `kernelwright recheck`.",
)
@click.option("--force", is_flag=True, help="Overwrite what is at --bundle.")
@click.option("--explain", is_flag=True, help="Say what each stage found, in plain words, with source lines.")
@device_flags
@common_flags
def verify(
    task: Path,
    kernel: Path,
    bundle: Path | None,
    force: bool,
    explain: bool,
    as_json: bool,
    verbose: bool,
    debug: bool,
    **flags: Any,
) -> int:
    """Judge a kernel file, by any author, against a module.

    TASK defines Model, get_inputs() and get_init_inputs(); KERNEL defines ModelNew, or is a .cu file that
    exports forward (docs/extensions.md). The verdict is passed, rejected, compile_error, crashed, timeout, unsafe, wrong,
    cheating or unsupported (docs/verdicts.md); the exit code is 0 only when it passed.

    \b
    Examples:
      kernelwright verify examples/softmax.py softmax.kernel.py
      kernelwright verify my_module.py kernel.py --json | jq .verdict
      kernelwright verify my_module.py kernel.py --explain --bundle kernel.bundle
    """
    from kernelwright.bench_tasks.reading import read_any_task
    from kernelwright.evidence import check_bundle_target, write_bundle
    from kernelwright.jobs import open_store, verify_task
    from kernelwright.render import ProgressView, timing_block, verdict_block
    from kernelwright.render_evidence import explanation_view
    from kernelwright.sandbox.kernel_file import read_kernel
    from kernelwright.verifier.explain import explain as explain_stages
    from kernelwright.views import evaluation_json

    settings = start(verbose=verbose, **flags)
    the_task = read_any_task(task)
    the_kernel = read_kernel(kernel, task=the_task)
    if bundle is not None:
        check_bundle_target(bundle, force=force)
    screen = console(as_json)
    with open_store(settings) as store, ProgressView(screen, settings.gpu) as view:
        evaluation = verify_task(the_task, the_kernel, settings, store=store, observer=view)
    found = evaluation_json(evaluation)
    if explain:
        explained = explain_stages(the_task, the_kernel, evaluation)
        found["explanation"] = [each.to_json() for each in explained]
        screen.print()
        screen.print(explanation_view(explained))
        screen.print()
    screen.print(verdict_block(evaluation))
    if evaluation.timing is not None:
        screen.print(timing_block(evaluation.timing))
    screen.print(f"Kept: kernelwright show {evaluation.kernel_id}", style="dim")
    if bundle is not None:
        digest = write_bundle(bundle, the_task, the_kernel, evaluation, settings, force=force)
        found["bundle"] = {"path": str(bundle), "digest": digest}
        screen.print(f"Evidence: {bundle}   (again anywhere: kernelwright recheck {bundle})", soft_wrap=True)
        screen.print(f"          SHA-256 of its manifest: {digest}", soft_wrap=True)
    if as_json:
        print_json(found)
    return 0 if evaluation.passed else 1


def _traffic(
    record: Path | None, replay: Path | None, settings: Settings | None = None, flags: Mapping[str, Any] | None = None
) -> Traffic:
    """Where exchanges go. Of a new run `settings` and `flags` too: those about models need one."""
    from kernelwright.writers import Traffic

    if record is not None and replay is not None:
        raise MisuseError("--record and --replay exclude each other.", mend="Give one of them.")
    if settings is not None and not settings.models:
        given = {"--record": record, "--replay": replay, "--budget": (flags or {}).get("budget")}
        if idle := [flag for flag, value in given.items() if value is not None]:
            raise MisuseError(
                f"{idle[0]} is about language models, and none is named.", mend="Name one: --model openai:NAME."
            )

    return Traffic(record, replay)


def _text_of(file: Path) -> str:
    """The text of a file to translate.

    Raises:
        MisuseError: it can't be read, is too large, or is no text.
    """
    try:
        data = file.read_bytes()
    except OSError as error:
        raise MisuseError(f"it can't be read ({error.strerror}).", path=str(file)) from error
    if len(data) > _LARGEST_START:
        raise MisuseError(
            f"it has {len(data):,} bytes; a file to translate may have {_LARGEST_START:,}.",
            mend="Cut it down to the loop nest or kernel, and what it calls.",
            path=str(file),
        )
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise MisuseError(f"it is no UTF-8 text ({error.reason}).", path=str(file)) from error


def _search(
    work: Callable[[Store, Observer], Outcome], settings: Settings, target: Path, *, force: bool, as_json: bool
) -> int:
    """Runs a search under a view, then shows its table and writes its file."""
    from kernelwright.export import kernel_file, write_kernel_file
    from kernelwright.jobs import open_store, utc_now
    from kernelwright.render import ProgressView, attempts_table, best_block
    from kernelwright.render_models import cost_line
    from kernelwright.rl.run import RunStatus
    from kernelwright.views import run_json
    from kernelwright.words import one_line

    screen = console(as_json)
    with ExitStack() as stack:
        store = stack.enter_context(open_store(settings))
        watch = RunId(stack.enter_context(ProgressView(screen, settings.gpu)))
        try:
            outcome = work(store, watch)
        except KeyboardInterrupt:
            raise Interrupted(watch.value) from None
        costs = store.costs(outcome.run.id)
    best = outcome.best
    screen.print()
    screen.print(attempts_table(outcome.attempts, best, width=screen.width))
    screen.print(best_block(outcome.run, best))
    if (line := cost_line(costs, settings.budget)) is not None:
        screen.print(line)
    if outcome.run.status is RunStatus.INTERRUPTED:
        screen.print(f"Stopped: {one_line(outcome.run.message, 2000)}", style="yellow", soft_wrap=True)
    if best is not None:
        text = kernel_file(outcome.run.task, best.kernel, best.evaluation, utc_now())
        write_kernel_file(target, text, force=force)
        screen.print(f"Written: {target}   (all attempts: kernelwright show {outcome.run.id})", soft_wrap=True)
    if as_json:
        print_json(
            {
                **run_json(outcome.run, outcome.attempts, best),
                "dollars": f"{costs.dollars:f}",
                "out": None if best is None else str(target),
            }
        )
    return 0 if best is not None else 1
