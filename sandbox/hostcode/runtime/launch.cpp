// Launches, what is known of kernels, and the variables of the device.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "runtime.hpp"

namespace kernelwright {

State& state() {
  static State* const made = new State;  // never destroyed: the author's own destructors may still call us
  return *made;
}

cudaError_t fail(cudaError_t error) {
  if (error != cudaSuccess) state().last = error;
  return error;
}

cudaError_t checked(cudaError_t status) {
  const cudaError_t sticky = state().sticky;
  return status == cudaSuccess && sticky != cudaSuccess ? fail(sticky) : status;
}

namespace {

struct Configuration {
  std::uint32_t grid[3], block[3];
  std::uint64_t shared;
};
thread_local std::vector<Configuration> configurations;
thread_local std::string reason;

KnownKernel* known(const void* address) {
  auto found = state().kernels.find(address);
  return found == state().kernels.end() ? nullptr : &found->second;
}

cudaError_t resources_of(const KnownKernel* kernel, kernelwright_resources* used) {
  if (kernel == nullptr) return fail(cudaErrorInvalidDeviceFunction);
  return fail(static_cast<cudaError_t>(
      state().hooks.resources(kernel->unit.c_str(), kernel->number, kernel->instance.c_str(), used)));
}

cudaError_t launch_known(const void* address, dim3 grid, dim3 block, void** args, std::size_t shared) {
  KnownKernel* kernel = known(address);
  if (kernel == nullptr) return fail(cudaErrorInvalidDeviceFunction);
  std::vector<const void*> pointers(args, args + kernel->sizes.size());
  kernelwright_request request{kernel->unit.c_str(), kernel->number, static_cast<std::int32_t>(kernel->sizes.size()),
                               kernel->instance.c_str(), {grid.x, grid.y, grid.z}, {block.x, block.y, block.z},
                               shared, pointers.data(), kernel->sizes.data()};
  const int status = kernelwright_launch(&request, address);
  return status < 0 ? cudaErrorUnknown : static_cast<cudaError_t>(status);
}

// Registers are given to warps in steps of 256, shared memory to blocks in steps of 128 bytes with 1 KiB of the
// system's own (CUDA occupancy calculator, compute capability 8 and later).
int blocks_per_processor(const kernelwright_device& device, const kernelwright_resources& used, int threads,
                         std::size_t dynamic) {
  if (threads <= 0 || threads > used.max_threads) return 0;
  const int warps = (threads + 31) / 32;
  int blocks = std::min(device.blocks_per_processor, device.threads_per_processor / 32 / warps);
  if (used.registers > 0) {
    const int per_warp = (used.registers * 32 + 255) / 256 * 256;
    blocks = std::min(blocks, device.registers_per_processor / per_warp / warps);
  }
  const std::size_t shared = (used.static_shared + dynamic + 1024 + 127) / 128 * 128;
  return std::min<int>(blocks, device.shared_per_processor / shared);
}

}  // namespace
}  // namespace kernelwright

using namespace kernelwright;

extern "C" {

void kernelwright_install(const kernelwright_hooks* hooks, const kernelwright_device* device) {
  state().hooks = *hooks;
  state().device = *device;
}

void kernelwright_flush() { std::fflush(nullptr); }

void kernelwright_at_exit(void (*function)()) { std::atexit(function); }

void kernelwright_print(const char* text) { std::fputs(text, stdout); }

void kernelwright_set_reason(const char* text) { reason = text; }

const char* kernelwright_reason() { return reason.c_str(); }

void kernelwright_push(const std::uint32_t* grid, const std::uint32_t* block, std::uint64_t shared) {
  configurations.push_back({{grid[0], grid[1], grid[2]}, {block[0], block[1], block[2]}, shared});
}

bool kernelwright_pop(kernelwright_request* request) {
  if (configurations.empty()) return false;
  const Configuration& top = configurations.back();
  std::memcpy(request->grid, top.grid, sizeof top.grid);
  std::memcpy(request->block, top.block, sizeof top.block);
  request->shared = top.shared;
  configurations.pop_back();
  return true;
}

std::int32_t kernelwright_launch(kernelwright_request* request, const void* address) {
  State& all = state();
  if (all.hooks.launch == nullptr) return fail(cudaErrorInitializationError);
  {
    std::lock_guard hold(all.lock);
    const KnownKernel* kernel = known(address);
    const std::uint64_t most = kernel != nullptr ? kernel->most_dynamic_shared : all.device.shared_optin;
    if (request->shared > most && !all.hooks.raises) return fail(cudaErrorInvalidValue);
    if (request->shared > most && request->shared <= static_cast<std::uint64_t>(all.device.shared_optin))
      request->count = -1 - request->count;  // Python words the refusal
  }
  const std::int32_t status = all.hooks.launch(request);
  if (status != cudaSuccess && all.hooks.raises) return -1;
  switch (status) {
    case cudaErrorIllegalAddress:
    case cudaErrorMisalignedAddress:
    case cudaErrorLaunchTimeout:
    case cudaErrorAssert:
    case cudaErrorLaunchFailure:
      all.sticky = static_cast<cudaError_t>(status);
      break;
    default:
      break;
  }
  return fail(static_cast<cudaError_t>(status));
}

void kernelwright_register_kernel(const void* address, const char* unit, std::int32_t kernel, const char* instance,
                                  const std::uint64_t* sizes, std::int32_t count) {
  std::lock_guard hold(state().lock);
  state().kernels[address] = {unit, instance, kernel, {sizes, sizes + count}};
}

void kernelwright_register_variable(const void* address, const char* unit, const char* name, std::uint64_t bytes) {
  std::lock_guard hold(state().lock);
  state().variables[address] = {unit, name, bytes};
}

cudaError_t cudaLaunchKernel(const void* kernel, dim3 grid, dim3 block, void** args, std::size_t shared, cudaStream_t) {
  return launch_known(kernel, grid, block, args, shared);
}

cudaError_t cudaLaunchCooperativeKernel(const void* kernel, dim3 grid, dim3 block, void** args, std::size_t shared,
                                        cudaStream_t) {
  return launch_known(kernel, grid, block, args, shared);
}

cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t* config, const void* kernel, void** args) {
  for (unsigned i = 0; i < config->numAttrs; ++i)
    if (config->attrs[i].id == cudaLaunchAttributeClusterDimension &&
        config->attrs[i].val.clusterDim.x * config->attrs[i].val.clusterDim.y * config->attrs[i].val.clusterDim.z > 1)
      return fail(cudaErrorNotSupported);
  return launch_known(kernel, config->gridDim, config->blockDim, args, config->dynamicSmemBytes);
}

