// The state of the CUDA runtime of this process. The calls of one process come from any thread; one lock guards all.
#pragma once

#include <cuda_runtime_api.h>

#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "abi.hpp"

namespace kernelwright {

enum class Kind { device, pinned, managed };

struct Allocation {
  std::uint64_t bytes;
  Kind kind;
};

struct KnownKernel {
  std::string unit, instance;
  int number;
  std::vector<std::uint64_t> sizes;
  int most_dynamic_shared = 48 << 10;  // bytes; what CUDA allows until cudaFuncSetAttribute raises it
};

struct KnownVariable {
  std::string unit, name;
  std::uint64_t bytes;
};

constexpr int kLimits = 3;  // cudaLimitStackSize, cudaLimitPrintfFifoSize, cudaLimitMallocHeapSize

struct State {
  std::recursive_mutex lock;
  kernelwright_hooks hooks{};
  kernelwright_device device{};
  std::map<std::uint64_t, Allocation> allocations;  // by address
  std::uint64_t device_bytes = 0;
  std::map<const void*, KnownKernel> kernels;
  std::map<const void*, KnownVariable> variables;
  cudaError_t last = cudaSuccess;
  cudaError_t sticky = cudaSuccess;  // a kernel failed: on a GPU no call succeeds after that
  std::uint64_t limits[kLimits] = {1 << 10, 1 << 20, 8 << 20};  // bytes; CUDA's defaults
};

State& state();

// Remembers an error for cudaGetLastError and passes it on.
cudaError_t fail(cudaError_t error);

// What a call that waits for the device, or uses its memory, returns: a kernel's failure comes before its own success.
// The work is done all the same, so that later kernels are checked too.
cudaError_t checked(cudaError_t status);

// The allocation that holds an address, or end().
std::map<std::uint64_t, Allocation>::iterator holder(const void* pointer);

}  // namespace kernelwright
