"""Rules about Python: for each, code that falls under it and its honest twin. `HERE` marks the line."""

from __future__ import annotations

from static_modules import KERNEL, Case, cupy_module

m = cupy_module

MODEL = (
    Case("no_model_new", m(head="class Fast(nn.Module):"), m(head="class Fast(nn.Module):") + "\nModelNew = Fast\n"),
    Case("no_model_new", m(head="class modelnew(nn.Module):"), m() + "\n# class Fast\n"),
    Case("derived_from_reference", m(head="class ModelNew(Model):  # HERE"), m(head="class ModelNew(nn.Module):")),
    Case(
        "derived_from_reference",
        m(head="class ModelNew(reference.Model):  # HERE"),
        m(head="class ModelNew(torch.nn.Module):"),
    ),
    Case(
        "derived_from_reference",
        m(top="from reference import Model\nBase = Model", head="class ModelNew(Base):  # HERE"),
        m(top="Base = nn.Module", head="class ModelNew(Base):"),
    ),
    Case(
        "derived_from_reference",
        m(head="class Other(nn.Module):") + "\nimport reference\nModelNew = reference.Model  # HERE\n",
        m(head="class Other(nn.Module):") + "\nModelNew = Other\n",
    ),
    Case(
        "derived_from_reference",
        m(head="class O(nn.Module):") + "\nimport ref\nModelNew = type('ModelNew', (ref.Model,), {})  # HERE\n",
        m(head="class O(nn.Module):") + "\nModelNew = type('ModelNew', (O,), {})\n",
    ),
    Case(
        "derived_from_reference",
        m(head="class O(nn.Module):") + "\nimport ref\nModelNew = getattr(ref, 'Mo' + 'del')  # HERE\n",
        m(head="class O(nn.Module):") + "\nimport ref\nModelNew = getattr(ref, 'Fast')\n",
    ),
    Case(
        "derived_from_reference",
        m(top="class Model(nn.Module):\n    def forward(self, x):\n        return run(x)\n")
        .replace("class ModelNew(nn.Module)", "class ModelNew(Model)")
        .replace("    def forward(self, x):\n        return run(x)\n\n", "", 1)
        .rpartition("    def forward")[0],
        m(
            top="class Model(nn.Module):\n    def forward(self, x):\n        return torch.relu(x)\n",
            head="class ModelNew(Model):",
        ),
    ),
    Case(
        "uses_reference",
        m(top="class Model(nn.Module):\n    pass\n", head="class ModelNew(Model):  # HERE"),
        m(top="class Model(nn.Module):\n    pass\n"),
    ),
    Case("no_cuda_kernel", m(cuda="// __global__ void k() {}"), m(cuda="// text\n" + KERNEL)),
    Case("no_cuda_kernel", m(cuda='void f() { const char* s = "__global__"; }'), m(cuda="/* f */" + KERNEL)),
    Case(
        "no_cuda_kernel",
        m(cuda="\n#include <x>\n", top='"""__global__ void k() {}"""'),
        m(cuda="\n#define K __global__\nK void scale(float* x) { x[0] = 1; }\n"),
    ),
)

