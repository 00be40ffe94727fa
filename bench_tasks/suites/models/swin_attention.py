"""Attention within shifted windows, with a learned bias by relative place.

The layer of a Swin transformer whose windows wrap round the image: neighbours only by the wrapping do not see each other.
"""

import torch
from torch import nn

FAMILY = "transformer"
BATCH, SIZE, WIDTH, HEADS, WINDOW = 16, 56, 96, 3, 7
DTYPE = "float32"
TWIN = {"BATCH": 2, "SIZE": 28}
VARIANTS = {"half": {"DTYPE": "float16"}}


class Model(nn.Module):
    def __init__(self, width, heads, window):
        super().__init__()
        kind = getattr(torch, DTYPE)
        self.heads, self.window, self.shift = heads, window, window // 2
        self.norm = nn.LayerNorm(width, dtype=kind)
        self.project = nn.Parameter(torch.randn(width, 3 * width, dtype=kind) * 1.5 * width**-0.5)
        self.bias = nn.Parameter(torch.randn((2 * window - 1) ** 2, heads, dtype=kind))
        self.out = nn.Linear(width, width, dtype=kind)
        for name, weight in self.named_parameters():
            if name.endswith("bias"):  # as after training: one near zero would hardly show
                nn.init.normal_(weight, std=0.5)

    def windows(self, x):
        count = x.shape[1] // self.window
        parts = x.unflatten(2, (count, self.window)).unflatten(1, (count, self.window))
        return parts.transpose(2, 3).flatten(3, 4).flatten(1, 2)  # batch, windows, places, channels

    def forward(self, x):
        size, w = x.shape[1], self.window
        shifted = self.windows(torch.roll(self.norm(x), (-self.shift, -self.shift), (1, 2)))
        q, k, v = (shifted @ self.project).unflatten(3, (3, self.heads, -1)).permute(3, 0, 1, 4, 2, 5)
        place = torch.arange(w, device=x.device)
        apart = place[:, None] - place[None, :] + w - 1
        bias = self.bias[(apart[:, None, :, None] * (2 * w - 1) + apart[None, :, None, :]).reshape(w * w, w * w)]
        # the last window of each direction holds both ends of the image
        end = (torch.arange(size, device=x.device) >= size - self.shift).long()
        part = self.windows((2 * end[:, None] + end[None, :])[None, :, :, None]).squeeze(-1)
        apart = part.unsqueeze(-1) != part.unsqueeze(-2)
        scores = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5 + bias.permute(2, 0, 1)
        mixed = torch.softmax(scores.masked_fill(apart.unsqueeze(2), float("-inf")), dim=-1) @ v
        mixed = self.out(mixed.transpose(2, 3).flatten(3)).unflatten(2, (w, w)).unflatten(1, (size // w, size // w))
        return x + torch.roll(mixed.transpose(2, 3).flatten(3, 4).flatten(1, 2), (self.shift, self.shift), (1, 2))


def get_inputs():
    return [torch.randn(BATCH, SIZE, SIZE, WIDTH, dtype=getattr(torch, DTYPE))]


def get_init_inputs():
    return [WIDTH, HEADS, WINDOW]
