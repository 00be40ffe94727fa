"""Columns scaled by the squares of a weight."""

import torch

ROWS, COLS = 40, 64


class Model(torch.nn.Module):
    """``x * weight ** 2``."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.w = torch.nn.Parameter(torch.randn(n))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`x`: (ROWS, COLS) float32."""
        return x * self.w**2


def get_inputs() -> list[torch.Tensor]:
    """Standard normal."""
    return [torch.randn(ROWS, COLS)]


def get_init_inputs() -> list[int]:
    """The number of columns."""
    return [COLS]
