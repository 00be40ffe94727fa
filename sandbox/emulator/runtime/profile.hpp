// The profile by source line: what a call of generated code adds to a worker's counters, put down to the calling site.
#pragma once
#include "runtime.hpp"

namespace kw {

// The counters of one site, and the fewest sectors that would hold the bytes of its loads and stores.
struct SiteCounts {
  uint64_t of[COUNTERS];
  uint64_t ideal_load_sectors, ideal_store_sectors;
};

// Stands at the beginning of every function that generated code calls with a site and that counts something. Without a
// profile it costs one comparison.
class Tally {
 public:
  Tally(const KwWarp* w, uint32_t site) : worker_(*w->worker), site_(site) {
    if (__builtin_expect(worker_.profile != nullptr, 0)) open();
  }
  ~Tally() {
    if (__builtin_expect(worker_.profile != nullptr, 0)) close();
  }
  Tally(const Tally&) = delete;
  Tally& operator=(const Tally&) = delete;

 private:
  void open();
  void close();
  KwWorker& worker_;
  const uint32_t site_;
  uint64_t before_[COUNTERS];
};

}  // namespace kw
