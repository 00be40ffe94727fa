"""The machine and the service."""

from __future__ import annotations

from kernelwright.web.context import Here
from kernelwright.web.twins import Twins
from kernelwright.web.views.system import System, system_view

__all__ = ["twins"]

twins = Twins("system")


@twins.page("/system", "system.html.j2")
def system(site: Here) -> System:
    """Devices, queue, workers, versions and the store's size; what is slow to find out is some time old."""
    return system_view(site.settings, site.store, site.queue, site.kept)
