"""A task, an honest kernel for it, and how to plant a bug in its one line: for tests of evidence and of shrinking."""

from __future__ import annotations

from kernelwright.bench_tasks.kernelbench import task_from_source
from kernelwright.sandbox.device import Device
from kernelwright.sandbox.kernel import Kernel
from kernelwright.sandbox.process import Limits
from kernelwright.verifier.model.gpus import find_gpu

ROWS, COLUMNS = 12, 33
H200 = find_gpu("H200")
DEVICE = Device("emulator", "H200", "sm_90", "process")
LIMITS = Limits(call_seconds=20)
TASK_SOURCE = f"""
import torch

class Model(torch.nn.Module):
    def forward(self, x):
        return torch.tanh(x) * 3.0

def get_inputs():
    return [torch.randn({ROWS}, {COLUMNS})]

def get_init_inputs():
    return []
"""
TASK = task_from_source(TASK_SOURCE, name="tanh3")
_KERNEL = '''
import cupy
import numpy as np
import torch

CUDA = r"""
extern "C" __global__ void tanh3(const float* __restrict__ x, float* __restrict__ y, int n, int cols) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) {
        LINE
    }
}
"""
MODULE = cupy.RawModule(code=CUDA)


class ModelNew(torch.nn.Module):
    def forward(self, x):
        y = torch.empty_like(x)
        MODULE.get_function("tanh3")(((x.numel() + 127) // 128,), (128,), (x, y, np.int32(x.numel()), np.int32(x.shape[1])))
        return y
'''
HONEST = "y[i] = 3.0f * tanhf(x[i]);"


def kernel(line: str = HONEST) -> Kernel:
    """The kernel whose threads do `line` for element `i` of `n`, in rows of `cols`."""
    return Kernel(_KERNEL.replace("LINE", line), "test", parameters={"block": 128, "fast": False, "style": "plain"})
