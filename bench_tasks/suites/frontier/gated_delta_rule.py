"""Gated delta rule: a memory that decays and whose entries are overwritten, in chunks.

Gated DeltaNet (arXiv:2412.06464). Within a chunk the writes follow from a triangular system.
"""

import torch

FAMILY = "scan"
BATCH, HEADS, CHUNKS, CHUNK, DIM = 4, 16, 16, 64, 128
DTYPE = "float32"
BACKWARD = False
TWIN = {"BATCH": 2, "HEADS": 3, "CHUNKS": 4, "CHUNK": 48, "DIM": 64}
VARIANTS = {"backward": {"BACKWARD": True}}
# gates of hundreds make sums whose differences have no digits left
WORKLOADS = [
    {"distribution": "as_given", "seeds": 4},
    {"distribution": "normal"},
    {"distribution": "uniform"},
    {"distribution": "tiny"},
    {"distribution": "constant"},
]


class Model(torch.nn.Module):
    def forward(self, q, k, v, gate, write, state):
        """Three (BATCH, HEADS, CHUNKS, CHUNK, DIM), two (BATCH, HEADS, CHUNKS, CHUNK), (BATCH, HEADS, DIM, DIM)
        -> as v, and the last state

        For every token: state *= exp(-softplus(gate)); state += sigmoid(write) * k^T (v - k state); out = q state.
        """
        k = torch.nn.functional.normalize(k, dim=4)
        left = torch.cumsum(-torch.nn.functional.softplus(gate), 3)
        future = torch.ones(q.shape[3], q.shape[3], dtype=torch.bool, device=q.device).triu(1)
        decay = torch.exp((left[..., :, None] - left[..., None, :]).masked_fill(future, -torch.inf))
        strength = torch.sigmoid(write)[..., None]
        system = (strength * decay * (k @ k.transpose(3, 4))).tril(-1) + torch.eye(q.shape[3], device=q.device)
        seen = decay * (q @ k.transpose(3, 4))
        kept, kept_to_end = torch.exp(left)[..., None], torch.exp(left[..., -1:] - left)[..., None]
        outputs = []
        for i in range(q.shape[2]):
            wanted = strength[:, :, i] * (v[:, :, i] - kept[:, :, i] * (k[:, :, i] @ state))
            writes = torch.linalg.solve_triangular(system[:, :, i], wanted, upper=False)
            outputs.append(kept[:, :, i] * (q[:, :, i] @ state) + seen[:, :, i] @ writes)
            state = kept[:, :, i, -1:] * state + (k[:, :, i] * kept_to_end[:, :, i]).mT @ writes
        return torch.stack(outputs, 2), state


def get_inputs():
    dtype = getattr(torch, DTYPE)
    q, k, v = (torch.randn(BATCH, HEADS, CHUNKS, CHUNK, DIM, dtype=dtype) for _ in range(3))
    gate, write = (torch.randn(BATCH, HEADS, CHUNKS, CHUNK, dtype=dtype) for _ in range(2))
    state = torch.randn(BATCH, HEADS, DIM, DIM, dtype=dtype)
    return [q, k, v, gate - 3, write, state]


def get_init_inputs():
    return []
