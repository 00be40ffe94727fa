// The host's view of CUDA: the toolkit's own types, the overloads that nvcc adds, and names for device-only things.
#pragma once

#include <unistd.h>

#include <cfloat>
#include <climits>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <cuda_runtime.h>

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <math_constants.h>

#include "kernelwright_stubs.hpp"

#ifndef __grid_constant__
#define __grid_constant__
#endif
#undef __launch_bounds__
#define __launch_bounds__(...)
#undef __maxnreg__
#define __maxnreg__(...)
#undef __cluster_dims__
#define __cluster_dims__(...)
#undef __block_size__
#define __block_size__(...)

// Namespaces that sources name in aliases and using-directives before any device code is looked at.
namespace cooperative_groups {}
namespace nvcuda { namespace wmma {} }
namespace cub {}
namespace cuda {}

// nvcc declares these for host code.
#define KERNELWRIGHT_MIN_MAX(T) \
  inline constexpr T min(T a, T b) { return b < a ? b : a; } \
  inline constexpr T max(T a, T b) { return a < b ? b : a; }
KERNELWRIGHT_MIN_MAX(int)
KERNELWRIGHT_MIN_MAX(unsigned int)
KERNELWRIGHT_MIN_MAX(long)
KERNELWRIGHT_MIN_MAX(unsigned long)
KERNELWRIGHT_MIN_MAX(long long)
KERNELWRIGHT_MIN_MAX(unsigned long long)
KERNELWRIGHT_MIN_MAX(float)
KERNELWRIGHT_MIN_MAX(double)
#undef KERNELWRIGHT_MIN_MAX
inline unsigned int min(int a, unsigned int b) { return min(static_cast<unsigned int>(a), b); }
inline unsigned int min(unsigned int a, int b) { return min(a, static_cast<unsigned int>(b)); }
inline unsigned int max(int a, unsigned int b) { return max(static_cast<unsigned int>(a), b); }
inline unsigned int max(unsigned int a, int b) { return max(a, static_cast<unsigned int>(b)); }
inline double min(float a, double b) { return min(static_cast<double>(a), b); }
inline double max(float a, double b) { return max(static_cast<double>(a), b); }
inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }
inline double rsqrt(double x) { return 1.0 / std::sqrt(x); }
inline float __expf(float x) { return std::exp(x); }
inline float __logf(float x) { return std::log(x); }
inline float __fdividef(float a, float b) { return a / b; }
template <typename T> inline T __ldg(const T* p) { return *p; }

// Named in `__host__ __device__` functions; a call from host code does not link, as with nvcc.
extern const uint3 threadIdx, blockIdx;
extern const dim3 blockDim, gridDim;
extern const int warpSize;
void __syncthreads();
void __syncwarp(unsigned mask = 0xffffffffu);
template <typename T> T __shfl_sync(unsigned, T, int, int = 32);
template <typename T> T __shfl_down_sync(unsigned, T, unsigned, int = 32);
template <typename T> T __shfl_up_sync(unsigned, T, unsigned, int = 32);
template <typename T> T __shfl_xor_sync(unsigned, T, int, int = 32);
template <typename T, typename U> T atomicAdd(T*, U);
template <typename T, typename U> T atomicMax(T*, U);
template <typename T, typename U> T atomicMin(T*, U);
template <typename T, typename U> T atomicExch(T*, U);
template <typename T, typename U, typename V> T atomicCAS(T*, U, V);

// The typed forms that cuda_runtime.h keeps for nvcc.
template <typename T>
cudaError_t cudaMemcpyToSymbol(const T& symbol, const void* from, size_t bytes, size_t offset = 0,
                               cudaMemcpyKind kind = cudaMemcpyHostToDevice) {
  return ::cudaMemcpyToSymbol(static_cast<const void*>(&symbol), from, bytes, offset, kind);
}
template <typename T>
cudaError_t cudaMemcpyToSymbolAsync(const T& symbol, const void* from, size_t bytes, size_t offset = 0,
                                    cudaMemcpyKind kind = cudaMemcpyHostToDevice, cudaStream_t = nullptr) {
  return ::cudaMemcpyToSymbol(static_cast<const void*>(&symbol), from, bytes, offset, kind);
}
template <typename T>
cudaError_t cudaMemcpyFromSymbol(void* to, const T& symbol, size_t bytes, size_t offset = 0,
                                 cudaMemcpyKind kind = cudaMemcpyDeviceToHost) {
  return ::cudaMemcpyFromSymbol(to, static_cast<const void*>(&symbol), bytes, offset, kind);
}
template <typename T>
cudaError_t cudaMemcpyFromSymbolAsync(void* to, const T& symbol, size_t bytes, size_t offset = 0,
                                      cudaMemcpyKind kind = cudaMemcpyDeviceToHost, cudaStream_t = nullptr) {
  return ::cudaMemcpyFromSymbol(to, static_cast<const void*>(&symbol), bytes, offset, kind);
}
template <typename T> cudaError_t cudaGetSymbolAddress(void** pointer, const T& symbol) {
  return ::cudaGetSymbolAddress(pointer, static_cast<const void*>(&symbol));
}
template <typename T> cudaError_t cudaGetSymbolAddress(T** pointer, const T& symbol) {
  return ::cudaGetSymbolAddress(reinterpret_cast<void**>(pointer), static_cast<const void*>(&symbol));
}
template <typename T> cudaError_t cudaGetSymbolSize(size_t* bytes, const T& symbol) {
  return ::cudaGetSymbolSize(bytes, static_cast<const void*>(&symbol));
}
template <typename F> std::enable_if_t<std::is_function_v<F>, cudaError_t> cudaFuncSetAttribute(F* kernel, cudaFuncAttribute which, int value) {
  return ::cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel), which, value);
}
template <typename F> std::enable_if_t<std::is_function_v<F>, cudaError_t> cudaFuncGetAttributes(cudaFuncAttributes* found, F* kernel) {
  return ::cudaFuncGetAttributes(found, reinterpret_cast<const void*>(kernel));
}
template <typename F> std::enable_if_t<std::is_function_v<F>, cudaError_t> cudaFuncSetCacheConfig(F* kernel, cudaFuncCache config) {
  return ::cudaFuncSetCacheConfig(reinterpret_cast<const void*>(kernel), config);
}
template <typename F>
cudaError_t cudaOccupancyMaxPotentialBlockSize(int* grid, int* block, F* kernel, size_t shared = 0, int limit = 0) {
  // the largest block among those that put the most threads on a multiprocessor, as CUDA's own does
  const void* address = reinterpret_cast<const void*>(kernel);
  cudaFuncAttributes found{};
  int processors = 0, best = 0;
  if (auto status = ::cudaFuncGetAttributes(&found, address); status != cudaSuccess) return status;
  if (auto status = ::cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, 0); status != cudaSuccess) return status;
  const int most = limit > 0 && limit < found.maxThreadsPerBlock ? limit : found.maxThreadsPerBlock;
  *grid = *block = 0;
  for (int threads = (most + 31) / 32 * 32; threads >= 32; threads -= 32) {
    int blocks = 0;
    const int tried = threads < most ? threads : most;
    if (auto status = ::cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, address, tried, shared); status != cudaSuccess) return status;
    if (blocks * tried > best) {
      best = blocks * tried;
      *block = tried;
      *grid = blocks * processors;
    }
  }
  return best > 0 ? cudaSuccess : cudaErrorInvalidValue;
}
