// Divergence, warp-wide operations and barriers.
#include <stdio.h>
#include <string.h>

#include <algorithm>

#include "profile.hpp"

using namespace kw;

namespace {

const KwSite& site_of(const KwWarp* w, uint32_t site) { return w->worker->request->sites[site]; }

// Operand `i` of lane `l`, 32 bits.
uint32_t operand(const KwWarp* w, const KwSite& s, int i, int l) {
  return s.slot[i] < 0 ? (uint32_t)s.imm[i] : w->R[s.slot[i] * KW_LANES + l];
}

void push(KwWarp* w, int32_t pc, uint32_t mask, int32_t waits) {
  for (int i = 0; i < w->groups; i++)
    if (w->group[i].pc == pc) {
      // Lanes that join a waiting group make it look again.
      w->group[i].mask |= mask;
      w->group[i].waits = waits && w->group[i].waits;
      return;
    }
  w->group[w->groups++] = {pc, mask, ++w->stamp, waits, 0};
}

int32_t take(KwWarp* w, int i) {
  const KwGroup g = w->group[i];
  w->group[i] = w->group[--w->groups];
  w->mask = g.mask;
  w->forced = g.waits;
  int32_t other = INT32_MAX;
  for (int n = 0; n < w->groups; n++) other = std::min(other, w->group[n].pc);
  w->other = other;
  return g.pc;
}

// The lowest block first, so that lanes meet again behind an if or a loop; waiting groups last.
int32_t pick(KwWarp* w) {
  int best = 0;
  for (int i = 1; i < w->groups; i++) {
    const KwGroup &g = w->group[i], &b = w->group[best];
    if (g.waits != b.waits ? g.waits < b.waits : g.pc < b.pc) best = i;
  }
  return take(w, best);
}

// Takes a group of lanes that were converged out of `left`: the first lane, and those that its mask (operand 4) names.
uint32_t take_group(const KwWarp* w, const KwSite& s, uint32_t& left) {
  const uint32_t who = operand(w, s, 4, first_lane(left));
  const uint32_t group = left & (who | 1u << first_lane(left));
  left &= ~group;
  return group;
}

// Writes a 32-bit result, if anything keeps it, for the lanes of a group.
void set_result(KwWarp* w, const KwSite& s, uint32_t group, uint32_t value) {
  if (s.slot[0] < 0) return;
  for (uint32_t m = group; m; m &= m - 1) w->R[s.slot[0] * KW_LANES + __builtin_ctz(m)] = value;
}

uint32_t members(const KwWarp* w, const KwSite& s, int i, uint32_t mask) {
  if (s.slot[i] < 0) return (uint32_t)s.imm[i];
  uint32_t all = 0;
  for (uint32_t m = mask; m; m &= m - 1) all |= operand(w, s, i, __builtin_ctz(m));
  return all;
}

// Operand 4 must name every lane that takes part; what it names besides has been waited for, and is gone if it is not
// here (kw_collect). Results that come from lanes that are gone are undefined.
void check_members(KwWarp* w, const KwSite& s, uint32_t mask, uint32_t site, bool needs_all) {
  uint32_t callers = mask, named = 0;
  if (s.slot[4] < 0) {
    named = (uint32_t)s.imm[4];
    callers &= named;
  } else {
    const uint32_t* m = w->R + s.slot[4] * KW_LANES;
    for (uint32_t left = mask; left; left &= left - 1) {
      const int l = __builtin_ctz(left);
      named |= m[l];
      if (!(m[l] >> l & 1)) callers &= ~(1u << l);
    }
  }
  if (callers != mask)
    w->worker->violation(KW_MISSING_LANES, (int)site, w, first_lane(mask & ~callers), mask & ~callers, 1, -1);
  const uint32_t gone = named & w->initial & ~w->live;
  if (needs_all && gone) w->worker->violation(KW_MISSING_LANES, (int)site, w, first_lane(mask), gone, 2, -1);
}

// min or max of binary32: a NaN gives way to a number unless `nan` says that it wins; -0 is below +0.
uint32_t extreme_f32(uint32_t a, uint32_t b, bool largest, bool nan) {
  const auto is_nan = [](uint32_t x) { return (x & 0x7fffffffu) > 0x7f800000u; };
  if (is_nan(a) || is_nan(b)) return nan || (is_nan(a) && is_nan(b)) ? 0x7fffffffu : is_nan(a) ? b : a;
  const auto key = [](uint32_t x) { return x >> 31 ? ~(int32_t)(x & 0x7fffffffu) : (int32_t)x; };
  return (key(a) > key(b)) == largest ? a : b;
}

}  // namespace

