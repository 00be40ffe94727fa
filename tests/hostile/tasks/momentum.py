"""A step of gradient descent with momentum, whose buffer is updated in place."""

import torch


class Model(torch.nn.Module):
    """``kept = 0.9 * kept + g; return -0.1 * kept``."""

    def forward(self, g: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
        """Both (48, 64) float32; `kept` is changed."""
        kept.mul_(0.9).add_(g)
        return -0.1 * kept


def get_inputs() -> list[torch.Tensor]:
    """Standard normal."""
    return [torch.randn(48, 64), torch.randn(48, 64)]


def get_init_inputs() -> list[object]:
    """None."""
    return []