LAUNCHES = (
    Case("no_kernel_launched", m("MODULE.get_function('scale')\nreturn torch.relu(x)"), m("return torch.relu(run(x))")),
    Case(
        "no_kernel_launched",
        m("return F.relu(x)"),
        m("k = MODULE.get_function('scale')\ny = x.clone()\nk((1,), (1,), (x, y))\nreturn y"),
    ),
    Case(
        "no_kernel_launched",
        "import torch\nC = '''__global__ void k() {}'''  # HERE\nclass ModelNew(torch.nn.Module):\n    def forward(self, x):\n        return x\n",
        "import torch, cupy\nC = '''__global__ void k() {}'''\nclass ModelNew(torch.nn.Module):\n    def forward(self, x):\n        return x\n",
    ),
    Case(
        "never_launched",
        m(cuda=KERNEL + 'extern "C" __global__ void spare(float* x) { x[0] = 1; } // HERE\n'),
        m(
            "MODULE.get_function('spare')((1,), (1,), (x,))\nreturn run(x)",
            cuda=KERNEL + 'extern "C" __global__ void spare(float* x) { x[0] = 1; }\n',
        ),
    ),
    Case(
        "never_launched",
        m(cuda=KERNEL + "template <int N> __global__ void spare(float* x) { x[0] = N; } // HERE\n"),
        m(
            "k = MODULE.get_function('spare<4>')\nk((1,), (1,), (x,))\nreturn run(x)",
            cuda=KERNEL + "template <int N> __global__ void spare(float* x) { x[0] = N; }\n",
        ),
    ),
    Case(
        "never_launched",
        m(cuda=KERNEL + "__global__ void spare_8(float* x) {} // HERE\n"),
        m(
            "n = 8\nk = MODULE.get_function(f'spare_{x.shape[0]}')\nk((1,), (1,), (x,))\nreturn run(x)",
            cuda=KERNEL + "__global__ void spare_8(float* x) {}\n",
        ),
    ),
)

PATCHES = tuple(
    Case("patches_library", m(top=f"{hostile}  # HERE"), m(top=honest))
    for hostile, honest in (
        ("torch.allclose = lambda *a, **k: True", "close = torch.allclose"),
        ("torch.Tensor.__eq__ = lambda a, b: True", "class Box:\n    pass\nBox.__eq__ = lambda a, b: True"),
        ("setattr(torch, 'equal', lambda *a: True)", "class Box:\n    pass\nsetattr(Box, 'equal', 1)"),
        ("import builtins; builtins.open = None", "import builtins; o = builtins.len"),
        ("import time as t; t.perf_counter = lambda: 0.0", "import time as t; NAME = t.__name__"),
        ("import sys; sys.modules['torch'] = None", "import sys; here = sys.modules[__name__]"),
        ("import json; json.dumps = str", "import json; text = json.dumps({})"),
        ("nn.Module.__call__ = lambda *a: None", "class Layer(nn.Module):\n    __call__ = nn.Module.__call__"),
        ("F.relu = F.gelu", "relu = F.relu"),
        ("torch.__dict__.update(equal=None)", "table = {}\ntable.update(equal=None)"),
        ("cupy.RawModule.get_function = None", "get = cupy.RawModule.get_function"),
        ("del torch.equal", "n = 4\ndel n"),
        ("torch.cuda.synchronize = lambda: None", "wait = torch.cuda.synchronize"),
        ("from unittest import mock; mock.patch('torch.equal').start()", "from unittest import TestCase"),
        ("for torch.equal in [None]: pass", "for equal in [None]: pass"),
        ("torch.equal, other = None, None", "equal, other = None, None"),
    )
)

