"""Front-to-back blending of 2D Gaussians over the pixels of tiles, each tile with a sorted list of them.

Last step of Gaussian splatting (arXiv:2308.04079), without its cut-offs for faint and for opaque contributions.
"""

import torch

FAMILY = "graphics"
TILES_WIDE, TILES_HIGH, SIDE = 60, 45, 16
COUNT, LISTED = 120_000, 160
DTYPE = "float32"
BACKWARD = False
TWIN = {"TILES_WIDE": 20, "TILES_HIGH": 18, "SIDE": 8, "COUNT": 18_000, "LISTED": 48}
VARIANTS = {"backward": {"BACKWARD": True}}
# inverse covariances are positive definite, opacities below 0.98
WORKLOADS = [{"distribution": "as_given", "seeds": 6}]


class Model(torch.nn.Module):
    def __init__(self, wide, side):
        super().__init__()
        self.wide, self.side = wide, side

    def forward(self, centres, inverses, opacities, colours, lists):
        """(COUNT, 2), (COUNT, 3) as xx, xy, yy, (COUNT,), (COUNT, 3), int32 (TILES, LISTED)
        -> colours (TILES, SIDE * SIDE, 3), light left over (TILES, SIDE * SIDE)
        """
        lists = lists.long()
        pixel = torch.arange(self.side**2, device=centres.device)
        tile = torch.arange(len(lists), device=centres.device)[:, None]
        across = (tile % self.wide * self.side + pixel % self.side)[..., None] + 0.5 - centres[lists][:, None, :, 0]
        down = (tile // self.wide * self.side + pixel // self.side)[..., None] + 0.5 - centres[lists][:, None, :, 1]
        xx, xy, yy = inverses[lists].unbind(2)
        power = -0.5 * (xx[:, None] * across**2 + yy[:, None] * down**2) - xy[:, None] * across * down
        alpha = opacities[lists][:, None] * torch.exp(power)
        left = torch.exp(torch.cumsum(torch.log1p(-alpha), 2))
        before = torch.nn.functional.pad(left[..., :-1], (1, 0), value=1.0)
        return (alpha * before) @ colours[lists], left[..., -1]


def get_inputs():
    width, height = TILES_WIDE * SIDE, TILES_HIGH * SIDE
    lists = torch.randint(COUNT, (TILES_WIDE * TILES_HIGH, LISTED))
    # a Gaussian lies near the tile whose list has it last
    home = torch.randint(TILES_WIDE * TILES_HIGH, (COUNT,)).scatter(
        0, lists.flatten(), torch.arange(TILES_WIDE * TILES_HIGH).repeat_interleave(LISTED)
    )
    corner = torch.stack([home % TILES_WIDE, home // TILES_WIDE], 1) * SIDE
    centres = corner + torch.rand(COUNT, 2) * 24 - 4
    spread, mixed = torch.rand(COUNT, 2) * 0.08 + 0.01, torch.rand(COUNT) * 1.6 - 0.8
    inverses = torch.stack([spread[:, 0], mixed * spread.prod(1).sqrt(), spread[:, 1]], 1)
    opacities, colours = torch.rand(COUNT) * 0.88 + 0.1, torch.rand(COUNT, 3)
    found = [centres.clamp(max=max(width, height)), inverses, opacities, colours]
    return [*(tensor.to(getattr(torch, DTYPE)) for tensor in found), lists.to(torch.int32)]


def get_init_inputs():
    return [TILES_WIDE, SIDE]
