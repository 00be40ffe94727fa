"""Selective scan: a linear recurrence whose coefficients depend on the input.

The core of Mamba (arXiv:2312.00752); written out here as a scan in log(length) doubling steps.
"""

import torch

FAMILY = "scan"
BATCH, CHANNELS, STATE, LENGTH = 2, 1024, 16, 1024
DTYPE = "float32"
BACKWARD = False
TWIN = {"BATCH": 2, "CHANNELS": 96, "STATE": 4, "LENGTH": 500}
VARIANTS = {"backward": {"BACKWARD": True}}


class Model(torch.nn.Module):
    def __init__(self, channels, state):
        super().__init__()
        rates = torch.arange(1, state + 1.0).log() + torch.randn(channels, state) * 0.1
        self.log_rates = torch.nn.Parameter(rates)
        self.skip = torch.nn.Parameter(torch.ones(channels, 1))

    def forward(self, u, delta, b, c):
        """Twice (BATCH, CHANNELS, LENGTH), twice (BATCH, STATE, LENGTH) -> as u"""
        step = torch.nn.functional.softplus(delta)[:, :, None]
        decay = torch.exp(-step * torch.exp(self.log_rates)[..., None])
        state = step * b[:, None] * u[:, :, None]
        shift = 1
        while shift < u.shape[2]:  # state[t] += decay[t] * state[t - shift]
            if shift > 1:  # over twice as many steps as before
                decay = decay * torch.nn.functional.pad(decay[..., : -shift // 2], (shift // 2, 0))
            state = state + decay * torch.nn.functional.pad(state[..., :-shift], (shift, 0))
            shift *= 2
        return (state * c[:, None]).sum(2) + self.skip * u


def get_inputs():
    dtype = getattr(torch, DTYPE)
    u, delta = (torch.randn(BATCH, CHANNELS, LENGTH, dtype=dtype) for _ in range(2))
    b, c = (torch.randn(BATCH, STATE, LENGTH, dtype=dtype) for _ in range(2))
    return [u, delta - 5, b, c]


def get_init_inputs():
    return [CHANNELS, STATE]