REACHES = tuple(
    Case(rule, m(top=f"{hostile}  # HERE"), m(top=honest))
    for rule, hostile, honest in (
        ("walks_memory", "import gc; things = gc.get_objects()", "import gc; gc.collect()"),
        (
            "walks_memory",
            "import gc as g; things = getattr(g, 'get_' + 'referrers')(torch)",
            "import gc as g; getattr(g, 'col' + 'lect')()",
        ),
        ("walks_memory", "import sys; f = sys._getframe(1).f_back", "import sys; f = sys.version_info"),
        (
            "walks_memory",
            "import inspect; v = inspect.currentframe().f_back.f_locals",
            "import inspect; v = inspect.signature(run)",
        ),
        (
            "reaches_into_process",
            "import ctypes; ctypes.pythonapi.PyGILState_Ensure()",
            "import ctypes; n = ctypes.c_int(4)",
        ),
        (
            "reaches_into_process",
            "import ctypes; c = ctypes.CDLL(None)",
            "import ctypes; s = ctypes.sizeof(ctypes.c_float)",
        ),
        (
            "reaches_into_process",
            "from ctypes import string_at; s = string_at(4096, 8)",
            "from ctypes import c_void_p; p = c_void_p(0)",
        ),
        (
            "reaches_into_process",
            "import ctypes; a = (ctypes.c_float * 4).from_address(4096)",
            "import ctypes; a = (ctypes.c_float * 4)()",
        ),
        ("starts_process", "import subprocess; subprocess.run(['true'])", "import subprocess  # subprocess.run([])"),
        ("starts_process", "import os; os.system('true')", "import os; p = os.path.join('a', 'b')"),
        ("starts_process", "import os; getattr(os, 'fo' + 'rk')()", "import os; n = getattr(os, 'cpu' + '_count')()"),
        (
            "starts_process",
            "from threading import Thread as T; T(target=run).start()",
            "from threading import Lock as T; lock = T()",
        ),
        ("starts_process", "__import__('multiprocessing').Process(target=run).start()", "__import__('math').sqrt(4.0)"),
        (
            "starts_process",
            "from concurrent.futures import ThreadPoolExecutor; p = ThreadPoolExecutor(2)",
            "from collections import OrderedDict; p = OrderedDict()",
        ),
        ("reads_proc", "t = open('/proc/self/maps').read()", "t = 'see proc/self/maps'"),
        ("reads_proc", "import os; n = os.listdir('/proc')", "import os; n = os.path.join('process', 'a')"),
        ("reads_proc", "p = f'/proc/{4}/fd'", "p = f'/process/{4}/fd'"),
        ("network", "import socket; s = socket.socket()", "import socket  # socket.socket()"),
        ("network", "import urllib.request as u; u.urlopen('http://x')", "import urllib.parse as u; u.quote('x')"),
        (
            "network",
            "import importlib; importlib.import_module('req' + 'uests').get('x')",
            "import importlib; importlib.import_module('ma' + 'th').sqrt(2)",
        ),
        ("reaches_for_judge", "import kernelwright.sandbox.channel", "NAME = 'kernelwright.sandbox.channel'"),
        (
            "reaches_for_judge",
            "import sys; m = sys.modules['kernelwright_task']",
            "import sys; m = sys.modules['math']",
        ),
        ("reaches_for_judge", "from kernelwright.errors import LaunchError", "from math import sqrt"),
        ("computed_name", "NAME = input(); f = getattr(torch, NAME)", "f = getattr(torch, 'float32')"),
        (
            "computed_name",
            "import importlib; importlib.import_module(input())",
            "import importlib; importlib.import_module('math')",
        ),
        ("computed_name", "from torch.nn.functional import *", "from torch.nn.functional import pad"),
        ("runs_text", "eval('1 + 1')", "import ast; ast.literal_eval('[1]')"),
        ("runs_text", "exec('a = 1')", "class Pool:\n    def exec(self): return 1\nPool().exec()"),
        ("runs_text", "import builtins as b; getattr(b, 'ev' + 'al')('1')", "text = 'eval(1)'"),
        (
            "precision_flag",
            "torch.backends.cuda.matmul.allow_tf32 = True",
            "on = torch.backends.cuda.matmul.allow_tf32",
        ),
        ("precision_flag", "torch.set_float32_matmul_precision('high')", "p = torch.get_float32_matmul_precision()"),
        ("precision_flag", "torch.set_default_dtype(torch.float16)", "d = torch.get_default_dtype()"),
        ("tensor_subclass", "class Late(torch.Tensor): pass", "class Late: pass"),
        (
            "tensor_subclass",
            "from torch import Tensor as T\nclass Late(T): pass",
            "from torch import Tensor as T\nclass Late:\n    value: T",
        ),
        ("library_state", "import sys; frame = sys._getframe", "import sys; sys.getsizeof(4)"),
        ("library_state", "seed = torch.initial_seed()", "torch.manual_seed(4)"),
        ("loads_library", "import ctypes; lib = ctypes.CDLL('libmine.so')", "import ctypes; kind = ctypes.Structure"),
        ("signal", "import signal; signal.alarm(1)", "import signal  # signal.alarm(1)"),
        ("signal", "import os; os.kill(1, 9)", "import os; os.getpid()"),
        ("environment", "import os; v = os.environ['HOME']", "import os; v = os.sep"),
        ("compiles_reference", "fast = torch.compile(torch.relu)", "import re; fast = re.compile('relu')"),
        ("compiles_reference", "fast = torch.jit.script(torch.relu)", "class jit:\n    script = 1\nfast = jit.script"),
        (
            "sets_attribute",
            "import torch._dynamo; torch._dynamo.config.verbose = True",
            "class Box:\n    pass\nBox.verbose = True",
        ),
    )
)

