// Torch's CPU allocator for candidates: tensors lie in the arena, which the device process sees at the same addresses.
// What is allocated and freed is written down for that process, which alone knows what the memory holds on the device.
#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>
#include <sys/mman.h>

#include <cstdint>
#include <cstring>
#include <map>
#include <mutex>
#include <new>
#include <set>
#include <vector>

namespace {

constexpr std::uint64_t kAlign = 256;          // bytes: what cudaMalloc guarantees, and the least gap behind an allocation
constexpr std::uint64_t kPage = 4096;          // bytes
constexpr std::uint64_t kLarge = 64 << 10;     // bytes: from here on allocations have pages of their own
constexpr std::uint64_t kSmallPart = 1 << 29;  // bytes of the heap for the others
constexpr int kPoison = 0xFF;                  // a NaN in every floating type, -1 in every signed one

struct Live {
  std::uint64_t bytes, room;
  bool on_device;
};

// Best fit with merging of neighbours.
class Free {
 public:
  void give(std::uint64_t start, std::uint64_t size) {
    auto next = by_start_.lower_bound(start);
    if (next != by_start_.begin()) {
      auto before = std::prev(next);
      if (before->first + before->second == start) {
        start = before->first;
        size += before->second;
        take_out(before);
      }
    }
    if (next != by_start_.end() && start + size == next->first) {
      size += next->second;
      take_out(next);
    }
    by_start_[start] = size;
    by_size_.insert({size, start});
  }
  std::uint64_t take(std::uint64_t size) {
    auto found = by_size_.lower_bound({size, 0});
    if (found == by_size_.end()) return 0;
    const auto [have, start] = *found;
    take_out(by_start_.find(start));
    if (have > size) give(start + size, have - size);
    return start;
  }

 private:
  void take_out(std::map<std::uint64_t, std::uint64_t>::iterator at) {
    by_size_.erase({at->second, at->first});
    by_start_.erase(at);
  }
  std::map<std::uint64_t, std::uint64_t> by_start_;
  std::set<std::pair<std::uint64_t, std::uint64_t>> by_size_;
};

struct Heap {
  std::mutex lock;
  Free small, large;
  std::map<std::uint64_t, Live> live;
  std::vector<std::uint64_t> events;  // address and bytes of each allocation; bytes 0: it was freed
};

Heap& heap() {
  static Heap* made = new Heap;  // never destroyed: tensors are freed at exit
  return *made;
}

void* allocate(std::uint64_t bytes) {
  Heap& all = heap();
  std::lock_guard hold(all.lock);
  const bool large = bytes >= kLarge;
  const std::uint64_t unit = large ? kPage : kAlign;
  // the gap behind keeps neighbours apart, so that an overrun hits nobody's memory
  const std::uint64_t room = (bytes + kAlign + unit - 1) / unit * unit;
  if (room < bytes) return nullptr;
  const std::uint64_t address = (large ? all.large : all.small).take(room);
  if (address == 0) return nullptr;
  all.live[address] = {bytes, room, false};
  all.events.push_back(address);
  all.events.push_back(bytes);
  // pages of their own are untouched ones: by that the device process knows that nobody has written them
  if (!large) std::memset(reinterpret_cast<void*>(address), kPoison, room);
  return reinterpret_cast<void*>(address);
}

void release(void* pointer) {
  if (pointer == nullptr) return;
  Heap& all = heap();
  std::lock_guard hold(all.lock);
  const auto found = all.live.find(reinterpret_cast<std::uint64_t>(pointer));
  if (found == all.live.end()) return;
  const auto [address, what] = *found;
  all.live.erase(found);
  all.events.push_back(address);
  all.events.push_back(0);
  const bool large = what.bytes >= kLarge;
  if (large) madvise(pointer, what.room, MADV_REMOVE);
  (large ? all.large : all.small).give(address, what.room);
}

std::map<std::uint64_t, Live>::iterator holder(std::uint64_t address) {
  auto& live = heap().live;
  auto next = live.upper_bound(address);
  if (next == live.begin()) return live.end();
  --next;
  return address < next->first + next->second.bytes ? next : live.end();
}

struct Allocator final : c10::Allocator {
  c10::DataPtr allocate(std::size_t bytes) override {
    const c10::Device cpu(c10::DeviceType::CPU);
    if (bytes == 0) return {nullptr, nullptr, &release, cpu};
    void* made = ::allocate(bytes);
    if (made == nullptr) throw std::bad_alloc();
    return {made, made, &release, cpu};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &release; }
  void copy_data(void* to, const void* from, std::size_t bytes) const override { std::memcpy(to, from, bytes); }
};

Allocator allocator;

}  // namespace

extern "C" {

void kernelwright_arena_install(std::uint64_t base, std::uint64_t bytes) {
  heap().small.give(base, kSmallPart);
  heap().large.give(base + kSmallPart, bytes - kSmallPart);
  c10::SetCPUAllocator(&allocator, /*priority=*/200);
}

void* kernelwright_arena_allocate(std::uint64_t bytes) { return allocate(bytes); }

void kernelwright_arena_release(void* pointer) { release(pointer); }

// Hands over at most `room` numbers of the log, the oldest; returns how many.
std::uint64_t kernelwright_arena_events(std::uint64_t* out, std::uint64_t room) {
  Heap& all = heap();
  std::lock_guard hold(all.lock);
  const std::uint64_t count = std::min<std::uint64_t>(room, all.events.size());
  std::memcpy(out, all.events.data(), 8 * count);
  all.events.erase(all.events.begin(), all.events.begin() + static_cast<std::ptrdiff_t>(count));
  return count;
}

// Whether an allocation holds the address; 2 if the device has had it.
int kernelwright_arena_state(std::uint64_t address) {
  std::lock_guard hold(heap().lock);
  const auto found = holder(address);
  return found == heap().live.end() ? 0 : found->second.on_device ? 2 : 1;
}

void kernelwright_arena_mark(std::uint64_t address, int on_device) {
  std::lock_guard hold(heap().lock);
  const auto found = holder(address);
  if (found != heap().live.end()) found->second.on_device = on_device != 0;
}
}
