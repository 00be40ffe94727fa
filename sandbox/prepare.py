"""What every kernel's process needs built, built by the judge: such a process can't write the shared cache itself."""

from __future__ import annotations

import re

__all__ = ["prepare_cache"]


def prepare_cache(source: str) -> None:
    """Builds what is missing in the shared cache for a kernel with this source; about a second, once per machine.

    For C++ extensions the precompiled header of torch besides (20 s). No code of the kernel is run.

    Raises:
        EmulatorError: there is no C++ compiler, or it fails.
    """
    from kernelwright.sandbox.emulated import arena_allocator
    from kernelwright.sandbox.hostcode import extension

    arena_allocator.ensure_built()
    if re.search(r"\bcpp_extension\b|\bload_inline\b", source):
        extension.prepare(source)
