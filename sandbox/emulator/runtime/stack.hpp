// Memory of threads' stacks: frames in local memory, and saved registers beside them.
#pragma once
#include <stdint.h>

#include "runtime.hpp"

namespace kw {

// From one lane's local memory to the next one's, in bytes. The odd part keeps lanes out of each other's cache lines.
inline uint64_t local_stride(const Request& r) {
  return r.stack_slot < 0 ? r.frame_bytes : (r.frame_bytes + r.stack_bytes + 15) / 16 * 16 + 208;
}

// Words of a warp's saved registers.
inline uint64_t saved_words(const Request& r) { return (r.stack_bytes / 4 + 1) * KW_LANES; }

// The stacks of a block's warps. The system gives the memory page by page as it is used.
struct Stacks {
  uint8_t* local = nullptr;  // null: there is no address space for them
  uint32_t* saved = nullptr;

  Stacks(const Request& r, uint64_t warps);
  ~Stacks();
  Stacks(const Stacks&) = delete;
  Stacks& operator=(const Stacks&) = delete;

 private:
  uint64_t bytes;
};

}  // namespace kw
