"""A sum of two matrices and relu."""

import torch

ROWS, COLS = 48, 80


class Model(torch.nn.Module):
    """``relu(a + b)``."""

    def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """`a`, `b`: (ROWS, COLS) float32."""
        return torch.relu(a + b)


def get_inputs() -> list[torch.Tensor]:
    """Standard normal."""
    return [torch.randn(ROWS, COLS), torch.randn(ROWS, COLS)]


def get_init_inputs() -> list[int]:
    """No arguments."""
    return []
