"""The linter's rules: what each finds, at which threshold and why there, and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

__all__ = [
    "BIG_OUTPUT", "FEW_DRAWS", "LARGE_TWIN_ELEMENTS", "LARGE_TWIN_FLOPS", "LAUNCH_SECONDS", "LITTLE_CHANGE", "LITTLE_VARIATION",
    "LOOSE", "MOST_SEEDS", "RULES", "SMALL_OUTPUT", "TIGHT", "Rule", "Severity",
]  # fmt: skip


class Severity(StrEnum):
    """What a finding means for the task."""

    REFUSED = "refused"
    """A kernel that computes nothing passes, or the task can't be used: results on it say nothing."""
    MARKED = "marked"
    """Something of it is not checked, or not measured, as it seems to be: results on it are suspect."""
    NOTE = "note"
    """Worth knowing. The task is clean."""


SMALL_OUTPUT = 1e-2
"""Largest absolute output below which a fixed absolute tolerance of 1e-2 accepts zeros."""
BIG_OUTPUT = 1e6
"""Largest absolute output from which half precision (65,504) has long overflowed and float32 steps by 0.06."""
LITTLE_VARIATION = 1e-2
"""Standard deviation over mean below which a fixed relative tolerance of 1e-2 accepts a constant."""
LITTLE_CHANGE = 1e-2
"""Relative change of the outputs, root mean square, when an input or a weight is replaced."""
LAUNCH_SECONDS = 3e-6
"""Modelled work on an H200: starting a kernel takes about as long."""
LARGE_TWIN_ELEMENTS = 1 << 22
"""Elements of a twin's inputs and outputs: a call of the emulator takes seconds from there on."""
LARGE_TWIN_FLOPS = 1 << 31
"""Operations of one call of a twin: some seconds of the emulator (a tiled matrix product of 512 cubed takes 0.3 s)."""
LOOSE, TIGHT = 1e-2, 1e-4
"""Absolute and relative tolerance of KernelBench's comparison: for half precision, and for float32."""
MOST_SEEDS = 4
"""Of a workload with many seeds so many are tried: an attack that passes them and every other workload is worth telling."""
FEW_DRAWS = 2
"""Least number of draws of a task's own inputs."""


@dataclass(frozen=True)
class Rule:
    """One rule."""

    severity: Severity
    """The gravest that its findings have."""
    meaning: str
    """What falls under it, with its threshold."""
    why: str
    """Why it matters, or where the threshold is from."""
    mend: str
    """What to do."""


def _refused(meaning: str, why: str, mend: str) -> Rule:
    return Rule(Severity.REFUSED, meaning, why, mend)


def _marked(meaning: str, why: str, mend: str) -> Rule:
    return Rule(Severity.MARKED, meaning, why, mend)


def _note(meaning: str, why: str, mend: str) -> Rule:
    return Rule(Severity.NOTE, meaning, why, mend)


_WORTHLESS = (
    "Refused if all outputs and gradients pass on every workload; marked if some do, or on the task's own inputs only."
)

