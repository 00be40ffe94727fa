"""Softmax over rows of 96."""

import torch

ROWS, COLS = 64, 96


class Model(torch.nn.Module):
    """``softmax(x, dim=1)``."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`x`: (ROWS, COLS) float32."""
        return torch.softmax(x, dim=1)


def get_inputs() -> list[torch.Tensor]:
    """Uniform in [0, 1)."""
    return [torch.rand(ROWS, COLS)]


def get_init_inputs() -> list[int]:
    """No arguments."""
    return []
