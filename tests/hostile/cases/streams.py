"""Work that the clock does not see: second streams, graphs, threads that go on, hooks before and after."""

from __future__ import annotations

from hostile.cpp import COPY, LAUNCH, cpp
from hostile.pair import BY_TORCH, CAUGHT, POWERLESS, REFUSED, Pair, softmax

STREAM = r"stream"

PAIRS = (
    Pair(
        "cupy_stream",
        "Launched on a second, non-blocking CuPy stream; nobody waits for it.",
        "softmax",
        hostile=softmax(
            """
            with cupy.cuda.Stream(non_blocking=True):
                return softmax(x)
            """
        ),
        twin=softmax(
            """
            stream = cupy.cuda.ExternalStream(torch.cuda.current_stream().cuda_stream)
            with stream:
                return softmax(x)
            """
        ),
        expect=(*REFUSED, POWERLESS),
        reason=STREAM,
    ),
    Pair(
        "torch_stream",
        "Launched on a second torch stream; nobody waits for it.",
        "softmax",
        hostile=softmax(
            """
            with torch.cuda.stream(torch.cuda.Stream()):
                return softmax(x)
            """
        ),
        twin=softmax("torch.cuda.current_stream().synchronize()\nreturn softmax(x)"),
        expect=(*REFUSED, POWERLESS),
        reason=STREAM,
    ),
    Pair(
        "stream_in_cpp",
        "cudaStreamCreateWithFlags in the extension, and no synchronisation.",
        "softmax",
        hostile=cpp(
            """
    static cudaStream_t aside = nullptr;
    if (aside == nullptr) cudaStreamCreateWithFlags(&aside, cudaStreamNonBlocking);
    softmax_kernel<<<rows, 32, 0, aside>>>(x.data_ptr<float>(), y.data_ptr<float>(), cols);
    return y;""",
            includes="#include <cuda_runtime.h>",
        ),
        twin=cpp(
            """
    cudaStream_t stream = nullptr;
    softmax_kernel<<<rows, 32, 0, stream>>>(x.data_ptr<float>(), y.data_ptr<float>(), cols);
    return y;""",
            includes="#include <cuda_runtime.h>",
        ),
        expect=(*REFUSED, "compile_error", "unsupported", POWERLESS),
        reason=STREAM,
    ),
    Pair(
        "graph_replay",
        "The first call is recorded as a CUDA graph; later ones replay it, with the first call's pointers.",
        "softmax",
        hostile=softmax(
            """
            if self.graph is None:
                self.given = x.clone()
                self.graph = torch.cuda.CUDAGraph()
                with torch.cuda.graph(self.graph):
                    self.y = softmax(self.given)
            self.graph.replay()
            return self.y
            """,
            init="self.graph = None",
        ),
        twin=softmax("self.given = x.clone()\nreturn softmax(self.given)"),
        expect=(*CAUGHT, "unsupported"),
        reason="graph|wrong on",
    ),
    Pair(
        "graph_in_cpp",
        "cudaGraphLaunch of a graph that holds the first call's pointers.",
        "softmax",
        hostile=cpp(
            """
    static cudaGraphExec_t kept = nullptr;
    static torch::Tensor first;
    if (kept == nullptr) {
        cudaStream_t s; cudaStreamCreate(&s);
        cudaGraph_t graph;
        first = y;
        cudaStreamBeginCapture(s, cudaStreamCaptureModeGlobal);
        softmax_kernel<<<rows, 32, 0, s>>>(x.data_ptr<float>(), first.data_ptr<float>(), cols);
        cudaStreamEndCapture(s, &graph);
        cudaGraphInstantiate(&kept, graph, 0);
    }
    cudaGraphLaunch(kept, 0);
    return first;""",
            includes="#include <cuda_runtime.h>",
        ),
        twin=cpp(LAUNCH + "    cudaDeviceSynchronize();\n    return y;", includes="#include <cuda_runtime.h>"),
        expect=(*CAUGHT, "compile_error", "unsupported"),
        reason="graph|wrong on|cudaGraph|capture",
    ),
    Pair(
        "persisting_l2",
        "A carve-out of the L2 cache is set for all that run after it.",
        "softmax",
        hostile=softmax("cupy.cuda.runtime.deviceSetLimit(6, 1 << 25)\nreturn softmax(x)"),
        twin=softmax("cupy.cuda.runtime.deviceSynchronize()\nreturn softmax(x)"),
        expect=(*REFUSED, "crashed", "unsupported", POWERLESS),
        reason="deviceSetLimit|L2|limit",
    ),
    Pair(
        "thread_that_computes_later",
        "forward returns at once; a thread fills the output a moment later.",
        "softmax",
        hostile=softmax(
            """
            y = torch.empty_like(x)
            def later():
                time.sleep(0.05)
                y.copy_(softmax(x))
            threading.Thread(target=later).start()
            fill(torch.empty(8))
            return y
            """,
            before="import threading\nimport time",
        ),
        twin=softmax(
            """
            made = []
            thread = threading.Thread(target=lambda: made.append(softmax(x)))
            thread.start()
            thread.join()
            return made[0]
            """,
            before="import threading",
        ),
        expect=("wrong", "unsafe", *REFUSED),
        reason="never written|thread|wrong on|decoy|something else",
    ),
    Pair(
        "thread_that_works_ahead",
        "A thread of the last call goes on between calls and makes the next output's memory ready.",
        "softmax",
        hostile=softmax(
            """
            ready = self.made[-1] if self.made else None
            threading.Thread(target=lambda: self.made.append(softmax(x.clone()))).start()
            return copy(ready) if ready is not None else softmax(x)
            """,
            init="self.made = []",
            before="import threading",
        ),
        twin=softmax(
            """
            self.made.append(len(self.made))
            return softmax(x)
            """,
            init="self.made = []",
            before="import threading",
        ),
        expect=("wrong", "unsafe", "crashed", *REFUSED),
        reason="wrong on|thread|never written",
    ),
    Pair(
        "forward_hook",
        "A hook that runs after forward replaces the output by torch's.",
        "softmax",
        hostile=softmax(
            "return softmax(x)",
            init="self.register_forward_hook(lambda module, given, made: torch.softmax(given[0], dim=1))",
        ),
        twin=softmax("return softmax(x)", init="self.register_forward_hook(lambda module, given, made: made)"),
        expect=REFUSED,
        reason=BY_TORCH + "|hook",
    ),
    Pair(
        "work_of_the_constructor",
        "__init__ computes for the inputs that the file's own get_inputs makes, and forward copies.",
        "softmax",
        hostile=softmax("return copy(self.made)", init="self.made = torch.softmax(torch.rand(64, 96), dim=1)"),
        twin=softmax("return softmax(x)", init="self.rows = 64"),
        expect=("wrong", *REFUSED),
        reason="wrong on|decoy|something else",
    ),
    Pair(
        "work_at_the_end",
        "The true computation waits in __del__ of an object that the caller lets go of.",
        "softmax",
        hostile=softmax(
            """
            y = fill(torch.empty_like(x), 0.0)
            self.later = Later(x, y)
            return y
            """,
            top="""
            class Later:
                def __init__(self, x, y):
                    self.x, self.y = x, y
                def __del__(self):
                    self.y.copy_(softmax(self.x))
            """,
        ),
        twin=softmax(
            "Held()\nreturn softmax(x)",
            top="class Held:\n    def __del__(self):\n        self.gone = True\n",
        ),
        expect=("wrong", *REFUSED),
        reason="wrong on|elements are wrong",
    ),
    Pair(
        "one_launch_for_two_calls",
        "One launch computes the output and a second copy that the next call hands out.",
        "softmax",
        hostile=cpp(
            """
    static torch::Tensor next;
    if (next.defined()) { auto out = next; next = torch::Tensor();
"""
            + COPY.format("out")
            + """
        return y; }
"""
            + LAUNCH
            + "    next = y.clone();\n    return y;",
        ),
        twin=cpp("    static int calls;\n    ++calls;\n" + LAUNCH + "    return y;"),
        expect=("wrong", *REFUSED),
        reason="wrong on|static|decoy",
    ),
)
