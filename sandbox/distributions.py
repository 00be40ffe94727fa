"""How inputs are drawn, and weights moved off their initial values; see `Distribution` for what each is for."""

from __future__ import annotations

import math

import torch

from kernelwright.sandbox.rounding import random_signs

__all__ = ["draw", "move_weights", "strided"]

_TINY = 1e-4  # factor of the running variances that are made tiny: 1e-6 for an epsilon of 1e-5 then shows as 4 %
_FAR = 1e6  # beyond half precision (65,504), its square well within float32
_TWIN = 2.0**-12.5  # relative: a rounding to half precision or tf32 (2**-11 at most) often puts it on the other side
_RARE = 200  # elements of which one is an infinity, NaN or spike, in the workloads of that name
_SPIKE = (
    8.0,
    64.0,
)  # times the root mean square: beyond what a normal distribution gives in any tensor, its square within half precision


def draw(tensor: torch.Tensor, distribution: str, generator: torch.Generator) -> torch.Tensor:
    """A tensor of another's shape, strides and dtype; one of integers or of what the task gives is returned as it is."""
    if distribution == "as_given" or not tensor.dtype.is_floating_point:
        return tensor
    shape = tensor.shape

    def normal() -> torch.Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    drawn = {
        "normal": normal,
        "uniform": lambda: torch.rand(shape, generator=generator, dtype=torch.float64) * 2 - 1,
        "large": lambda: normal() * 100,
        "tiny": lambda: normal() * 1e-3,
        "mixed": lambda: _with_twins(
            normal() * 10 ** (torch.rand(shape, generator=generator, dtype=torch.float64) * 5 - 3),
            generator,
            torch.finfo(tensor.dtype),
        ),
        "constant": lambda: torch.full(shape, float(torch.randn((), generator=generator)) * 3, dtype=torch.float64),
        "sorted": lambda: _sorted(normal(), generator),
        "one_hot": lambda: _one_hot(normal(), generator, torch.finfo(tensor.dtype)),
        "spiked": lambda: _spiked(tensor.double(), generator, torch.finfo(tensor.dtype)),
        "infinite": lambda: _sprinkled(normal(), math.inf, generator),
        "nan": lambda: _sprinkled(normal(), math.nan, generator),
        "zeros": lambda: torch.zeros(shape, dtype=torch.float64),
    }[distribution]()
    out = torch.empty_strided(shape, tensor.stride(), dtype=tensor.dtype)
    return out.copy_(drawn)


