"""Colours of Gaussians seen from a place, from spherical harmonics up to degree 2.

Part of every frame of Gaussian splatting (arXiv:2308.04079).
"""

import torch

FAMILY = "graphics"
COUNT = 500_000
DTYPE = "float32"
BACKWARD = False
TWIN = {"COUNT": 8500}
VARIANTS = {"backward": {"BACKWARD": True}}


class Model(torch.nn.Module):
    def forward(self, centres, eye, coefficients):
        """(COUNT, 3), (3,), (COUNT, 9, 3) -> (COUNT, 3), not below 0"""
        away = centres - eye
        x, y, z = (away * torch.rsqrt(away.square().sum(1, keepdim=True) + 1e-6)).unbind(1)
        basis = [
            torch.full_like(x, 0.28209479177387814),
            *(-0.4886025119029199 * y, 0.4886025119029199 * z, -0.4886025119029199 * x),
            *(1.0925484305920792 * x * y, -1.0925484305920792 * y * z, 0.31539156525252005 * (3 * z * z - 1)),
            *(-1.0925484305920792 * x * z, 0.5462742152960396 * (x * x - y * y)),
        ]
        colours = (torch.stack(basis, 1)[..., None] * coefficients).sum(1)
        return torch.relu(colours + 0.5)


def get_inputs():
    dtype = getattr(torch, DTYPE)
    sizes = (COUNT, 3), (3,), (COUNT, 9, 3)
    return [torch.randn(size, dtype=dtype) for size in sizes]


def get_init_inputs():
    return []
