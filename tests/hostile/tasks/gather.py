"""Rows of a table by integer numbers."""

import torch

ROWS, COLS, PICKED = 50, 32, 70


class Model(torch.nn.Module):
    """``table[numbers]``."""

    def forward(self, table: torch.Tensor, numbers: torch.Tensor) -> torch.Tensor:
        """`table`: (ROWS, COLS) float32; `numbers`: (PICKED,) int64."""
        return table[numbers]


def get_inputs() -> list[torch.Tensor]:
    """A normal table, and uniform numbers."""
    return [torch.randn(ROWS, COLS), torch.randint(0, ROWS, (PICKED,))]


def get_init_inputs() -> list[int]:
    """No arguments."""
    return []
