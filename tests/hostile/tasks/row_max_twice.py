"""The largest value of each row, twice: once to keep and once to change."""

import torch

ROWS, COLS = 32, 64


class Model(torch.nn.Module):
    """``x.amax(dim=1)`` and a copy of it."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """`x`: (ROWS, COLS) float32."""
        largest = x.amax(dim=1)
        return largest, largest.clone()


def get_inputs() -> list[torch.Tensor]:
    """Standard normal."""
    return [torch.randn(ROWS, COLS)]


def get_init_inputs() -> list[int]:
    """No arguments."""
    return []
