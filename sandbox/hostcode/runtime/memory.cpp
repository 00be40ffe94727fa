// Device memory: plain memory of this process, with exact bounds known to the emulator.
#include <cstdlib>
#include <cstring>

#include "runtime.hpp"

namespace kernelwright {

std::map<std::uint64_t, Allocation>::iterator holder(const void* pointer) {
  auto& all = state().allocations;
  const auto address = reinterpret_cast<std::uint64_t>(pointer);
  auto next = all.upper_bound(address);
  if (next == all.begin()) return all.end();
  --next;
  return address < next->first + next->second.bytes ? next : all.end();
}

namespace {

constexpr std::size_t kAlign = 256;  // bytes: what cudaMalloc guarantees
constexpr int kPoison = 0xFF;        // a NaN in every floating type

cudaError_t allocate(void** pointer, std::size_t bytes, Kind kind) {
  State& all = state();
  std::lock_guard hold(all.lock);
  if (pointer == nullptr) return fail(cudaErrorInvalidValue);
  *pointer = nullptr;
  if (bytes == 0) return cudaSuccess;
  if (bytes > all.device.memory_bytes - all.device_bytes) return fail(cudaErrorMemoryAllocation);
  void* made = nullptr;
  if (all.hooks.allocate != nullptr && kind != Kind::pinned) {
    made = all.hooks.allocate(bytes);
    if (made == nullptr) return fail(cudaErrorMemoryAllocation);
  } else if (posix_memalign(&made, kAlign, bytes + kAlign) != 0) {
    // the gap behind keeps neighbours apart, so that an overrun hits nobody's memory
    return fail(cudaErrorMemoryAllocation);
  }
  if (kind == Kind::device) std::memset(made, kPoison, bytes);
  const auto address = reinterpret_cast<std::uint64_t>(made);
  all.allocations[address] = {bytes, kind};
  all.device_bytes += bytes;
  if (all.hooks.told_new != nullptr) {
    static const char* const labels[] = {"device memory", "pinned memory", "managed memory"};
    all.hooks.told_new(all.hooks.table, address, bytes, labels[static_cast<int>(kind)]);
  }
  if (kind == Kind::device && all.hooks.told_blank != nullptr) all.hooks.told_blank(all.hooks.table, address);
  *pointer = made;
  return checked(cudaSuccess);
}

cudaError_t release(void* pointer) {
  State& all = state();
  std::lock_guard hold(all.lock);
  if (pointer == nullptr) return cudaSuccess;
  const auto found = all.allocations.find(reinterpret_cast<std::uint64_t>(pointer));
  if (found == all.allocations.end()) return fail(cudaErrorInvalidValue);
  if (all.hooks.told_gone != nullptr) all.hooks.told_gone(all.hooks.table, found->first);
  all.device_bytes -= found->second.bytes;
  const bool theirs = all.hooks.release != nullptr && found->second.kind != Kind::pinned;
  all.allocations.erase(found);
  if (theirs)
    all.hooks.release(pointer);
  else
    std::free(pointer);
  return checked(cudaSuccess);
}

// Whether [pointer, pointer + bytes) may be the device's (or, for the host's side, must not be checked).
bool inside(const void* pointer, std::size_t bytes, bool must_be_device) {
  State& all = state();
  const auto found = holder(pointer);
  if (found != all.allocations.end())
    return reinterpret_cast<std::uint64_t>(pointer) + bytes <= found->first + found->second.bytes;
  // under torch the tensors are not in our table; the emulator checks them at every access
  return !must_be_device || all.hooks.raises;
}

const kernelwright_hooks& all_hooks() { return state().hooks; }

void written(void* to, std::size_t bytes) {
  const auto& hooks = all_hooks();
  if (hooks.told_written != nullptr) hooks.told_written(hooks.table, reinterpret_cast<std::uint64_t>(to), bytes);
}

cudaError_t copy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
  std::lock_guard hold(state().lock);
  if (bytes == 0) return cudaSuccess;
  if (to == nullptr || from == nullptr) return fail(cudaErrorInvalidValue);
  if (kind < cudaMemcpyHostToHost || kind > cudaMemcpyDefault) return fail(cudaErrorInvalidMemcpyDirection);
  const bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
  const bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
  if (!inside(to, bytes, to_device) || !inside(from, bytes, from_device)) return fail(cudaErrorInvalidValue);
  if (all_hooks().copy != nullptr) {
    const auto status = all_hooks().copy(reinterpret_cast<std::uint64_t>(to), reinterpret_cast<std::uint64_t>(from), bytes);
    return status == 0 ? checked(cudaSuccess) : fail(static_cast<cudaError_t>(status));
  }
  std::memmove(to, from, bytes);
  written(to, bytes);
  return checked(cudaSuccess);
}

cudaError_t copy_rows(void* to, std::size_t to_pitch, const void* from, std::size_t from_pitch, std::size_t width,
                      std::size_t height, cudaMemcpyKind kind) {
  if (width > to_pitch || width > from_pitch) return fail(cudaErrorInvalidPitchValue);
  for (std::size_t row = 0; row < height; ++row) {
    const auto status = copy(static_cast<char*>(to) + row * to_pitch,
                             static_cast<const char*>(from) + row * from_pitch, width, kind);
    if (status != checked(cudaSuccess)) return status;
  }
  return checked(cudaSuccess);
}

cudaError_t set(void* to, int value, std::size_t bytes) {
  std::lock_guard hold(state().lock);
  if (bytes == 0) return cudaSuccess;
  if (to == nullptr || !inside(to, bytes, true)) return fail(cudaErrorInvalidValue);
  if (all_hooks().fill != nullptr) {
    const auto status = all_hooks().fill(reinterpret_cast<std::uint64_t>(to), value, bytes);
    return status == 0 ? checked(cudaSuccess) : fail(static_cast<cudaError_t>(status));
  }
  std::memset(to, value, bytes);
  written(to, bytes);
  return checked(cudaSuccess);
}

}  // namespace
}  // namespace kernelwright

