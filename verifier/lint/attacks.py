"""The attacks: outputs that a worthless kernel, or one that leaves something out, would give.

They are made in the judge from what the reference process computed; no kernel runs. Some stand for each result by itself
(zeros for output 1 while output 0 is right), some for all results of a call together (input 1 ignored).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kernelwright.bench_tasks.task import TaskSignature, TensorSpec
from kernelwright.verifier.lint.call import AttackedCall

if TYPE_CHECKING:
    import torch

__all__ = ["FUNCTION_RULES", "MOST_WEIGHTS", "STANDS_IN", "VALUE_RULES", "Attack", "Forged", "attacks_on"]

STANDS_IN = ("its mean", "permuted")
"""Ways of replacing an input, or what lies along an axis of it, that leave a function of its mean, or of its elements in any order, as
it is. That they are accepted is no fault: a sum is such a function."""
VALUE_RULES = ("zeros", "constant", "mean-of-inputs", "an-input", "previous-output")
"""Rules of the attacks by a kernel that computes nothing."""
FUNCTION_RULES = ("mean-of-inputs",)
"""Those of them whose values may be the module's very function: a kernel that gives a mean has computed it."""
MOST_WEIGHTS = 64
"""Weights that are left out one by one; of more, this many, evenly spread."""
_UNUSED = ("num_batches_tracked",)  # counts calls; no output depends on it


@dataclass(frozen=True)
class Forged:
    """What an attack gives in one call."""

    results: Sequence[torch.Tensor | None]
    """None where it has nothing of the right shape."""
    real: bool = True
    """Whether anything was left out or replaced: an input of zeros replaced by zeros is the same call."""
    counts: bool = True
    """Whether being accepted says something where it is not real: a weight of ones that is taken for ones is ignored all
    the same."""


@dataclass(frozen=True)
class Attack:
    """One way of giving wrong outputs."""

    rule: str
    subject: str
    """What is left out: `input 1`, `weight fc.bias`, `axis 2 of input 0`; empty for those that compute nothing."""
    how: str
    """In a few words."""
    forge: Callable[[AttackedCall], Forged | None]
    """None where it can't be tried."""
    single: bool
    """Whether each result stands for itself."""

    @property
    def what(self) -> str:
        """For people."""
        return f"{self.subject}: {self.how}" if self.subject else self.how


