"""A linear layer with a bias."""

import torch

N = 64


class Model(torch.nn.Module):
    """``x @ weight.T + bias``."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(n, n)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`x`: (N, N) float32."""
        return self.linear(x)


def get_inputs() -> list[torch.Tensor]:
    """Standard normal."""
    return [torch.randn(N, N)]


def get_init_inputs() -> list[int]:
    """The number of features."""
    return [N]
