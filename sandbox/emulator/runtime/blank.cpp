// Reads of global memory that nobody wrote: bits for memory whose every write passes through here, poison for the rest.
#include <string.h>

#include <algorithm>

#include "runtime.hpp"

namespace kw {

namespace {

constexpr uint8_t kPoison = 0xff;  // what allocators fill new memory with (sandbox/emulated/arena_allocator.cpp)
constexpr uint64_t kLeastPoison = 16;  // bytes; fewer may be a value

// Calls f(word, bits) for the bits [from, to).
template <class F>
void words(uint64_t from, uint64_t to, F f) {
  while (from < to) {
    const uint64_t end = std::min(to, (from | 63) + 1);
    const uint64_t count = end - from;
    f(from >> 6, (count == 64 ? ~0ull : (1ull << count) - 1) << (from & 63));
    from = end;
  }
}

bool any_blank(const Allocation* a, uint64_t from, uint64_t to) {
  bool found = false;
  words(from - a->lo, to - a->lo, [&](uint64_t i, uint64_t bits) {
    found |= (__atomic_load_n(a->blank.data() + i, __ATOMIC_RELAXED) & bits) != 0;
  });
  return found;
}

}  // namespace

void blank_clear(Allocation* a, uint64_t from, uint64_t to) {
  from = std::max(from, a->lo);
  to = std::min(to, a->hi);
  if (from >= to) return;
  words(from - a->lo, to - a->lo, [&](uint64_t i, uint64_t bits) {
    __atomic_fetch_and(a->blank.data() + i, ~bits, __ATOMIC_RELAXED);
  });
}

void blank_load(KwWarp* w, const Cache& k, uint32_t mask, uint32_t site, const uint64_t* a, int size) {
  KwWorker& c = *w->worker;
  if (k.kind == CONTIGUOUS && mask == KW_FULL && a[0] >= k.lo && a[0] + KW_LANES * size <= k.hi &&
      !any_blank(k.allocation, a[0], a[0] + KW_LANES * size))
    return;
  for (uint32_t m = mask; m; m &= m - 1) {
    const int l = __builtin_ctz(m);
    if (a[l] < k.lo || a[l] + size > k.hi) continue;
    if (any_blank(k.allocation, a[l], a[l] + size)) c.violation(KW_UNINITIALISED, (int)site, w, l, a[l], size, KW_GLOBAL);
  }
}

void blank_store(const Cache& k, uint32_t mask, const uint64_t* a, int size) {
  for (uint32_t m = mask; m; m &= m - 1) {
    const int l = __builtin_ctz(m);
    if (a[l] >= k.lo && a[l] + size <= k.hi) blank_clear(k.allocation, a[l], a[l] + size);
  }
}

bool holds_poison(const Allocation* a) {
  const uint64_t bytes = a->hi - a->lo;
  if (bytes < kLeastPoison) return false;
  const uint8_t* p = (const uint8_t*)a->lo;
  // Equal to itself moved by one byte: every byte is the first one.
  return p[0] == kPoison && p[1] == kPoison && memcmp(p, p + 1, bytes - 1) == 0;
}

}  // namespace kw
