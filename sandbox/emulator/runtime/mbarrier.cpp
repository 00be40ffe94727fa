// mbarrier (ISA 9.7.13.15): barriers that live in shared memory. What the 64 bits mean is this file's own affair:
// bits 0-19 arrivals still missing, 20-39 arrivals of a phase, 40-60 bytes still expected (21 bits, signed), 63 the phase.
#include <string.h>

#include <algorithm>

#include "profile.hpp"

using namespace kw;

namespace {

constexpr int64_t kCountMask = (1 << 20) - 1;

enum Op { INIT, INVALIDATE, ARRIVE, ARRIVE_DROP, EXPECT_TX, COMPLETE_TX, TEST, TRY, COPIES, COPIES_NO_INCREMENT, PENDING };

struct State {
  int64_t missing, expected, bytes;
  bool phase;
  explicit State(uint64_t v)
      : missing(v & kCountMask), expected(v >> 20 & kCountMask), bytes((int64_t)(v << 3) >> 43), phase(v >> 63) {}
  uint64_t word() const {
    return (uint64_t)missing | (uint64_t)expected << 20 | ((uint64_t)bytes & 0x1fffff) << 40 | (uint64_t)phase << 63;
  }
  void settle() {
    if (missing > 0 || bytes != 0) return;
    phase = !phase;
    missing = expected;
  }
};

uint64_t wide(const KwWarp* w, const KwSite& s, int i, int l) {
  return s.slot[i] < 0 ? (uint64_t)s.imm[i] : ((const uint64_t*)(w->R + s.slot[i] * KW_LANES))[l];
}
uint32_t narrow(const KwWarp* w, const KwSite& s, int i, int l) {
  return s.slot[i] < 0 ? (uint32_t)s.imm[i] : w->R[s.slot[i] * KW_LANES + l];
}

// Everything that came before at this barrier is seen from here on.
void synchronise(KwWarp* w) {
  if (w->worker->shadow.on) w->worker->shadow.synchronise(w->index);
}

}  // namespace

namespace kw {

// One arrival at the barrier at byte `at` of shared memory.
void mbarrier_arrive(KwWorker& c, uint64_t at, int64_t count) {
  uint64_t* word = (uint64_t*)(c.shared + at);
  State state(*word);
  state.missing -= count;
  state.settle();
  *word = state.word();
}

}  // namespace kw

// Operands: 0 result (a 64-bit token, or the count of pending_count), 1 count, bytes or parity, 2 token; extra: operation,
// predicate of the result, whether operand 1 is there, whether expect_tx comes with the arrival, whether a parity is given.
extern "C" void kw_mbarrier(KwWarp* w, uint32_t mask, uint32_t site) {
  if (!mask) return;
  const Tally tally(w, site);
  KwWorker& c = *w->worker;
  const KwSite& s = c.request->sites[site];
  const int op = s.extra[0];
  if (op == PENDING) {
    for (uint32_t m = mask; m; m &= m - 1) {
      const int l = __builtin_ctz(m);
      w->R[s.slot[0] * KW_LANES + l] = (uint32_t)(wide(w, s, 2, l) & kCountMask);
    }
    return;
  }
  uint64_t a[KW_LANES];
  for (int l = 0; l < KW_LANES; l++) {
    a[l] = s.address_bits == 64 ? ((const uint64_t*)(w->R + s.address * KW_LANES))[l] + s.offset
                                : (uint32_t)(w->R[s.address * KW_LANES + l] + (uint32_t)s.offset);
    a[l] &= ~KW_WINDOW_MASK;
  }
  Cache& k = c.cache[site];
  const uint32_t ok = check_shared(c, w, k, mask, site, a, 8);
  c.counters[SA_REQ]++;
  if (c.shadow.on) {
    const bool fresh = c.shadow.active() && op != INIT;
    for (uint32_t m = fresh ? ok : 0; m; m &= m - 1) {
      const int l = __builtin_ctz(m);
      if (c.shadow.write[a[l] >> c.shadow.shift] >= c.shadow.start << Shadow::kWarpBits) continue;
      c.violation(KW_UNINITIALISED, (int)site, w, l, a[l], 8, KW_SHARED);
    }
    if (op == INIT && c.shadow.active()) shadow_volatile_store(w, ok, a, 8);
  }
  if (op != TEST && op != TRY) synchronise(w);
  bool passed = false, failed = false;
  for (uint32_t m = ok; m; m &= m - 1) {
    const int l = __builtin_ctz(m);
    uint64_t* word = (uint64_t*)(c.shared + a[l]);
    State state(*word);
    const uint64_t before = *word;
    const int64_t count = s.extra[2] ? (int64_t)narrow(w, s, 1, l) : 1;
    switch (op) {
      case INIT:
        state = State(0);
        state.missing = state.expected = count & kCountMask;
        *word = state.word();
        break;
      case INVALIDATE: *word = ~0ull; break;
      case ARRIVE:
      case ARRIVE_DROP:
        if (s.extra[3]) {
          state.bytes += count;
          state.missing -= 1;
        } else {
          state.missing -= count;
        }
        if (op == ARRIVE_DROP) state.expected -= s.extra[3] ? 1 : count;
        state.settle();
        *word = state.word();
        break;
      case EXPECT_TX:
      case COMPLETE_TX:
        state.bytes += op == EXPECT_TX ? count : -count;
        if (op == COMPLETE_TX) state.settle();
        *word = state.word();
        break;
      case TEST:
      case TRY: {
        const bool asked = s.extra[4] ? narrow(w, s, 1, l) & 1 : wide(w, s, 2, l) >> 63;
        const bool done = state.phase != asked;
        passed |= done;
        failed |= !done;
        uint32_t& p = w->P[s.extra[1]];
        p = done ? p | 1u << l : p & ~(1u << l);
        break;
      }
      case COPIES:
      case COPIES_NO_INCREMENT:
        // Arrives once the lane's copies up to here have. Without .noinc the arrival is one more than was announced.
        if (op == COPIES) {
          state.missing += 1;
          *word = state.word();
        }
        c.copies[w->index].push_back({nullptr, {}, (uint32_t)l, 0, site, -1, a[l]});
        c.shadow.pending++;
        break;
    }
    if ((op == ARRIVE || op == ARRIVE_DROP) && s.slot[0] >= 0) ((uint64_t*)(w->R + s.slot[0] * KW_LANES))[l] = before;
  }
  if (op == COPIES || op == COPIES_NO_INCREMENT) w->awaits_copies = 1;
  if (passed) synchronise(w);
  if (failed) {
    // Somebody waits: copies that a barrier waits for may arrive now, and other warps run.
    copies_for_barriers(c);
    w->slice_end = std::min(w->slice_end, w->issued);
  }
}
