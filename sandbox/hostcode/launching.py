"""From a stub's launch in compiled host code to the emulator: compiles the instance it names, runs it, keeps its report."""

from __future__ import annotations

import ctypes
import logging
import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kernelwright.errors import BuildError, LaunchError, UnsupportedError
from kernelwright.sandbox.emulated.recorder import DeviceSession
from kernelwright.sandbox.hostcode.authors import PreludeLines
from kernelwright.sandbox.hostcode.device import DeviceText
from kernelwright.sandbox.hostcode.host import KernelRecord
from kernelwright.sandbox.hostcode.properties import DeviceStruct, device_struct
from kernelwright.sandbox.launch import LaunchReport

__all__ = ["DeviceUnit", "Launcher"]

log = logging.getLogger(__name__)

_SUCCESS, _INVALID_VALUE, _INVALID_CONFIGURATION, _INVALID_SYMBOL, _LAUNCH_FAILURE = 0, 1, 9, 13, 719  # cudaError_t
_RESOURCES, _ILLEGAL_ADDRESS, _MISALIGNED, _TIMEOUT, _ASSERT = 701, 700, 716, 702, 710
_FAILED = -1  # no CUDA error: the reason is kept for Python

_PRELUDE = tuple(Path(__file__).with_name("include") / name for name in ("device_std.cuh", "device_torch.cuh"))
"""What comes before the author's device code."""
_VIOLATION_CODES = {
    "out_of_bounds": _ILLEGAL_ADDRESS,
    "null_pointer": _ILLEGAL_ADDRESS,
    "misaligned": _MISALIGNED,
    "endless_loop": _TIMEOUT,
    "trap": _ASSERT,
    "divergent_barrier": _LAUNCH_FAILURE,
}
"""What a GPU answers, where it notices at all."""


@dataclass
class DeviceUnit:
    """The device half of one translation unit."""

    key: str
    kernels: tuple[KernelRecord, ...]
    texts: tuple[DeviceText, ...]
    options: tuple[str, ...]
    lines: PreludeLines
    modules: dict[tuple[int, str], Any] = field(default_factory=dict)

    def text_of(self, kernel: str) -> int:
        """The number of the text that holds a kernel (by qualified name, with or without template arguments)."""
        base = kernel.split("<")[0]
        for number, text in enumerate(self.texts):
            if base in text.kernels:
                return number
        raise LaunchError(f"the CUDA source has no device code for kernel {kernel}")


class _Request(ctypes.Structure):
    _fields_ = (
        ("unit", ctypes.c_char_p),
        ("kernel", ctypes.c_int32),
        ("count", ctypes.c_int32),
        ("instance", ctypes.c_char_p),
        ("grid", ctypes.c_uint32 * 3),
        ("block", ctypes.c_uint32 * 3),
        ("shared", ctypes.c_uint64),
        ("args", ctypes.POINTER(ctypes.c_void_p)),
        ("sizes", ctypes.POINTER(ctypes.c_uint64)),
    )


class _Resources(ctypes.Structure):
    _fields_ = tuple(
        (name, ctypes.c_int32) for name in ("registers", "static_shared", "local", "constant", "max_threads")
    )


_LAUNCH = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.POINTER(_Request))
_RESOURCE = ctypes.CFUNCTYPE(
    ctypes.c_int32, ctypes.c_char_p, ctypes.c_int32, ctypes.c_char_p, ctypes.POINTER(_Resources)
)
_SYMBOL = ctypes.CFUNCTYPE(
    ctypes.c_int32, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_uint64, ctypes.c_void_p, ctypes.c_uint64, ctypes.c_int32
)
_ADDRESS = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_char_p, ctypes.c_char_p, ctypes.POINTER(ctypes.c_uint64))


_COPY = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_uint64, ctypes.c_uint64, ctypes.c_uint64)
_FILL = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_uint64, ctypes.c_int32, ctypes.c_uint64)


class _Hooks(ctypes.Structure):
    _fields_ = (
        ("launch", _LAUNCH),
        ("resources", _RESOURCE),
        ("symbol", _SYMBOL),
        ("symbol_address", _ADDRESS),
        ("table", ctypes.c_void_p),
        ("told_new", ctypes.c_void_p),
        ("told_gone", ctypes.c_void_p),
        ("raises", ctypes.c_int32),
        ("told_blank", ctypes.c_void_p),
        ("told_written", ctypes.c_void_p),
        ("allocate", ctypes.c_void_p),
        ("release", ctypes.c_void_p),
        ("copy", _COPY),
        ("fill", _FILL),
    )


