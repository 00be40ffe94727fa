"""Weights of 3, 5 or 6 bits unpacked from a continuous stream of bits, then scaled by group.

A code may straddle two words. FP6-LLM (arXiv:2401.14112) and Any-Precision LLM (arXiv:2402.10517) need such widths.
"""

import torch

FAMILY = "quantised"
N, K = 8192, 4096
BITS, GROUP = 3, 64
DTYPE = "float16"
TWIN = {"N": 256, "K": 1536}
VARIANTS = {"five": {"BITS": 5}, "six": {"BITS": 6}}


class Model(torch.nn.Module):
    def __init__(self, bits, group):
        super().__init__()
        self.bits, self.group = bits, group

    def forward(self, stream, scale, offset):
        """int32 (N, K * BITS / 32), (N, K / GROUP), (N, K / GROUP) -> (N, K)"""
        words = stream.long() & 0xFFFFFFFF
        count = scale.shape[1] * self.group
        begin = torch.arange(count, device=stream.device) * self.bits
        word, bit = begin // 32, begin % 32
        following = (word + 1).clamp(max=words.shape[1] - 1)
        both = words[:, word] | (words[:, following] << 32)
        codes = (both >> bit) & (2**self.bits - 1)
        codes = codes.unflatten(1, (-1, self.group))
        return (codes * scale[..., None] + offset[..., None]).flatten(1)


def get_inputs():
    dtype = getattr(torch, DTYPE)
    stream = torch.randint(-(2**31), 2**31, (N, K * BITS // 32)).to(torch.int32)
    return [stream, torch.randn(N, K // GROUP).to(dtype), torch.randn(N, K // GROUP).to(dtype)]


def get_init_inputs():
    return [BITS, GROUP]