def _sprinkled(values: torch.Tensor, what: float, generator: torch.Generator) -> torch.Tensor:
    """`what`, with either sign, for one element in `_RARE` and at least one."""
    count = -(-values.numel() // _RARE)
    places = torch.randperm(values.numel(), generator=generator)[:count]
    values.view(-1)[places] = random_signs(places.shape, generator) * what
    return values


def strided(tensor: torch.Tensor) -> torch.Tensor:
    """The same values, not contiguous: transposed storage, or NaN (for integers 0) between them where that is no change."""
    if tensor.dim() >= 2 and min(tensor.shape[-2:]) > 1:
        return tensor.transpose(-1, -2).contiguous().transpose(-1, -2)
    if tensor.numel() < 2:
        return tensor
    gap = math.nan if tensor.dtype.is_floating_point else 0
    out = torch.full((*tensor.shape, 2), gap, dtype=tensor.dtype)[..., 0]
    return out.copy_(tensor)


def _sorted(values: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """The values in order, every other row (and every other matrix of rows, and so on) backwards; where that begins is chance.

    The smallest and the largest of a row therefore lie at its first and at its last place, whatever dimension a row is.
    """
    shape = values.shape
    ordered = values.flatten().sort().values.reshape(shape)
    turned = torch.randint(0, 2, (values.dim(),), generator=generator)
    before = torch.zeros((1,) * values.dim(), dtype=torch.int64)  # the sum of the indices of the dimensions before
    for dim, length in enumerate(shape):
        ordered = torch.where((before + turned[dim]) % 2 == 1, ordered.flip(dim), ordered)
        before = before + torch.arange(length).reshape([-1 if d == dim else 1 for d in range(values.dim())])
    return ordered


def _with_twins(values: torch.Tensor, generator: torch.Generator, info: torch.finfo) -> torch.Tensor:
    """The values, the largest along a dimension (chosen at random) with a second one that is less by about `_TWIN`.

    Types that can't tell the two apart are left as they are.
    """
    dims = [dim for dim, length in enumerate(values.shape) if length > 1]
    if not dims or not values.numel() or info.eps > _TWIN / 4:
        return values
    dim = dims[int(torch.randint(0, len(dims), (), generator=generator))]
    first = values.argmax(dim, keepdim=True)
    other = (
        torch.randint(1, values.shape[dim], first.shape, generator=generator).add_(first).remainder_(values.shape[dim])
    )
    less = 1 - _TWIN * (torch.rand(first.shape, generator=generator, dtype=torch.float64) + 0.5)
    return values.scatter_(dim, other, values.gather(dim, first) * less)


def _one_hot(values: torch.Tensor, generator: torch.Generator, info: torch.finfo) -> torch.Tensor:
    """Zeros but for one element of each row, a row being the last dimension.

    In types that reach far enough every other of them, at random, is larger: by `_FAR`, so that what is kept in half precision
    on the way overflows, and an exponential that the largest element should have been taken from first; or by any
    factor up to it, so that no range of values is left out.
    """
    if not values.numel():
        return values
    rows = values.reshape(-1, values.shape[-1] if values.dim() else 1)
    columns = torch.randperm(rows.shape[1], generator=generator)  # each once before any comes again
    place = columns[torch.arange(rows.shape[0]) % rows.shape[1]].unsqueeze(1)
    hot = rows.gather(1, place)
    if info.max > _FAR**2:
        chance, exponent = (torch.rand(hot.shape, generator=generator, dtype=torch.float64) for _ in range(2))
        hot *= torch.where(chance < 0.5, 1.0, torch.where(chance < 0.75, _FAR, _FAR**exponent))
    return torch.zeros_like(rows).scatter_(1, place, hot).reshape(values.shape)


def _spiked(values: torch.Tensor, generator: torch.Generator, info: torch.finfo) -> torch.Tensor:
    """One element of some rows, a row being the last dimension, `_SPIKE` times the root mean square; positive where no element is negative.

    Infinities and NaN stay and count for nothing: they are masks.
    """
    if not values.numel():
        return values
    rows = values.reshape(-1, values.shape[-1] if values.dim() else 1).clone()
    finite = rows[rows.isfinite()]
    if not finite.numel():
        return values
    count = max(1, min(rows.shape[0] // 2, rows.numel() // _RARE))
    which = torch.randperm(rows.shape[0], generator=generator)[:count]
    place = torch.randint(0, rows.shape[1], (count,), generator=generator)
    least, most = _SPIKE
    spike = (
        least * (most / least) ** torch.rand(count, generator=generator, dtype=torch.float64)
    ) * finite.square().mean().sqrt()
    if bool((finite < 0).any()):
        spike = spike * random_signs(spike.shape, generator)
    before = rows[which, place]
    rows[which, place] = torch.where(before.isfinite(), spike.clamp(-info.max, info.max), before)
    return rows.reshape(values.shape)


def move_weights(model: torch.nn.Module, seed: int) -> None:
    """Moves every floating weight and buffer away from its initial value, as training would.

    Ones stay near one and zeros near zero; what has no negative element (a variance) keeps none. Of a buffer of positive
    elements one in four becomes tiny: an epsilon shows beside a running variance of 1e-4, not beside one near 1.
    """
    generator = torch.Generator().manual_seed(seed)
    parameters = {name for name, _ in model.named_parameters(remove_duplicate=False)}
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if isinstance(tensor, torch.Tensor) and tensor.dtype.is_floating_point and tensor.numel():
                scale = torch.randn(tensor.shape, generator=generator) * 0.25 + 1
                shift = torch.randn(tensor.shape, generator=generator) * 0.125
                positive = bool((tensor >= 0).all()) and bool((tensor > 0).any())
                moved = tensor.double() * scale.double() + shift.double()
                moved = moved.abs() if positive else moved
                if name not in parameters and bool((tensor > 0).all()):
                    places = torch.randperm(moved.numel(), generator=generator)[: -(-moved.numel() // 4)]
                    moved.view(-1)[places] *= _TINY
                tensor.copy_(moved.to(tensor.dtype))
