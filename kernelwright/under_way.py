"""A search under way, as other processes see it: what it says is kept in the store, and it alone works on its run."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

from kernelwright.db.store import Store
from kernelwright.errors import MisuseError
from kernelwright.events import Event, Observer, RunStarted
from kernelwright.rl.run import Run

__all__ = ["alone", "heard"]


def heard(run: Run, store: Store, observer: Observer) -> Observer:
    """`observer`, with every event kept for who watches the run from another process."""
    stored = False

    def hear(event: Event) -> None:
        nonlocal stored
        stored = stored or isinstance(event, RunStarted) or store.has_run(run.id)
        if stored:  # a new run is not there before its first event
            store.add_run_event(run.id, event)
        observer(event)

    return hear if store.shared else observer


def alone(run: Run, store: Store, patience: float) -> AbstractContextManager[object]:
    """Holds the run's lock.

    Raises:
        MisuseError: another process has it.
    """
    if not store.shared:
        return nullcontext()
    held = store.locks.take(run.id, patience=patience)
    if held is None:
        raise MisuseError(
            f"run {run.id} is being worked on by another process.",
            mend=f"Let it end, or stop it. Watch it: kernelwright show {run.id}",
        )
    return held