TORCH = tuple(
    Case(
        "left_to_torch",
        m(f"run(x)\nreturn {hostile}  # HERE", top=top, init=init),
        m(f"return {honest}", top=top, init=init),
    )
    for hostile, honest, top, init in (
        ("torch.softmax(x, 1)", "run(x.view(-1))", "", ""),
        ("x @ x", "run(x)", "", ""),
        ("F.relu(x)", "run(x.contiguous())", "", ""),
        ("x.matmul(x)", "run(x.t().contiguous())", "", ""),
        ("t.softmax(x, 1)", "run(t.empty_like(x))", "import torch as t", ""),
        ("mm(x, x)", "run(zeros(4))", "from torch import matmul as mm, zeros", ""),
        ("torch.ops.aten.mm(x, x)", "torch.ops.mine.mm(x, x)", "", ""),
        ("torch.ops.aten.mm.default(x, x)", "run(x)", "", ""),
        ("getattr(torch, 'mat' + 'mul')(x, x)", "run(getattr(torch, 'em' + 'pty')(4))", "", ""),
        ("op(x)", "op(x)".replace("op", "run"), "op = torch.nn.functional.gelu", ""),
        ("self.linear(x)", "run(self.linear.weight)", "", "self.linear = nn.Linear(n, n)"),
        ("self.net(x)", "run(self.net[0].weight)", "", "self.net = nn.Sequential(nn.Linear(n, n), nn.ReLU())"),
        ("self.layers[0](x)", "run(self.layers[0].bias)", "", "self.layers = nn.ModuleList([nn.Conv2d(n, n, 3)])"),
        ("help_out(x)", "run(x)", "def help_out(x):\n    return torch.exp(x)", ""),
        ("torch._C._VariableFunctions.softmax(x, 1)", "run(torch._C._VariableFunctions.empty_like(x))", "", ""),
        ("__import__('torch').sigmoid(x)", "run(__import__('torch').zeros(4))", "", ""),
        ("(lambda v: v.tanh())(x)", "(lambda v: run(v))(x)", "", ""),
        ("torch.Tensor.exp(x)", "run(torch.Tensor.detach(x))", "", ""),
        ("[v.exp() for v in (x,)][0]", "[run(v) for v in (x,)][0]", "", ""),
        ("torch.linalg.norm(x)", "run(torch.tensor([1.0]))", "", ""),
        ("run(x).exp()", "Tool().exp(x)", "class Tool:\n    def exp(self, x):\n        return run(x)", ""),
    )
)
# the line of a call in a function of the module's own is that of the call
TORCH = tuple(
    Case(c.rule, c.hostile.replace("  # HERE", "").replace("    return torch.exp(x)", "    return torch.exp(x)  # HERE"), c.honest)
    if "help_out" in c.hostile else c for c in TORCH
)  # fmt: skip

