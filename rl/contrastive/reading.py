"""Reads a kernel out of what a model under training wrote, with the reader of every other model's replies."""

from __future__ import annotations

from dataclasses import dataclass

from kernelwright.agents.llm.parse import clean, find_kernel, plan_of, without_thoughts
from kernelwright.agents.llm.text import one_line
from kernelwright.sandbox.kernel import Kernel

__all__ = ["LARGEST", "Reading", "read_reply"]

LARGEST = 256 * 1024
"""Characters of a module; a longer one is no kernel."""
_LARGEST_REPLY = 4 * LARGEST
_NO_PLAN = "nothing said of it"


@dataclass(frozen=True)
class Reading:
    """What a reply holds."""

    kernel: Kernel | None
    plan: str
    """One line: what its author says is new; or why there is no kernel."""


def read_reply(text: str, author: str, parents: tuple[str, ...] = ()) -> Reading:
    """The kernel in a reply, if there is one. Nothing is run; a module that does not parse is a kernel, which the verifier refuses.

    Args:
        author: as the kernel names its author.
        parents: ids of the kernels that the reply was to improve on.
    """
    if len(text) > _LARGEST_REPLY:
        return Reading(None, f"the reply has {len(text):,} characters")
    text = without_thoughts(clean(text))
    found = find_kernel(text)
    if found is None:
        return Reading(None, "no module that defines ModelNew" if text.strip() else "an empty reply")
    source, _ended = found
    if len(source) > LARGEST:
        return Reading(None, f"the module has {len(source):,} characters")
    return Reading(Kernel(source, author=author, parents=parents), one_line(plan_of(text), 200) or _NO_PLAN)
