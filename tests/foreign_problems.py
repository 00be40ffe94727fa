"""A collection of FlashInfer-Bench and one of GPU MODE, written for the tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

SCALE: dict[str, Any] = {
    "name": "row_scale_c4",
    "op_type": "rmsnorm",
    "description": "Each row times its weight. Nothing else.",
    "axes": {"rows": {"type": "var"}, "columns": {"type": "const", "value": 400}},
    "inputs": {
        "x": {"shape": ["rows", "columns"], "dtype": "float32"},
        "w": {"shape": ["rows"], "dtype": "float32"},
        "factor": {"shape": None, "dtype": "float32"},
    },
    "outputs": {"y": {"shape": ["rows", "columns"], "dtype": "float32"}},
    "reference": "import torch\n\ndef run(x, w, factor):\n    return x * w[:, None] * factor\n",
}

PAGED: dict[str, Any] = {
    "name": "paged_mean_ps2",
    "op_type": "gqa_paged",
    "axes": {
        "batch_size": {"type": "var"}, "len_indptr": {"type": "var"}, "num_pages": {"type": "var"},
        "num_kv_indices": {"type": "var"}, "page_size": {"type": "const", "value": 2}, "dim": {"type": "const", "value": 3},
    },
    "constraints": ["len_indptr == batch_size + 1", "num_kv_indices == kv_indptr[-1].item()"],
    "inputs": {
        "cache": {"shape": ["num_pages", "page_size", "dim"], "dtype": "bfloat16"},
        "kv_indptr": {"shape": ["len_indptr"], "dtype": "int32"},
        "kv_indices": {"shape": ["num_kv_indices"], "dtype": "int32"},
        "kv_last_page_len": {"shape": ["batch_size"], "dtype": "int32"},
    },
    "outputs": {"mean": {"shape": ["batch_size", "dim"], "dtype": "bfloat16"}},
    "reference": """import torch

def run(cache, kv_indptr, kv_indices, kv_last_page_len):
    rows = []
    for b in range(len(kv_indptr) - 1):
        pages = kv_indices[int(kv_indptr[b]) : int(kv_indptr[b + 1])].long()
        assert len(pages) and len(set(pages.tolist())) == len(pages)
        tokens = cache[pages].flatten(0, 1)
        rows.append(tokens[: len(tokens) - cache.shape[1] + int(kv_last_page_len[b])].mean(0))
    return torch.stack(rows)
""",
}  # fmt: skip


def safetensors(tensors: dict[str, torch.Tensor]) -> bytes:
    """The bytes of such a file."""
    names = {torch.int32: "I32", torch.float32: "F32", torch.bfloat16: "BF16"}
    header: dict[str, Any] = {"__metadata__": {"made": "for a test"}}
    data = b""
    for name, tensor in tensors.items():
        raw = bytes(tensor.contiguous().view(torch.uint8).flatten().tolist())
        header[name] = {
            "dtype": names[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [len(data), len(data) + len(raw)],
        }  # fmt: skip
        data += raw
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def write_trace(
    folder: Path, *definitions: dict[str, Any], workloads: dict[str, list[dict[str, Any]]] | None = None
) -> Path:
    """A trace set: definitions in folders of their type, workloads by the name of their definition."""
    for each in definitions:
        place = folder / "definitions" / each["op_type"]
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{each['name']}.json").write_text(json.dumps(each))
    for name, rows in (workloads or {}).items():
        (folder / "workloads").mkdir(exist_ok=True)
        lines = [
            json.dumps({"definition": name, "solution": None, "workload": row, "evaluation": None}) for row in rows
        ]
        (folder / "workloads" / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def scale_workload(rows: int, factor: float = 0.5) -> dict[str, Any]:
    """A workload of `SCALE`."""
    inputs = {"x": {"type": "random"}, "w": {"type": "random"}, "factor": {"type": "scalar", "value": factor}}
    return {"uuid": f"u{rows}", "axes": {"rows": rows}, "inputs": inputs}


TASK_YML = """# name: shift
files:
  - {"name": "submission.py", "source": "@SUBMISSION@"}
  - {"name": "task.py", "source": "task.py"}
  - {"name": "utils.py", "source": "../utils.py"}
  - {"name": "reference.py", "source": "reference.py"}
  - {"name": "eval.py", "source": "../eval.py"}

lang: "py"

description: |
  Adds a number to each element. Two words more.

tests:
  - {"size": 60, "seed": 4242, "kind": "near"}
  - {"size": 65, "seed": 1, "kind": "far"}

benchmarks:
  - {"size": 1000, "seed": 31, "kind": "near"}
  - {"size": 3000, "seed": 32, "kind": "near"}
"""

REFERENCE_PY = """from utils import make_match_reference, Deterministic
import torch
from task import (
    input_t,
    output_t,
)


def ref_kernel(data: input_t) -> output_t:
    with Deterministic():
        x, shifts, out = data
        out[...] = x + shifts["by"]
        return out


def generate_input(size: int, seed: int, kind: str) -> input_t:
    gen = torch.Generator(device="cuda")
    gen.manual_seed(seed)
    x = torch.randn(size, device="cuda", generator=gen)
    by = torch.randn(1, device="cuda", generator=gen) + (100 if kind == "far" else 0)
    out = torch.empty_like(x).contiguous()
    return x, {"by": by}, out


check_implementation = make_match_reference(ref_kernel)
"""

UTILS_PY = """import torch

def make_match_reference(reference, **how):
    return lambda data, output: torch.allclose(reference(data), output, **how)

class Deterministic:
    def __enter__(self):
        return self
    def __exit__(self, *_):
        pass
"""

TASK_PY = "import torch\ninput_t = tuple\noutput_t = torch.Tensor\n"

SUBMISSION_PY = '''#!POPCORN leaderboard shift
from task import input_t, output_t
from utils import make_match_reference
import cupy
import numpy as np

SHIFT = cupy.RawKernel(r"""
extern "C" __global__ void shift(const float* x, const float* by, float* y, int count) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count) y[i] = x[i] + by[0];
}
""", "shift")


def custom_kernel(data: input_t) -> output_t:
    x, shifts, out = data
    SHIFT(((x.numel() + 127) // 128,), (128,), (x, shifts["by"], out, np.int32(x.numel())))
    return out
'''


def write_problem(folder: Path, **files: str) -> Path:
    """One problem of GPU MODE, its utils.py beside its folder; `files` gives other texts by name, `_` for the dot."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = {"task.yml": TASK_YML, "reference.py": REFERENCE_PY, "task.py": TASK_PY}
    texts |= {name.replace("_", "."): text for name, text in files.items()}
    for name, text in texts.items():
        (folder / name).write_text(text)
    (folder.parent / "utils.py").write_text(UTILS_PY)
    return folder
