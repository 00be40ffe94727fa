"""Square roots, NaN where the number is negative."""

import torch

ROWS, COLS = 32, 64


class Model(torch.nn.Module):
    """``sqrt(x)``."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`x`: (ROWS, COLS) float32."""
        return torch.sqrt(x)


def get_inputs() -> list[torch.Tensor]:
    """Standard normal: half of them negative."""
    return [torch.randn(ROWS, COLS)]


def get_init_inputs() -> list[int]:
    """No arguments."""
    return []
