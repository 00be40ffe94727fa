// What generated code, the runtime library and Python (runtime.py) agree on. Raise KW_ABI when a layout changes.
#pragma once
#include <stdint.h>

#define KW_ABI 8
#define KW_LANES 32
#define KW_FULL 0xffffffffu

// Generic addresses: host pointers stay below 2^47, so the windows of shared and local memory lie above.
#define KW_SHARED_WINDOW (1ull << 56)
#define KW_LOCAL_WINDOW (1ull << 57)
#define KW_WINDOW_MASK (~0ull << 56)
#define KW_CODE_WINDOW (1ull << 58)  // addresses of device functions

// Why kw_kernel returned.
enum KwStatus { KW_DONE = 0, KW_BARRIER = 1, KW_YIELD = 2, KW_STOP = 3 };

enum KwViolationKind {
  KW_OUT_OF_BOUNDS = 0,
  KW_MISALIGNED = 1,
  KW_NULL_POINTER = 2,
  KW_DIVERGENT_BARRIER = 3,
  KW_MISSING_LANES = 4,
  KW_EXIT_BEFORE_BARRIER = 5,
  KW_ENDLESS_LOOP = 6,
  KW_TRAP = 7,
  KW_SHARED_RACE = 8,
  KW_UNINITIALISED = 9,
  KW_GLOBAL_RACE = 10,
  KW_SAME_VALUE = 11,  // no violation: writers that nothing orders stored the same value (KwWorker::note)
};

enum KwSpace { KW_GLOBAL = 0, KW_SHARED = 1, KW_LOCAL = 2, KW_FREED = 3, KW_PARAM = 4 };

// Why a thread trapped.
enum KwTrap { KW_TRAP_ITSELF = 0, KW_TRAP_ASSERT = 1, KW_TRAP_STACK = 2, KW_TRAP_NO_FUNCTION = 3, KW_TRAP_FREE = 4, KW_TRAP_MEMORY = 5, KW_TRAP_RESTORE = 6 };

// One static place in the program that calls the runtime. Operand i is register slot[i] (in units of 32 words), or the
// constant imm[i] where slot[i] is -1. Loads and stores: data in 0..7. The rest: see warp.cpp and atomic.cpp.
struct KwSite {
  int32_t address;       // slot of the address register
  int32_t address_bits;  // 32 or 64
  int64_t offset;
  int32_t slot[8];
  int64_t imm[6];
  int32_t extra[6];
  int32_t provenance;  // shared memory: index of the variable that the address comes from; -1: unknown
  // Bits. 1: volatile or ordered in another way, takes no part in races; 2: in a library's header; 4: a store that
  // releases; 8: what is loaded is a floating-point number; 16: a warp's access to a
  // matrix, for whose order the caller answers.
  int32_t is_volatile;
};

struct KwGroup {
  int32_t pc;
  uint32_t mask;
  uint64_t stamp;
  int32_t waits;  // 1: at a warp-wide operation, for lanes that are missing
  int32_t reserved;
};

struct KwWorker;

struct alignas(64) KwWarp {
  uint32_t* R;  // register slots, 32 words each; 64-bit registers take two
  uint32_t* P;  // predicate slots, one bit a lane
  uint32_t mask;  // lanes of the running group
  uint32_t live;  // lanes that have not exited
  int32_t pc;
  int32_t other;  // lowest block where another group waits; INT32_MAX: none
  uint64_t issued;  // instructions so far
  uint64_t slice_end;  // value of `issued` at which a loop gives way
  uint64_t global_requests;
  uint64_t barriers;
  KwWorker* worker;
  uint8_t* local;  // frames of the 32 lanes
  int32_t groups;  // number of waiting groups
  int32_t index;  // warp in block
  int32_t forced;  // 1: the running group goes on although lanes are missing, since nothing else can run
  uint32_t initial;  // lanes that exist
  uint32_t awaited;  // lanes that a barrier has waited for
  uint32_t skipped;  // of those, the ones that did work elsewhere and exited
  int32_t barrier_id;
  int32_t barrier_threads;
  uint32_t barrier_site;
  uint32_t barrier_lanes;  // lanes whose predicate was true (barrier.red)
  uint32_t barrier_result;
  int32_t waiting;
  int32_t awaits_copies;  // an mbarrier waits for copies of this warp
  uint32_t converged;  // how often lanes of the warp have met: __syncwarp, shuffles and the like
  uint64_t stamp;
  uint32_t* saved;  // registers saved around calls, and where to come back to: rows of 32 words, one a lane
  uint32_t depth[KW_LANES];  // rows that the lane uses
  alignas(64) uint32_t tid[3][KW_LANES];
  KwGroup group[KW_LANES];
};

// The part of a worker that generated code reads.
struct KwLaunch {
  uint32_t ctaid[3];
  uint32_t nctaid[3];
  uint32_t ntid[3];
  uint32_t warps;
  uint32_t dynamic_shared;
  uint32_t total_shared;
  const uint8_t* params;
  const uint64_t* globals;  // addresses of the module's variables
  uint64_t workspace;  // of a cooperative grid: a counter at its second word
  uint64_t* block_counts;  // per basic block: times entered by a warp, lanes, times its branch diverged
};

