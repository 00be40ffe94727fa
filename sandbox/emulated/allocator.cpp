// Torch's CPU allocator for emulated workers: every tensor's memory is poisoned when it is made, and its exact bounds
// are told to the emulator, so that a kernel that reads past a tensor, or what nobody wrote, is seen.
#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>

#include <cstdlib>
#include <cstring>
#include <new>

namespace {

using Register = void (*)(void* table, std::uint64_t pointer, std::uint64_t bytes, const char* label);
using Unregister = void (*)(void* table, std::uint64_t pointer);

void* table = nullptr;
Register told_new = nullptr;
Unregister told_gone = nullptr;

constexpr std::size_t kAlign = 256;  // bytes: what cudaMalloc guarantees
constexpr int kPoison = 0xFF;        // a NaN in every floating type, -1 in every signed one

void release(void* pointer) {
  if (pointer == nullptr) return;
  told_gone(table, reinterpret_cast<std::uint64_t>(pointer));
  std::free(pointer);
}

struct Allocator final : c10::Allocator {
  c10::DataPtr allocate(std::size_t bytes) override {
    const c10::Device cpu(c10::DeviceType::CPU);
    if (bytes == 0) return {nullptr, nullptr, &release, cpu};
    void* pointer = nullptr;
    // the gap behind keeps neighbours apart, so that an overrun hits nobody's memory
    if (posix_memalign(&pointer, kAlign, bytes + kAlign) != 0) throw std::bad_alloc();
    std::memset(pointer, kPoison, bytes + kAlign);
    told_new(table, reinterpret_cast<std::uint64_t>(pointer), bytes, "tensor");
    return {pointer, pointer, &release, cpu};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &release; }
  void copy_data(void* to, const void* from, std::size_t bytes) const override { std::memcpy(to, from, bytes); }
};

Allocator allocator;

}  // namespace

extern "C" void kernelwright_install(void* handle, void* registering, void* unregistering) {
  table = handle;
  told_new = reinterpret_cast<Register>(registering);
  told_gone = reinterpret_cast<Unregister>(unregistering);
  c10::SetCPUAllocator(&allocator, /*priority=*/200);
}
