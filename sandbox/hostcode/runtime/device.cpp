// The device's properties, streams and events. All work is done when a call returns, so waiting never waits.
#include <chrono>
#include <cstring>

#include "runtime.hpp"

struct CUevent_st {
  double milliseconds = 0;
  bool recorded = false;
};
struct CUstream_st {
  unsigned flags;
};

using namespace kernelwright;

namespace {

double now() {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// -1 is what a tensor on the CPU answers when its author asks for its CUDA device
bool is_ours(int device) { return device == 0 || (device == -1 && state().hooks.raises); }

}  // namespace

extern "C" {

cudaError_t cudaGetDeviceCount(int* count) {
  *count = 1;
  return cudaSuccess;
}
cudaError_t cudaGetDevice(int* device) {
  *device = 0;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) { return is_ours(device) ? cudaSuccess : fail(cudaErrorInvalidDevice); }
cudaError_t cudaInitDevice(int device, unsigned, unsigned) { return cudaSetDevice(device); }
cudaError_t cudaDeviceSynchronize() { return checked(cudaSuccess); }
cudaError_t cudaDeviceReset() {
  state().last = state().sticky = cudaSuccess;
  return cudaSuccess;
}
cudaError_t cudaSetDeviceFlags(unsigned) { return cudaSuccess; }
cudaError_t cudaDeviceSetCacheConfig(cudaFuncCache) { return cudaSuccess; }
cudaError_t cudaDeviceSetLimit(cudaLimit limit, std::size_t value) {
  if (limit < 0 || limit >= kLimits) return fail(cudaErrorUnsupportedLimit);
  std::lock_guard hold(state().lock);
  state().limits[limit] = value;
  return cudaSuccess;
}
cudaError_t cudaDeviceGetLimit(std::size_t* value, cudaLimit limit) {
  if (limit < 0 || limit >= kLimits) return fail(cudaErrorUnsupportedLimit);
  std::lock_guard hold(state().lock);
  *value = state().limits[limit];
  return cudaSuccess;
}
// A limit that the emulator obeys, by its number as cudaLimit.
std::uint64_t kernelwright_limit(std::int32_t limit) {
  std::lock_guard hold(state().lock);
  return state().limits[limit];
}
cudaError_t cudaDeviceGetStreamPriorityRange(int* least, int* greatest) {
  if (least != nullptr) *least = 0;
  if (greatest != nullptr) *greatest = 0;
  return cudaSuccess;
}
cudaError_t cudaDeviceCanAccessPeer(int* can, int, int) {
  *can = 0;
  return cudaSuccess;
}
cudaError_t cudaDriverGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* found, int device) {
  if (!is_ours(device)) return fail(cudaErrorInvalidDevice);
  const kernelwright_device& ours = state().device;
  std::memset(found, 0, sizeof *found);
  std::memcpy(found->name, ours.name, sizeof found->name);
  found->name[sizeof found->name - 1] = 0;
  found->totalGlobalMem = ours.memory_bytes;
  found->sharedMemPerBlock = ours.shared_per_block;
  found->sharedMemPerBlockOptin = ours.shared_optin;
  found->sharedMemPerMultiprocessor = ours.shared_per_processor;
  found->reservedSharedMemPerBlock = 1024;
  found->regsPerBlock = 65536;
  found->regsPerMultiprocessor = ours.registers_per_processor;
  found->warpSize = 32;
  found->maxThreadsPerBlock = 1024;
  found->maxThreadsDim[0] = found->maxThreadsDim[1] = 1024;
  found->maxThreadsDim[2] = 64;
  found->maxGridSize[0] = 2147483647;
  found->maxGridSize[1] = found->maxGridSize[2] = 65535;
  found->totalConstMem = 65536;
  found->major = ours.major;
  found->minor = ours.minor;
  found->multiProcessorCount = ours.processors;
  found->maxThreadsPerMultiProcessor = ours.threads_per_processor;
  found->maxBlocksPerMultiProcessor = ours.blocks_per_processor;
  found->l2CacheSize = ours.l2_bytes;
  found->memoryBusWidth = ours.bus_bits;
  found->memPitch = 2147483647;
  found->textureAlignment = 512;
  found->concurrentKernels = found->asyncEngineCount = found->unifiedAddressing = found->managedMemory = 1;
  found->canMapHostMemory = found->cooperativeLaunch = found->globalL1CacheSupported = found->localL1CacheSupported = 1;
  found->pageableMemoryAccess = 0;
  return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr which, int device) {
  if (!is_ours(device)) return fail(cudaErrorInvalidDevice);
  const kernelwright_device& ours = state().device;
  switch (which) {
    case cudaDevAttrMaxThreadsPerBlock: *value = 1024; break;
    case cudaDevAttrMaxBlockDimX: case cudaDevAttrMaxBlockDimY: *value = 1024; break;
    case cudaDevAttrMaxBlockDimZ: *value = 64; break;
    case cudaDevAttrMaxGridDimX: *value = 2147483647; break;
    case cudaDevAttrMaxGridDimY: case cudaDevAttrMaxGridDimZ: *value = 65535; break;
    case cudaDevAttrWarpSize: *value = 32; break;
    case cudaDevAttrMaxSharedMemoryPerBlock: *value = ours.shared_per_block; break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin: *value = ours.shared_optin; break;
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor: *value = ours.shared_per_processor; break;
    case cudaDevAttrTotalConstantMemory: *value = 65536; break;
    case cudaDevAttrMaxRegistersPerBlock: *value = 65536; break;
    case cudaDevAttrMaxRegistersPerMultiprocessor: *value = ours.registers_per_processor; break;
    case cudaDevAttrMultiProcessorCount: *value = ours.processors; break;
    case cudaDevAttrMaxThreadsPerMultiProcessor: *value = ours.threads_per_processor; break;
    case cudaDevAttrMaxBlocksPerMultiprocessor: *value = ours.blocks_per_processor; break;
    case cudaDevAttrL2CacheSize: *value = ours.l2_bytes; break;
    case cudaDevAttrClockRate: *value = ours.clock_khz; break;
    case cudaDevAttrMemoryClockRate: *value = ours.memory_clock_khz; break;
    case cudaDevAttrGlobalMemoryBusWidth: *value = ours.bus_bits; break;
    case cudaDevAttrComputeCapabilityMajor: *value = ours.major; break;
    case cudaDevAttrComputeCapabilityMinor: *value = ours.minor; break;
    case cudaDevAttrCooperativeLaunch: case cudaDevAttrConcurrentKernels: case cudaDevAttrManagedMemory:
    case cudaDevAttrUnifiedAddressing: case cudaDevAttrCanMapHostMemory: *value = 1; break;
    default: *value = 0;
  }
  return cudaSuccess;
}

cudaError_t cudaGetLastError() {
  const cudaError_t last = state().last;
  state().last = state().sticky;
  return last;
}
cudaError_t cudaPeekAtLastError() { return state().last; }

// Names and sentences of the errors that this runtime returns, and of the commonest others (CUDA Runtime API, section
// "Data types used by CUDA Runtime").
#define KERNELWRIGHT_ERRORS(X)                                                        \
  X(cudaSuccess, "no error")                                                          \
  X(cudaErrorInvalidValue, "invalid argument")                                        \
  X(cudaErrorMemoryAllocation, "out of memory")                                       \
  X(cudaErrorInitializationError, "initialization error")                             \
  X(cudaErrorInvalidConfiguration, "invalid configuration argument")                  \
  X(cudaErrorInvalidPitchValue, "invalid pitch argument")                             \
  X(cudaErrorInvalidSymbol, "invalid device symbol")                                  \
  X(cudaErrorInvalidMemcpyDirection, "invalid copy direction for memcpy")             \
  X(cudaErrorInvalidDeviceFunction, "invalid device function")                        \
  X(cudaErrorNoDevice, "no CUDA-capable device is detected")                          \
  X(cudaErrorInvalidDevice, "invalid device ordinal")                                 \
  X(cudaErrorInvalidResourceHandle, "invalid resource handle")                        \
  X(cudaErrorNotReady, "device not ready")                                            \
  X(cudaErrorIllegalAddress, "an illegal memory access was encountered")              \
  X(cudaErrorLaunchOutOfResources, "too many resources requested for launch")         \
  X(cudaErrorLaunchTimeout, "the launch timed out and was terminated")                \
  X(cudaErrorAssert, "device-side assert triggered")                                  \
  X(cudaErrorMisalignedAddress, "misaligned address")                                 \
  X(cudaErrorLaunchFailure, "unspecified launch failure")                             \
  X(cudaErrorNotSupported, "operation not supported")                                 \
  X(cudaErrorUnknown, "unknown error")

const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
#define X(name, text) \
  case name: return text;
    KERNELWRIGHT_ERRORS(X)
#undef X
    default: return "unrecognized error code";
  }
}

