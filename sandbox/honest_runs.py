"""Runs of a task's module beside the native one: in float64, and there disturbed as honest arithmetic in its dtype may be."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch

from kernelwright.sandbox.rounding import HonestRounding, random_signs
from kernelwright.sandbox.trees import map_tensors, tensors_of

__all__ = ["HonestRuns"]

_DRAWS = 3
"""Disturbed runs. An element whose honest error is small by luck in one of them would make the tolerance too tight: with
one, an honest attention kernel was once called wrong for one element in 131,072."""
_FEW = 64
"""Elements: outputs with no row as long as this have no neighbours whose errors help to tell how large an honest one is."""
_DRAWS_OF_FEW = 8
"""Disturbed runs then. With eight, all of them are below a tenth of the true spread once in 600 million times."""
_EPS_STEPS = 1.0  # size of the relative disturbance of inputs, in units of the dtype's machine epsilon


class HonestRuns:
    """Those of one module on the inputs of one call.

    Args:
        forward: calls a module with inputs and gives its outputs.
        inputs: they are not changed.
    """

    def __init__(self, forward: Callable[[torch.nn.Module, Any], Any], model: torch.nn.Module, inputs: Any) -> None:
        self._forward, self._model, self._inputs = forward, model, inputs

    def native(self) -> Any:
        """The outputs in the task's own dtype."""
        return self._forward(self._model, map_tensors(self._inputs, torch.clone))

    def exact(self) -> tuple[Any, str]:
        """(the outputs in float64, empty), or (None, why the module can't run so)."""
        return self._float64(None)

    def disturbed(self, generator: torch.Generator) -> Any:
        """In float64 with honest rounding; with inputs and weights moved alone, where the module goes beyond torch's
        dispatcher; in its own dtype with inputs moved, where it does not run in float64."""
        rounded = self._float64(generator, rounding=True)[0]
        wide = self._float64(generator)[0] if rounded is None else rounded
        return self._forward(self._model, self._nudged(generator)) if wide is None else wide

    def farthest(self, native: Any, exact: Any, seed: int) -> Any:
        """`exact`, or `native` if that is None, plus the largest distance of several disturbed runs from it."""
        if exact is None:
            generator = torch.Generator().manual_seed(0)
            draws = [self._forward(self._model, self._nudged(generator)) for _ in range(_DRAWS)]
            return _farthest(map_tensors(native, _widen), [map_tensors(draw, _widen) for draw in draws])
        generator = torch.Generator().manual_seed(seed)
        few = max((t.numel() for t in tensors_of(native)), default=0) < _FEW
        return _farthest(exact, [self.disturbed(generator) for _ in range(_DRAWS_OF_FEW if few else _DRAWS)])

    def _float64(self, generator: torch.Generator | None, *, rounding: bool = False) -> tuple[Any, str]:
        def move(tensor: torch.Tensor) -> torch.Tensor:
            if not tensor.dtype.is_floating_point:
                return tensor.clone()
            wide = tensor.to(torch.float64, copy=True)  # the module may write to it
            return wide if generator is None else _moved(wide, tensor.dtype, generator)

        default = torch.get_default_dtype()
        try:
            model = copy.deepcopy(self._model)
            with torch.no_grad():
                for tensor in [*model.parameters(), *model.buffers()]:
                    if tensor.dtype.is_floating_point:
                        tensor.data = move(tensor.data)
            torch.set_default_dtype(torch.float64)  # constants that forward makes are float64 too
            inputs = map_tensors(self._inputs, move)
            if generator is None or not rounding:
                return self._forward(model, inputs), ""
            with HonestRounding(self._eps(default), generator):
                return self._forward(model, inputs), ""
        except Exception as error:  # noqa: BLE001 - a module that insists on float32 is judged against its own dtype
            return None, f"{type(error).__name__}: {error}"[:500]
        finally:
            torch.set_default_dtype(default)

    def _eps(self, default: torch.dtype) -> float:
        """The largest machine epsilon of inputs, weights and buffers."""
        tensors = [*tensors_of(self._inputs), *self._model.parameters(), *self._model.buffers()]
        found = [torch.finfo(t.dtype).eps for t in tensors if t.dtype.is_floating_point]
        return max(found, default=torch.finfo(default).eps)

    def _nudged(self, generator: torch.Generator) -> Any:
        """The inputs moved by one unit of round-off, in their own dtypes."""

        def move(tensor: torch.Tensor) -> torch.Tensor:
            if not tensor.dtype.is_floating_point:
                return tensor.clone()
            return _moved(tensor.double(), tensor.dtype, generator).to(tensor.dtype)

        return map_tensors(self._inputs, move)


def _moved(wide: torch.Tensor, dtype: torch.dtype, generator: torch.Generator) -> torch.Tensor:
    """Up or down by one unit of round-off of `dtype`, at random."""
    step = _EPS_STEPS * torch.finfo(dtype).eps
    return random_signs(wide.shape, generator).mul_(step).add_(1).mul_(wide)


def _widen(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.double() if tensor.dtype.is_floating_point else tensor


def _farthest(exact: Any, draws: list[Any]) -> Any:
    """`exact` plus the largest distance of the draws from it, element by element; None without draws."""
    if not draws:
        return None
    if isinstance(exact, torch.Tensor):
        if not (exact.dtype.is_floating_point or exact.dtype.is_complex):
            return draws[0]
        if exact.dtype.is_complex:
            parts = _farthest(torch.view_as_real(exact), [torch.view_as_real(draw) for draw in draws])
            return torch.view_as_complex(parts)
        far = (draws[0] - exact).abs_()
        for draw in draws[1:]:
            far = torch.maximum(far, (draw - exact).abs_())
        return exact + far
    if isinstance(exact, list | tuple):
        return [_farthest(item, [draw[i] for draw in draws]) for i, item in enumerate(exact)]
    if isinstance(exact, dict):
        return {key: _farthest(item, [draw[key] for draw in draws]) for key, item in exact.items()}
    return exact