typedef int32_t (*KwKernel)(KwWarp*, KwLaunch*);

extern "C" {
int32_t kw_diverge(KwWarp* w, uint32_t taken, int32_t target, int32_t other);
int32_t kw_switch(KwWarp* w, int32_t pc);
int32_t kw_exit(KwWarp* w, uint32_t lanes, int32_t next, int32_t work);
int32_t kw_loop(KwWarp* w, int32_t pc);
int32_t kw_branch_table(KwWarp* w, uint32_t site, const int32_t* targets, int32_t count);
int32_t kw_call(KwWarp* w, uint32_t site, const int32_t* table);
int32_t kw_call_pointer(KwWarp* w, uint32_t site, const int32_t* table, const uint64_t* entries, int32_t count);
int32_t kw_return(KwWarp* w, uint64_t* diverged);
void kw_restore(KwWarp* w, uint32_t mask, const int32_t* table);
int32_t kw_frame(KwWarp* w, uint32_t mask, uint32_t site);
int32_t kw_stackrestore(KwWarp* w, uint32_t mask, uint32_t site);
int32_t kw_alloca(KwWarp* w, uint32_t mask, uint32_t site);
void kw_malloc(KwWarp* w, uint32_t mask, uint32_t site);
void kw_free(KwWarp* w, uint32_t mask, uint32_t site);
void kw_ld_param(KwWarp* w, uint32_t mask, uint32_t site);
int32_t kw_collect(KwWarp* w, int32_t pc, uint32_t site, int32_t kind);
int32_t kw_barrier(KwWarp* w, uint32_t site);
void kw_arrive(KwWarp* w, uint32_t site);
void kw_barrier_result(KwWarp* w, uint32_t mask, uint32_t site);
void kw_shfl(KwWarp* w, uint32_t mask, uint32_t site);
void kw_vote(KwWarp* w, uint32_t mask, uint32_t site);
void kw_match(KwWarp* w, uint32_t mask, uint32_t site);
void kw_redux(KwWarp* w, uint32_t mask, uint32_t site);
void kw_elect(KwWarp* w, uint32_t mask, uint32_t site);
void kw_mbarrier(KwWarp* w, uint32_t mask, uint32_t site);
void kw_mma(KwWarp* w, uint32_t mask, const int32_t* what);
void kw_wmma_move(KwWarp* w, uint32_t mask, uint32_t site, const int32_t* what);
void kw_matrix_move(KwWarp* w, uint32_t mask, uint32_t site, const int32_t* what);
void kw_movmatrix(KwWarp* w, uint32_t mask, const int32_t* what);
void kw_fence(KwWarp* w, uint32_t mask, uint32_t site);
void kw_trap(KwWarp* w, uint32_t mask, uint32_t site);
void kw_assert(KwWarp* w, uint32_t mask, uint32_t site);
void kw_printf(KwWarp* w, uint32_t mask, uint32_t site);
void kw_atom_global(KwWarp* w, uint32_t mask, uint32_t site);
void kw_atom_shared(KwWarp* w, uint32_t mask, uint32_t site);
void kw_atom_generic(KwWarp* w, uint32_t mask, uint32_t site);
void kw_copy_async(KwWarp* w, uint32_t mask, uint32_t site);
void kw_copy_commit(KwWarp* w, uint32_t mask, uint32_t site);
void kw_copy_wait(KwWarp* w, uint32_t mask, uint32_t site);
#define KW_DECLARE(E, V)                                                \
  void kw_ld_global_##E##_##V(KwWarp* w, uint32_t mask, uint32_t site);  \
  void kw_st_global_##E##_##V(KwWarp* w, uint32_t mask, uint32_t site);  \
  void kw_ld_shared_##E##_##V(KwWarp* w, uint32_t mask, uint32_t site);  \
  void kw_st_shared_##E##_##V(KwWarp* w, uint32_t mask, uint32_t site);  \
  void kw_ld_local_##E##_##V(KwWarp* w, uint32_t mask, uint32_t site);   \
  void kw_st_local_##E##_##V(KwWarp* w, uint32_t mask, uint32_t site);   \
  void kw_ld_generic_##E##_##V(KwWarp* w, uint32_t mask, uint32_t site); \
  void kw_st_generic_##E##_##V(KwWarp* w, uint32_t mask, uint32_t site);
KW_DECLARE(1, 1)
KW_DECLARE(1, 2)
KW_DECLARE(1, 4)
KW_DECLARE(2, 1)
KW_DECLARE(2, 2)
KW_DECLARE(2, 4)
KW_DECLARE(4, 1)
KW_DECLARE(4, 2)
KW_DECLARE(4, 4)
KW_DECLARE(8, 1)
KW_DECLARE(8, 2)
KW_DECLARE(4, 8)
KW_DECLARE(8, 4)
}