const char* cudaGetErrorName(cudaError_t error) {
  switch (error) {
#define X(name, text) \
  case name: return #name;
    KERNELWRIGHT_ERRORS(X)
#undef X
    default: return "unrecognized error code";
  }
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  *stream = new CUstream_st{flags};
  return cudaSuccess;
}
cudaError_t cudaStreamCreate(cudaStream_t* stream) { return cudaStreamCreateWithFlags(stream, 0); }
cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned flags, int) {
  return cudaStreamCreateWithFlags(stream, flags);
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  if (stream == nullptr || stream == cudaStreamLegacy || stream == cudaStreamPerThread)
    return fail(cudaErrorInvalidResourceHandle);
  delete stream;
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t) { return checked(cudaSuccess); }
cudaError_t cudaStreamQuery(cudaStream_t) { return checked(cudaSuccess); }
cudaError_t cudaStreamWaitEvent(cudaStream_t, cudaEvent_t event, unsigned) {
  return event == nullptr ? fail(cudaErrorInvalidResourceHandle) : cudaSuccess;
}
cudaError_t cudaStreamAddCallback(cudaStream_t stream, cudaStreamCallback_t callback, void* data, unsigned) {
  callback(stream, cudaSuccess, data);
  return cudaSuccess;
}
cudaError_t cudaLaunchHostFunc(cudaStream_t, cudaHostFn_t function, void* data) {
  function(data);
  return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  *event = new CUevent_st;
  return cudaSuccess;
}
cudaError_t cudaEventCreate(cudaEvent_t* event) { return cudaEventCreateWithFlags(event, 0); }
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t) {
  if (event == nullptr) return fail(cudaErrorInvalidResourceHandle);
  event->milliseconds = now();
  event->recorded = true;
  return cudaSuccess;
}
cudaError_t cudaEventRecordWithFlags(cudaEvent_t event, cudaStream_t stream, unsigned) {
  return cudaEventRecord(event, stream);
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  return event == nullptr ? fail(cudaErrorInvalidResourceHandle) : checked(cudaSuccess);
}
cudaError_t cudaEventQuery(cudaEvent_t event) { return cudaEventSynchronize(event); }
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t from, cudaEvent_t to) {
  if (from == nullptr || to == nullptr || !from->recorded || !to->recorded) return fail(cudaErrorInvalidResourceHandle);
  *milliseconds = static_cast<float>(to->milliseconds - from->milliseconds);
  return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return cudaSuccess;
}

cudaError_t cudaProfilerStart() { return cudaSuccess; }
cudaError_t cudaProfilerStop() { return cudaSuccess; }
}
