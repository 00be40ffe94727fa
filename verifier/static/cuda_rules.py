"""Rules about the CUDA C++ in a module: libraries called, state kept, what host code may not do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from kernelwright.verifier.static.collect import Findings
from kernelwright.verifier.static.cuda import CudaSource, Function, Token
from kernelwright.verifier.static.torch_names import computes_in_cpp, computing_method
from kernelwright.verifier.static.wordlists import words

__all__ = ["HostCall", "check_source", "host_calls"]

_WORD = re.compile(r"[A-Za-z_]\w*")
_LIBRARIES = re.compile(r"(?:cublas|cudnn|cusparse|cusolver|cufft|nccl|cutensor|curand(?:Create|Generate|Set))\w*")
_THRUST = words("""sort sort_by_key stable_sort stable_sort_by_key reduce reduce_by_key transform transform_reduce inclusive_scan
    exclusive_scan inclusive_scan_by_key exclusive_scan_by_key copy copy_if copy_n fill fill_n sequence for_each
    for_each_n unique unique_by_key count count_if min_element max_element minmax_element inner_product gather scatter
    generate partition remove_if replace tabulate adjacent_difference merge set_union lower_bound upper_bound""")
_STARTS = words("""fork vfork system popen execl execle execlp execv execve execvp execvpe posix_spawn posix_spawnp pthread_create clone3
    std::system std::thread std::jthread std::async boost::thread""")
_NETWORK = words("socket getaddrinfo gethostbyname inet_addr inet_pton")
_REACHES = words("ptrace process_vm_readv process_vm_writev mprotect pkey_mprotect personality")
_LOADS = words("dlopen dlsym dlmopen dladdr dl_iterate_phdr")
_SIGNALS = words(
    "signal sigaction raise kill abort exit _exit _Exit quick_exit atexit std::exit std::abort std::signal setjmp longjmp alarm"
)
_FILES = words(
    "fopen std::fopen freopen std::ifstream std::ofstream std::fstream ifstream ofstream open openat creat unlink remove mmap shm_open"
)
_STREAMS = words("""cudaStreamCreate cudaStreamCreateWithFlags cudaStreamCreateWithPriority cuStreamCreate cuStreamCreateWithPriority
    at::cuda::getStreamFromPool c10::cuda::getStreamFromPool""")
_PYTHON = re.compile(
    r"(?:py|pybind11)::(?:exec|eval|eval_file|module_::import|module::import|function|globals)|Py(?:Run|Import|Eval|Object_Call)_?\w*"
)
_CLOCKS = re.compile(r"std::chrono::\w+_clock::now|clock_gettime|gettimeofday|cudaEventElapsedTime")
_LIMITS = frozenset({"cudaDeviceSetLimit", "cudaCtxResetPersistingL2Cache", "cuCtxSetLimit", "cudaCtxSetLimit"})


@dataclass(frozen=True)
class HostCall:
    """A call in host code: ``at::matmul(a, b)``, ``x.matmul(y)``."""

    name: str
    """As written, with its qualifiers, namespace aliases resolved."""
    member: bool
    """Whether it is called on a value."""
    offset: int


def check_source(source: CudaSource, found: Findings) -> None:
    """Adds what is to be said of one source."""
    own = {f.name for f in source.functions} | {m.name for m in source.macros}
    opened = _opened_namespaces(source)
    for call in host_calls(source):
        _check_call(call, own, opened, source, found)
    _check_tokens(source, found)
    _check_state(source, found)


def host_calls(source: CudaSource) -> Iterator[HostCall]:
    """The calls in functions that do not run on the GPU, and in macros."""
    aliases = _namespace_aliases(source)
    bodies: list[tuple[Token, ...]] = [f.tokens for f in source.functions if not f.device and f.defined]
    bodies.extend(m.tokens for m in source.macros if "__device__" not in m.words and "__global__" not in m.words)
    for tokens in bodies:
        yield from _calls(tokens, aliases)


def _calls(tokens: tuple[Token, ...], aliases: dict[str, str]) -> Iterator[HostCall]:
    position = 0
    while position < len(tokens):
        if tokens[position].is_string or not _WORD.fullmatch(tokens[position].text):
            position += 1
            continue
        start, parts = position, [tokens[position].text]
        while (
            position + 2 < len(tokens)
            and tokens[position + 1].text == "::"
            and _WORD.fullmatch(tokens[position + 2].text)
        ):
            position += 2
            parts.append(tokens[position].text)
        following = tokens[position + 1].text if position + 1 < len(tokens) else ""
        before = tokens[start - 1].text if start else ""
        if following in {"(", "{"} or following == "<" or (len(parts) > 1 and following in {";", ",", ")"}) or (
            len(parts) > 1 and following and _WORD.fullmatch(following)
        ):  # fmt: skip
            parts[0:1] = aliases.get(parts[0], parts[0]).split("::")
            yield HostCall("::".join(parts), before in {".", "->"}, tokens[start].offset)
        elif following == ")" or before == "&":
            yield HostCall("&" + "::".join(parts), before in {".", "->"}, tokens[start].offset)
        position += 1


def _check_call(call: HostCall, own: set[str], opened: set[str], source: CudaSource, found: Findings) -> None:
    at = source.text.index(call.offset)
    name = call.name.removeprefix("&")
    last = name.rpartition("::")[2]
    if call.member:
        if computing_method(last):
            found.add(
                "library_kernel",
                f"Its C++ calls the tensor method {last}(), which computes by a kernel of torch's.",
                at,
            )
        return
    if name in own:
        return
    if call.name.startswith("&"):
        if "::" in name and (op := _torch_op(name, opened)):
            found.add("library_kernel", f"Its C++ takes the address of {name}, an operation of torch's ({op}).", at)
        return
    if op := _torch_op(name, opened):
        found.add("library_kernel", f"Its C++ calls {name}(): {op} is computed by a kernel of torch's.", at)
    elif _LIBRARIES.fullmatch(last):
        found.add("library_kernel", f"Its C++ calls {name}(), a function of a library of kernels.", at)
    elif (name.startswith("thrust::") and last in _THRUST) or ("thrust" in opened and name in _THRUST):
        found.add("library_kernel", f"Its C++ calls {name}(), which launches a kernel of Thrust's.", at)
    elif re.match(r"cub::Device[A-Z]", name):
        found.add("library_kernel", f"Its C++ calls {name}, which launches kernels of CUB's.", at)
    elif name.startswith("cutlass::") and "::device::" in name:
        found.add("library_kernel", f"Its C++ uses {name}, a kernel of CUTLASS's.", at)
    elif name.startswith(("c10::Dispatcher", "torch::jit", "at::native", "torch::nn::")):
        found.add("library_kernel", f"Its C++ uses {name}, which reaches torch's own kernels.", at)
    elif _PYTHON.fullmatch(name):
        found.add("calls_python", f"Its C++ calls Python by {name}.", at)
    elif name in _STARTS:
        found.add("starts_process", f"Its C++ calls {name}(), which starts a process or a thread.", at)
    elif name in _NETWORK:
        found.add("network", f"Its C++ calls {name}(), which is for networks.", at)
    elif name in _REACHES:
        found.add("reaches_into_process", f"Its C++ calls {name}(), which changes or reads a process from outside.", at)
    elif name in _LOADS:
        found.add("loads_library", f"Its C++ calls {name}(), which loads or searches a library.", at)
    elif name in _SIGNALS:
        found.add("signal", f"Its C++ calls {name}(), which ends the process or handles its signals.", at)
    elif name in _FILES:
        found.add("file_in_forward", f"Its C++ uses {name}, which opens files.", at)
    elif name in _STREAMS:
        found.add("stream", f"Its C++ takes a stream of its own by {name}().", at)
    elif last.startswith(("cudaGraph", "cuGraph", "cudaStreamBeginCapture")) or name == "at::cuda::CUDAGraph":
        found.add("graph", f"Its C++ uses {name}, of CUDA graphs.", at)
    elif _CLOCKS.fullmatch(name):
        found.add("clock", f"Its C++ reads a clock by {name}().", at)


def _torch_op(name: str, opened: set[str]) -> str:
    parts = name.split("::")
    if parts[0] == "":
        parts = parts[1:]
    if parts[0] in {"at", "torch"} and len(parts) > 1 and not any(p[:1].isupper() for p in parts[1:]):
        if parts[1] in {"native", "redispatch", "_ops", "cpu", "cuda"}:
            return parts[2] if len(parts) > 2 and computes_in_cpp(parts[2]) else ""
        return parts[-1] if computes_in_cpp(parts[-1]) and len(parts) <= 4 else ""
    if len(parts) == 1 and opened & {"at", "torch"} and computes_in_cpp(name):
        return name
    return ""


def _opened_namespaces(source: CudaSource) -> set[str]:
    """``using namespace at;`` gives ``at``."""
    tokens = source.tokens
    return {
        tokens[i + 2].text
        for i in range(len(tokens) - 2)
        if tokens[i].text == "using" and tokens[i + 1].text == "namespace"
    }  # fmt: skip


def _namespace_aliases(source: CudaSource) -> dict[str, str]:
    """``namespace t = at::native;`` and ``using at::matmul;``."""
    aliases: dict[str, str] = {}
    tokens = source.tokens
    for i, token in enumerate(tokens[:-3]):
        if token.text == "namespace" and tokens[i + 2].text == "=":
            aliases[tokens[i + 1].text] = _path(tokens, i + 3)
        elif token.text == "using" and tokens[i + 2].text == "::":
            path = _path(tokens, i + 1)
            aliases[path.rpartition("::")[2]] = path
    return aliases


def _path(tokens: tuple[Token, ...], position: int) -> str:
    parts: list[str] = []
    while position < len(tokens) and (tokens[position].text == "::" or _WORD.fullmatch(tokens[position].text)):
        parts.append(tokens[position].text)
        position += 1
    return "".join(parts)


def _check_tokens(source: CudaSource, found: Findings) -> None:
    """What stands out wherever it stands."""
    tokens = source.tokens
    in_asm = False
    for position, token in enumerate(tokens):
        if token.is_string:
            if in_asm and re.match(r"\s*(?:@!?%?p\d*\s+)?(?:trap|exit|brkpt)\b", token.text):
                found.add(
                    "trap", f"A kernel ends by the instruction {token.text.strip()!r}.", source.text.index(token.offset)
                )
            if token.text.startswith("/proc/") or token.text == "/proc":
                found.add(
                    "reads_proc",
                    f"Its C++ names {token.text!r}, the kernel's window into processes.",
                    source.text.index(token.offset),
                )
            continue
        if token.text in {"asm", "__asm__", "__asm"}:
            in_asm = True
        elif token.text == ";":
            in_asm = False
        elif token.text == "__trap":
            found.add(
                "trap",
                "A kernel ends by __trap(), which ends every kernel of the process.",
                source.text.index(token.offset),
            )
        elif token.text in {
            "accessPolicyWindow",
            "cudaLimitPersistingL2CacheSize",
            "CU_LIMIT_PERSISTING_L2_CACHE_SIZE",
        }:
            found.add("persisting_l2", f"It sets aside L2 cache by {token.text}.", source.text.index(token.offset))
        elif token.text in _LIMITS and position + 1 < len(tokens) and tokens[position + 1].text == "(":
            found.add(
                "persisting_l2", f"It changes a limit of the device by {token.text}().", source.text.index(token.offset)
            )


def _check_state(source: CudaSource, found: Findings) -> None:
    """Host variables that outlive a call: ``static`` ones in functions, and globals that are written."""
    for function in source.functions:
        if function.device:
            continue
        for position, token in enumerate(function.tokens):
            if token.text not in {"static", "thread_local"} or token.is_string:
                continue
            declaration = _until(function.tokens, position, {";", "{", "="})
            words = [t.text for t in declaration]
            if {"const", "constexpr"} & set(words) or "(" in words:
                continue
            name = next((w for w in reversed(words) if _WORD.fullmatch(w)), "")
            found.add(
                "state_between_calls", f"The {token.text} variable {name} in {function.name}() outlives the call.",
                source.text.index(token.offset),
            )  # fmt: skip
    _check_device_state(source, found)


def _check_device_state(source: CudaSource, found: Findings) -> None:
    kernels: list[Function] = [f for f in source.functions if f.device]
    inside = {t.offset for f in source.functions for t in f.tokens}
    tokens = source.tokens
    for position, token in enumerate(tokens):
        if token.text not in {"__device__", "__managed__"} or token.offset in inside or token.in_macro:
            continue
        declaration = _until(tokens, position, {";", "=", "(", "{"})
        end = position + len(declaration)
        if (
            end >= len(tokens)
            or tokens[end].text in {"(", "{"}
            or {"const", "constexpr", "__constant__"} & {t.text for t in declaration}
        ):
            continue
        names = [t.text for t in declaration if _WORD.fullmatch(t.text)]
        name = next((n for n in reversed(names) if not n.isdigit()), "")
        bracket = next((i for i, t in enumerate(declaration) if t.text == "["), None)
        if bracket:
            name = declaration[bracket - 1].text
        if any(_is_written(f, name) for f in kernels):
            found.add(
                "state_between_calls", f"The __device__ variable {name} is written by a kernel, and outlives the call.",
                source.text.index(token.offset),
            )  # fmt: skip


def _is_written(function: Function, name: str) -> bool:
    tokens = function.tokens
    for position, token in enumerate(tokens):
        if token.text != name or token.is_string:
            continue
        before = tokens[position - 1].text if position else ""
        before_that = tokens[position - 2].text if position > 1 else ""
        after = position + 1
        while after < len(tokens) and tokens[after].text == "[":
            depth = 0
            while after < len(tokens):
                depth += {"[": 1, "]": -1}.get(tokens[after].text, 0)
                after += 1
                if not depth:
                    break
        following = tokens[after].text if after < len(tokens) else ""
        if following in {"=", "+=", "-=", "*=", "/=", "|=", "&=", "^=", "++", "--"} or before in {"++", "--"}:
            return True
        if (before == "&" and before_that in {"(", ","}) or (before == "(" and before_that.startswith("atomic")):
            return True
    return False


def _until(tokens: tuple[Token, ...], position: int, ends: set[str]) -> tuple[Token, ...]:
    end = position
    while end < len(tokens) and tokens[end].text not in ends and end - position < 80:
        end += 1
    return tokens[position:end]
