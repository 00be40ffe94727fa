// The profile by source line, and the record of which bytes were written.
#include "profile.hpp"

#include <string.h>

namespace kw {

void Tally::open() { memcpy(before_, worker_.counters, sizeof before_); }

void Tally::close() {
  SiteCounts& into = worker_.profile[site_];
  for (int i = 0; i < COUNTERS; i++) into.of[i] += worker_.counters[i] - before_[i];
  const uint32_t ideal = worker_.cache[site_].ideal_sectors;
  if (worker_.counters[GL_SEC] != before_[GL_SEC]) into.ideal_load_sectors += ideal;
  if (worker_.counters[GS_SEC] != before_[GS_SEC]) into.ideal_store_sectors += ideal;
}

namespace {

// The allocation that a lane's address lies in, most often the one that the site saw last.
Allocation* allocation_of(KwWorker& c, const Cache& k, uint64_t at) {
  if (k.allocation && at >= k.allocation->lo && at < k.allocation->hi) return k.allocation;
  std::shared_lock lock(c.common->table->mutex);
  return c.common->table->find(at);
}

}  // namespace

void note_written(KwWorker& c, const Cache& k, uint32_t mask, const uint64_t* address, int size, bool atomic) {
  for (uint32_t m = mask; m; m &= m - 1) {
    const uint64_t at = address[__builtin_ctz(m)];
    if (Allocation* a = allocation_of(c, k, at)) a->note(at - a->lo, size, atomic);
  }
}

void note_loaded(KwWorker& c, const Cache& k, uint32_t mask, const uint64_t* address, int size) {
  for (uint32_t m = mask; m; m &= m - 1) {
    const uint64_t at = address[__builtin_ctz(m)];
    const Allocation* a = allocation_of(c, k, at);
    if (!a || !a->partial) continue;
    for (int i = 0; i < size; i++)
      if (!a->complete(at - a->lo + i)) __atomic_store_n(&c.request->unknown_read, at, __ATOMIC_RELAXED);
  }
}

void Allocation::note(uint64_t offset, int size, bool atomic) {
  std::atomic<uint64_t*>& map = atomic ? updated_bytes : written_bytes;
  uint64_t* bits = map.load(std::memory_order_acquire);
  if (!bits) {
    // calloc leaves the pages of a large map unmapped until a byte there is written.
    uint64_t* fresh = (uint64_t*)calloc((hi - lo + 63) / 64, 8);
    if (!fresh) return;
    if (map.compare_exchange_strong(bits, fresh)) bits = fresh;
    else free(fresh);
  }
  for (int i = 0; i < size; i++) __atomic_fetch_or(bits + ((offset + i) >> 6), 1ull << ((offset + i) & 63), __ATOMIC_RELAXED);
}

bool Allocation::complete(uint64_t offset) const {
  const uint64_t* written = written_bytes.load(std::memory_order_acquire);
  const uint64_t* updated = updated_bytes.load(std::memory_order_acquire);
  const uint64_t word = offset >> 6, bit = offset & 63;
  return written && written[word] >> bit & 1 && !(updated && updated[word] >> bit & 1);
}

void Allocation::forget() {
  free(written_bytes.exchange(nullptr));
  free(updated_bytes.exchange(nullptr));
  partial = false;
}

}  // namespace kw
