"""One decoding step of attention over a cache kept in pages.

Every sequence has a length and a table of its pages (vLLM, arXiv:2309.06180); four query heads share a head of keys.
"""

import math

import torch

FAMILY = "attention"
BATCH, HEADS, KV_HEADS, DIM = 32, 32, 8, 128
PAGE, TABLE, PAGES = 16, 64, 2304
DTYPE = "float16"
TWIN = {"BATCH": 4, "HEADS": 8, "KV_HEADS": 2, "DIM": 64, "TABLE": 15, "PAGES": 72}


class Model(torch.nn.Module):
    def forward(self, q, key_pages, value_pages, table, lengths):
        """(BATCH, HEADS, DIM), twice (PAGES, PAGE, KV_HEADS, DIM), int32 (BATCH, TABLE), int32 (BATCH,) -> as q"""
        keys, values = (pages[table.long()].flatten(1, 2) for pages in (key_pages, value_pages))
        grouped = q.unflatten(1, (keys.shape[2], -1)) / math.sqrt(q.shape[2])
        scores = torch.einsum("bhgd,bthd->bhgt", grouped, keys)
        place = torch.arange(keys.shape[1], device=q.device)
        scores = scores.masked_fill((place >= lengths[:, None])[:, None, None], -math.inf)
        return torch.einsum("bhgt,bthd->bhgd", torch.softmax(scores, -1), values).flatten(1, 2)


def get_inputs():
    dtype = getattr(torch, DTYPE)
    cache = (PAGES, PAGE, KV_HEADS, DIM)
    table = torch.randperm(PAGES)[: BATCH * TABLE].view(BATCH, TABLE).to(torch.int32)
    lengths = torch.randint(TABLE * PAGE // 4, TABLE * PAGE + 1, (BATCH,)).to(torch.int32)
    q, keys, values = torch.randn(BATCH, HEADS, DIM), torch.randn(cache), torch.randn(cache)
    return [q.to(dtype), keys.to(dtype), values.to(dtype), table, lengths]


def get_init_inputs():
    return []
