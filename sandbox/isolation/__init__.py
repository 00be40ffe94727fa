"""What stands between a worker process and this machine; docs/isolation.md says what each way stops.

`bubblewrap` and `docker` fence a worker in; `process` is a plain process with limits, used only when asked for by name.
"""

from __future__ import annotations

from functools import cache

from kernelwright.errors import ConfigError
from kernelwright.sandbox.isolation.base import Caps, Isolation, Order, Running
from kernelwright.sandbox.isolation.bubblewrap import Bubblewrap, bubblewrap_problem, program_command
from kernelwright.sandbox.isolation.docker import DockerContainers
from kernelwright.sandbox.isolation.plain import PlainProcess

__all__ = [
    "ISOLATIONS",
    "Caps",
    "Isolation",
    "Order",
    "Running",
    "backends",
    "bubblewrap_problem",
    "choose_isolation",
    "find_isolation",
    "program_command",
]

ISOLATIONS = ("auto", "bubblewrap", "docker", "process")


@cache
def backends() -> tuple[Isolation, ...]:
    """All of them; the ones that `auto` takes stand first, in its order."""
    return Bubblewrap(), DockerContainers(), PlainProcess()


def find_isolation(name: str) -> Isolation:
    """By name, `auto` not among them.

    Raises:
        ConfigError: there is no such one.
    """
    for backend in backends():
        if backend.name == name:
            return backend
    raise ConfigError(f"no isolation is called {name!r}.", mend=f"Choose one of {', '.join(ISOLATIONS)}.")


def choose_isolation(asked: str) -> str:
    """`auto` becomes the first fence that works here; never `process`, which is none.

    Raises:
        ConfigError: the one asked for does not exist or does not work here, or `auto` found no fence.
    """
    if asked != "auto":
        problem = find_isolation(asked).problem()
        if problem:
            raise ConfigError(
                f"isolation {asked} was asked for, but {problem}.",
                mend="See `kernelwright doctor` for what works here.",
            )
        return asked
    problems = []
    for backend in backends():
        if backend.name == "process":
            continue
        problem = backend.problem()
        if not problem:
            return backend.name
        problems.append(f"{backend.name}: {problem}")
    raise ConfigError(
        f"nothing here can fence a kernel in ({'; '.join(problems)}), so its code would run with your rights.",
        mend="Install bubblewrap (Debian: apt install bubblewrap), or, for kernels that you trust, ask for a plain "
        "process by name: --isolation process, or KERNELWRIGHT_ISOLATION=process.",
    )
