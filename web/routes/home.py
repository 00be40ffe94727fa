"""The first page."""

from __future__ import annotations

from kernelwright.web.context import Here
from kernelwright.web.twins import Twins
from kernelwright.web.views.home import Home
from kernelwright.web.views.home import home as home_view

__all__ = ["twins"]

twins = Twins("home")


@twins.page("/", "home.html.j2")
def home(site: Here) -> Home:
    """Searches under way, and the newest that have ended."""
    return home_view(site.store)
