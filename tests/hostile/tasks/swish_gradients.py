"""x * sigmoid(x) * weight, forward and backward."""

import torch

BACKWARD = True
ROWS, COLS = 40, 48


class Model(torch.nn.Module):
    """``x * sigmoid(x) * weight``."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.randn(COLS))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`x`: (ROWS, COLS) float32."""
        return x * torch.sigmoid(x) * self.weight


def get_inputs() -> list[torch.Tensor]:
    """Standard normal."""
    return [torch.randn(ROWS, COLS)]


def get_init_inputs() -> list[object]:
    """None."""
    return []