cudaError_t cudaFuncSetAttribute(const void* address, cudaFuncAttribute which, int value) {
  State& all = state();
  std::lock_guard hold(all.lock);
  KnownKernel* kernel = known(address);
  if (kernel == nullptr) return fail(cudaErrorInvalidDeviceFunction);
  if (which != cudaFuncAttributeMaxDynamicSharedMemorySize) return cudaSuccess;
  if (value < 0 || value > all.device.shared_optin) return fail(cudaErrorInvalidValue);
  kernel->most_dynamic_shared = value;
  return cudaSuccess;
}

cudaError_t cudaFuncSetCacheConfig(const void*, cudaFuncCache) { return cudaSuccess; }

cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* found, const void* address) {
  State& all = state();
  const KnownKernel* kernel = known(address);
  kernelwright_resources used{};
  if (const cudaError_t error = resources_of(kernel, &used); error != cudaSuccess) return error;
  std::memset(found, 0, sizeof *found);
  found->numRegs = used.registers;
  found->sharedSizeBytes = used.static_shared;
  found->localSizeBytes = used.local;
  found->constSizeBytes = used.constant;
  found->maxThreadsPerBlock = used.max_threads;
  found->maxDynamicSharedSizeBytes = kernel->most_dynamic_shared;
  found->ptxVersion = found->binaryVersion = 10 * all.device.major + all.device.minor;
  return cudaSuccess;
}

cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* blocks, const void* address, int threads,
                                                                   std::size_t shared, unsigned) {
  State& all = state();
  const KnownKernel* kernel = known(address);
  kernelwright_resources used{};
  if (const cudaError_t error = resources_of(kernel, &used); error != cudaSuccess) return error;
  *blocks = blocks_per_processor(all.device, used, threads, shared);
  return cudaSuccess;
}

cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, const void* address, int threads,
                                                          std::size_t shared) {
  return cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(blocks, address, threads, shared, 0);
}

static cudaError_t copy_symbol(const void* symbol, void* host, std::size_t bytes, std::size_t offset, bool to_device) {
  State& all = state();
  const auto found = all.variables.find(symbol);
  if (found == all.variables.end()) return fail(cudaErrorInvalidSymbol);
  if (offset > found->second.bytes || bytes > found->second.bytes - offset) return fail(cudaErrorInvalidValue);
  return fail(static_cast<cudaError_t>(
      all.hooks.symbol(found->second.unit.c_str(), found->second.name.c_str(), offset, host, bytes, to_device)));
}

cudaError_t cudaMemcpyToSymbol(const void* symbol, const void* from, std::size_t bytes, std::size_t offset,
                               cudaMemcpyKind) {
  return copy_symbol(symbol, const_cast<void*>(from), bytes, offset, true);
}

cudaError_t cudaMemcpyToSymbolAsync(const void* symbol, const void* from, std::size_t bytes, std::size_t offset,
                                    cudaMemcpyKind, cudaStream_t) {
  return copy_symbol(symbol, const_cast<void*>(from), bytes, offset, true);
}

cudaError_t cudaMemcpyFromSymbol(void* to, const void* symbol, std::size_t bytes, std::size_t offset, cudaMemcpyKind) {
  return copy_symbol(symbol, to, bytes, offset, false);
}

cudaError_t cudaMemcpyFromSymbolAsync(void* to, const void* symbol, std::size_t bytes, std::size_t offset,
                                      cudaMemcpyKind, cudaStream_t) {
  return copy_symbol(symbol, to, bytes, offset, false);
}

cudaError_t cudaGetSymbolAddress(void** pointer, const void* symbol) {
  State& all = state();
  const auto found = all.variables.find(symbol);
  if (found == all.variables.end()) return fail(cudaErrorInvalidSymbol);
  std::uint64_t address = 0;
  const int status = all.hooks.symbol_address(found->second.unit.c_str(), found->second.name.c_str(), &address);
  *pointer = reinterpret_cast<void*>(address);
  return fail(static_cast<cudaError_t>(status));
}

cudaError_t cudaGetSymbolSize(std::size_t* bytes, const void* symbol) {
  const auto found = state().variables.find(symbol);
  if (found == state().variables.end()) return fail(cudaErrorInvalidSymbol);
  *bytes = found->second.bytes;
  return cudaSuccess;
}
}
