"""Task and Workload: what is to be made faster, and on which inputs a kernel must prove itself.

A Task holds text only. Its code runs in the reference process (`kernelwright.sandbox.reference`), never here.
Worker processes import this module, so it needs the standard library only.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any

__all__ = ["FEW_ELEMENTS", "Distribution", "NumericPolicy", "Task", "TaskSignature", "TensorSpec", "Workload"]


class Distribution(StrEnum):
    """How the floating-point inputs of a workload are drawn (integer and bool inputs stay as the file makes them)."""

    AS_GIVEN = "as_given"
    """What the file's own `get_inputs()` returns."""
    NORMAL = "normal"
    """Standard normal."""
    UNIFORM = "uniform"
    """Uniform in [-1, 1)."""
    LARGE = "large"
    """Normal, times 100: finds exponentials without the maximum subtracted, and sums that overflow."""
    TINY = "tiny"
    """Normal, times 1e-3: finds wrong epsilons and absolute tolerances."""
    MIXED = "mixed"
    """Normal times 10**uniform(-3, 2), element by element: finds accumulation in too few bits. Along one dimension the
    largest has a second that is less by 1 to 3 in 10,000, where the type tells them apart: finds comparisons in too few."""
    CONSTANT = "constant"
    """One value everywhere: finds ties broken wrongly and variances that go negative."""
    ONE_HOT = "one_hot"
    """Zeros but for one normal element in each row (the last dimension), in every other row times 1e6 or times any factor
    up to that, where the type reaches far enough: half precision and unshifted exponentials overflow there. Sums are exact then, so that the smallest fault
    in a term shows, however many terms there are."""
    SORTED = "sorted"
    """Normal, in ascending order over the whole tensor: finds running maxima that are not carried on, and sums that grow."""
    SPIKED = "spiked"
    """What `get_inputs()` returns, but for one element at a random place in some of the rows (every other row, and at most one element in 200),
    which is 8 to 64 times the root mean square in its place: finds kernels that look at a part of their input, take the rest for more of
    the same, and answer what such inputs usually give."""
    ZEROS = "zeros"
    """Zeros: finds divisions without an epsilon."""
    INFINITE = "infinite"
    """Normal, with plus or minus infinity for one element in 200 and at least one. Where the reference answers NaN nothing is
    asked for; elsewhere its infinities are. Only where the task asks for it."""
    NAN = "nan"
    """Normal, with NaN for one element in 200 and at least one, which must come out where the reference has it. Only where the
    task asks for it: `fmaxf(x, 0)` forgets a NaN."""


@dataclass(frozen=True)
class TensorSpec:
    """One tensor: name, shape, dtype (as torch spells it without the prefix: `float32`), strides in elements."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    stride: tuple[int, ...]

    @property
    def numel(self) -> int:
        """Number of elements."""
        count = 1
        for extent in self.shape:
            count *= extent
        return count

    def to_json(self) -> dict[str, object]:
        """A JSON object; `from_json` reads it back."""
        return {"name": self.name, "shape": list(self.shape), "dtype": self.dtype, "stride": list(self.stride)}

    @classmethod
    def from_json(cls, data: Mapping[str, object]) -> TensorSpec:
        """Reads what `to_json` wrote."""
        shape, stride = data["shape"], data["stride"]
        assert isinstance(shape, list)
        assert isinstance(stride, list)
        return cls(str(data["name"]), tuple(map(int, shape)), str(data["dtype"]), tuple(map(int, stride)))


@dataclass(frozen=True)
class TaskSignature:
    """What the reference process found by running the task once: the tensors that go in, come out, and are weights."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    parameters: tuple[TensorSpec, ...]
    """Parameters and buffers by name, in `state_dict` order."""
    cotangents: tuple[TensorSpec, ...] = ()
    """Of a task with gradients: what a call gets besides, one for each output that has a gradient."""
    gradients: tuple[TensorSpec, ...] = ()
    """Of a task with gradients: what a call gives besides, for inputs and then for parameters. A dimension along which
    a gradient is one value has stride 0; all have, if it is another tensor of the call: it needs no memory of its own."""

    @property
    def shape_line(self) -> str:
        """For people: ``(4096, 1024) float32 -> (4096, 1024) float32``."""

        def show(specs: tuple[TensorSpec, ...]) -> str:
            return ", ".join(f"{s.shape} {s.dtype}" for s in specs)

        count = len(self.gradients)
        more = f" and {count} gradient{'s' if count > 1 else ''}" if count else ""
        return f"{show(self.inputs)} -> {show(self.outputs)}{more}"