class Launcher:
    """The emulator's end of compiled host code; one per process.

    Args:
        session: where launches run and reports go.
        runtime: the library of `HostTool.runtime`.
        raises: a refused launch becomes an exception (extensions) rather than an error code (programs).
        on_report: told of every launch.
        on_failure: told of what is no CUDA error (device code that does not compile, for instance); a program ends then.
    """

    def __init__(
        self,
        session: DeviceSession,
        runtime: Path,
        *,
        raises: bool,
        on_report: Callable[[LaunchReport], None] | None = None,
        on_failure: Callable[[BaseException], None] | None = None,
    ) -> None:
        self.session = session
        self.raises = raises
        self.pending: BaseException | None = None
        self._units: dict[str, DeviceUnit] = {}
        self._lock = threading.RLock()
        self._on_report = on_report
        self._on_failure = on_failure
        self.library = ctypes.CDLL(str(runtime), mode=ctypes.RTLD_GLOBAL)
        told = session.memory_hooks()
        copying = session.copying
        # the callbacks must outlive every call: they are kept here
        self._hooks = _Hooks(
            _LAUNCH(self._launch),
            _RESOURCE(self._resources),
            _SYMBOL(self._symbol),
            _ADDRESS(self._symbol_address),
            told.table,
            told.told_new,
            told.told_gone,
            int(raises),
            # under torch, memory is written in ways that nobody tells us of
            *((None, None) if raises else (told.told_blank, told.told_written)),
            told.allocate,
            told.release,
            _COPY(self._copy) if copying else _COPY(),
            _FILL(self._fill) if copying else _FILL(),
        )
        self._device: DeviceStruct = device_struct(session.arch)
        self.library.kernelwright_install.restype = None
        self.library.kernelwright_install(ctypes.byref(self._hooks), ctypes.byref(self._device))

    def add(self, unit: DeviceUnit) -> None:
        """Makes a unit's kernels known; host code that names it may then be loaded."""
        with self._lock:
            self._units.setdefault(unit.key, unit)

    def take_pending(self) -> BaseException | None:
        """Why the last launch was refused, once."""
        with self._lock:
            pending, self.pending = self.pending, None
            return pending

    def leaks(self) -> list[int]:
        """Sizes in bytes of device memory that was not freed."""
        sizes = (ctypes.c_uint64 * 4096)()
        self.library.kernelwright_leaks.restype = ctypes.c_uint64
        count = int(self.library.kernelwright_leaks(sizes, 4096))
        return [int(n) for n in sizes[: min(count, 4096)]]

    # -- called from compiled code; nothing may leave them ----------------------------------------------------------

    def _launch(self, request: Any) -> int:
        asked = request.contents
        try:
            unit, name, expression = self._names(asked.unit, asked.kernel, asked.instance)
            if asked.count < 0:
                raise LaunchError(
                    f"kernel {expression} was launched with {asked.shared} bytes of dynamic shared memory, over its limit.",
                    mend="Raise it before the launch: cudaFuncSetAttribute(kernel, "
                    "cudaFuncAttributeMaxDynamicSharedMemorySize, bytes).",
                )
            module = self._module(unit, name, expression)
            args = [ctypes.string_at(asked.args[i], asked.sizes[i]) for i in range(asked.count)]
            with self._lock:
                self._obey_limits()
                report = self.session.launch(
                    module, expression, _triple(asked.grid), _triple(asked.block), args, int(asked.shared), unit.lines
                )
            if report is None:
                return _SUCCESS  # it is the device process that knows
            if self._on_report is not None:
                self._on_report(report)
            if not self.raises:
                return next((c for v in report.violations if (c := _VIOLATION_CODES.get(v.kind))), _SUCCESS)
            return _SUCCESS
        except LaunchError as error:
            self._keep(error)
            return _INVALID_CONFIGURATION
        except Exception as error:  # noqa: BLE001 - an exception can't cross compiled code; it is raised after it
            self._keep(error)
            return _FAILED

    def _obey_limits(self) -> None:
        """Takes over what the program asked of cudaDeviceSetLimit."""
        ask = self.library.kernelwright_limit
        ask.restype = ctypes.c_uint64
        self.session.set_limits(stack_bytes=int(ask(0)), heap_bytes=int(ask(2)))

    def _resources(self, unit_key: bytes, kernel: int, instance: bytes, found: Any) -> int:
        try:
            unit, name, expression = self._names(unit_key, kernel, instance)
            module = self._module(unit, name, expression)
            used = module.resources.get(module.build.lowered_names.get(expression, expression))
            made = found.contents
            made.registers = used.registers if used else 0
            made.static_shared = used.static_shared if used else 0
            made.local = used.stack if used else 0
            made.constant = used.constant if used else 0
            # a block's registers are 65536, given to warps in steps of 256
            per_warp = -(-max(1, made.registers) * 32 // 256) * 256
            made.max_threads = min(1024, 65536 // per_warp * 32)
            return _SUCCESS
        except Exception as error:  # noqa: BLE001 - as above
            self._keep(error)
            return _RESOURCES

    def _symbol(self, unit: bytes, name: bytes, offset: int, host: int, count: int, to_device: int) -> int:
        try:
            address, size = self._variable(unit, name)
            if offset + count > size:
                return _INVALID_VALUE
            if to_device:
                self.session.write(address + offset, host, count)
            else:
                self.session.read(host, address + offset, count)
            return _SUCCESS
        except Exception as error:  # noqa: BLE001 - as above
            self._keep(error)
            return _INVALID_SYMBOL

    def _symbol_address(self, unit: bytes, name: bytes, found: Any) -> int:
        try:
            address, size = self._variable(unit, name)
            # it may be handed to a copy or to another kernel
            self.session.expose(address, size, name.decode())
            found[0] = address
            return _SUCCESS
        except Exception as error:  # noqa: BLE001 - as above
            self._keep(error)
            return _INVALID_SYMBOL

    def _copy(self, to: int, origin: int, count: int) -> int:
        try:
            self.session.copy(to, origin, count)
            return _SUCCESS
        except Exception as error:  # noqa: BLE001 - as above
            self._keep(error)
            return _INVALID_VALUE

    def _fill(self, to: int, value: int, count: int) -> int:
        try:
            self.session.fill(to, value, count)
            return _SUCCESS
        except Exception as error:  # noqa: BLE001 - as above
            self._keep(error)
            return _INVALID_VALUE

    # -- compiling --------------------------------------------------------------------------------------------------

    def _keep(self, error: BaseException) -> None:
        self.pending = error
        self.library.kernelwright_set_reason(str(error).encode())
        if not isinstance(error, LaunchError) and self._on_failure is not None:
            self._on_failure(error)

    def _names(self, unit_key: bytes, kernel: int, instance: bytes) -> tuple[DeviceUnit, str, str]:
        unit = self._units[unit_key.decode()]
        record = unit.kernels[kernel]
        # int64_t is `long` to the host's compiler and `long long` under NVRTC
        spelled = re.sub(r"\blong(?! long)(?<!long long)\b", "long long", instance.decode())
        return unit, record.name, f"{record.name}<{spelled}>" if record.template else record.name

    def _module(self, unit: DeviceUnit, name: str, expression: str) -> Any:
        """The emulator's module with that instance; kernels that share variables share one module."""
        with self._lock:
            number = unit.text_of(name)
            text = unit.texts[number]
            if text.variables:
                return self._shared_module(unit, number, expression)
            if (number, expression) not in unit.modules:
                unit.modules[number, expression] = self._compile(unit, text, (expression,))
            return unit.modules[number, expression]

    def _shared_module(self, unit: DeviceUnit, number: int, expression: str) -> Any:
        text = unit.texts[number]
        names: tuple[str, ...] = unit.modules.get((number, "names"), ())
        module = unit.modules.get((number, ""))
        if module is not None and (not expression or expression in names):
            return module
        wanted = (*names, expression) if expression else names
        made = self._compile(unit, text, (*wanted, *(f"&{v}" for v in text.variables)))
        if module is not None:
            # a new instance: the variables keep what they hold
            for variable in text.variables:
                old = module.global_pointer(module.build.lowered_names[f"&{variable}"])
                new = made.global_pointer(made.build.lowered_names[f"&{variable}"])
                self.session.copy(new[0], old[0], min(old[1], new[1]))
        unit.modules[number, "names"] = wanted
        unit.modules[number, ""] = made
        return made

    def _compile(self, unit: DeviceUnit, text: DeviceText, expressions: Sequence[str]) -> Any:
        wants_half = re.search(r"\b(Half|BFloat16|half|__half|__nv_bfloat16)\b", text.text + " ".join(expressions))
        source = (
            ("#define KERNELWRIGHT_HALF 1\n" if wants_half else "")
            + "".join(f'#line 1 "kernelwright_{path.name}"\n{path.read_text()}\n' for path in _PRELUDE)
            + '#line 1 "kernel.cu"\n'
            + text.text
        )
        try:
            return self.session.compile(source, unit.options, expressions)
        except (BuildError, UnsupportedError) as error:
            if error.line is not None:
                error.line, part, _ = unit.lines.find(error.line)
                if part:
                    error.message = f"{part}: {error.message}"
            raise

    def _variable(self, unit_key: bytes, name: bytes) -> tuple[int, int]:
        """(address, bytes) of a device variable."""
        unit = self._units[unit_key.decode()]
        qualified = name.decode()
        with self._lock:
            for number, text in enumerate(unit.texts):
                if qualified in text.variables:
                    module = self._shared_module(unit, number, "")
                    address, size = module.global_pointer(module.build.lowered_names[f"&{qualified}"])
                    return int(address), int(size)
        raise LaunchError(f"no kernel uses the variable {qualified}")


def _triple(sizes: Sequence[int]) -> tuple[int, int, int]:
    return int(sizes[0]), int(sizes[1]), int(sizes[2])
