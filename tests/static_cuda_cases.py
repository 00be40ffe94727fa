"""Rules about CUDA C++: for each, code that falls under it and its honest twin. `HERE` marks the line."""

from __future__ import annotations

from static_modules import HOST, Case, device_code, extension_module, host_code

LIBRARY = tuple(
    Case("library_kernel", host_code(f"{hostile} // HERE", top=top), host_code(honest, top=top))
    for hostile, honest, top in (
        ("auto z = torch::matmul(x, x);", "auto z = torch::empty({4});", ""),
        ("auto z = at::softmax(x, 1);", "auto z = at::zeros_like(x);", ""),
        ("auto z = x.matmul(x);", "auto z = x.contiguous();", ""),
        ("auto z = at::native::layer_norm(x);", "auto z = at::cuda::getCurrentCUDAStream();", ""),
        ("auto z = at::linalg_norm(x);", "auto z = at::ceil_div(4, 2);", ""),
        ("auto z = torch::nn::functional::relu(x);", "auto z = torch::TensorOptions();", ""),
        ("auto z = t::relu(x);", "auto z = t::empty_like(x);", "namespace t = torch;"),
        ("auto z = softmax(x, 1);", "auto z = empty_like(x);", "using namespace at;"),
        ("auto z = matmul(x, x);", "auto z = zeros(4);", "using at::matmul; using at::zeros;"),
        ("auto f = &at::matmul;", "auto f = &scale;", ""),
        ("cublasSgemm(h, 1);", "// cublasSgemm(h, 1);", ""),
        ("cudnnSoftmaxForward(h);", 'const char* s = "cudnnSoftmaxForward(h)";', ""),
        ("thrust::sort(a, b);", "thrust::pair<int, int> p(1, 2);", ""),
        ("cub::DeviceReduce::Sum(a, b);", "using Reduce = cub::BlockReduce<float, 128>;", ""),
        ("cutlass::gemm::device::Gemm<float> g;", "cutlass::half_t h;", ""),
        ("curandGenerateUniform(g, p, n);", "int curand_seed = 4;", ""),
        ("auto op = c10::Dispatcher::singleton();", "auto op = c10::nullopt;", ""),
    )
)
HOSTS = tuple(
    Case(rule, host_code(f"{hostile} // HERE", top=top), host_code(honest, top=top))
    for rule, hostile, honest, top in (
        ("starts_process", "fork();", "/* fork(); */", ""),
        ("starts_process", 'system("true");', "system_of(4);", "int system_of(int n) { return n; }"),
        ("starts_process", "std::thread t(f);", "std::this_thread::get_id();", ""),
        ("starts_process", "auto f = std::async(g);", "auto f = std::make_tuple(4);", ""),
        ("network", "int s = socket(2, 1, 0);", "int socket_count = 4;", ""),
        ("reaches_into_process", "ptrace(0, 0, 0, 0);", "int ptrace_on = 0;", ""),
        ("loads_library", 'dlopen("libcublas.so", 1);', "int dl = 1;", ""),
        ("signal", "raise(9);", "TORCH_CHECK(x.is_cuda());", ""),
        ("reads_proc", 'const char* p = "/proc/self/mem";', 'const char* p = "the /proc folder";', ""),
        ("file_in_forward", 'auto f = fopen("a", "r");', 'printf("fopen");', ""),
        ("stream", "cudaStreamCreate(&s);", "auto s = at::cuda::getCurrentCUDAStream();", ""),
        ("graph", "cudaGraphLaunch(g, s);", "cudaGetLastError();", ""),
        ("clock", "auto t = std::chrono::steady_clock::now();", "auto t = std::max(1, 2);", ""),
        ("calls_python", 'py::module_::import("torch");', "py::gil_scoped_release off;", ""),
        ("calls_python", 'PyRun_SimpleString("1");', "// PyRun_SimpleString", ""),
        ("state_between_calls", "static int calls = 0;", "static const int calls = 4;", ""),
        ("state_between_calls", "thread_local torch::Tensor last;", "static constexpr int last = 4;", ""),
        (
            "persisting_l2",
            "cudaDeviceSetLimit(cudaLimitPersistingL2CacheSize, 4);",
            "cudaFuncSetAttribute(scale, a, 4);",
            "",
        ),
        ("persisting_l2", "attribute.accessPolicyWindow.num_bytes = 4;", "int accessPolicy = 4;", ""),
    )
)
DEVICE = (
    Case(
        "trap",
        device_code('asm volatile("trap;"); // HERE'),
        device_code('asm volatile("mov.u32 %0, %1;" : "=r"(a) : "r"(b));'),
    ),
    Case("trap", device_code("if (n < 0) __trap(); // HERE"), device_code("if (n < 0) return;")),
    Case(
        "state_between_calls",
        device_code("calls += 1;", top="__device__ int calls; // HERE"),
        device_code("int m = calls;", top="__device__ const int calls = 4;"),
    ),
    Case(
        "state_between_calls",
        device_code("atomicAdd(&calls[0], 1);", top="__device__ int calls[4]; // HERE"),
        device_code("float m = table[0];", top="__constant__ float table[4];"),
    ),
    Case(
        "never_launched",
        extension_module(HOST + "__global__ void spare(float* x) { x[0] = 1; } // HERE\n"),
        extension_module(
            HOST + "__global__ void spare(float* x) { x[0] = 1; }\nvoid go(float* x) { spare<<<1, 1>>>(x); }\n",
            "ops.go(x)\nreturn ops.run(x)",
            "['run', 'go']",
        ),
    ),
    Case(
        "never_launched",
        extension_module(
            HOST + "__global__ void spare(float* x) { x[0] = 1; } // HERE\nvoid go(float* x) { spare<<<1, 1>>>(x); }\n"
        ),
        extension_module(
            "#define LAUNCH(K) K<<<1, 1>>>\ntemplate <int N> __global__ void spare(float* x) { x[0] = N; }\n"
            "void go(float* x) { LAUNCH(spare<4>)(x); }\n"
            + HOST.replace("    return y;", "    go(y.data_ptr<float>());\n    return y;")
        ),
    ),
    Case(
        "no_kernel_launched",
        extension_module(HOST.replace("scale<<<(n + 127) / 128, 128>>>(", "use(")),
        extension_module(
            HOST.replace(
                "scale<<<(n + 127) / 128, 128>>>(",
                "void* a[] = {&n}; cudaLaunchKernel((void*)scale, 1, 1, a, 0, 0); use(",
            )
        ),
    ),
)

CASES = (*LIBRARY, *HOSTS, *DEVICE)