@dataclass(frozen=True)
class Workload:
    """One way of making the inputs: a name and a distribution, run with `seeds` secret seeds."""

    name: str
    distribution: Distribution
    seeds: int = 1
    most_elements: int | None = None
    """The workload is left out where inputs and outputs hold more elements than this together; None is no limit."""
    strided: bool = False
    """Whether the same values come in tensors that are not contiguous: transposed, or with gaps where there is one
    dimension."""
    sizes: tuple[tuple[str, int], ...] = ()
    """Names of the task file that stand for other numbers in it: module and inputs are made anew under them. Never timed."""
    for_few: bool = False
    """Whether it is for tasks of which an output has fewer than `FEW_ELEMENTS`: one call says little of such an output."""

    def fits(self, signature: TaskSignature) -> bool:
        """Whether the task is small enough for it."""
        if self.for_few and not any(s.numel < FEW_ELEMENTS for s in signature.outputs):
            return False
        if self.most_elements is None:
            return True
        return sum(s.numel for s in (*signature.inputs, *signature.outputs)) <= self.most_elements

    def to_json(self) -> list[object]:
        """A JSON array; `from_json` reads it back."""
        fields: list[object] = [self.name, self.distribution.value, self.seeds, self.most_elements, self.strided]
        if self.sizes or self.for_few:
            fields.append([list(size) for size in self.sizes])
        return [*fields, True] if self.for_few else fields

    @classmethod
    def from_json(cls, data: Sequence[Any]) -> Workload:
        """Reads what `to_json` wrote, and what earlier versions did."""
        sizes = tuple((str(name), int(size)) for name, size in data[5]) if len(data) > 5 else ()
        found = cls(str(data[0]), Distribution(data[1]), int(data[2]), *data[3:5])
        return replace(found, sizes=sizes, for_few=len(data) > 6 and bool(data[6]))


@dataclass(frozen=True)
class NumericPolicy:
    """How far a kernel may be from the float64 reference.

    Honest arithmetic errs by `e` at an element: the larger of (the reference in its own dtype against float64) and
    (float64 against float64 in which inputs and every operation err by one rounding, and sums as if added one term
    after the other). These are asked for:

    - At every element an error of at most ``slack * (largest e of its row) + floor_ulps * eps * |reference|``, where
      `eps` is the machine epsilon of the output's dtype.
    - Over all elements together a root mean square of ``error / (rms of e in the row + 2 * eps * |reference|)`` of at
      most `rms_slack`: lower precision inside spoils most elements a little, even where none is far off. Outputs of few
      elements are taken over all calls together.
    - Of outputs with few elements, over all calls on normally distributed inputs together a root mean square of the errors of at
      most `normal_slack` times that of the same `e + 2 * eps * |reference|`.
    - In 16-bit types a mean of the same, with its sign, of at most `bias_slack` either way: honest rounding there goes
      up as often as down, a constant that is a per cent off does not.
    - Of outputs in 16-bit types `narrow_slack`, `narrow_floor_ulps` and `narrow_rms_slack` (with `e + eps / 2 * |reference|`) in place of
      the first three: functions made of fast intrinsics and sums in another order, which the others leave room for, err in float32, and
      one epsilon of bfloat16 is 0.8 % already.
    """

    slack: float = 12.0
    floor_ulps: float = 16.0
    rms_slack: float = 8.0
    normal_slack: float = 2.5
    bias_slack: float = 0.25
    narrow_slack: float = 2.0
    narrow_floor_ulps: float = 2.0
    narrow_rms_slack: float = 1.0


FEW_ELEMENTS = 64
"""An output with fewer elements says too little of a root mean square in one call."""
_SMALL = 1 << 20  # elements: where an emulated call takes less than about a second
_TINY = 1 << 14  # elements: where it takes about a hundredth of one

DEFAULT_WORKLOADS = (
    Workload("as-given", Distribution.AS_GIVEN, seeds=2),
    Workload("normal", Distribution.NORMAL),
    Workload("large", Distribution.LARGE),
    Workload("tiny", Distribution.TINY),
    Workload("mixed", Distribution.MIXED),
    Workload("constant", Distribution.CONSTANT),
    Workload("one-hot", Distribution.ONE_HOT),
    Workload("spiked", Distribution.SPIKED),
    Workload("sorted", Distribution.SORTED, most_elements=_SMALL),
    Workload("zeros", Distribution.ZEROS, most_elements=_SMALL),
    # few rows say little of the places in a row: what leaves out one of a hundred shows after some hundred of them
    Workload("mixed, again", Distribution.MIXED, seeds=4, most_elements=_TINY),
    Workload("one-hot, again", Distribution.ONE_HOT, seeds=32, most_elements=_TINY),
    # a sum of many terms hides what each of them errs; many sums of like terms show it
    Workload("normal, again", Distribution.NORMAL, seeds=20, most_elements=_TINY, for_few=True),
)


@dataclass(frozen=True)
class Task:
    """A PyTorch reference with its workloads and numeric policy.

    `source` is a KernelBench-style module: `Model`, `get_inputs()`, `get_init_inputs()`. `attachments` are files
    the source may read from the dictionary `ATTACHMENTS` (a live module handed in from Python travels so).
    """

    name: str
    source: str
    path: str | None = None
    format: str = "kernelbench"
    workloads: tuple[Workload, ...] = DEFAULT_WORKLOADS
    policy: NumericPolicy = field(default_factory=NumericPolicy)
    attachments: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    backward: bool = False
    """Whether the gradients for inputs and parameters are asked for too."""

    @property
    def id(self) -> str:
        """Content hash over everything that decides a verdict (the name and path do not); 16 hex digits."""
        head = json.dumps(
            {
                "source": self.source,
                "format": self.format,
                "workloads": [w.to_json() for w in self.workloads],
                "policy": list(asdict(self.policy).values()),
                "attachments": {k: hashlib.sha256(v).hexdigest() for k, v in sorted(self.attachments.items())},
                **({"backward": True} if self.backward else {}),
            },
            sort_keys=True,
        )
        return hashlib.sha256(head.encode()).hexdigest()[:16]
