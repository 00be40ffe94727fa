"""All tasks and honest kernels, family by family."""

from __future__ import annotations

from honest.families import extensions, layouts, losses, pointwise, products, reductions, rows, training, windows
from honest.kernel import Honest

_FAMILIES = (pointwise, reductions, rows, products, windows, losses, layouts, extensions, training)

TASKS: dict[str, str] = {name: source for family in _FAMILIES for name, source in family.TASKS.items()}
"""Task files by name."""

KERNELS: tuple[Honest, ...] = tuple(kernel for family in _FAMILIES for kernel in family.KERNELS)