def attacks_on(signature: TaskSignature, *, state: Mapping[str, torch.Tensor], samples: bool) -> list[Attack]:
    """All that there are for a task.

    Args:
        state: weights by name.
        samples: whether the module draws random numbers; weights and axes are left alone then.
    """
    given = (*signature.inputs, *signature.cotangents)
    found = [
        Attack("zeros", "", "zeros", lambda call: Forged([t.new_zeros(t.shape) for t in call.results]), True),
        Attack("constant", "", "the mean of other outputs", lambda c: Forged(_constants(c, "mean")), True),
        Attack("constant", "", "the median of other outputs", lambda c: Forged(_constants(c, "median")), True),
        Attack("previous-output", "", "the outputs on other inputs", _previous, True),
        Attack("mean-of-inputs", "", "the mean of all inputs", _mean_of_all, True),
        Attack("mean-of-inputs", "", "the inputs' mean, element by element", _mean_by_element, True),
    ]
    for position, spec in enumerate(given):
        name = _name(position, signature)
        found.append(Attack("an-input", "", name, _input_itself(position), True))
        if _floating(spec):
            found.append(Attack("mean-of-inputs", "", f"the mean of {name}", _mean_of_one(position), True))
    for position in range(len(given)):
        found += _without_input(position, _name(position, signature))
    if samples:
        return found
    names = [name for name in state if not name.endswith(_UNUSED)]
    step = -(-len(names) // MOST_WEIGHTS) if names else 1
    for name in names[::step]:
        found += _without_weight(name)
    for position, spec in enumerate(signature.inputs):
        for axis, length in enumerate(spec.shape):
            if length > 1:
                found += _without_axis(position, axis, floating=_floating(spec))
    for position, spec in enumerate(signature.outputs):
        for axis, length in enumerate(spec.shape):
            if length > 1:
                found.append(_constant_axis(position, axis, several=len(signature.outputs) > 1))
    return found


def _name(position: int, signature: TaskSignature) -> str:
    past = position - len(signature.inputs)
    return f"input {position}" if past < 0 else signature.cotangents[past].name


def _floating(spec: TensorSpec) -> bool:
    return spec.dtype.startswith(("float", "bfloat"))


# -- outputs that nothing was computed for


def _constants(call: AttackedCall, which: str) -> list[torch.Tensor | None]:
    return [_full_like(t, _middle(other, which)) for t, other in zip(call.results, call.other_results, strict=False)]


def _previous(call: AttackedCall) -> Forged | None:
    import torch

    same = [(t.shape, t.dtype) for t in call.other_results] == [(t.shape, t.dtype) for t in call.results]
    if not same:
        return None
    unchanged = all(map(torch.equal, call.given, call.other_inputs))  # zeros, or what the file makes without chance
    drawn = any(t.dtype.is_floating_point for t in call.given)  # integers alone are the same in every workload
    return Forged(call.other_results, real=not (unchanged and drawn))


def _mean_of_all(call: AttackedCall) -> Forged | None:
    values = [t.double().reshape(-1) for t in call.given if t.dtype.is_floating_point and t.numel()]
    if not values:
        return None
    mean = float(sum(float(v.sum()) for v in values) / sum(v.numel() for v in values))
    return Forged([_full_like(t, mean) for t in call.results])


def _mean_by_element(call: AttackedCall) -> Forged | None:
    import torch

    found: list[torch.Tensor | None] = []
    for result in call.results:
        alike = [t.double() for t in call.given if t.shape == result.shape and t.dtype.is_floating_point]
        found.append(_cast(torch.stack(alike).mean(0), result) if len(alike) > 1 else None)
    return Forged(found) if any(t is not None for t in found) else None


def _mean_of_one(position: int) -> Callable[[AttackedCall], Forged | None]:
    def forge(call: AttackedCall) -> Forged | None:
        given = call.given[position]
        return Forged([_full_like(t, float(given.double().mean())) for t in call.results]) if given.numel() else None

    return forge


def _input_itself(position: int) -> Callable[[AttackedCall], Forged | None]:
    def forge(call: AttackedCall) -> Forged | None:
        found = [_fitted(call.given[position], t) for t in call.results]
        return Forged(found) if any(t is not None for t in found) else None

    return forge


# -- the reference's answer without something


def _without_input(position: int, name: str) -> Iterator[Attack]:
    def attack(how: str, replacement: Callable[[AttackedCall, torch.Tensor], torch.Tensor | None]) -> Attack:
        def forge(call: AttackedCall) -> Forged | None:
            given = call.given[position]
            other = replacement(call, given)
            if other is None or other.shape != given.shape:
                return None
            return _answered(call, given, other, position)

        return Attack("ignores-input", name, how, forge, False)

    yield attack("zeros", lambda _call, t: t.new_zeros(t.shape))
    yield attack(
        "its mean",
        lambda _call, t: _full_like(t, float(t.double().mean())) if t.dtype.is_floating_point and t.numel() else None,
    )
    yield attack("other values", lambda call, _t: call.other_inputs[position])
    yield attack("permuted", lambda _call, t: None if t.dtype.is_floating_point else _permuted(t))


def _answered(call: AttackedCall, given: torch.Tensor, other: torch.Tensor, position: int) -> Forged | None:
    import torch

    if torch.equal(given, other):
        # integers are the same in every distribution: there is nothing to wait for
        return Forged(call.results, real=False, counts=False) if given.dtype.is_floating_point else None
    answer = call.answer({position: other})
    return None if answer is None else Forged(answer)


def _without_weight(name: str) -> Iterator[Attack]:
    def attack(how: str, replacement: Callable[[AttackedCall, torch.Tensor], torch.Tensor], *, counts: bool) -> Attack:
        def forge(call: AttackedCall) -> Forged | None:
            import torch

            if name not in call.weights:
                return None
            value = call.weights[name]
            other = replacement(call, value)
            if torch.equal(value, other):
                return Forged(call.results, real=False, counts=counts)
            answer = call.answer(weights={name: other})
            return None if answer is None else Forged(answer)

        return Attack("ignores-weight", f"weight {name}", how, forge, False)

    yield attack("zeros", lambda _call, t: t.new_zeros(t.shape), counts=True)
    yield attack("ones", lambda _call, t: t.new_ones(t.shape), counts=True)
    yield attack("its initial value", lambda call, t: call.initial.get(name, t), counts=False)


def _without_axis(position: int, axis: int, *, floating: bool) -> Iterator[Attack]:
    def attack(how: str, replacement: Callable[[torch.Tensor], torch.Tensor]) -> Attack:
        def forge(call: AttackedCall) -> Forged | None:
            given = call.given[position]
            return _answered(call, given, _laid_out(replacement(given), given), position)

        return Attack("ignores-axis", f"axis {axis} of input {position}", how, forge, False)

    yield attack("its first slice", lambda t: t.narrow(axis, 0, 1).expand(t.shape))
    if floating:
        yield attack("its mean", lambda t: t.double().mean(axis, keepdim=True).expand(t.shape))


def _constant_axis(position: int, axis: int, *, several: bool) -> Attack:
    def forge(call: AttackedCall) -> Forged | None:
        value = call.results[position]
        if value.dim() <= axis or value.shape[axis] < 2:
            return None
        results = list(call.results)
        results[position] = value.narrow(axis, 0, 1).expand(value.shape).contiguous()
        return Forged(results)

    name = f"output {position}" if several else "the output"
    return Attack("constant-axis", f"axis {axis} of {name}", "its first slice", forge, False)


# -- pieces


def _middle(tensor: torch.Tensor, which: str) -> float:
    values = tensor.reshape(-1)
    if tensor.dtype.is_complex or not tensor.numel():
        return 0.0
    values = values.double()
    values = values[values.isfinite()]
    if not values.numel():
        return 0.0
    return float(values.mean() if which == "mean" else values.median())


def _full_like(tensor: torch.Tensor, value: float) -> torch.Tensor:
    import torch

    if tensor.dtype.is_floating_point or tensor.dtype.is_complex:
        return torch.full(tensor.shape, value, dtype=tensor.dtype)
    if value != value or abs(value) == float("inf"):
        value = 0.0
    return torch.full(tensor.shape, round(value), dtype=torch.float64).to(tensor.dtype)


def _fitted(given: torch.Tensor, like: torch.Tensor) -> torch.Tensor | None:
    """`given` in the shape of `like`, if it has as many elements or broadcasts to it."""
    if given.dtype.is_complex != like.dtype.is_complex or not given.numel():
        return None
    if given.numel() == like.numel():
        return _cast(given.reshape(like.shape), like)
    shape = (1,) * (like.dim() - given.dim()) + tuple(given.shape)
    if given.dim() > like.dim() or any(a not in (1, b) for a, b in zip(shape, like.shape, strict=True)):
        return None
    return _cast(given.expand(like.shape), like)


def _cast(value: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    return value.to(like.dtype).contiguous()


def _permuted(tensor: torch.Tensor) -> torch.Tensor:
    import torch

    order = torch.randperm(tensor.numel(), generator=torch.Generator().manual_seed(tensor.numel()))
    return _laid_out(tensor.reshape(-1)[order].reshape(tensor.shape), tensor)


def _laid_out(value: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """The values in the dtype and strides of another tensor."""
    import torch

    expanded = any(step == 0 and length > 1 for length, step in zip(like.shape, like.stride(), strict=True))
    stride = torch.empty(like.shape, device="meta").stride() if expanded else like.stride()
    return torch.empty_strided(like.shape, stride, dtype=like.dtype).copy_(value)
