"""CUDA C++ on the CPU: compiled by NVRTC to PTX, translated to C++, run warp by warp with checks and counters.

    module = emulator.compile(source)
    memory = emulator.Memory()
    memory.register(pointer, nbytes, "x", "float32")
    report = module.launch("scale", (blocks,), (threads,), (pointer, np.int32(n)), memory=memory)

See docs/emulator.md for what is exact, what is approximate and what is refused.
"""

from kernelwright.sandbox.emulator.memory import Allocation, Memory
from kernelwright.sandbox.emulator.module import LaunchLimits, Module, compile

__all__ = ["Allocation", "LaunchLimits", "Memory", "Module", "compile"]
