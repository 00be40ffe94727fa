// Included (precompiled) by every generated kernel.
#pragma once
#include "abi.hpp"
#include "convert.hpp"
#include "video.hpp"

INLINE uint32_t param32(const uint8_t* p) {
  uint32_t v;
  memcpy(&v, p, 4);
  return v;
}
INLINE uint64_t param64(const uint8_t* p) {
  uint64_t v;
  memcpy(&v, p, 8);
  return v;
}
template <class T>
INLINE T param_small(const uint8_t* p) {
  T v;
  memcpy(&v, p, sizeof v);
  return v;
}

// A warp enters block k, which issues n instructions.
#define ENTER(k, n)                            \
  N[3 * (k)]++;                                \
  N[3 * (k) + 1] += __builtin_popcount(M);     \
  w->issued += (n)

// Goes on at block k, unless another group waits at or below it.
#define GO(k)                                     \
  do {                                            \
    if (__builtin_expect(w->other > (k), 1)) goto B##k; \
    w->mask = M;                                  \
    pc = kw_switch(w, (k));                       \
    M = w->mask;                                  \
    goto AGAIN;                                   \
  } while (0)

#define GOBACK(k)                                           \
  do {                                                      \
    if (__builtin_expect(w->issued >= w->slice_end, 0)) {   \
      w->mask = M;                                          \
      return kw_loop(w, (k));                               \
    }                                                       \
    GO(k);                                                  \
  } while (0)

// At the end of block k.
#define DIVERGE(k, t, a, b)       \
  N[3 * (k) + 2]++;               \
  w->mask = M;                    \
  pc = kw_diverge(w, (t), (a), (b)); \
  M = w->mask;                    \
  goto AGAIN

#define BRANCH_TABLE(site, targets, count)                \
  w->mask = M;                                            \
  pc = kw_branch_table(w, (site), (targets), (count));    \
  if (w->issued >= w->slice_end) return kw_loop(w, pc);   \
  M = w->mask;                                            \
  goto AGAIN

// A call of a function with a frame: the table says where it comes back and what is saved (stack.cpp).
#define CALL(site, table, entry)                          \
  w->mask = M;                                            \
  if (!kw_call(w, (site), (table))) return KW_STOP;       \
  if (w->issued >= w->slice_end) return kw_loop(w, (entry)); \
  GO(entry)

#define CALL_POINTER(site, table, entries, count)         \
  w->mask = M;                                            \
  pc = kw_call_pointer(w, (site), (table), (entries), (count)); \
  if (pc < 0) return KW_STOP;                             \
  if (w->issued >= w->slice_end) return kw_loop(w, pc);   \
  M = w->mask;                                            \
  goto AGAIN

// At the end of block k.
#define RETURN(k)                                         \
  w->mask = M;                                            \
  pc = kw_return(w, &N[3 * (k) + 2]);                     \
  if (w->issued >= w->slice_end) return kw_loop(w, pc);   \
  M = w->mask;                                            \
  goto AGAIN

// work: whether the block does anything before it ends.
#define EXIT(lanes, next, work)     \
  do {                              \
    const uint32_t out = (lanes);   \
    w->mask = M;                    \
    pc = kw_exit(w, out, (next), (work));   \
    if (pc < 0) return KW_DONE;     \
    M = w->mask;                    \
    goto AGAIN;                     \
  } while (0)

#define COLLECT(k, site, kind)                      \
  if (__builtin_expect(M != KW_FULL, 0)) {          \
    w->mask = M;                                    \
    pc = kw_collect(w, (k), (site), (kind));        \
    M = w->mask;                                    \
    if (pc != (k)) goto AGAIN;                      \
  }
