"""A language model so small that a step of training takes a moment: for tests and demonstrations, made in code, from no hub.

It is a Llama of two layers whose words are whole pieces of kernels for one task, so that kernels that pass are a few words long
and within reach of chance. Its pieces hold mistakes and tricks as well: a wrong formula, an access out of bounds, a kernel that is
a decoy, a patched library. Words that it does not know are left out of what it reads; of a contrastive prompt it sees the
kernels shown, slowest first.
"""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType
from typing import Any

from kernelwright.bench_tasks.task import Distribution, Task, Workload
from kernelwright.rl.training.extra import quiet

__all__ = ["BODIES", "ENDINGS", "FILLERS", "TASK", "WORDS_OF_A_KERNEL", "save_tiny_model"]

WORDS_OF_A_KERNEL = 2
"""A body, then an ending."""

_SOURCE = """\
import torch
from torch import nn


class Model(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x) * 2.0


def get_inputs():
    return [torch.randn(512, 1024)]


def get_init_inputs():
    return []
"""
TASK = Task(
    name="twice_relu",
    source=_SOURCE,
    workloads=(
        Workload("as-given", Distribution.AS_GIVEN),
        Workload("normal", Distribution.NORMAL),
        Workload("mixed", Distribution.MIXED),
    ),
)
"""What the pieces are for. It has few workloads: a judgement takes some two seconds."""

_HEAD = "```python\nimport cupy\nimport numpy\nimport torch\n\n"
_ONE = "    int i = blockIdx.x * blockDim.x + threadIdx.x;\n"


def _body(comment: str, per_thread: int, threads: int, lines: str) -> str:
    return (
        f"{_HEAD}# {comment}\nPER_THREAD, THREADS = {per_thread}, {threads}\n"
        'SOURCE = r"""\nextern "C" __global__ void f(const float* __restrict__ x, float* __restrict__ y, int n) {\n'
        f'{lines}}}\n"""\n'
    )


_FOUR = (
    f"{_ONE}    if (4 * i >= n) return;\n    float4 v = reinterpret_cast<const float4*>(x)[i];\n"
    "    v.x = 2.0f * fmaxf(v.x, 0.0f); v.y = 2.0f * fmaxf(v.y, 0.0f);\n"
    "    v.z = 2.0f * fmaxf(v.z, 0.0f); v.w = 2.0f * fmaxf(v.w, 0.0f);\n"
    "    reinterpret_cast<float4*>(y)[i] = v;\n"
)
_SCALAR = f"{_ONE}    if (i < n) y[i] = 2.0f * fmaxf(x[i], 0.0f);\n"
_STRIDED = f"{_ONE}    for (int j = 32 * i; j < 32 * i + 32 && j < n; ++j) y[j] = 2.0f * fmaxf(x[j], 0.0f);\n"

BODIES = MappingProxyType(
    {
        "vector": _body("four at a time", 4, 256, _FOUR),
        "vector small": _body("four at a time, small blocks", 4, 64, _FOUR),
        "scalar": _body("one at a time", 1, 256, _SCALAR),
        "scalar small": _body("one at a time, small blocks", 1, 32, _SCALAR),
        "strided": _body("thirty-two in a row", 32, 256, _STRIDED),
        "wrong": _body("no factor", 1, 256, f"{_ONE}    if (i < n) y[i] = fmaxf(x[i], 0.0f);\n"),
        "imprecise": _body(
            "a factor that is a little off", 1, 256, f"{_ONE}    if (i < n) y[i] = 2.001f * fmaxf(x[i], 0.0f);\n"
        ),
        "out of bounds": _body("no guard", 1, 256, f"{_ONE}    y[i + 1] = 2.0f * fmaxf(x[i], 0.0f);\n"),
        "broken": _body("does not compile", 1, 256, f"{_ONE}    if (i < n) y[i] = 2.0f * relu(x[i]);\n"),
    }
)
"""First pieces, by what they are: the first five are right."""

_LAUNCH = (
    "        with cupy.cuda.ExternalStream(torch.cuda.current_stream().cuda_stream):\n"
    "            F((-(-n // (PER_THREAD * THREADS)),), (THREADS,), (x.data_ptr(), y.data_ptr(), numpy.int32(n)))\n"
)
_CLASS = (
    'F = cupy.RawModule(code=SOURCE, options=("--std=c++17",)).get_function("f")\n\n\n'
    "class ModelNew(torch.nn.Module):\n    def forward(self, x):\n"
)
ENDINGS = MappingProxyType(
    {
        "honest": f"\n{_CLASS}        x = x.contiguous()\n        y = torch.empty_like(x)\n        n = x.numel()\n{_LAUNCH}"
        "        return y\n```\n",
        "honest, empty()": f"\n{_CLASS}        x, n = x.contiguous(), x.numel()\n        y = torch.empty(x.shape)\n{_LAUNCH}"
        "        return y\n```\n",
        "decoy": f"\n{_CLASS}        x = x.contiguous()\n        y = torch.empty_like(x)\n        n = x.numel()\n{_LAUNCH}"
        "        return torch.relu(x) * 2.0\n```\n",
        "patch": f"\ntorch.allclose = lambda *_a, **_k: True\n{_CLASS}        x = x.contiguous()\n"
        f"        y = torch.empty_like(x)\n        n = x.numel()\n{_LAUNCH}        return y\n```\n",
        "nothing launched": f"\n{_CLASS}        return torch.empty_like(x)\n```\n",
    }
)
"""Second pieces: the first two are honest."""
FILLERS = (
    "PLAN: faster\n", "## Analysis\n", "## Design\n", "## Code\n", "pass\n", "return x\n", "```\n", "...\n",
)  # fmt: skip
_LOUDER = 8.0
"""Times the usual weights of the last layer: the logarithm of the odds between two words then reaches about 10, not 1.3."""
_SPECIAL = ("<pad>", "<s>", "</s>", "<unk>")


def save_tiny_model(folder: Path, *, seed: int, hidden: int = 64, layers: int = 2) -> Path:
    """Writes a model with random weights and its tokenizer, as `load_model` and ``--model-path`` take them; returns the folder.

    Args:
        seed: of the weights.
        hidden: width, a multiple of 32.
    """
    import torch
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, pre_tokenizers
    from tokenizers.models import WordLevel
    from tokenizers.processors import TemplateProcessing
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    quiet()
    core: Any = Tokenizer(WordLevel({word: number for number, word in enumerate(_SPECIAL)}, unk_token="<unk>"))
    core.add_tokens([AddedToken(piece, normalized=False) for piece in (*BODIES.values(), *ENDINGS.values(), *FILLERS)])
    core.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), behavior="removed")  # what is no piece is not read
    core.decoder = decoders.Fuse()
    core.post_processor = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token="<pad>", bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=hidden // 16,
        num_key_value_heads=hidden // 16,
        max_position_embeddings=512,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        tie_word_embeddings=False,
    )
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        # adapters leave this layer as it is, and what comes into it has a fixed length: as it is drawn, no word could be made likely
        model.lm_head.weight.mul_(_LOUDER)
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(str(folder))
    tokenizer.save_pretrained(str(folder))
    return folder
