"""Projection of 3D Gaussians to the image: centres, depths and the inverse of each 2D covariance.

First step of Gaussian splatting (arXiv:2308.04079).
"""

import torch

FAMILY = "graphics"
COUNT = 1_000_000
DTYPE = "float32"
BACKWARD = False
TWIN = {"COUNT": 20_000}
VARIANTS = {"backward": {"BACKWARD": True}}
# the scene lies in front of the camera
WORKLOADS = [{"distribution": "as_given", "seeds": 6}]


class Model(torch.nn.Module):
    def forward(self, centres, log_scales, rotations, view, shift, focal):
        """(COUNT, 3), (COUNT, 3), quaternions (COUNT, 4), camera (3, 3), (3,), focal lengths (2,)
        -> (COUNT, 2) in pixels, (COUNT,), (COUNT, 3): the inverse's xx, xy and yy
        """
        x, y, z = (centres @ view.T + shift).unbind(1)
        w, a, b, c = torch.nn.functional.normalize(rotations, dim=1).unbind(1)
        rows = [
            torch.stack([1 - 2 * (b * b + c * c), 2 * (a * b - w * c), 2 * (a * c + w * b)], 1),
            torch.stack([2 * (a * b + w * c), 1 - 2 * (a * a + c * c), 2 * (b * c - w * a)], 1),
            torch.stack([2 * (a * c - w * b), 2 * (b * c + w * a), 1 - 2 * (a * a + b * b)], 1),
        ]
        spread = view @ (torch.stack(rows, 1) * torch.exp(log_scales)[:, None])
        across = (spread[:, 0] - spread[:, 2] * (x / z)[:, None]) * (focal[0] / z)[:, None]
        down = (spread[:, 1] - spread[:, 2] * (y / z)[:, None]) * (focal[1] / z)[:, None]
        xx, xy, yy = (across * across).sum(1) + 0.3, (across * down).sum(1), (down * down).sum(1) + 0.3
        inverse = torch.stack([yy, -xy, xx], 1) / (xx * yy - xy * xy)[:, None]
        return torch.stack([focal[0] * x / z, focal[1] * y / z], 1), z, inverse


def get_inputs():
    dtype = getattr(torch, DTYPE)
    centres, scales = torch.rand(COUNT, 3) * 2 - 1, torch.randn(COUNT, 3) * 0.5 - 4
    view = torch.linalg.qr(torch.randn(3, 3)).Q
    shift = torch.tensor([0.0, 0.0, 4.0]) + torch.randn(3) * 0.1
    inputs = [centres, scales, torch.randn(COUNT, 4), view, shift, torch.rand(2) * 200 + 500]
    return [tensor.to(dtype) for tensor in inputs]


def get_init_inputs():
    return []