void kw::push_group(KwWarp* w, int32_t pc, uint32_t mask) { push(w, pc, mask, 0); }
int32_t kw::pick_group(KwWarp* w) { return pick(w); }

extern "C" {

int32_t kw_diverge(KwWarp* w, uint32_t taken, int32_t target, int32_t other) {
  w->worker->counters[DIVERGENT]++;
  const uint32_t rest = w->mask & ~taken;
  push(w, target, taken, 0);
  push(w, other, rest, 0);
  return pick(w);
}

int32_t kw_switch(KwWarp* w, int32_t pc) {
  push(w, pc, w->mask, 0);
  return pick(w);
}

// Ends `lanes`; the rest of the group goes on at `next`. Returns -1 when the warp is done.
int32_t kw_exit(KwWarp* w, uint32_t lanes, int32_t next, int32_t work) {
  if (work) w->skipped |= lanes & w->awaited;
  w->live &= ~lanes;
  const uint32_t rest = w->mask & ~lanes;
  if (rest) push(w, next, rest, 0);
  if (!w->groups) return -1;
  // Lanes that were waited for may be gone now.
  for (int i = 0; i < w->groups; i++) w->group[i].waits = 0;
  return pick(w);
}

// A long-running loop: looks at the limits, lets other groups and warps run.
int32_t kw_loop(KwWarp* w, int32_t pc) {
  KwWorker& c = *w->worker;
  push(w, pc, w->mask, 0);
  int oldest = 0;
  for (int i = 1; i < w->groups; i++)
    if (w->group[i].waits < w->group[oldest].waits ||
        (w->group[i].waits == w->group[oldest].waits && w->group[i].stamp < w->group[oldest].stamp))
      oldest = i;
  for (int i = 0; i < w->groups; i++)
    if (w->group[i].pc == pc) w->group[i].stamp = ++w->stamp;
  w->pc = take(w, oldest);
  w->slice_end = w->issued + kSlice;
  if (w->issued > c.request->max_warp_instructions || now() > c.common->deadline) {
    if (!c.common->stop.exchange(true)) c.violation(KW_ENDLESS_LOOP, -1 - pc, w, first_lane(w->mask), 0, c.common->crowded ? 2 : 0, w->issued);
    c.request->stopped = 1;
    return KW_STOP;
  }
  return c.common->stop ? KW_STOP : KW_YIELD;
}

int32_t kw_branch_table(KwWarp* w, uint32_t site, const int32_t* targets, int32_t count) {
  const Tally tally(w, site);
  const KwSite& s = site_of(w, site);
  bool first = true, both = false;
  int32_t seen = 0;
  for (uint32_t m = w->mask; m; m &= m - 1) {
    const int l = __builtin_ctz(m);
    const uint32_t n = operand(w, s, 0, l);
    const int32_t pc = targets[n < (uint32_t)count ? n : count - 1];
    both |= !first && pc != seen;
    seen = pc;
    first = false;
    push(w, pc, 1u << l, 0);
  }
  if (both) w->worker->counters[DIVERGENT]++;
  return pick(w);
}

// Before a warp-wide operation: waits for the lanes that it names. kind 0: barrier, 1: named by operand 4, 2: all.
int32_t kw_collect(KwWarp* w, int32_t pc, uint32_t site, int32_t kind) {
  const KwSite& s = site_of(w, site);
  const uint32_t wanted = (kind != 1 ? w->live : members(w, s, 4, w->mask)) & w->live;
  const uint32_t missing = wanted & ~w->mask;
  const bool forced = w->forced;
  w->forced = 0;
  if (!missing) {
    if (kind == 2) w->worker->violation(KW_MISSING_LANES, site, w, first_lane(w->mask), ~w->mask, 3, -1);
    return pc;
  }
  if (!forced) {
    if (kind == 0) w->awaited |= missing;
    push(w, pc, w->mask, 1);
    const int32_t at = pick(w);
    if (at != pc) return at;
    w->forced = 0;  // nothing else can run: these lanes go on alone
  }
  const int32_t elsewhere = w->groups ? w->group[0].pc : -1;
  w->worker->violation(kind == 0 ? KW_DIVERGENT_BARRIER : KW_MISSING_LANES, site, w, first_lane(w->mask), missing,
                       kind == 2 ? 3 : 0, elsewhere);
  return pc;
}

// barrier{.cta}.sync and .red: operands 2 (barrier), 3 (threads; -1 for all); extra: predicate, negated, operation.
int32_t kw_barrier(KwWarp* w, uint32_t site) {
  const KwSite& s = site_of(w, site);
  KwWorker& c = *w->worker;
  const uint32_t gone = w->initial & ~w->live;
  if (gone & w->skipped)
    c.violation(KW_DIVERGENT_BARRIER, site, w, first_lane(w->mask), gone & w->skipped, 0, -1);
  else if (gone)
    c.violation(KW_EXIT_BEFORE_BARRIER, site, w, first_lane(gone), gone, 0, 0);
  w->awaited = 0;
  const int l = first_lane(w->mask);
  w->barrier_id = operand(w, s, 2, l) & 15;
  w->barrier_threads = s.slot[3] < 0 && s.imm[3] < 0 ? -1 : (int32_t)operand(w, s, 3, l);
  w->barrier_site = site;
  w->barrier_lanes = 0;
  if (s.extra[0] >= 0) w->barrier_lanes = (s.extra[1] ? ~w->P[s.extra[0]] : w->P[s.extra[0]]) & w->mask;
  w->barriers++;
  if (c.profile) c.profile[site].of[BARRIERS]++;
  w->waiting = 1;
  return KW_BARRIER;
}

void kw_arrive(KwWarp* w, uint32_t site) {
  const KwSite& s = site_of(w, site);
  const int id = operand(w, s, 2, first_lane(w->mask)) & 15;
  w->worker->arrived[id] += KW_LANES;
  if (w->worker->shadow.on) w->worker->shadow.arrive(w->index, id);
  w->barriers++;
  if (w->worker->profile) w->worker->profile[site].of[BARRIERS]++;
}

// extra[2]: 0 popc, 1 and, 2 or; extra[3]: predicate that takes the result, else register 0.
void kw_barrier_result(KwWarp* w, uint32_t mask, uint32_t site) {
  const KwSite& s = site_of(w, site);
  if (s.extra[3] >= 0) {
    uint32_t& p = w->P[s.extra[3]];
    p = w->barrier_result ? p | mask : p & ~mask;
  } else {
    for (uint32_t m = mask; m; m &= m - 1) w->R[s.slot[0] * KW_LANES + __builtin_ctz(m)] = w->barrier_result;
  }
}

// 0: result, 1: value, 2: b, 3: c, 4: member mask; extra: mode (0 up, 1 down, 2 bfly, 3 idx), predicate.
void kw_shfl(KwWarp* w, uint32_t mask, uint32_t site) {
  const KwSite& s = site_of(w, site);
  check_members(w, s, mask, site, true);
  uint32_t value[KW_LANES], result[KW_LANES];
  // What comes from a lane that does not take part is undefined: a NaN in every format, so that its use shows.
  for (int l = 0; l < KW_LANES; l++) value[l] = mask >> l & 1 ? operand(w, s, 1, l) : ~0u;
  uint32_t valid = 0;
  const bool plain = s.slot[2] < 0 && s.slot[3] < 0 && s.imm[3] == 31 && s.extra[0] == 2;
  if (plain) {
    const int b = s.imm[2] & 31;
    for (int l = 0; l < KW_LANES; l++) result[l] = value[l ^ b];
    valid = KW_FULL;
  } else {
    for (int l = 0; l < KW_LANES; l++) {
      const int b = operand(w, s, 2, l) & 31, c = operand(w, s, 3, l);
      const int segment = c >> 8 & 31, top = (l & segment) | (c & 31 & ~segment);
      int j = s.extra[0] == 0 ? l - b : s.extra[0] == 1 ? l + b : s.extra[0] == 2 ? l ^ b : (l & segment) | (b & ~segment);
      const bool in = s.extra[0] == 0 ? j >= top : j <= top;
      if (!in) j = l;
      result[l] = value[j & 31];
      valid |= (uint32_t)in << l;
    }
  }
  if (s.slot[0] >= 0) {
    uint32_t* d = w->R + s.slot[0] * KW_LANES;
    if (mask == KW_FULL)
      memcpy(d, result, sizeof result);
    else
      for (uint32_t m = mask; m; m &= m - 1) d[__builtin_ctz(m)] = result[__builtin_ctz(m)];
  }
  if (s.extra[1] >= 0) w->P[s.extra[1]] = (w->P[s.extra[1]] & ~mask) | (valid & mask);
}

// extra: source predicate, negated, mode (0 all, 1 any, 2 uni, 3 ballot), result predicate.
void kw_vote(KwWarp* w, uint32_t mask, uint32_t site) {
  const KwSite& s = site_of(w, site);
  check_members(w, s, mask, site, false);
  const uint32_t p = s.extra[0] < 0 ? (s.imm[1] ? ~0u : 0u) : (s.extra[1] ? ~w->P[s.extra[0]] : w->P[s.extra[0]]);
  for (uint32_t left = mask; left;) {
    // Lanes that name the same members vote together.
    const uint32_t who = operand(w, s, 4, first_lane(left));
    uint32_t group = 0;
    for (uint32_t m = left; m; m &= m - 1)
      if (operand(w, s, 4, __builtin_ctz(m)) == who) group |= 1u << __builtin_ctz(m);
    left &= ~group;
    const uint32_t voters = group & who ? group & who : group;
    const uint32_t yes = p & voters;
    const bool result = s.extra[2] == 0 ? yes == voters : s.extra[2] == 1 ? yes != 0 : yes == 0 || yes == voters;
    if (s.extra[2] == 3) {
      set_result(w, s, group, yes);
    } else {
      uint32_t& d = w->P[s.extra[3]];
      d = result ? d | group : d & ~group;
    }
  }
}

// extra: mode (0 any, 1 all), bits of the value, result predicate.
void kw_match(KwWarp* w, uint32_t mask, uint32_t site) {
  const KwSite& s = site_of(w, site);
  check_members(w, s, mask, site, true);
  uint64_t v[KW_LANES];
  uint32_t who[KW_LANES], result[KW_LANES] = {}, equal = 0;
  for (int l = 0; l < KW_LANES; l++) {
    v[l] = s.slot[1] < 0 ? (uint64_t)s.imm[1]
           : s.extra[1] == 64 ? ((const uint64_t*)(w->R + s.slot[1] * KW_LANES))[l]
                              : w->R[s.slot[1] * KW_LANES + l];
    who[l] = operand(w, s, 4, l) & mask;
  }
  for (uint32_t m = mask; m; m &= m - 1) {
    const int l = __builtin_ctz(m);
    uint32_t same = 0;
    for (uint32_t n = who[l]; n; n &= n - 1)
      if (v[__builtin_ctz(n)] == v[l]) same |= 1u << __builtin_ctz(n);
    if (s.extra[0] == 0) {
      result[l] = same;
    } else {
      result[l] = same == who[l] ? who[l] : 0;
      if (same == who[l]) equal |= 1u << l;
    }
  }
  if (s.slot[0] >= 0)
    for (uint32_t m = mask; m; m &= m - 1) w->R[s.slot[0] * KW_LANES + __builtin_ctz(m)] = result[__builtin_ctz(m)];
  if (s.extra[2] >= 0) w->P[s.extra[2]] = (w->P[s.extra[2]] & ~mask) | equal;
}

// elect.sync: the lowest member leads. Result 0: its lane; extra[0]: predicate that is true for it.
void kw_elect(KwWarp* w, uint32_t mask, uint32_t site) {
  const KwSite& s = site_of(w, site);
  check_members(w, s, mask, site, true);
  for (uint32_t left = mask; left;) {
    const uint32_t group = take_group(w, s, left);
    const int leader = first_lane(group);
    set_result(w, s, group, leader);
    if (s.extra[0] >= 0) {
      uint32_t& p = w->P[s.extra[0]];
      p = (p & ~group) | 1u << leader;
    }
  }
}

// extra: operation (0 add, 1 min, 2 max, 3 and, 4 or, 5 xor), signed, float (1 f32, 2 .abs, 4 .NaN).
void kw_redux(KwWarp* w, uint32_t mask, uint32_t site) {
  const KwSite& s = site_of(w, site);
  check_members(w, s, mask, site, true);
  for (uint32_t left = mask; left;) {
    const uint32_t group = take_group(w, s, left);
    const uint32_t keep = s.extra[2] & 2 ? 0x7fffffffu : ~0u;  // .abs
    uint32_t r = operand(w, s, 1, first_lane(group)) & keep;
    for (uint32_t m = group & (group - 1); m; m &= m - 1) {
      const uint32_t v = operand(w, s, 1, __builtin_ctz(m)) & keep;
      if (s.extra[2] & 1) {
        r = extreme_f32(r, v, s.extra[0] == 2, s.extra[2] & 4);
        continue;
      }
      switch (s.extra[0]) {
        case 0: r += v; break;
        case 1: r = s.extra[1] ? (uint32_t)std::min((int32_t)r, (int32_t)v) : std::min(r, v); break;
        case 2: r = s.extra[1] ? (uint32_t)std::max((int32_t)r, (int32_t)v) : std::max(r, v); break;
        case 3: r &= v; break;
        case 4: r |= v; break;
        default: r ^= v; break;
      }
    }
    set_result(w, s, group, r);
  }
}

// extra[0]: 1 if the fence is for more than the block.
void kw_fence(KwWarp* w, uint32_t mask, uint32_t site) {
  if (w->worker->shadow.on) w->worker->shadow.synchronise(w->index);
  if (mask && site_of(w, site).extra[0] == 1) race_release(w);
}

void kw_trap(KwWarp* w, uint32_t mask, uint32_t site) {
  if (!mask) return;
  w->worker->violation(KW_TRAP, site, w, first_lane(mask), 0, 0, 0);
  w->worker->common->stop = true;
}

// __assertfail(message, file, line, function, size of a character): operand 0 is the message's address.
void kw_assert(KwWarp* w, uint32_t mask, uint32_t site) {
  if (!mask) return;
  const KwSite& s = site_of(w, site);
  const int l = first_lane(mask);
  const uint64_t text = s.slot[0] < 0 ? (uint64_t)s.imm[0] : ((const uint64_t*)(w->R + s.slot[0] * KW_LANES))[l];
  w->worker->violation(KW_TRAP, site, w, l, text, 1, 1);
  w->worker->common->stop = true;
}

// vprintf(format, arguments): the arguments lie in local memory, each aligned to its size.
void kw_printf(KwWarp* w, uint32_t mask, uint32_t site) {
  const KwSite& s = site_of(w, site);
  KwWorker& c = *w->worker;
  Request& r = *c.request;
  auto is_readable = [&](uint64_t at) {
    std::shared_lock lock(c.common->table->mutex);
    const Allocation* a = c.common->table->find(at);
    return a ? a->hi - at : 0;
  };
  for (uint32_t m = mask; m; m &= m - 1) {
    const int l = __builtin_ctz(m);
    auto wide = [&](int i) {
      return s.slot[i] < 0 ? (uint64_t)s.imm[i] : ((const uint64_t*)(w->R + s.slot[i] * KW_LANES))[l];
    };
    const uint64_t format = wide(0);
    const uint64_t room = is_readable(format);
    uint64_t at = wide(1) & ~KW_WINDOW_MASK;
    std::string out;
    const char* f = (const char*)format;
    const char* end = f + room;
    auto next = [&](int size) -> const uint8_t* {
      at = (at + size - 1) & ~(uint64_t)(size - 1);
      const uint8_t* p = local_of(w, l) + at;
      at += size;
      return at <= local_end(w, l) ? p : nullptr;
    };
    while (f < end && *f && out.size() < 4096) {
      if (*f != '%') {
        out += *f++;
        continue;
      }
      const char* begin = f++;
      while (f < end && *f && strchr("-+ #0123456789.", *f)) f++;
      int longs = 0;
      while (f < end && *f && strchr("hlzjt", *f)) longs += *f == 'l' || *f == 'z' || *f == 'j' || *f == 't', f++;
      if (f >= end || !*f) break;
      const char kind = *f++;
      std::string spec(begin, f);
      char buffer[256] = "";
      if (kind == '%') {
        out += '%';
      } else if (strchr("diuxXoc", kind)) {
        const uint8_t* p = next(longs ? 8 : 4);
        if (!p) break;
        uint64_t v = 0;
        memcpy(&v, p, longs ? 8 : 4);
        if (longs)
          snprintf(buffer, sizeof buffer, spec.c_str(), v);
        else
          snprintf(buffer, sizeof buffer, spec.c_str(), (uint32_t)v);
        out += buffer;
      } else if (strchr("eEfFgGaA", kind)) {
        const uint8_t* p = next(8);
        if (!p) break;
        double v;
        memcpy(&v, p, 8);
        snprintf(buffer, sizeof buffer, spec.c_str(), v);
        out += buffer;
      } else {  // %s, %p
        const uint8_t* p = next(8);
        if (!p) break;
        uint64_t v;
        memcpy(&v, p, 8);
        if (kind == 's') {
          // Text whose end is not in sight is cut.
          const std::string text((const char*)v, strnlen((const char*)v, std::min<uint64_t>(is_readable(v), 200)));
          snprintf(buffer, sizeof buffer, spec.c_str(), text.c_str());
          out += buffer;
        } else {
          snprintf(buffer, sizeof buffer, "0x%llx", (unsigned long long)v);
          out += buffer;
        }
      }
    }
    std::lock_guard lock(c.common->printing);
    const int64_t n = std::min<int64_t>(out.size(), r.printed_room - r.printed_bytes);
    memcpy(r.printed + r.printed_bytes, out.data(), n);
    r.printed_bytes += n;
    if (s.slot[2] >= 0) w->R[s.slot[2] * KW_LANES + l] = 0;
  }
}
}