FALLBACKS = (
    Case(
        "falls_back_to_torch",
        m("try:\n    return run(x)\nexcept RuntimeError:\n    return torch.softmax(x, 1)  # HERE"),
        m(
            "try:\n    return run(x)\nexcept RuntimeError as error:\n    raise ValueError(str(torch.mean(x))) from error"
        ),
    ),
    Case(
        "falls_back_to_torch",
        m("try:\n    return run(x)\nexcept Exception:\n    pass\nreturn F.relu(x)  # HERE"),
        m("try:\n    return run(x)\nexcept Exception:\n    raise\nreturn x"),
    ),
    Case(
        "falls_back_to_torch",
        m("import contextlib\nwith contextlib.suppress(Exception):\n    return run(x)\nreturn x.softmax(1)  # HERE"),
        m("import contextlib\nwith contextlib.suppress(KeyError):\n    del CACHE[0]\nreturn run(x)", top="CACHE = {}"),
    ),
    Case(
        "falls_back_to_torch",
        m(
            "try:\n    y = run(x)\nexcept Exception:\n    y = spare(x)\nreturn y",
            top="def spare(x):\n    return x @ x  # HERE",
        ),
        m(
            "try:\n    y = run(x)\nexcept Exception:\n    y = spare(x)\nreturn y",
            top="def spare(x):\n    return run(x.contiguous())",
        ),
    ),
    Case(
        "falls_back_to_torch",
        m("try:\n    y = run(x)\nfinally:\n    return torch.relu(x)  # HERE"),
        m("try:\n    y = run(x)\nfinally:\n    x = None\nreturn y"),
    ),
    Case(
        "falls_back_to_torch",
        m(
            "try:\n    return self.kernel((1,), (1,), (x,))\nexcept:\n    return self.linear(x)  # HERE",
            init="self.kernel = MODULE.get_function('scale')\nself.linear = nn.Linear(n, n)",
        ),
        m("try:\n    import numpy\nexcept ImportError:\n    numpy = None\nreturn run(x)"),
    ),
    Case(
        "fall_back_possible",
        m(top="try:\n    SPARE = cupy.RawModule(code=CUDA)\nexcept Exception:  # HERE\n    SPARE = None"),
        m(top="try:\n    import cupyx\nexcept ImportError:\n    cupyx = None"),
    ),
    Case(
        "fall_back_possible",
        m("try:\n    n = int(x[0])\nexcept Exception:\n    return torch.relu(x)  # HERE\nreturn run(x)"),
        m("try:\n    n = int(x[0])\nexcept Exception:\n    n = 4\nreturn run(x)"),
    ),
)

