"""A product of two square matrices."""

import torch

N = 64


class Model(torch.nn.Module):
    """``a @ b``."""

    def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """`a`, `b`: (N, N) float32."""
        return torch.matmul(a, b)


def get_inputs() -> list[torch.Tensor]:
    """Standard normal."""
    return [torch.randn(N, N), torch.randn(N, N)]


def get_init_inputs() -> list[int]:
    """No arguments."""
    return []
