"""Sparse matrix in compressed rows times a dense one.

Unstructured sparse weights of pruned networks (Sparse GPU Kernels for Deep Learning, arXiv:2006.10901).
"""

import torch

FAMILY = "sparse"
ROWS, COLS, WIDTH = 4096, 4096, 256
KEPT = 1_677_000
DTYPE = "float32"
BACKWARD = False
TWIN = {"ROWS": 512, "COLS": 768, "WIDTH": 160, "KEPT": 39_000}
VARIANTS = {"backward": {"BACKWARD": True}}


class Model(torch.nn.Module):
    def forward(self, begins, columns, values, dense):
        """int32 (ROWS + 1,), int32 (KEPT,), (KEPT,), (COLS, WIDTH) -> (ROWS, WIDTH)"""
        entry = torch.arange(len(values), device=values.device)
        row = torch.searchsorted(begins, entry, right=True) - 1
        sparse = torch.zeros(len(begins) - 1, dense.shape[0], dtype=values.dtype, device=values.device)
        return sparse.index_put((row, columns.long()), values) @ dense


def get_inputs():
    dtype = getattr(torch, DTYPE)
    places = torch.randperm(ROWS * COLS)[:KEPT].sort().values
    begins = torch.searchsorted(places, torch.arange(ROWS + 1) * COLS)
    columns = places % COLS
    return [begins.int(), columns.int(), torch.randn(KEPT, dtype=dtype), torch.randn(COLS, WIDTH, dtype=dtype)]


def get_init_inputs():
    return []
