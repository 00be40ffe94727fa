"""MLP-Mixer block: a network over the tokens of each channel, then one over the channels of each token.

All matrix products and no attention; the first works across the memory order.
"""

import torch
import torch.nn.functional as F
from torch import nn

FAMILY = "transformer"
BATCH, TOKENS, WIDTH, TOKEN_HIDDEN, HIDDEN = 16, 196, 512, 256, 2048
DTYPE = "float32"
TWIN = {"BATCH": 12, "TOKENS": 49, "WIDTH": 128, "TOKEN_HIDDEN": 64, "HIDDEN": 512}
VARIANTS = {"half": {"DTYPE": "float16"}}
# the later half runs with moved weights: the draws that show most of them stand there
WORKLOADS = [
    {"distribution": "as_given", "seeds": 2},
    {"distribution": "large"},
    {"distribution": "tiny"},
    {"distribution": "constant"},
    {"distribution": "one_hot"},
    {"distribution": "normal", "seeds": 2},
    {"distribution": "mixed"},
    {"distribution": "sorted"},
    {"distribution": "zeros"},
]


class Model(nn.Module):
    def __init__(self, tokens, width, token_hidden, hidden):
        super().__init__()
        kind = getattr(torch, DTYPE)
        self.norm1, self.norm2 = nn.LayerNorm(width, dtype=kind), nn.LayerNorm(width, dtype=kind)
        self.token_up, self.token_down = (
            nn.Linear(tokens, token_hidden, dtype=kind),
            nn.Linear(token_hidden, tokens, dtype=kind),
        )
        self.up, self.down = nn.Linear(width, hidden, dtype=kind), nn.Linear(hidden, width, dtype=kind)
        for name, weight in self.named_parameters():
            if name.endswith("bias"):  # as after training: one near zero would hardly show
                nn.init.normal_(weight, std=0.5)

    def forward(self, x):
        x = x + self.token_down(F.gelu(self.token_up(self.norm1(x).transpose(1, 2)))).transpose(1, 2)
        return x + self.down(F.gelu(self.up(self.norm2(x))))


def get_inputs():
    return [torch.randn(BATCH, TOKENS, WIDTH, dtype=getattr(torch, DTYPE))]


def get_init_inputs():
    return [TOKENS, WIDTH, TOKEN_HIDDEN, HIDDEN]
