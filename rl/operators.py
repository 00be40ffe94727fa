"""The ways in which a new kernel comes from earlier ones, the same for the built-in coder and for language models.

A strategy chooses one for a `Turn`; the coder carries it out. What each means for the two families of coders:

========== ================================================== ===============================================
operator   the built-in coder                                 a language model
========== ================================================== ===============================================
start      a kernel from the reference                        the same
tune       numbers of the parent's templates, by a sampler    numbers in the parent's source, nothing else
template   another template or way for one kernel function    another algorithm or memory layout, told in words
diff       one or two knobs next to the parent's              search/replace blocks on the parent
rewrite    all knobs drawn anew, the parent's kept out        the whole module anew, the parent shown
crossover  each kernel function's knobs from either parent    one module from the best parts of both
repair     the plainest legal choice near the parent          the parent mended by its verdict's evidence
========== ================================================== ===============================================
"""

from __future__ import annotations

from enum import StrEnum

__all__ = ["Operator", "applicable"]


class Operator(StrEnum):
    """One way to make a kernel."""

    START = "start"
    """From the reference alone."""
    TUNE = "tune"
    """Move the parent's numeric parameters."""
    TEMPLATE = "template"
    """Another way of doing one part of the parent."""
    DIFF = "diff"
    """A small change of the parent."""
    REWRITE = "rewrite"
    """Written anew with the parent in view."""
    CROSSOVER = "crossover"
    """From two parents."""
    REPAIR = "repair"
    """Mend a parent that failed."""


def applicable(*, passed: int, failed: int) -> tuple[Operator, ...]:
    """The operators that make sense with so many different kernels at hand.

    Args:
        passed: kernels that passed.
        failed: kernels that did not; they are mended only where none passed.
    """
    if not passed:
        return (Operator.START, Operator.REPAIR) if failed else (Operator.START,)
    own = (Operator.TUNE, Operator.TEMPLATE, Operator.DIFF, Operator.REWRITE)
    return (*own, Operator.CROSSOVER) if passed > 1 else own
