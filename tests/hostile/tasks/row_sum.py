"""Sums of rows."""

import torch

ROWS, COLS = 32, 256


class Model(torch.nn.Module):
    """``x.sum(dim=1)``."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`x`: (ROWS, COLS) float32."""
        return x.sum(dim=1)


def get_inputs() -> list[torch.Tensor]:
    """Standard normal."""
    return [torch.randn(ROWS, COLS)]


def get_init_inputs() -> list[int]:
    """No arguments."""
    return []
