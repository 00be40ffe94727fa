// ATen's and c10's CUDA helpers where there is no GPU: streams on which all has happened, guards that do nothing.
#pragma once

#include <ATen/AccumulateType.h>
#include <ATen/OpMathType.h>
#include <ATen/ceil_div.h>

#include <string>
#include <utility>
#include <vector>

namespace c10::cuda {

class CUDAStream {
 public:
  CUDAStream() = default;
  template <typename... Ignored> explicit CUDAStream(Ignored&&...) {}
  cudaStream_t stream() const { return nullptr; }
  operator cudaStream_t() const { return nullptr; }
  void synchronize() const {}
  bool query() const { return true; }
  int device_index() const { return 0; }
  std::int64_t id() const { return 0; }
  c10::Device device() const { return c10::Device(c10::kCPU); }
  bool operator==(const CUDAStream&) const { return true; }
  bool operator!=(const CUDAStream&) const { return false; }
};
inline CUDAStream getCurrentCUDAStream(int = -1) { return {}; }
inline CUDAStream getDefaultCUDAStream(int = -1) { return {}; }
inline CUDAStream getStreamFromPool(bool = false, int = -1) { return {}; }
inline CUDAStream getStreamFromExternal(cudaStream_t, int = -1) { return {}; }
inline void setCurrentCUDAStream(const CUDAStream&) {}
inline int device_count() { return 1; }
inline int current_device() { return 0; }
inline void set_device(int) {}
inline void device_synchronize() {}
inline int warp_size() { return 32; }

struct CUDAGuard {
  CUDAGuard() = default;
  template <typename Device> explicit CUDAGuard(const Device&) {}
  CUDAGuard(const CUDAGuard&) = delete;
  template <typename Device> void set_device(const Device&) {}
  template <typename Device> void reset_device(const Device&) {}
  void set_index(int) {}
  ~CUDAGuard() {}  // not trivial, so that an unused guard gives no warning
};
struct OptionalCUDAGuard : CUDAGuard {
  OptionalCUDAGuard() = default;
  template <typename Device> explicit OptionalCUDAGuard(const Device&) {}
};
struct CUDAStreamGuard : CUDAGuard {
  template <typename Stream> explicit CUDAStreamGuard(const Stream&) {}
};

namespace CUDACachingAllocator {
inline void emptyCache() {}
inline void* raw_alloc(size_t bytes) {
  void* pointer = nullptr;
  TORCH_CHECK(::cudaMalloc(&pointer, bytes) == cudaSuccess, "CUDA out of memory");
  return pointer;
}
inline void* raw_alloc_with_stream(size_t bytes, cudaStream_t) { return raw_alloc(bytes); }
inline void raw_delete(void* pointer) { ::cudaFree(pointer); }
template <typename Pointer> void recordStream(const Pointer&, const CUDAStream&) {}
}  // namespace CUDACachingAllocator

}  // namespace c10::cuda

namespace at::cuda {

using c10::cuda::CUDAGuard;
using c10::cuda::CUDAStream;
using c10::cuda::CUDAStreamGuard;
using c10::cuda::current_device;
using c10::cuda::device_count;
using c10::cuda::getCurrentCUDAStream;
using c10::cuda::getDefaultCUDAStream;
using c10::cuda::getStreamFromPool;
using c10::cuda::OptionalCUDAGuard;
using c10::cuda::set_device;
using c10::cuda::setCurrentCUDAStream;

inline bool is_available() { return true; }
inline cudaDeviceProp* getDeviceProperties(int = -1) {
  static cudaDeviceProp found = [] {
    cudaDeviceProp made{};
    ::cudaGetDeviceProperties(&made, 0);
    return made;
  }();
  return &found;
}
inline cudaDeviceProp* getCurrentDeviceProperties() { return getDeviceProperties(); }
inline int warp_size() { return 32; }
template <typename T> constexpr T ATenCeilDiv(T a, T b) { return (a + b - 1) / b; }
inline void stream_synchronize(cudaStream_t) {}

namespace detail {
constexpr int CUDA_NUM_THREADS = 1024;
inline int GET_BLOCKS(std::int64_t n, std::int64_t threads = CUDA_NUM_THREADS) {
  TORCH_INTERNAL_ASSERT(n > 0, "CUDA kernel launch blocks must be positive, but got N=", n);
  return static_cast<int>((n - 1) / threads + 1);
}
}  // namespace detail

}  // namespace at::cuda

namespace at {
// as ATen/core/TensorAccessor.h has it for nvcc
template <typename T> struct RestrictPtrTraits {
  typedef T* __restrict__ PtrType;
};
}  // namespace at
namespace torch {
using at::RestrictPtrTraits;
}  // namespace torch

namespace torch::kernelwright_cuda {
inline bool is_available() { return true; }
inline size_t device_count() { return 1; }
inline void synchronize(std::int64_t = -1) {}
inline void manual_seed(std::uint64_t) {}
}  // namespace torch::kernelwright_cuda

#define C10_CUDA_CHECK(EXPRESSION)                                                             \
  do {                                                                                         \
    const cudaError_t kernelwright_status = EXPRESSION;                                        \
    TORCH_CHECK(kernelwright_status == cudaSuccess, "CUDA error: ", cudaGetErrorString(kernelwright_status)); \
  } while (0)
#define C10_CUDA_CHECK_WARN(EXPRESSION) (void)(EXPRESSION)
#define C10_CUDA_IGNORE_ERROR(EXPRESSION) (void)(EXPRESSION)
#define C10_CUDA_ERROR_HANDLED(EXPRESSION) (EXPRESSION)
#define C10_CUDA_CLEAR_ERROR() (void)cudaGetLastError()
#define C10_CUDA_KERNEL_LAUNCH_CHECK() C10_CUDA_CHECK(cudaGetLastError())
#define AT_CUDA_CHECK(EXPRESSION) C10_CUDA_CHECK(EXPRESSION)
#define THCudaCheck(EXPRESSION) C10_CUDA_CHECK(EXPRESSION)
#define TORCH_DSA_KERNEL_LAUNCH(kernel, grid, block, shared, stream, ...) \
  (::kernelwright::push(grid, block, shared, stream), kernel(__VA_ARGS__))
#define CUDA_KERNEL_ASSERT(...)
