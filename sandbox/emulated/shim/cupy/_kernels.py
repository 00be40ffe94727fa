"""`RawKernel` and `RawModule`: CUDA C++ compiled on first use, launched on the emulator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kernelwright.errors import LaunchError
from kernelwright.sandbox.emulated.recorder import current


class RawModule:
    """CUDA C++ source with any number of kernels."""

    def __init__(
        self,
        *,
        code: str | None = None,
        path: str | None = None,
        options: Sequence[str] = (),
        backend: str = "nvrtc",
        translate_cucomplex: bool = False,
        enable_cooperative_groups: bool = False,
        name_expressions: Sequence[str] | None = None,
        jitify: bool = False,
    ) -> None:
        if (code is None) == (path is None):
            raise TypeError("exactly one of code and path is needed")
        if path is not None:
            with open(path, encoding="utf-8") as file:
                code = file.read()
        self.code = code
        self.options = tuple(options)
        self.backend = backend
        self.name_expressions = tuple(name_expressions or ())
        self.enable_cooperative_groups = enable_cooperative_groups
        self._module: Any = None

    def compile(self, log_stream: Any = None) -> None:
        """Compiles now instead of at the first `get_function`."""
        if self._module is None:
            self._module = current().compile(self.code or "", self.options, self.name_expressions)

    @property
    def module(self) -> Any:
        """The emulator's module."""
        self.compile()
        return self._module

    def get_function(self, name: str) -> _Function:
        """The kernel called `name` (or the instance of a name expression)."""
        return _Function(self, name)


class RawKernel:
    """CUDA C++ source with one kernel."""

    def __init__(
        self,
        code: str,
        name: str,
        options: Sequence[str] = (),
        backend: str = "nvrtc",
        *,
        translate_cucomplex: bool = False,
        enable_cooperative_groups: bool = False,
        jitify: bool = False,
    ) -> None:
        self.code = code
        self.name = name
        # CuPy takes a name such as k<float> and instantiates it
        expressions = (name,) if "<" in name else ()
        self._function = _Function(RawModule(code=code, options=options, name_expressions=expressions), name)

    def compile(self, log_stream: Any = None) -> None:
        """Compiles now instead of at the first call."""
        self._function.module.compile()

    def __call__(self, grid: Sequence[int], block: Sequence[int], args: Sequence[Any], **keywords: Any) -> None:
        self._function(grid, block, args, **keywords)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._function, name)


class _Function:
    """One kernel of a module."""

    def __init__(self, module: RawModule, name: str) -> None:
        self.module = module
        self.name = name
        self.max_dynamic_shared_size_bytes = 48 << 10  # CUDA's default; kernels raise it by assignment
        self.preferred_shared_memory_carveout = -1

    @property
    def kernel(self) -> Any:
        """What a launch needs."""
        if self.name not in self.module.module.kernels and self.name not in self.module.name_expressions:
            raise LaunchError(
                f"the CUDA source has no kernel called {self.name!r}; it has {', '.join(self.module.module.kernels) or 'none'}.",
                mend='Declare it extern "C" __global__, or name a template instance in name_expressions.',
            )
        return self.module.module

    def __call__(
        self,
        grid: Sequence[int],
        block: Sequence[int],
        args: Sequence[Any],
        *,
        shared_mem: int = 0,
        stream: Any = None,
        enable_cooperative_groups: bool = False,
    ) -> None:
        if shared_mem > self.max_dynamic_shared_size_bytes:
            raise LaunchError(
                f"kernel {self.name} was launched with {shared_mem} bytes of dynamic shared memory, over its limit of "
                f"{self.max_dynamic_shared_size_bytes}.",
                mend="Set kernel.max_dynamic_shared_size_bytes before the launch.",
            )
        current().launch(self.kernel, self.name, _triple(grid), _triple(block), tuple(args), int(shared_mem))


def _triple(sizes: Sequence[int] | int) -> tuple[int, int, int]:
    given = (sizes,) if isinstance(sizes, int) else tuple(int(n) for n in sizes)
    if not 1 <= len(given) <= 3:
        raise ValueError(f"grid and block have one to three sizes, not {len(given)}")
    x, y, z = (*given, 1, 1)[:3]
    return x, y, z
