"""Multi-resolution hash encoding of points: eight corners a level, looked up by hash and interpolated.

Instant neural graphics primitives (arXiv:2201.05989).
"""

import torch

FAMILY = "graphics"
POINTS, LEVELS, FEATURES = 262_144, 16, 2
TABLE = 524_288
DTYPE = "float32"
BACKWARD = False
TWIN = {"POINTS": 8000, "LEVELS": 8, "TABLE": 16_384}
VARIANTS = {"half": {"DTYPE": "float16"}, "backward": {"BACKWARD": True}}
# points far outside of the unit cube have no digits left behind the point
WORKLOADS = [
    {"distribution": "as_given", "seeds": 4},
    {"distribution": "uniform"},
    {"distribution": "normal"},
]


class Model(torch.nn.Module):
    def __init__(self, levels):
        super().__init__()
        self.resolutions = [int(16 * 1.4**level) for level in range(levels)]

    def forward(self, points, table):
        """float32 (POINTS, 3), (LEVELS, TABLE, FEATURES) -> (POINTS, LEVELS * FEATURES); no gradient for the points"""
        points = points.detach()
        corners = torch.arange(8, device=points.device)[:, None] >> torch.arange(3, device=points.device) & 1
        primes = torch.tensor([1, 2_654_435_761, 805_459_861], device=points.device)
        levels = []
        for level, resolution in enumerate(self.resolutions):
            cell = torch.floor(points * resolution)
            within = (points * resolution - cell)[:, None]
            places = (cell.long()[:, None] + corners) * primes
            index = (places[..., 0] ^ places[..., 1] ^ places[..., 2]) % table.shape[1]
            weight = torch.where(corners == 1, within, 1 - within).prod(2, keepdim=True)
            levels.append((table[level][index] * weight.to(table.dtype)).sum(1))
        return torch.cat(levels, 1)


def get_inputs():
    return [torch.rand(POINTS, 3), torch.randn(LEVELS, TABLE, FEATURES).to(getattr(torch, DTYPE))]


def get_init_inputs():
    return [LEVELS]
