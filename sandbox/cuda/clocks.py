"""What the GPU's clocks, power and temperature are while it is timed, through NVML; absent where its library is."""

from __future__ import annotations

import contextlib
from typing import Any

__all__ = ["Clocks"]

# Reasons that take speed away from a kernel; idle and application settings are none. Source: NVML API reference,
# nvmlClocksEventReasons.
_THROTTLES = {
    0x04: "software power cap", 0x08: "hardware slowdown", 0x20: "software thermal slowdown",
    0x40: "hardware thermal slowdown", 0x80: "hardware power brake",
}  # fmt: skip


class Clocks:
    """One GPU's, for as long as it is open.

    Args:
        uuid: as the driver names it.
        library: pynvml, or what stands for it.
    """

    def __init__(self, uuid: str, library: Any = None) -> None:
        self._nvml, self._handle, self.problem = library, None, ""
        try:
            if self._nvml is None:
                import pynvml

                self._nvml = pynvml
            self._nvml.nvmlInit()
            self._handle = self._nvml.nvmlDeviceGetHandleByUUID(uuid)
        except ImportError:
            self.problem = "nvidia-ml-py is not installed: clocks are not recorded"
        except Exception as error:  # noqa: BLE001 - NVML's own errors, whichever version it is
            self.problem = f"NVML does not answer: {error}"

    def read(self) -> dict[str, Any]:
        """SM and memory clock in Hz, temperature in degrees Celsius, power in watts, and why it is throttled; what is not known is left out."""
        if self._handle is None:
            return {}
        nvml, handle = self._nvml, self._handle
        found: dict[str, Any] = {}
        with contextlib.suppress(Exception):
            found["sm_hz"] = 1e6 * nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM)
        with contextlib.suppress(Exception):
            found["memory_hz"] = 1e6 * nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_MEM)
        with contextlib.suppress(Exception):
            found["celsius"] = nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU)
        with contextlib.suppress(Exception):
            found["watts"] = 1e-3 * nvml.nvmlDeviceGetPowerUsage(handle)
        with contextlib.suppress(Exception):
            bits = int(nvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle))
            found["throttled"] = [name for bit, name in _THROTTLES.items() if bits & bit]
        return found

    def close(self) -> None:
        """Lets go of the library."""
        if self._handle is not None:
            with contextlib.suppress(Exception):
                self._nvml.nvmlShutdown()
            self._handle = None
