"""Convolution by way of im2win: rows of windows laid out one after the other, each input read once a row of outputs.

The layout needs less memory than im2col (arXiv:2306.14316); it is a result too.
"""

import torch

FAMILY = "convolution"
BATCH, CHANNELS, FILTERS, HEIGHT, WIDTH, KERNEL = 16, 64, 64, 58, 58, 3
DTYPE = "float32"
TWIN = {"BATCH": 2, "CHANNELS": 20, "FILTERS": 24, "HEIGHT": 42, "WIDTH": 38}
VARIANTS = {"half": {"DTYPE": "float16"}}


class Model(torch.nn.Module):
    def __init__(self, channels, filters, kernel, dtype):
        super().__init__()
        weight = torch.randn(filters, channels, kernel, kernel) * (channels * kernel**2) ** -0.5
        self.weight = torch.nn.Parameter(weight.to(getattr(torch, dtype)))

    def forward(self, x):
        """(BATCH, CHANNELS, HEIGHT, WIDTH) -> the windows (BATCH, CHANNELS, rows out, WIDTH * KERNEL), whose last dimension
        has the KERNEL elements of one column side by side; and the convolution (BATCH, FILTERS, rows out, columns out)
        """
        filters, _channels, kernel, _ = self.weight.shape
        windows = x.unfold(2, kernel, 1).flatten(3)
        columns = windows.unfold(3, kernel * kernel, kernel)  # of one output each, column by column
        rows = columns.permute(0, 2, 3, 1, 4).flatten(3)
        weight = self.weight.transpose(2, 3).reshape(filters, -1)
        return windows, (rows @ weight.T).permute(0, 3, 1, 2)


def get_inputs():
    return [torch.randn(BATCH, CHANNELS, HEIGHT, WIDTH).to(getattr(torch, DTYPE))]


def get_init_inputs():
    return [CHANNELS, FILTERS, KERNEL, DTYPE]
