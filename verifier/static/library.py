"""Which names of Python's and other libraries fall under which rule, when code uses them.

A name is dotted and as imported (`subprocess.run`). An entry ending in ``.`` stands for all below it; the longest that
fits decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

from kernelwright.verifier.static.wordlists import words

__all__ = ["rule_of_call", "rule_of_use"]

_TABLE: Mapping[str, str] = MappingProxyType(
    {
        "walks_memory": """
            gc.get_objects gc.get_referrers gc.get_referents sys._current_frames tracemalloc. objgraph. muppy. pympler.
            threading._profile_hook sys.setprofile sys.settrace threading.setprofile threading.settrace sys.call_tracing
            torch.utils._python_dispatch._get_current_dispatch_mode_stack
        """,
        "reaches_into_process": """
            ctypes.pythonapi. ctypes.pythonapi ctypes.PyDLL ctypes.py_object ctypes.memmove ctypes.memset ctypes.string_at
            ctypes.wstring_at ctypes.pydll. _ctypes.PyObj_FromPtr
        """,
        "starts_process": """
            subprocess. os.fork os.forkpty os.system os.popen os.posix_spawn os.posix_spawnp os.execl os.execle os.execlp
            os.execlpe os.execv os.execve os.execvp os.execvpe os.spawnl os.spawnle os.spawnlp os.spawnv os.spawnve os.spawnvp
            multiprocessing.Process multiprocessing.Pool multiprocessing.Manager multiprocessing.get_context
            multiprocessing.pool. multiprocessing.process. multiprocessing.managers. torch.multiprocessing.Process
            torch.multiprocessing.spawn torch.multiprocessing.Pool torch.multiprocessing.get_context
            torch.multiprocessing.start_processes concurrent.futures.ThreadPoolExecutor
            concurrent.futures.ProcessPoolExecutor concurrent.futures.thread. concurrent.futures.process. threading.Thread
            threading.Timer _thread.start_new_thread _thread.start_new _thread.start_joinable_thread pty. _posixsubprocess.
            asyncio.create_subprocess_exec asyncio.create_subprocess_shell asyncio.to_thread
        """,
        "network": """
            socket.socket socket.create_connection socket.create_server socket.socketpair socket.fromfd _socket.socket
            urllib.request. http.client. http.server. requests. httpx. aiohttp. urllib3. ftplib. smtplib. telnetlib.
            xmlrpc. websockets. paramiko. socketserver. ssl.wrap_socket ssl.SSLContext asyncio.open_connection
            asyncio.start_server torch.hub. torch.distributed.init_process_group torch.distributed.TCPStore
            torch.distributed.rpc. huggingface_hub. multiprocessing.connection.
        """,
        "reaches_for_judge": "kernelwright kernelwright. kernelwright_task kernelwright_task.",
        "compiles_reference": """
            torch.compile torch.jit.script torch.jit.trace torch.jit.freeze torch.jit.load torch._dynamo. torch._inductor.
            torch.fx. torch.compiler. torch.export. torch._lazy. torch.jit.CompilationUnit
        """,
        "runs_text": "builtins.eval builtins.exec builtins.compile code. codeop. runpy. marshal.loads types.CodeType types.FunctionType",
        "stream": """
            torch.cuda.Stream torch.cuda.stream torch.cuda.set_stream torch.cuda.streams.Stream cupy.cuda.Stream
            cupy.cuda.stream.Stream torch.Stream torch.cuda.ExternalStream
        """,
        "graph": """
            torch.cuda.CUDAGraph torch.cuda.graph torch.cuda.graphs. torch.cuda.make_graphed_callables
            torch.cuda.graph_pool_handle cupy.cuda.Graph cupy.cuda.graph.
        """,
        "clock": """
            time.time time.time_ns time.perf_counter time.perf_counter_ns time.monotonic time.monotonic_ns time.process_time
            time.process_time_ns time.thread_time time.sleep time.clock_gettime timeit. torch.cuda.Event cupy.cuda.Event
            datetime.datetime.now datetime.datetime.utcnow cupyx.profiler. torch.profiler. torch.autograd.profiler. cProfile.
        """,
        "precision_flag": """
            torch.set_float32_matmul_precision torch.use_deterministic_algorithms torch.set_default_dtype
            torch.set_default_device torch.set_default_tensor_type torch.autocast torch.amp.autocast torch.cuda.amp.
            torch.set_flush_denormal torch.set_autocast_enabled torch.set_autocast_dtype
            torch._C._set_cublas_allow_tf32 torch.backends.cuda.sdp_kernel torch.nn.attention.sdpa_kernel
        """,
        "tensor_subclass": """
            torch.Tensor._make_subclass torch.Tensor._make_wrapper_subclass torch.utils._python_dispatch.
            torch.overrides.TorchFunctionMode torch.Tensor.as_subclass torch._subclasses. torch.utils._pytree.register_pytree_node
        """,
        "library_state": """
            sys.modules sys.meta_path sys.path_hooks sys.path_importer_cache sys._getframe inspect.stack inspect.currentframe
            inspect.getouterframes inspect.getinnerframes inspect.trace traceback.extract_stack traceback.walk_stack
            traceback.print_stack gc.disable gc.freeze gc.set_threshold gc.callbacks sys.setswitchinterval sys.excepthook
            sys.displayhook sys.addaudithook builtins.__dict__ torch.random.get_rng_state torch.get_rng_state
            torch.set_rng_state torch.initial_seed torch.random.initial_seed torch.cuda.initial_seed
            torch.default_generator torch.Generator.initial_seed weakref. torch.library.impl torch.library.register_kernel
            torch.library.Library torch.nn.modules.module.register_module_forward_hook
            torch.nn.modules.module.register_module_forward_pre_hook torch.overrides.
        """,
        "file_in_forward": """
            os.remove os.unlink os.rename os.replace os.truncate os.mkfifo os.symlink os.link shutil. os.open os.write
            os.pwrite os.ftruncate os.sendfile os.memfd_create mmap. multiprocessing.shared_memory. sqlite3. shelve. dbm.
        """,
        "loads_library": """
            ctypes.CDLL ctypes.cdll ctypes.cdll. ctypes.LibraryLoader ctypes.util.find_library cffi. torch.ops.load_library
            torch.classes.load_library _ctypes.dlopen ctypes.WinDLL ctypes.windll. numpy.ctypeslib.
        """,
        "signal": """
            signal. os.kill os.killpg os._exit os.abort sys.exit builtins.exit builtins.quit atexit. faulthandler. resource.
            builtins.SystemExit builtins.KeyboardInterrupt os.nice os.sched_setaffinity os.setpriority
        """,
        "persisting_l2": """
            cupy.cuda.runtime.deviceSetLimit cupy.cuda.runtime.streamSetAttribute cuda.bindings.runtime.cudaDeviceSetLimit
            cuda.bindings.driver.cuCtxSetLimit
        """,
        "file": "builtins.open io.open io.FileIO pathlib.Path.read_text pathlib.Path.write_text tempfile. os.makedirs os.mkdir",
        "environment": "os.environ os.environ. os.getenv os.putenv os.environb os.unsetenv",
    }
)

_WHEN_CALLED = words("network starts_process clock file stream graph file_in_forward signal runs_text precision_flag")
"""Rules that only a call falls under: to import, to name in an annotation or to compare is no use."""


@cache
def _uses() -> Mapping[str, str]:
    return MappingProxyType({name: rule for rule, text in _TABLE.items() for name in words(text)})


def rule_of_use(name: str) -> str | None:
    """The rule that naming `name` falls under."""
    rule = _look_up(name)
    return None if rule in _WHEN_CALLED else rule


def rule_of_call(name: str) -> str | None:
    """The rule that calling `name` falls under."""
    return _look_up(name)


def _look_up(name: str) -> str | None:
    table = _uses()
    if name in table:
        return table[name]
    prefix = name
    while "." in prefix:
        prefix = prefix.rpartition(".")[0]
        if f"{prefix}." in table:
            return table[f"{prefix}."]
    return None
