"""Calls of a task with gradients: a module's outputs, and the gradients of inputs and parameters under given cotangents.

The arguments of such a call are those of forward, and after them a list with one cotangent for each output that has a
gradient (what a loss would send back to that output). The result is ``[outputs, gradients]``. Reference and candidate are
called alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self

from kernelwright.sandbox.trees import map_tensors, same_bits, tensors_of

if TYPE_CHECKING:
    import torch

__all__ = ["Wanted", "compact_strides", "cotangents", "differentiate", "find_wanted", "gradient_names"]


@dataclass(frozen=True)
class Wanted:
    """Which gradients a task has: those that the reference's own backward gives."""

    outputs: tuple[int, ...]
    """Output tensors, by position, that get a cotangent."""
    inputs: tuple[int, ...]
    """Input tensors, by position, whose gradients are asked for."""
    parameters: tuple[str, ...]
    """Parameters, by name, whose gradients are asked for."""

    def to_json(self) -> dict[str, Any]:
        """A JSON object; `from_json` reads it back."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Reads what `to_json` wrote."""
        return cls(
            tuple(map(int, data["outputs"])), tuple(map(int, data["inputs"])), tuple(map(str, data["parameters"]))
        )


def gradient_names(wanted: Wanted) -> list[str]:
    """For people, in the order in which a call gives them."""
    return [f"the gradient of {name}" for name in (*(f"input {i}" for i in wanted.inputs), *wanted.parameters)]


def differentiate(
    model: torch.nn.Module, inputs: Sequence[Any], wanted: Wanted, *, zeros: bool = False
) -> tuple[Any, list[torch.Tensor | None]]:
    """Runs forward and backward once.

    Args:
        inputs: forward's arguments, then the list of cotangents.
        zeros: whether a gradient that does not exist is given as zeros; None stands for it otherwise.

    Returns:
        (outputs, gradients): those of inputs, then those of parameters, of the same shapes and dtypes.
    """
    import torch

    *arguments, given = inputs
    with torch.enable_grad():
        leaves = map_tensors(arguments, _leaf)
        outputs = model(*leaves)
        tensors, named = tensors_of(leaves), dict(model.named_parameters(remove_duplicate=False))
        sources = [*(tensors[i] for i in wanted.inputs), *(named.get(name) for name in wanted.parameters)]
        found = _gradients(tensors_of(outputs), given, wanted.outputs, sources)
    if zeros:
        found = [torch.zeros_like(s) if g is None and s is not None else g for g, s in zip(found, sources, strict=True)]
    return outputs, found


def _leaf(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().requires_grad_() if tensor.dtype.is_floating_point else tensor


def _gradients(
    outputs: Sequence[torch.Tensor],
    cotangents: Sequence[torch.Tensor],
    positions: Sequence[int],
    sources: Sequence[torch.Tensor | None],
) -> list[torch.Tensor | None]:
    import torch

    roots = [
        (outputs[position], cotangent)
        for position, cotangent in zip(positions, cotangents, strict=True)
        if position < len(outputs) and outputs[position].requires_grad and outputs[position].shape == cotangent.shape
    ]
    asked = [i for i, source in enumerate(sources) if source is not None and source.requires_grad]
    found: list[torch.Tensor | None] = [None] * len(sources)
    if roots and asked:
        gradients = torch.autograd.grad(
            [output for output, _ in roots],
            [source for i in asked if (source := sources[i]) is not None],
            [cotangent for _, cotangent in roots],
            allow_unused=True,
        )
        for i, gradient in zip(asked, gradients, strict=True):
            found[i] = gradient
    return found


def find_wanted(model: torch.nn.Module, arguments: Sequence[Any]) -> Wanted:
    """Which gradients the module has on these arguments: those that its own backward does not leave out."""
    import torch

    with torch.enable_grad():
        outputs = tensors_of(model(*map_tensors(list(arguments), _leaf)))
    roots = tuple(i for i, t in enumerate(outputs) if t.requires_grad and t.dtype.is_floating_point)
    every = Wanted(
        roots,
        tuple(i for i, t in enumerate(tensors_of(list(arguments))) if t.dtype.is_floating_point),
        tuple(name for name, p in model.named_parameters() if p.requires_grad and p.dtype.is_floating_point),
    )
    ones = [torch.ones(outputs[i].shape, dtype=outputs[i].dtype) for i in roots]
    _, gradients = differentiate(model, [*arguments, ones], every)
    there = [gradient is not None for gradient in gradients]
    return Wanted(
        roots,
        tuple(i for i, has in zip(every.inputs, there, strict=False) if has),
        tuple(name for name, has in zip(every.parameters, there[len(every.inputs) :], strict=True) if has),
    )


def cotangents(outputs: Any, wanted: Wanted, generator: torch.Generator) -> list[torch.Tensor]:
    """Standard normal ones, whatever the inputs' distribution: zeros would say nothing."""
    import torch

    tensors = tensors_of(outputs)
    return [
        torch.randn(tensors[i].shape, generator=generator, dtype=torch.float64).to(tensors[i].dtype)
        for i in wanted.outputs
    ]


def compact_strides(gradients: Sequence[torch.Tensor], others: Sequence[torch.Tensor]) -> Iterator[list[int]]:
    """Strides of the least memory that could hold each gradient: 0 along dimensions in which it is one value, and
    everywhere if it is, or shares memory with, one of `others` or an earlier gradient.

    A kernel may hand such a tensor on or expand it, so that nothing of it need be written.
    """
    known = list(others)
    for gradient in gradients:
        if any(_is_known(gradient, other) for other in known):
            yield [0] * gradient.dim()
        else:
            yield [
                0 if size and bool((gradient == gradient.narrow(dim, 0, 1)).all()) else step
                for dim, (size, step) in enumerate(zip(gradient.shape, gradient.contiguous().stride(), strict=True))
            ]
        known.append(gradient)


def _is_known(gradient: torch.Tensor, other: torch.Tensor) -> bool:
    shared = gradient.numel() > 0 and gradient.untyped_storage().data_ptr() == other.untyped_storage().data_ptr()
    return shared or same_bits(gradient, other)
