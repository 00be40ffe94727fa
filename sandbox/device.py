"""Device: where kernels run, a GPU or the emulator standing for one."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from kernelwright.errors import ConfigError
from kernelwright.sandbox.cuda.driver import cuda_problem, gpus
from kernelwright.sandbox.isolation import choose_isolation

__all__ = ["KINDS", "Device", "gpu_here", "gpu_problem", "resolve_device"]

KINDS = ("emulator", "cuda")


@dataclass(frozen=True)
class Device:
    """Where kernels run.

    `kind` is `emulator` or `cuda`; `gpu` names the GPU that it is or stands for, `arch` that GPU's architecture (`sm_90`),
    `isolation` what stands around the candidate's process, `index` which of the machine's GPUs it is.
    """

    kind: str
    gpu: str
    arch: str
    isolation: str
    index: int = 0

    @property
    def name(self) -> str:
        """For people: ``emulator (as H200)``."""
        return f"emulator (as {self.gpu})" if self.kind == "emulator" else self.gpu


def gpu_problem() -> str:
    """Why kernels can't be timed on a GPU here; the empty string if they can."""
    if problem := cuda_problem():
        return problem
    try:
        found = version("torch")
    except PackageNotFoundError:
        return "torch is not installed"
    return f"torch {found} is a build without CUDA" if found.endswith("+cpu") else ""


def gpu_here(index: int = 0) -> str:
    """What the driver calls this machine's GPU; the empty string if it can't be used."""
    found = () if gpu_problem() else gpus()
    return found[index].name if index < len(found) else ""


def resolve_device(kind: str, *, gpu: str, arch: str, isolation: str = "auto") -> Device:
    """The device of a kind in `KINDS`, which is or stands for `gpu`.

    Raises:
        ConfigError: `kind` is unknown, or there is no GPU, or one of another architecture.
    """
    if kind not in KINDS:
        raise ConfigError(f"no device is called {kind!r}.", mend="Choose one of auto, emulator, cuda.")
    if kind == "cuda":
        if problem := gpu_problem():
            raise ConfigError(
                f"device cuda was asked for, but {problem}.", mend="Use --device emulator, which needs no GPU."
            )
        found = gpus()[0]
        if found.arch != arch:
            raise ConfigError(
                f"device cuda is a {found.name} ({found.arch}), and kernels are to be written for {gpu} ({arch}).",
                mend="Leave --gpu out, or use --device emulator to model another GPU.",
            )
    return Device(kind, gpu, arch, choose_isolation(isolation))
