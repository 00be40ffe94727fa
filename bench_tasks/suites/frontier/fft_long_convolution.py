"""Causal convolution with a filter as long as the sequence, by FFT, with a gate and a skip.

The mixing layer of Hyena (arXiv:2302.10866); FlashFFTConv (arXiv:2311.05908) does it in one kernel.
"""

import torch

FAMILY = "convolution"
BATCH, CHANNELS, LENGTH = 4, 768, 8192
DTYPE = "float32"
BACKWARD = False
TWIN = {"BATCH": 2, "CHANNELS": 48, "LENGTH": 1024}
VARIANTS = {"backward": {"BACKWARD": True}}


class Model(torch.nn.Module):
    def forward(self, u, gate, taps, skip):
        """Twice (BATCH, CHANNELS, LENGTH), (CHANNELS, LENGTH), (CHANNELS, 1) -> as u"""
        length = u.shape[2]
        spectrum = torch.fft.rfft(u, n=2 * length) * torch.fft.rfft(taps, n=2 * length)
        return gate * (torch.fft.irfft(spectrum, n=2 * length)[..., :length] + skip * u)


def get_inputs():
    dtype = getattr(torch, DTYPE)
    u, gate = (torch.randn(BATCH, CHANNELS, LENGTH, dtype=dtype) for _ in range(2))
    decay = torch.exp(-torch.arange(LENGTH) / (LENGTH / 8))
    taps = torch.randn(CHANNELS, LENGTH) * decay * LENGTH**-0.5 * 4
    return [u, gate, taps.to(dtype), torch.randn(CHANNELS, 1, dtype=dtype)]


def get_init_inputs():
    return []
