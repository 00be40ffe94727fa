"""Convolution along time.

The feature extractors of speech models (wav2vec 2.0, Whisper's second layer has a stride of two as here).
"""

import torch

FAMILY = "convolution"
BATCH, CHANNELS, OUTPUTS, LENGTH = 16, 384, 384, 3000
DTYPE = "float32"
TWIN = {"BATCH": 4, "CHANNELS": 64, "OUTPUTS": 96, "LENGTH": 1000}
VARIANTS = {"half": {"DTYPE": "float16"}}


class Model(torch.nn.Module):
    def __init__(self, channels, outputs):
        super().__init__()
        self.conv = torch.nn.Conv1d(channels, outputs, 3, stride=2, padding=1, dtype=getattr(torch, DTYPE))

    def forward(self, x):
        return self.conv(x)


def get_inputs():
    return [torch.randn(BATCH, CHANNELS, LENGTH, dtype=getattr(torch, DTYPE))]


def get_init_inputs():
    return [CHANNELS, OUTPUTS]
