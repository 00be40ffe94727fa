"""How often each of 256 grey levels comes in each channel of each image.

Histogram equalisation and colour statistics: many additions to few places.
"""

import torch

FAMILY = "indexing"
CHANNELS, PIXELS, LEVELS = 24, 1_000_000, 256
TWIN = {"CHANNELS": 6, "PIXELS": 50_000}
# integers stay as the task gives them, so no other distribution would say more
WORKLOADS = [{"distribution": "as_given", "seeds": 6}]


class Model(torch.nn.Module):
    def __init__(self, levels):
        super().__init__()
        self.levels = levels

    def forward(self, pixels):
        counts = torch.zeros(pixels.shape[0], self.levels, dtype=torch.int32, device=pixels.device)
        return counts.scatter_add(1, pixels.long(), torch.ones_like(pixels, dtype=torch.int32))


def get_inputs():
    brightness = 40 * torch.randn(CHANNELS, PIXELS) + torch.linspace(80, 180, CHANNELS)[:, None]
    return [brightness.clamp(0, LEVELS - 1).to(torch.uint8)]


def get_init_inputs():
    return [LEVELS]
