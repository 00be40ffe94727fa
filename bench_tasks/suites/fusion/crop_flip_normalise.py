"""Images of bytes: cropped at a place of their own, mirrored or not, normalised, colours moved to the front.

The end of a data loader, on the GPU instead of the host.
"""

import torch

FAMILY = "image"
BATCH, SIZE, CROP = 64, 256, 224
DTYPE = "float32"
TWIN = {"BATCH": 6, "SIZE": 112, "CROP": 92}
VARIANTS = {"half": {"DTYPE": "float16"}}
WORKLOADS = [{"distribution": "as_given", "seeds": 6}]


class Model(torch.nn.Module):
    def __init__(self, crop, mean, deviation):
        super().__init__()
        kind = getattr(torch, DTYPE)
        self.crop = crop
        self.register_buffer("mean", torch.tensor(mean, dtype=kind))
        self.register_buffer("deviation", torch.tensor(deviation, dtype=kind))

    def forward(self, images, top, left, mirrored):
        steps = torch.arange(self.crop, device=images.device)
        rows = (top[:, None] + steps)[:, :, None]
        columns = (left[:, None] + torch.where(mirrored[:, None], self.crop - 1 - steps, steps))[:, None, :]
        batch = torch.arange(images.shape[0], device=images.device)[:, None, None]
        pixels = images[batch, rows, columns].to(self.mean.dtype) / 255
        return ((pixels - self.mean) / self.deviation).permute(0, 3, 1, 2).contiguous()


def get_inputs():
    images = torch.randint(0, 256, (BATCH, SIZE, SIZE, 3), dtype=torch.uint8)
    top, left = torch.randint(0, SIZE - CROP + 1, (2, BATCH))
    return [images, top, left, torch.rand(BATCH) < 0.5]


def get_init_inputs():
    return [CROP, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]]