STATE = (
    Case(
        "state_between_calls",
        m("self.last = run(x)  # HERE\nreturn self.last"),
        m("last = run(x)\nreturn last", init="self.last = None"),
    ),
    Case(
        "state_between_calls",
        m("SEEN[x.shape] = run(x)  # HERE\nreturn SEEN[x.shape]", top="SEEN = {}"),
        m("seen = {}\nseen[x.shape] = run(x)\nreturn seen[x.shape]"),
    ),
    Case(
        "state_between_calls",
        m("SEEN.append(x)  # HERE\nreturn run(x)", top="SEEN = []"),
        m("seen = []\nseen.append(x)\nreturn run(x)"),
    ),
    Case(
        "state_between_calls",
        m("global LAST\nLAST = run(x)  # HERE\nreturn LAST", top="LAST = None"),
        m("LAST = run(x)\nreturn LAST", top="LAST = None"),
    ),
    Case(
        "state_between_calls",
        m(
            "return keep(4)",
            top="import functools\n@functools.lru_cache\ndef keep(n):  # HERE\n    return run(torch.empty(n))",
        ),
        m(
            "return keep(4)(x)",
            top="import functools\n@functools.lru_cache\ndef keep(n):\n    return MODULE.get_function('scale')",
        ),
    ),
    Case(
        "state_between_calls",
        m("self.seen.update(a=x)  # HERE\nreturn run(x)", init="self.seen = {}"),
        m("return run(x)", init="self.seen = {}\nself.seen.update(a=1)"),
    ),
    Case(
        "state_between_calls",
        m("ModelNew.last = x  # HERE\nreturn run(x)"),
        m("class Box:\n    pass\nbox = Box()\nreturn run(x)"),
    ),
    Case(
        "state_between_calls",
        m("return go(x)", top="def go(x, seen=[]):\n    seen.append(x)  # HERE\n    return run(x)"),
        m("return go(x)", top="def go(x, seen=()):\n    seen = [*seen, x]\n    return run(x)"),
    ),
    Case(
        "call_counter",
        m("self.calls += 1  # HERE\nreturn run(x)", init="self.calls = 0"),
        m("calls = 0\ncalls += 1\nreturn run(x)"),
    ),
    Case(
        "call_counter",
        m("global N\nN = N + 1  # HERE\nreturn run(x)", top="N = 0"),
        m("n = 0\nn = n + 1\nreturn run(x)"),
    ),
    Case(
        "pointer_cache",
        m("return SEEN[x.data_ptr()]  # HERE", top="SEEN = {}"),
        m("p = [x.data_ptr()]\nreturn run(x)", top="SEEN = {}"),
    ),
    Case(
        "pointer_cache",
        m("if id(x) in SEEN:  # HERE\n    pass\nreturn run(x)", top="SEEN = set()"),
        m("if x.ndim in SIZES:\n    pass\nreturn run(x)", top="SIZES = {2}"),
    ),
    Case(
        "pointer_cache",
        m("if x.data_ptr() == self.last:  # HERE\n    return x\nreturn run(x)", init="self.last = 0"),
        m("if x.data_ptr() == 0:\n    return x\nreturn run(x)"),
    ),
    Case(
        "kept_kernel",
        m(
            "if self.kernel is None:\n    self.kernel = MODULE.get_function('scale')  # HERE\nself.kernel((1,), (1,), (x,))\nreturn x",
            init="self.kernel = None",
        ),
        m("kernel = MODULE.get_function('scale')\nkernel((1,), (1,), (x,))\nreturn x"),
    ),
    Case(
        "stream",
        m("with torch.cuda.stream(torch.cuda.Stream()):  # HERE\n    return run(x)"),
        m("s = torch.cuda.current_stream()\nreturn run(x)"),
    ),
    Case(
        "stream",
        m("s = cupy.cuda.Stream(non_blocking=True)  # HERE\nreturn run(x)"),
        m("s = cupy.cuda.ExternalStream(torch.cuda.current_stream().cuda_stream)\nreturn run(x)"),
    ),
    Case(
        "graph",
        m("g = torch.cuda.CUDAGraph()  # HERE\nreturn run(x)"),
        m("g = 'torch.cuda.CUDAGraph()'\nreturn run(x)"),
    ),
    Case("clock", m("import time\nt = time.time()  # HERE\nreturn run(x)"), m("import time\nreturn run(x)")),
    Case(
        "clock",
        m("e = torch.cuda.Event(enable_timing=True)  # HERE\nreturn run(x)"),
        m("e = 'time.time()'\nreturn run(x)"),
    ),
    Case(
        "file_in_forward",
        m("open('a.bin').read()  # HERE\nreturn run(x)"),
        m("return run(x)", top="def source():\n    return 4"),
    ),
    Case("file", m(top="TEXT = open('a.cu').read()  # HERE"), m(top="TEXT = 'open'")),
    Case("left_to_host", m("v = x.tolist()  # HERE\nreturn run(x)"), m("v = x.size()\nreturn run(x)")),
    Case("left_to_host", m("v = np.exp(x)  # HERE\nreturn run(x)"), m("v = np.float32(4)\nreturn run(x)")),
    Case("tensor_operator", m("return run(x) if x is None else x * 2  # HERE"), m("n = x.shape[0] * 2\nreturn run(x)")),
    Case(
        "persisting_l2",
        m(top="cupy.cuda.runtime.deviceSetLimit(6, 1024)  # HERE"),
        m(top="n = cupy.cuda.runtime.getDevice()"),
    ),
    Case(
        "source_not_analysed",
        m(top="SPARE = cupy.RawModule(code=open('k.cu').read())  # HERE"),
        m(top="SPARE = cupy.RawModule(code=CUDA)"),
    ),
)

CASES = (*MODEL, *LAUNCHES, *PATCHES, *REACHES, *TORCH, *FALLBACKS, *STATE)
