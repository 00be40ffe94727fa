"""Drawing a token among the k likeliest of a large vocabulary, k and temperature chosen by each request.

Given exponential noise, the token is where probability over noise is largest: no running sum. Serving engines sample so
(FlashInfer, arXiv:2501.01005, treats sampling without sorting). The token's log-probability is given too.
"""

import torch

FAMILY = "sampling"
REQUESTS, VOCABULARY, MOST = 128, 128_256, 100
DTYPE = "float32"
TWIN = {"REQUESTS": 24, "VOCABULARY": 8_016}
# noise and temperatures are positive
WORKLOADS = [{"distribution": "as_given", "seeds": 8}]


class Model(torch.nn.Module):
    def __init__(self, most):
        super().__init__()
        self.most = most

    def forward(self, logits, noise, temperature, k):
        """Twice (REQUESTS, VOCABULARY), (REQUESTS,), int32 (REQUESTS,) up to MOST -> int64 (REQUESTS,), (REQUESTS,)"""
        best, tokens = torch.topk(logits, self.most)
        dropped = torch.arange(self.most, device=logits.device) >= k[:, None]
        scaled = (best / temperature[:, None]).masked_fill(dropped, -torch.inf)
        chances = torch.log_softmax(scaled, 1)
        place = (chances - torch.log(noise.gather(1, tokens))).argmax(1, keepdim=True)
        return tokens.gather(1, place)[:, 0], chances.gather(1, place)[:, 0]


def get_inputs():
    dtype = getattr(torch, DTYPE)
    size = (REQUESTS, VOCABULARY)
    logits = torch.randn(size, dtype=dtype) * 2
    noise = -torch.log1p(-torch.rand(size, dtype=dtype)) + 1e-6
    return [logits, noise, torch.rand(REQUESTS, dtype=dtype) + 0.3, torch.randint(5, MOST + 1, (REQUESTS,)).int()]


def get_init_inputs():
    return [MOST]
