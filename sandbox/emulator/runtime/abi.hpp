// What generated code, the runtime library and Python (runtime.py) agree on. Raise KW_ABI when a layout changes.
#pragma once
#include <stdint.h>

#define KW_ABI 1
#define KW_LANES 32
#define KW_FULL 0xffffffffu

// Generic addresses: host pointers stay below 2^47, so the windows of shared and local memory lie above.
#define KW_SHARED_WINDOW (1ull << 56)
#define KW_LOCAL_WINDOW (1ull << 57)
#define KW_WINDOW_MASK (~0ull << 56)

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
};

enum KwSpace { KW_GLOBAL = 0, KW_SHARED = 1, KW_LOCAL = 2 };

// One static place in the program that calls the runtime: operands as register slots (in units of 32 words).
struct KwSite {
  int32_t address;       // slot of the address register
  int32_t address_bits;  // 32 or 64
  int64_t offset;
  int32_t value[4];  // slots of data registers; -1: none
  int32_t extra[4];  // further operands, by kind of site
  int32_t provenance;  // index of the shared variable or the parameter offset that the address comes from; -1: unknown
  int32_t value_bits;  // lane width of the data registers, 32 or 64
};

struct KwGroup {
  int32_t pc;
  uint32_t mask;
  uint64_t stamp;
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
  int32_t parked;  // 1: the running group was asked to go on although lanes are missing
  int32_t barrier_id;
  int32_t barrier_threads;
  uint32_t barrier_value[KW_LANES];
  uint32_t barrier_result;
  uint32_t barrier_site;
  int32_t waiting;
  uint64_t stamp;
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
  uint64_t* block_counts;  // per basic block: times entered by a warp, lanes
};

typedef int32_t (*KwKernel)(KwWarp*, KwLaunch*);

extern "C" {
int32_t kw_diverge(KwWarp* w, uint32_t taken, int32_t target, int32_t other);
int32_t kw_switch(KwWarp* w, int32_t pc);
int32_t kw_exit(KwWarp* w);
int32_t kw_loop(KwWarp* w, int32_t pc);
int32_t kw_branch_table(KwWarp* w, uint32_t site, const int32_t* targets, int32_t count);
}
