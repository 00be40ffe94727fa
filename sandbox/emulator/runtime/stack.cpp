// Calls of functions with frames. A lane's stack is local memory behind the kernel's own variables; what a caller needs
// of its registers, and where it goes on, is saved apart from it, out of the program's reach.
#include "stack.hpp"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <algorithm>

#include "profile.hpp"
#include "runtime.hpp"

using namespace kw;

Stacks::Stacks(const Request& r, uint64_t warps) {
  const uint64_t frames = local_stride(r) * KW_LANES * warps;
  bytes = frames + saved_words(r) * 4 * warps + 64;
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) return;
  local = (uint8_t*)memory;
  saved = (uint32_t*)(((uint64_t)memory + frames + 63) & ~63ull);
}

Stacks::~Stacks() {
  if (local) munmap(local, bytes);
}

namespace {

// A call's table: the block that it comes back to; how many 32-bit, 64-bit and predicate registers; their slots.
struct Saved {
  const int32_t *words, *wides, *bits;
  int32_t back, word_count, wide_count, bit_count;
  explicit Saved(const int32_t* t) : words(t + 4), back(t[0]), word_count(t[1]), wide_count(t[2]), bit_count(t[3]) {
    wides = words + word_count;
    bits = wides + wide_count;
  }
  uint32_t rows() const { return word_count + 2 * wide_count + (bit_count + 31) / 32; }  // without `back`
};

uint64_t* top_of_stack(const KwWarp* w) { return (uint64_t*)(w->R + w->worker->request->stack_slot * KW_LANES); }

// Whether the lanes have room for `more` bytes; else the launch ends.
bool has_room(KwWarp* w, uint32_t mask, uint32_t site, const uint64_t* more) {
  KwWorker& c = *w->worker;
  const Request& r = *c.request;
  const uint64_t* top = top_of_stack(w);
  for (uint32_t m = mask; m; m &= m - 1) {
    const int l = __builtin_ctz(m);
    const uint64_t room = r.stack_bytes - (top[l] - r.frame_bytes) - 4 * (uint64_t)w->depth[l];
    if (more[l] <= room) continue;
    c.violation(KW_TRAP, site, w, l, 0, 0, KW_TRAP_STACK);
    c.common->stop = true;
    return false;
  }
  return true;
}

// Calls f(register words of the row, lane, row) for every saved word; `first` is the lane's first row.
template <class F>
void each_row(const KwWarp* w, const Saved& s, F f) {
  uint32_t row = 0;
  for (int i = 0; i < s.word_count; i++) f(row++, w->R + s.words[i] * KW_LANES, 1);
  for (int i = 0; i < s.wide_count; i++) {
    uint32_t* r = w->R + s.wides[i] * KW_LANES;
    f(row++, r, 2);
    f(row++, r + 1, 2);
  }
}

bool save(KwWarp* w, uint32_t site, const int32_t* table) {
  const Saved s(table);
  const uint32_t rows = s.rows();
  uint64_t more[KW_LANES];
  std::fill(more, more + KW_LANES, 4 * (rows + 1));
  const uint32_t mask = w->mask;
  if (!has_room(w, mask, site, more)) return false;
  const uint32_t depth = w->depth[first_lane(mask)];
  uint32_t keep[KW_LANES];
  bool level = true;
  for (int l = 0; l < KW_LANES; l++) {
    keep[l] = mask >> l & 1 ? ~0u : 0;
    level &= !keep[l] || w->depth[l] == depth;
  }
  each_row(w, s, [&](uint32_t row, const uint32_t* from, int step) {
    if (level) {
      uint32_t* to = w->saved + (uint64_t)(depth + row) * KW_LANES;
      for (int l = 0; l < KW_LANES; l++) to[l] = (from[l * step] & keep[l]) | (to[l] & ~keep[l]);
      return;
    }
    for (uint32_t m = mask; m; m &= m - 1) {
      const int l = __builtin_ctz(m);
      w->saved[(uint64_t)(w->depth[l] + row) * KW_LANES + l] = from[l * step];
    }
  });
  for (uint32_t m = mask; m; m &= m - 1) {
    const int l = __builtin_ctz(m);
    uint32_t* to = w->saved + (uint64_t)w->depth[l] * KW_LANES + l;
    for (int i = 0; i < s.bit_count; i += 32) {
      uint32_t packed = 0;
      for (int n = i; n < std::min(i + 32, s.bit_count); n++) packed |= (w->P[s.bits[n]] >> l & 1) << (n - i);
      to[(s.word_count + 2 * s.wide_count + i / 32) * KW_LANES] = packed;
    }
    to[rows * KW_LANES] = s.back;
    w->depth[l] += rows + 1;
  }
  return true;
}

}  // namespace

