"""Calls that wait for a server, made at the same time, so that Ctrl-C need not wait for them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Future, wait
from threading import Thread
from typing import TypeVar

__all__ = ["at_once"]

T = TypeVar("T")


def at_once(calls: Iterable[Callable[[], T]], name: str) -> list[Future[T]]:
    """Makes all calls, each in a thread of its own named after `name`, and returns when every one has ended, in their order.

    The threads are daemons: an executor's are joined at its end and once more when the process ends, and a model may take
    minutes to answer.

    Raises:
        KeyboardInterrupt: at once; the calls go on until the process ends.
    """
    futures: list[Future[T]] = []
    for number, call in enumerate(calls):
        future: Future[T] = Future()
        futures.append(future)
        Thread(target=_run, args=(call, future), name=f"{name}_{number}", daemon=True).start()
    wait(futures)
    return futures


def _run(call: Callable[[], T], future: Future[T]) -> None:
    try:
        result = call()
    except BaseException as error:  # noqa: BLE001 - raised where the result is asked for
        future.set_exception(error)
    else:
        future.set_result(result)
