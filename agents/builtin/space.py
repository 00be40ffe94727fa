"""The parameters of all kernels of a task: legal values, and moves that keep a combination legal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from itertools import combinations, product

from kernelwright.agents.builtin.lower import KernelTemplate

__all__ = ["Choice", "ParameterSpace", "Value"]

Value = int | str | bool
Choice = dict[str, Value]
"""Every parameter of every kernel, by ``"<kernel function>.<knob>"``."""

_MOST_REPAIRS = 3
"""Other knobs that may change so that an asked-for value becomes legal."""


class ParameterSpace:
    """Parameters of the kernels of one task."""

    def __init__(self, kernels: tuple[KernelTemplate, ...]) -> None:
        self.kernels = kernels
        self._knobs = {k.name: k.space() for k in kernels}

    @cached_property
    def values(self) -> dict[str, tuple[Value, ...]]:
        """Values that may be tried, by parameter; those with one value only are left out."""
        return {
            f"{name}.{knob}": values
            for name, knobs in self._knobs.items()
            for knob, values in knobs.items()
            if len(values) > 1
        }

    @cached_property
    def defaults(self) -> Choice:
        """The first choice."""
        return {f"{k.name}.{knob}": value for k in self.kernels for knob, value in k.defaults().items()}

    @cached_property
    def conservative(self) -> Choice:
        """The plainest kernels: one element at a time, rows read anew in every pass, hardly any register blocking."""
        plain: Choice = {
            "strategy": "loop",
            "vector_width": 1,
            "unroll": 1,
            "stages": 1,
            "tile_m": 32,
            "tile_n": 32,
            "tile_k": 8,
            "thread_m": 2,
            "thread_n": 2,
            "split": 1,
            "slices": 1,
            "copy": "registers",
            "cores": "cuda",
            "blocks_per_sm": 0,
        }
        result = dict(self.defaults)
        for kernel in self.kernels:
            attention = kernel.spec.kind == "attention"
            own = kernel.plain() if attention else self.of(kernel, result)
            knobs = self._knobs[kernel.name]
            whole = {**own, **{k: v for k, v in plain.items() if k in own and v in knobs.get(k, (v,))}}
            if not attention and kernel.legal(whole):
                own = whole
            for knob, value in () if attention else plain.items():
                if knob in own and value in self._knobs[kernel.name].get(knob, (value,)):
                    trial = {**own, knob: value}
                    own = trial if kernel.legal(trial) else own
            result.update({f"{kernel.name}.{knob}": value for knob, value in own.items()})
        return result

    def of(self, kernel: KernelTemplate, choice: Mapping[str, Value]) -> Choice:
        """One kernel's knobs, by their short names."""
        prefix = f"{kernel.name}."
        return {name.removeprefix(prefix): value for name, value in choice.items() if name.startswith(prefix)}

    def split(self, choice: Mapping[str, Value]) -> dict[str, Choice]:
        """Knobs by kernel."""
        return {k.name: self.of(k, choice) for k in self.kernels}

    def changed(self, base: Mapping[str, Value], wanted: Mapping[str, Value]) -> Choice | None:
        """`base` with the wanted values, and as few other changes of the same kernel as make it legal; None if impossible.

        Names that are no parameter here, and values outside the space, are passed over.
        """
        result = dict(base)
        known = {name: value for name, value in wanted.items() if value in self.values.get(name, ())}
        if not known:
            return None
        for kernel in self.kernels:
            asked = self.of(kernel, known)
            if not asked:
                continue
            repaired = self._repair(kernel, {**self.of(kernel, base), **asked}, frozenset(asked))
            if repaired is None:
                return None
            result.update({f"{kernel.name}.{knob}": value for knob, value in repaired.items()})
        return result

    def _repair(self, kernel: KernelTemplate, trial: Choice, fixed: frozenset[str]) -> Choice | None:
        if kernel.legal(trial):
            return trial
        knobs = self._knobs[kernel.name]
        free = [k for k in trial if k not in fixed and len(knobs.get(k, ())) > 1]
        for count in range(1, _MOST_REPAIRS + 1):
            for chosen in combinations(free, count):
                options = [sorted(knobs[k], key=lambda v, k=k: _distance(knobs[k], trial[k], v))[:4] for k in chosen]  # type: ignore[misc]
                for values in product(*options):
                    candidate = {**trial, **dict(zip(chosen, values, strict=True))}
                    if kernel.legal(candidate):
                        return candidate
        return None

    def neighbours(self, base: Mapping[str, Value]) -> Iterator[Choice]:
        """Legal choices one step away, then two and more, along each parameter in turn."""
        for distance in (1, 2, 3, 4):
            for name, values in self.values.items():
                if base.get(name) not in values:
                    continue
                at = values.index(base[name])
                for place in (at + distance, at - distance):
                    if 0 <= place < len(values):
                        found = self.changed(base, {name: values[place]})
                        if found is not None:
                            yield found


def _distance(values: tuple[Value, ...], a: Value, b: Value) -> int:
    return abs(values.index(a) - values.index(b)) if a in values else values.index(b)