extern "C" {

int32_t kw_call(KwWarp* w, uint32_t site, const int32_t* table) { return save(w, site, table); }

// Operand 0 is the pointer; `entries` are pairs of a function's address and its first block. Returns the block that runs
// next, or -1 if a lane calls what is no function with these parameters.
int32_t kw_call_pointer(KwWarp* w, uint32_t site, const int32_t* table, const uint64_t* entries, int32_t count) {
  const Tally tally(w, site);
  KwWorker& c = *w->worker;
  const KwSite& s = c.request->sites[site];
  const uint32_t mask = w->mask;
  if (!save(w, site, table)) return -1;
  int32_t seen = -1;
  bool several = false;
  for (uint32_t m = mask; m; m &= m - 1) {
    const int l = __builtin_ctz(m);
    const uint64_t at = s.slot[0] < 0 ? (uint64_t)s.imm[0] : ((const uint64_t*)(w->R + s.slot[0] * KW_LANES))[l];
    int32_t block = -1;
    for (int32_t i = 0; i < count && block < 0; i++)
      if (entries[2 * i] == at) block = (int32_t)entries[2 * i + 1];
    if (block < 0) {
      c.violation(KW_TRAP, site, w, l, at, 0, KW_TRAP_NO_FUNCTION);
      c.common->stop = true;
      return -1;
    }
    several |= seen >= 0 && block != seen;
    seen = block;
    push_group(w, block, 1u << l);
  }
  if (several) c.counters[DIVERGENT]++;
  return pick_group(w);
}

int32_t kw_return(KwWarp* w, uint64_t* diverged) {
  int32_t seen = -1;
  bool several = false;
  for (uint32_t m = w->mask; m; m &= m - 1) {
    const int l = __builtin_ctz(m);
    const int32_t back = (int32_t)w->saved[(uint64_t)--w->depth[l] * KW_LANES + l];
    several |= seen >= 0 && back != seen;
    seen = back;
    push_group(w, back, 1u << l);
  }
  if (several) {
    w->worker->counters[DIVERGENT]++;
    ++*diverged;
  }
  return pick_group(w);
}

void kw_restore(KwWarp* w, uint32_t mask, const int32_t* table) {
  const Saved s(table);
  const uint32_t rows = s.rows();
  for (uint32_t m = mask; m; m &= m - 1) w->depth[__builtin_ctz(m)] -= rows;
  const uint32_t depth = w->depth[first_lane(mask)];
  uint32_t keep[KW_LANES];
  bool level = true;
  for (int l = 0; l < KW_LANES; l++) {
    keep[l] = mask >> l & 1 ? ~0u : 0;
    level &= !keep[l] || w->depth[l] == depth;
  }
  each_row(w, s, [&](uint32_t row, uint32_t* to, int step) {
    if (level) {
      const uint32_t* from = w->saved + (uint64_t)(depth + row) * KW_LANES;
      for (int l = 0; l < KW_LANES; l++) to[l * step] = (from[l] & keep[l]) | (to[l * step] & ~keep[l]);
      return;
    }
    for (uint32_t m = mask; m; m &= m - 1) {
      const int l = __builtin_ctz(m);
      to[l * step] = w->saved[(uint64_t)(w->depth[l] + row) * KW_LANES + l];
    }
  });
  for (uint32_t m = s.bit_count ? mask : 0; m; m &= m - 1) {
    const int l = __builtin_ctz(m);
    const uint32_t* from = w->saved + (uint64_t)(w->depth[l] + s.word_count + 2 * s.wide_count) * KW_LANES + l;
    for (int n = 0; n < s.bit_count; n++) {
      uint32_t& p = w->P[s.bits[n]];
      const uint32_t bit = from[n / 32 * KW_LANES] >> (n & 31) & 1;
      p = (p & ~(1u << l)) | bit << l;
    }
  }
}

// A function's local variables: operand 0 takes where they begin, imm[1] is their size.
int32_t kw_frame(KwWarp* w, uint32_t mask, uint32_t site) {
  const KwSite& s = w->worker->request->sites[site];
  uint64_t more[KW_LANES];
  std::fill(more, more + KW_LANES, (uint64_t)s.imm[1]);
  if (!has_room(w, mask, site, more)) return 0;
  uint64_t* top = top_of_stack(w);
  for (uint32_t m = mask; m; m &= m - 1) {
    const int l = __builtin_ctz(m);
    ((uint64_t*)(w->R + s.slot[0] * KW_LANES))[l] = top[l];
    top[l] += s.imm[1];
  }
  return 1;
}

// alloca: operand 0 takes the address in local memory, 1 is the size in bytes, 2 the alignment.
int32_t kw_alloca(KwWarp* w, uint32_t mask, uint32_t site) {
  const KwSite& s = w->worker->request->sites[site];
  const uint64_t align = std::max<uint64_t>(s.imm[2], 16);
  uint64_t* top = top_of_stack(w);
  uint64_t more[KW_LANES] = {};
  for (uint32_t m = mask; m; m &= m - 1) {
    const int l = __builtin_ctz(m);
    const uint64_t size = s.slot[1] < 0 ? (uint64_t)s.imm[1] : ((const uint64_t*)(w->R + s.slot[1] * KW_LANES))[l];
    const uint64_t pad = -top[l] & (align - 1);
    more[l] = size > (uint64_t)w->worker->request->stack_bytes ? size : pad + (size + 15) / 16 * 16;
  }
  if (!has_room(w, mask, site, more)) return 0;
  for (uint32_t m = mask; m; m &= m - 1) {
    const int l = __builtin_ctz(m);
    const uint64_t pad = -top[l] & (align - 1);
    ((uint64_t*)(w->R + s.slot[0] * KW_LANES))[l] = top[l] + pad;
    top[l] += more[l];
  }
  return 1;
}

// Operand 0 is an earlier top of the stack.
int32_t kw_stackrestore(KwWarp* w, uint32_t mask, uint32_t site) {
  KwWorker& c = *w->worker;
  const KwSite& s = c.request->sites[site];
  uint64_t* top = top_of_stack(w);
  for (uint32_t m = mask; m; m &= m - 1) {
    const int l = __builtin_ctz(m);
    const uint64_t at = s.slot[0] < 0 ? (uint64_t)s.imm[0] : ((const uint64_t*)(w->R + s.slot[0] * KW_LANES))[l];
    if (at < (uint64_t)c.request->frame_bytes || at > top[l]) {
      c.violation(KW_TRAP, site, w, l, at, 0, KW_TRAP_RESTORE);
      c.common->stop = true;
      return 0;
    }
    top[l] = at;
  }
  return 1;
}

// ld.param at an address in a register: extra 0 bytes and 1 count of the elements; imm: first and last legal byte of the
// parameter buffer.
void kw_ld_param(KwWarp* w, uint32_t mask, uint32_t site) {
  KwWorker& c = *w->worker;
  const KwSite& s = c.request->sites[site];
  const int size = s.extra[0], count = s.extra[1];
  for (uint32_t m = mask; m; m &= m - 1) {
    const int l = __builtin_ctz(m);
    const uint64_t base = s.address_bits == 64 ? ((const uint64_t*)(w->R + s.address * KW_LANES))[l]
                                               : w->R[s.address * KW_LANES + l];
    const uint64_t at = base + s.offset, begin = at - (uint64_t)c.request->params;
    uint64_t value[8] = {};
    if (at % (size * count))
      c.violation(KW_MISALIGNED, site, w, l, begin, size * count, KW_PARAM);
    else if (begin < (uint64_t)s.imm[0] || begin + size * count > (uint64_t)s.imm[1] || begin + size * count < begin)
      c.violation(KW_OUT_OF_BOUNDS, site, w, l, begin, size * count, KW_PARAM);
    else
      for (int i = 0; i < count; i++) memcpy(&value[i], (const uint8_t*)at + i * size, size);
    for (int i = 0; i < count; i++)
      if (size == 8)
        ((uint64_t*)(w->R + s.slot[i] * KW_LANES))[l] = value[i];
      else
        w->R[s.slot[i] * KW_LANES + l] = (uint32_t)value[i];
  }
}
}
