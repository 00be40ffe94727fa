// malloc and free of device code. What is allocated lives until it is freed or the table goes, over all launches.
#include <stdlib.h>
#include <string.h>

#include <algorithm>

#include "runtime.hpp"

using namespace kw;

namespace {
constexpr uint64_t kKept = 64 << 20;  // bytes given back that are kept apart, so that their use is told from other mistakes
constexpr uint64_t kUnit = 16;  // bytes; malloc of device code aligns to them
uint64_t rounded(uint64_t bytes) { return (std::max<uint64_t>(bytes, 1) + kUnit - 1) / kUnit * kUnit; }
}  // namespace

void kw::release_freed(Table* t) {
  std::unique_lock lock(t->mutex);
  for (auto& [lo, bytes] : t->freed) free((void*)lo);
  t->freed.clear();
  t->freed_bytes = 0;
}

extern "C" {
void kw_register(void* table, const void* pointer, uint64_t bytes, const char* label);
void kw_unregister(void* table, const void* pointer);

// Operand 0 takes the address, 1 is the size in bytes. Null if the heap is full.
void kw_malloc(KwWarp* w, uint32_t mask, uint32_t site) {
  KwWorker& c = *w->worker;
  const KwSite& s = c.request->sites[site];
  Table* t = c.common->table;
  for (uint32_t m = mask; m; m &= m - 1) {
    const int l = __builtin_ctz(m);
    const uint64_t size = s.slot[1] < 0 ? (uint64_t)s.imm[1] : ((const uint64_t*)(w->R + s.slot[1] * KW_LANES))[l];
    void* p = nullptr;
    const uint64_t limit = c.request->heap_bytes;
    bool room;
    {
      std::unique_lock lock(t->mutex);
      room = size <= limit && t->heap_used + rounded(size) <= limit;
      if (room) p = aligned_alloc(kUnit, rounded(size));
      if (p) {
        t->heap[(uint64_t)p] = size;
        t->heap_used += rounded(size);
      }
    }
    if (p) {
      memset(p, 0xff, rounded(size));
      kw_register(t, p, std::max<uint64_t>(size, 1), "device heap");
    }
    if (s.slot[0] >= 0) ((uint64_t*)(w->R + s.slot[0] * KW_LANES))[l] = (uint64_t)p;
  }
}

// Operand 0 is the address.
void kw_free(KwWarp* w, uint32_t mask, uint32_t site) {
  KwWorker& c = *w->worker;
  const KwSite& s = c.request->sites[site];
  Table* t = c.common->table;
  for (uint32_t m = mask; m; m &= m - 1) {
    const int l = __builtin_ctz(m);
    const uint64_t at = s.slot[0] < 0 ? (uint64_t)s.imm[0] : ((const uint64_t*)(w->R + s.slot[0] * KW_LANES))[l];
    if (!at) continue;
    uint64_t bytes;
    const Allocation* a;
    {
      std::unique_lock lock(t->mutex);
      auto it = t->heap.find(at);
      if (it == t->heap.end()) {
        lock.unlock();
        c.violation(KW_TRAP, site, w, l, at, t->freed.count(at) ? 1 : 0, KW_TRAP_FREE);
        continue;
      }
      bytes = it->second;
      t->heap_used -= rounded(bytes);
      t->heap.erase(it);
      t->freed[at] = std::max<uint64_t>(bytes, 1);
      t->freed_bytes += rounded(bytes);
      a = t->find(at);
    }
    // Accesses from now on are found: places that knew the allocation forget it. (Such kernels run on one worker.)
    for (auto& k : c.cache)
      if (k.allocation == a) {
        flush_stored(k);
        k.allocation = nullptr;
        k.bits = nullptr;
        k.fixed = false;
        k.lo = k.hi = 0;
        k.mask = 0;
      }
    kw_unregister(t, (const void*)at);
    if (t->freed_bytes > kKept) release_freed(t);
  }
}
}
