"""8-bit float product with a scale for each 128 activations of a row and for each 128 x 128 weights.

The linear layers of DeepSeek-V3 (arXiv:2412.19437).
"""

import torch

FAMILY = "quantised"
M, K, N = 1024, 4096, 4096
BLOCK = 128
DTYPE = "bfloat16"
TWIN = {"M": 64, "K": 1024, "N": 384}


class Model(torch.nn.Module):
    def __init__(self, block):
        super().__init__()
        self.block = block

    def forward(self, a, a_scale, b, b_scale, bias):
        """e4m3 bits (M, K) and (N, K); float32 scales (M, K/128) and (N/128, K/128); bias (N,) -> (M, N)"""
        a = a.view(torch.float8_e4m3fn).to(a_scale.dtype) * a_scale.repeat_interleave(self.block, 1)
        tiles = b_scale.repeat_interleave(self.block, 0).repeat_interleave(self.block, 1)
        b = b.view(torch.float8_e4m3fn).to(b_scale.dtype) * tiles
        return (a @ b.T).to(bias.dtype) + bias


def codes(*shape):
    return (torch.randn(shape) * 32).to(torch.float8_e4m3fn).view(torch.uint8)


def get_inputs():
    bias = torch.randn(N).to(getattr(torch, DTYPE))
    a_scale = torch.rand(M, K // BLOCK) * 0.03 + 0.01
    b_scale = torch.rand(N // BLOCK, K // BLOCK) * 0.001 + 0.0005
    return [codes(M, K), a_scale, codes(N, K), b_scale, bias]


def get_init_inputs():
    return [BLOCK]
