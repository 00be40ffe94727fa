"""Layer norm over rows of 96, with weight and bias."""

import torch

ROWS, COLS = 40, 96


class Model(torch.nn.Module):
    """``layer_norm(x) * weight + bias``."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.norm = torch.nn.LayerNorm(features)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`x`: (ROWS, COLS) float32."""
        return self.norm(x)


def get_inputs() -> list[torch.Tensor]:
    """Standard normal."""
    return [torch.randn(ROWS, COLS)]


def get_init_inputs() -> list[int]:
    """The number of features."""
    return [COLS]
