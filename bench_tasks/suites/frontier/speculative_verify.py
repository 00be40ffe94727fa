"""How many drafted tokens are kept, and the token after them, drawn from what the draft model left out.

The acceptance rule of speculative sampling (arXiv:2211.17192, arXiv:2302.01318), with its random numbers as inputs.
"""

import torch

FAMILY = "sampling"
REQUESTS, DRAFT, VOCABULARY = 32, 5, 32_000
DTYPE = "float32"
TWIN = {"REQUESTS": 20, "DRAFT": 4, "VOCABULARY": 1_800}
# random numbers are in 0...1, noise is positive
WORKLOADS = [{"distribution": "as_given", "seeds": 8}]


class Model(torch.nn.Module):
    def forward(self, drafted, draft_logits, target_logits, chance, noise):
        """int64 (REQUESTS, DRAFT), (REQUESTS, DRAFT, VOCABULARY), (REQUESTS, DRAFT + 1, VOCABULARY), (REQUESTS, DRAFT),
        (REQUESTS, VOCABULARY) -> int64 (REQUESTS,) kept, int64 (REQUESTS,) next, and its log-probability (REQUESTS,)
        """
        target = torch.softmax(target_logits, 2)
        draft = torch.nn.functional.pad(torch.softmax(draft_logits, 2), (0, 0, 0, 1))  # zeros after the last
        chosen = drafted[..., None]
        ratio = target[:, :-1].gather(2, chosen) / draft[:, :-1].gather(2, chosen)
        kept = (chance < ratio[..., 0]).int().cumprod(1).sum(1)
        row = kept[:, None, None].expand(-1, 1, target.shape[2])
        left = torch.relu(target.gather(1, row) - draft.gather(1, row))[:, 0]
        following = (left / noise).argmax(1, keepdim=True)
        share = left.gather(1, following) / left.sum(1, keepdim=True)
        return kept, following[:, 0], torch.log(share)[:, 0]


def get_inputs():
    dtype = getattr(torch, DTYPE)
    draft = torch.randn(REQUESTS, DRAFT, VOCABULARY, dtype=dtype) * 2
    extra = torch.randn(REQUESTS, 1, VOCABULARY, dtype=dtype) * 2
    target = torch.cat([draft + torch.randn(draft.shape, dtype=dtype), extra], 1)
    drafted = (draft - torch.log(-torch.log(torch.rand(draft.shape)))).argmax(2)
    noise = -torch.log1p(-torch.rand(REQUESTS, VOCABULARY, dtype=dtype)) + 1e-6
    return [drafted, draft, target, torch.rand(REQUESTS, DRAFT, dtype=dtype), noise]


def get_init_inputs():
    return []
