"""Deformable attention: each query reads a few fractional places of two feature maps and weighs them.

The core of Deformable DETR (arXiv:2010.04159) and of the detectors after it.
"""

import torch

FAMILY = "attention"
BATCH, HEADS, DIM, QUERIES, POINTS = 4, 8, 32, 6000, 4
FINE, COARSE = 64, 32
DTYPE = "float32"
BACKWARD = False
TWIN = {"BATCH": 2, "HEADS": 3, "QUERIES": 600, "FINE": 28, "COARSE": 14}
VARIANTS = {"backward": {"BACKWARD": True}}
# no place is so near to the centre of a pixel, where the gradient jumps, that rounding decides its side
WORKLOADS = [{"distribution": "as_given", "seeds": 5}, {"distribution": "tiny"}]


class Model(torch.nn.Module):
    def forward(self, fine, coarse, places, logits):
        """Two maps (BATCH, HEADS, DIM, SIDE, SIDE), places in -1...1 (BATCH, HEADS, QUERIES, 2, POINTS, 2),
        logits (BATCH, HEADS, QUERIES, 2, POINTS) -> (BATCH, HEADS, DIM, QUERIES)
        """
        places = places.flatten(0, 1)
        read = [
            torch.nn.functional.grid_sample(values.flatten(0, 1), places[:, :, level], align_corners=False)
            for level, values in enumerate((fine, coarse))
        ]
        shares = torch.softmax(logits.flatten(0, 1).flatten(2), -1)
        out = (torch.cat(read, 3) * shares[:, None]).sum(3)
        return out.unflatten(0, fine.shape[:2])


def get_inputs():
    dtype = getattr(torch, DTYPE)
    fine, coarse = (torch.randn(BATCH, HEADS, DIM, side, side) for side in (FINE, COARSE))
    shape = (BATCH, HEADS, QUERIES, POINTS, 2)
    pixels = [torch.randint(-2, side + 1, shape) + torch.rand(shape) * 0.8 + 0.1 for side in (FINE, COARSE)]
    places = torch.stack([(2 * pixels[0] + 1) / FINE - 1, (2 * pixels[1] + 1) / COARSE - 1], 3)
    logits = torch.randn(BATCH, HEADS, QUERIES, 2, POINTS)
    return [fine.to(dtype), coarse.to(dtype), places.to(dtype), logits.to(dtype)]


def get_init_inputs():
    return []
