"""Sums of rows, written to every column."""

import torch

ROWS, COLS = 32, 64


class Model(torch.nn.Module):
    """``x.sum(dim=1)`` in each column."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`x`: (ROWS, COLS) float32."""
        return x.sum(dim=1, keepdim=True).expand_as(x).contiguous()


def get_inputs() -> list[torch.Tensor]:
    """Standard normal."""
    return [torch.randn(ROWS, COLS)]


def get_init_inputs() -> list[int]:
    """No arguments."""
    return []