using namespace kernelwright;

extern "C" {

std::uint64_t kernelwright_leaks(std::uint64_t* sizes, std::uint64_t room) {
  std::lock_guard hold(state().lock);
  std::uint64_t count = 0;
  for (const auto& [address, allocation] : state().allocations) {
    if (count < room) sizes[count] = allocation.bytes;
    ++count;
  }
  return count;
}

cudaError_t cudaMalloc(void** pointer, std::size_t bytes) { return allocate(pointer, bytes, Kind::device); }
cudaError_t cudaMallocAsync(void** pointer, std::size_t bytes, cudaStream_t) {
  return allocate(pointer, bytes, Kind::device);
}
cudaError_t cudaMallocHost(void** pointer, std::size_t bytes) { return allocate(pointer, bytes, Kind::pinned); }
cudaError_t cudaHostAlloc(void** pointer, std::size_t bytes, unsigned) { return allocate(pointer, bytes, Kind::pinned); }
cudaError_t cudaMallocManaged(void** pointer, std::size_t bytes, unsigned) {
  return allocate(pointer, bytes, Kind::managed);
}
cudaError_t cudaMallocPitch(void** pointer, std::size_t* pitch, std::size_t width, std::size_t height) {
  *pitch = (width + 511) / 512 * 512;  // bytes; what current GPUs return
  return allocate(pointer, *pitch * height, Kind::device);
}
cudaError_t cudaFree(void* pointer) { return release(pointer); }
cudaError_t cudaFreeAsync(void* pointer, cudaStream_t) { return release(pointer); }
cudaError_t cudaFreeHost(void* pointer) { return release(pointer); }
cudaError_t cudaHostGetDevicePointer(void** device, void* host, unsigned) {
  *device = host;
  return holder(host) == state().allocations.end() ? fail(cudaErrorInvalidValue) : cudaSuccess;
}
cudaError_t cudaHostRegister(void* pointer, std::size_t bytes, unsigned) {
  State& all = state();
  std::lock_guard hold(all.lock);
  if (all.hooks.told_new != nullptr)
    all.hooks.told_new(all.hooks.table, reinterpret_cast<std::uint64_t>(pointer), bytes, "registered host memory");
  return cudaSuccess;
}
cudaError_t cudaHostUnregister(void* pointer) {
  State& all = state();
  std::lock_guard hold(all.lock);
  if (all.hooks.told_gone != nullptr) all.hooks.told_gone(all.hooks.table, reinterpret_cast<std::uint64_t>(pointer));
  return cudaSuccess;
}
cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* found, const void* pointer) {
  std::memset(found, 0, sizeof *found);
  const auto in = holder(pointer);
  found->device = 0;
  found->hostPointer = const_cast<void*>(pointer);
  if (in == state().allocations.end()) {
    found->type = cudaMemoryTypeUnregistered;
    return cudaSuccess;
  }
  found->devicePointer = const_cast<void*>(pointer);
  found->type = in->second.kind == Kind::device    ? cudaMemoryTypeDevice
                : in->second.kind == Kind::managed ? cudaMemoryTypeManaged
                                                   : cudaMemoryTypeHost;
  if (in->second.kind == Kind::device) found->hostPointer = nullptr;
  return cudaSuccess;
}
cudaError_t cudaMemcpy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
  return copy(to, from, bytes, kind);
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind, cudaStream_t) {
  return copy(to, from, bytes, kind);
}
cudaError_t cudaMemcpy2D(void* to, std::size_t to_pitch, const void* from, std::size_t from_pitch, std::size_t width,
                         std::size_t height, cudaMemcpyKind kind) {
  return copy_rows(to, to_pitch, from, from_pitch, width, height, kind);
}
cudaError_t cudaMemcpy2DAsync(void* to, std::size_t to_pitch, const void* from, std::size_t from_pitch,
                              std::size_t width, std::size_t height, cudaMemcpyKind kind, cudaStream_t) {
  return copy_rows(to, to_pitch, from, from_pitch, width, height, kind);
}
cudaError_t cudaMemset(void* to, int value, std::size_t bytes) { return set(to, value, bytes); }
cudaError_t cudaMemsetAsync(void* to, int value, std::size_t bytes, cudaStream_t) { return set(to, value, bytes); }
cudaError_t cudaMemset2D(void* to, std::size_t pitch, int value, std::size_t width, std::size_t height) {
  for (std::size_t row = 0; row < height; ++row)
    if (const auto status = set(static_cast<char*>(to) + row * pitch, value, width); status != cudaSuccess) return status;
  return cudaSuccess;
}
cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total) {
  *total = state().device.memory_bytes;
  *free = *total - state().device_bytes;
  return cudaSuccess;
}
cudaError_t cudaMemPrefetchAsync(const void*, std::size_t, cudaMemLocation, unsigned, cudaStream_t) { return cudaSuccess; }
cudaError_t cudaMemAdvise(const void*, std::size_t, cudaMemoryAdvise, cudaMemLocation) { return cudaSuccess; }
}
