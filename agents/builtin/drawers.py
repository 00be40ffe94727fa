"""The samplers of the built-in coder by the name that the setting `sampler` takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from kernelwright.agents.builtin.coder import BuiltinCoder
from kernelwright.agents.builtin.drawing import Drawer, RandomDrawer
from kernelwright.agents.builtin.tpe import TpeDrawer
from kernelwright.errors import ConfigError

__all__ = ["LEARNING", "drawer_named"]

_DRAWERS: Mapping[str, Callable[[BuiltinCoder], Drawer]] = MappingProxyType({"random": RandomDrawer, "tpe": TpeDrawer})
LEARNING = frozenset({"tpe", "policy"})
"""Those that learn from earlier attempts, which strategies must show them; `policy` is no drawer but a coder (`policy.sampler`)."""


def drawer_named(name: str, coder: BuiltinCoder) -> Drawer:
    """The sampler of this name, for what `coder` writes.

    Raises:
        ConfigError: there is none, or what it needs is not installed.
    """
    if name not in _DRAWERS:
        raise ConfigError(f"there is no sampler {name!r}.", mend=f"Choose one of {', '.join(_DRAWERS)}.")
    return _DRAWERS[name](coder)
