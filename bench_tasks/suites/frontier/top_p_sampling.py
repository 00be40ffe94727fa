"""Drawing a token among the likeliest that together reach probability p (nucleus sampling, arXiv:1904.09751).

Given exponential noise, the token is where probability over noise is largest. The token's log-probability in the
whole vocabulary is given too.
"""

import torch

FAMILY = "sampling"
REQUESTS, VOCABULARY = 128, 128_256
DTYPE = "float32"
TWIN = {"REQUESTS": 24, "VOCABULARY": 8_016}
# noise is positive, p at most one
WORKLOADS = [{"distribution": "as_given", "seeds": 8}]


class Model(torch.nn.Module):
    def forward(self, logits, noise, p):
        """Twice (REQUESTS, VOCABULARY), (REQUESTS,) -> int64 (REQUESTS,), (REQUESTS,)"""
        chances = torch.log_softmax(logits, 1)
        ordered, tokens = chances.sort(1, descending=True)
        share = ordered.exp()
        before = torch.cumsum(share, 1) - share
        scores = ordered - torch.log(noise.gather(1, tokens))
        place = scores.masked_fill(before >= p[:, None], -torch.inf).argmax(1, keepdim=True)
        return tokens.gather(1, place)[:, 0], ordered.gather(1, place)[:, 0]


def get_inputs():
    dtype = getattr(torch, DTYPE)
    size = (REQUESTS, VOCABULARY)
    noise = -torch.log1p(-torch.rand(size, dtype=dtype)) + 1e-6
    return [torch.randn(size, dtype=dtype) * 3, noise, torch.rand(REQUESTS, dtype=dtype) * 0.6 + 0.3]


def get_init_inputs():
    return []
