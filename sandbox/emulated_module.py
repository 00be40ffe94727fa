"""A kernel as a torch module on a machine with no GPU: every call runs in a candidate process on the emulator."""

from __future__ import annotations

import weakref
from typing import Any

import torch

from kernelwright.errors import SandboxError
from kernelwright.sandbox.candidate import Candidate, CandidateFailure
from kernelwright.sandbox.device import Device
from kernelwright.sandbox.kernel import Kernel
from kernelwright.sandbox.process import Limits
from kernelwright.sandbox.reference import InitState

__all__ = ["EmulatedModule"]

_LARGEST_OUTPUT = 1 << 33  # bytes


class EmulatedModule(torch.nn.Module):
    """Stands in for the original module: same inputs, same outputs, no gradients.

    Args:
        kernel: a kernel that passed.
        init: constructor arguments and weights to give it.

    Raises (in forward):
        SandboxError: the kernel did not do its work (wrong shapes, for instance).
    """

    def __init__(self, kernel: Kernel, device: Device, init: InitState, *, limits: Limits | None = None) -> None:
        super().__init__()
        self._candidate = Candidate(kernel, device, limits=limits)
        self._end = weakref.finalize(self, self._candidate.close)
        try:
            self._candidate.load()
            self._candidate.build(init, seed=0)
        except CandidateFailure as failure:
            self.close()
            raise SandboxError(f"the kernel does not load: {failure.message}") from failure

    def forward(self, *inputs: Any) -> Any:
        """Tensors on the CPU in, tensors on the CPU out."""
        try:
            result = self._candidate.call(inputs, expected_bytes=_LARGEST_OUTPUT, compiling=True)
        except CandidateFailure as failure:
            raise SandboxError(failure.message) from failure
        for report in result.reports:
            for violation in report.violations:
                raise SandboxError(f"{report.kernel}, line {violation.line}: {violation.message}")
        return result.outputs

    def close(self) -> None:
        """Ends the process; garbage collection does so too."""
        self._end()