RULES: Mapping[str, Rule] = MappingProxyType(
    {
        "not-usable": _refused(
            "The task does not load, does not run, or is not deterministic.",
            "No kernel can be compared with it.",
            "Do what the message says.",
        ),
        "not-attacked": _marked(
            "The task was not run here: it is too large, and no smaller sizes of it are known.",
            "Nothing is known of it.",
            "Lint it on a larger machine with --scale full, or give it a twin.",
        ),
        # -- attacks with worthless outputs
        "zeros": _refused(
            f"Outputs of zeros pass. {_WORTHLESS}",
            "A kernel that writes nothing into cleared memory is called right.",
            "Let the outputs be far from zero: no means of many random numbers, no differences that cancel.",
        ),
        "constant": _refused(
            f"One value everywhere passes: the mean or the median of the reference's outputs on other inputs. {_WORTHLESS}",
            "The outputs do not depend on the inputs as far as the comparison can see.",
            "Take inputs, or outputs, that vary by more than honest rounding does.",
        ),
        "mean-of-inputs": _refused(
            f"The mean of an input, of all inputs, or of those of the output's shape passes. {_WORTHLESS} A note if that mean is "
            "what the module computes: it is right on ordinary inputs on which the outputs vary by more than the comparison allows.",
            "The outputs follow from one number. A mean of many random numbers is near zero, so that a fixed tolerance accepts zeros.",
            "Take inputs that vary. Nothing, if a mean is meant and kernels are judged here.",
        ),
        "an-input": _refused(
            f"An input, reshaped or broadcast, passes. {_WORTHLESS} Gradients that are a cotangent are as they should be.",
            "The module hands its input on: its operations do nothing on such inputs.",
            "Take inputs on which the operations do something (negative ones for a ReLU).",
        ),
        "previous-output": _refused(
            f"The reference's outputs on other inputs of the same distribution pass. {_WORTHLESS}",
            "A kernel may keep what it computed once.",
            "Let the outputs depend on the inputs, and draw inputs at random in get_inputs().",
        ),
        "zero-gradient": _marked(
            "A gradient of zeros passes on every workload.",
            "The gradient is zero whatever is computed, and need not be.",
            "Leave BACKWARD out, or let the outputs depend on that input or weight.",
        ),
        # -- attacks that leave something out
        "ignores-input": _refused(
            "The reference's answer without one input (zeros, or other values of its distribution) passes on every workload; marked if on "
            "the task's own inputs only; a note if its mean, or its elements in another order, may stand for it.",
            "A kernel need not read that input.",
            "Remove the input, or let the outputs depend on it.",
        ),
        "ignores-weight": _marked(
            "The reference's answer without one weight (zeros, ones, its initial value) passes on every workload, with weights moved off "
            "their initial values too; a note if on the initial weights and the task's own inputs only.",
            "A kernel need not read that weight, for instance a bias before a normalisation.",
            "Remove the weight, or what takes its effect away.",
        ),
        "ignores-axis": _marked(
            "The reference's answer on an input whose first slice along one axis stands for all of them passes on every workload; a note "
            "if on the task's own inputs only, or if it is the mean along the axis that may stand for them.",
            "A kernel need read one slice of that input only.",
            "Make the input as small as what is read of it.",
        ),
        "constant-axis": _marked(
            "The first slice of an output along one axis stands for all of them, and passes on every workload; a note if on the "
            "task's own inputs only.",
            "A kernel need compute one slice only.",
            "Return the slice.",
        ),
        "fixed-tolerance": _note(
            f"Something of the above passes on the task's own inputs under torch.allclose at {TIGHT:g} or {LOOSE:g}, absolute and relative, as "
            "KernelBench compares.",
            "Results from such checkers say nothing here; ours takes its tolerance from the numbers.",
            "Nothing, if kernels are judged here.",
        ),
        # -- the outputs' values, on the task's own inputs
        "small-output": _note(
            f"No output exceeds {SMALL_OUTPUT:g} in absolute value.",
            "A fixed tolerance of that size accepts zeros (robust-kbench filters tasks by the same range).",
            "Scale the outputs, or leave out what makes them small.",
        ),
        "big-output": _marked(
            f"An output exceeds {BIG_OUTPUT:g} in absolute value.",
            "Such values overflow half precision, and hide terms that are small beside them.",
            "Scale inputs or weights as networks do.",
        ),
        "not-finite": _marked(
            "The outputs hold an infinity or NaN on the task's own inputs.",
            "Nothing is compared there but that it is so.",
            "Keep the inputs where the function is defined.",
        ),
        "little-variation": _note(
            f"The outputs vary by less than {LITTLE_VARIATION:g} of their mean, over the output or from one draw of the inputs to the next.",
            "A fixed relative tolerance of that size accepts a constant.",
            "Take inputs that make the outputs vary.",
        ),
        "weak-effect": _note(
            f"Replacing an input or a weight changes the outputs by less than {LITTLE_CHANGE:g}, root mean square, relatively.",
            "A fixed tolerance may not see whether it is read.",
            "Scale it so that it matters.",
        ),
        # -- the inputs
        "constant-input": _note(
            "An input is the same under every seed.",
            "A kernel may hold the answer for it. Floating-point inputs are drawn anew in the other workloads; integers are not.",
            "Draw it at random in get_inputs().",
        ),
        "no-negative-input": _note(
            "Every element of a floating-point input is 0 or more on the task's own inputs, as torch.rand gives them.",
            "Sign errors do not show, and ReLU and abs do nothing.",
            "Use torch.randn, unless the values are probabilities or the like.",
        ),
        "one-shape": _note(
            "No workload has other sizes or tensors that are not contiguous.",
            "A kernel that is right at one shape only passes; results say nothing of others.",
            'Add workloads with "sizes" or "strided" (docs/tasks.md).',
        ),
        # -- the module
        "idle-op": _marked(
            "An operation hands an input on, or gives one constant, in every draw of every distribution; a note if on the task's own "
            "inputs only, if it is a guard such as clamp or where, or if it is of one element.",
            "A kernel that leaves it out passes: the task asks for less than it says.",
            "Remove it, or take inputs on which it does something.",
        ),
        "unused-op": _marked(
            "Nothing that is returned depends on the result of an operation; a note if all it does is to copy.",
            "Eager PyTorch pays for it and no kernel needs to: a speed-up for nothing.",
            "Remove it.",
        ),
        "unused-weight": _marked(
            "No operation that matters reads a parameter.",
            "It counts as bytes to read and need not be read.",
            "Remove it.",
        ),
        "dropout": _marked(
            "A Dropout in training mode with a probability above 0.",
            "Outputs are random and can be compared by statistics only; KernelBench's comparison can't be met.",
            "Call self.eval() at the end of Model.__init__, or remove it.",
        ),
        "random": _note(
            "The module draws random numbers: outputs are compared by statistics.",
            "What leaves out weights or axes is not tried, as each try would take many runs.",
            "Nothing, if it is meant.",
        ),
        "changes-state": _marked(
            "A call changes parameters or buffers, as a batch norm in training does with its running statistics.",
            "They are not compared: a kernel may leave that out.",
            "Call self.eval(), use track_running_stats=False, or return them as outputs.",
        ),
        "changes-input": _note(
            "The module changes an input in place.",
            "A kernel must do the same; other checkers do not see it.",
            "Nothing, if it is meant.",
        ),
        # -- sizes
        "launch-bound": _marked(
            f"At full size the least time for the work on an H200 (roofline) is below {LAUNCH_SECONDS * 1e6:g} us.",
            "Starting a kernel takes about as long: what is measured is the launch.",
            "Take larger sizes.",
        ),
        "no-twin": _note(
            "The task has no scaled-down twin, and is as large as those of `large-twin`.",
            "The emulator judges it at full size.",
            "Name smaller sizes in TWIN (docs/tasks.md).",
        ),
        "large-twin": _note(
            f"What the emulator runs has more than {LARGE_TWIN_ELEMENTS:,} elements of inputs and outputs, or {LARGE_TWIN_FLOPS:,} operations a call.",
            "A call of the emulator takes several seconds, and a verdict dozens of calls.",
            "Choose smaller sizes in TWIN.",
        ),
        "not-checked": _note(
            "A check could not be made on this task; the finding says which and why.",
            "What it would have found is not known.",
            "Nothing, unless the reason can be removed.",
        ),
    }
)
