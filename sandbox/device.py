"""Device: where kernels run, a GPU or the emulator standing for one."""

from __future__ import annotations

import ctypes
import ctypes.util
from dataclasses import dataclass
from functools import cache

from kernelwright.errors import ConfigError
from kernelwright.sandbox.isolation import choose_isolation

__all__ = ["Device", "cuda_problem", "resolve_device"]


@dataclass(frozen=True)
class Device:
    """Where kernels run.

    `kind` is `emulator`; `gpu` names the GPU it stands for, `arch` that GPU's architecture (`sm_90`), `isolation` what
    stands around the candidate's process.
    """

    kind: str
    gpu: str
    arch: str
    isolation: str

    @property
    def name(self) -> str:
        """For people: ``emulator (as H200)``."""
        return f"emulator (as {self.gpu})" if self.kind == "emulator" else self.gpu


@cache
def cuda_problem() -> str:
    """Why no GPU can be used here; the empty string if the driver answers and shows a device."""
    library = ctypes.util.find_library("cuda") or "libcuda.so.1"
    try:
        driver = ctypes.CDLL(library)
    except OSError:
        return "no NVIDIA driver (libcuda.so.1) is installed"
    if status := driver.cuInit(0):
        return f"the NVIDIA driver answers with error {status}"
    count = ctypes.c_int()
    if status := driver.cuDeviceGetCount(ctypes.byref(count)):
        return f"the NVIDIA driver answers with error {status}"
    return "" if count.value else "the NVIDIA driver shows no GPU"


def resolve_device(kind: str, *, gpu: str, arch: str, isolation: str = "auto") -> Device:
    """The device for `kind` (`auto`, `emulator`, `cuda`), standing for `gpu`.

    Raises:
        ConfigError: `kind` is unknown, or a GPU was asked for by name.
    """
    if kind not in {"auto", "emulator", "cuda"}:
        raise ConfigError(f"no device is called {kind!r}.", mend="Choose one of auto, emulator, cuda.")
    if kind == "cuda":
        problem = cuda_problem()
        if problem:
            raise ConfigError(
                f"device cuda was asked for, but {problem}.", mend="Use --device emulator, which needs no GPU."
            )
        raise ConfigError(
            "device cuda was asked for, but this release judges on the emulator only, with a GPU present or not.",
            mend="Use --device emulator; the exported kernel runs on the GPU with torch and cupy.",
        )
    return Device("emulator", gpu, arch, choose_isolation(isolation))
