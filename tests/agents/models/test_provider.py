"""Turns at a server, and the patience with it; the server here is the class that every client implements."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from model_calls import request

from kernelwright.agents.models.protocol import Reply, Request, Usage
from kernelwright.agents.models.provider import Answer, Patience, Provider, TryFailed
from kernelwright.errors import ModelError


class Server(Provider):
    def __init__(self, ask: Callable[[Request], Answer], gate: threading.Semaphore, patience: Patience) -> None:
        super().__init__("test:m", gate=gate, patience=patience)
        self._answer = ask

    def _ask(self, request: Request) -> Answer:
        return self._answer(request)

    def close(self) -> None: ...


def answer(_asked: Request) -> Answer:
    return Answer(Reply("x", Usage(), "end", "m"))


@pytest.mark.parametrize("places", [1, 3])
def test_as_many_calls_at_once_as_there_are_places(places: int) -> None:
    """The barrier opens when `places` calls are inside together; the count shows that never more were."""
    barrier, lock, inside, most = threading.Barrier(places), threading.Lock(), [0], [0]

    def ask(asked: Request) -> Answer:
        with lock:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
        barrier.wait(timeout=60)
        with lock:
            inside[0] -= 1
        return answer(asked)

    gate = threading.BoundedSemaphore(places)
    servers = [Server(ask, gate, Patience()) for _ in range(2)]  # two models of one server share its gate
    threads = [threading.Thread(target=servers[n % 2].complete, args=(request(),)) for n in range(4 * places)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [places]


def test_a_place_is_free_while_a_call_waits_to_be_repeated() -> None:
    gate = threading.BoundedSemaphore(1)
    failures = iter([TryFailed("no", again=True)] * 2)
    held: list[bool] = []

    def sleep(_seconds: float) -> None:
        held.append(gate.acquire(blocking=False))
        gate.release()

    def ask(asked: Request) -> Answer:
        for failure in failures:
            raise failure
        return answer(asked)

    assert Server(ask, gate, Patience(sleep=sleep)).complete(request()).text == "x"
    assert held == [True, True]


def test_waits_grow_and_are_bounded() -> None:
    waits: list[float] = []

    def ask(_asked: Request) -> Answer:
        raise TryFailed("no", again=True)

    patience = Patience(tries=9, longest_wait=10, sleep=waits.append)
    with pytest.raises(ModelError, match="in 9 tries"):
        Server(ask, threading.Semaphore(), patience).complete(request())
    assert len(waits) == 8
    assert all(2**n <= wait <= 2**n + 1 for n, wait in enumerate(waits[:3]))
    assert max(waits) <= 10


def test_a_fault_of_our_own_is_not_repeated() -> None:
    tries: list[int] = []

    def ask(_asked: Request) -> Answer:
        tries.append(1)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Server(ask, threading.Semaphore(), Patience()).complete(request())
    assert tries == [1]
