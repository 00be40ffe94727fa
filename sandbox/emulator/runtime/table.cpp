// The table of live global allocations.
#include <stdlib.h>
#include <string.h>

#include "runtime.hpp"

namespace kw {

Allocation* Table::find(uint64_t address) const {
  auto it = by_start.upper_bound(address);
  if (it == by_start.begin()) return nullptr;
  Allocation* a = std::prev(it)->second;
  return address < a->hi ? a : nullptr;
}

Allocation* Table::nearest_below(uint64_t address) const {
  auto it = by_start.upper_bound(address);
  return it == by_start.begin() ? nullptr : std::prev(it)->second;
}

// Under the lock.
static void retire(Table* t, Allocation* a) {
  if (t->launches)
    t->retired.push_back(a);
  else
    delete a;
}

}  // namespace kw

using kw::Allocation;
using kw::Table;

extern "C" {

void* kw_table_new() { return new Table; }

void kw_table_delete(void* table) {
  Table* t = (Table*)table;
  for (auto& [lo, a] : t->by_start) delete a;
  for (Allocation* a : t->retired) delete a;
  for (auto& [lo, bytes] : t->heap) free((void*)lo);
  for (auto& [lo, bytes] : t->freed) free((void*)lo);
  delete t;
}

void kw_register(void* table, const void* pointer, uint64_t bytes, const char* label) {
  if (!pointer || !bytes) return;
  Table* t = (Table*)table;
  const uint64_t lo = (uint64_t)pointer, hi = lo + bytes;
  std::unique_lock lock(t->mutex);
  // Memory that overlaps was freed behind our back.
  auto it = t->by_start.lower_bound(lo);
  if (it != t->by_start.begin() && std::prev(it)->second->hi > lo) --it;
  while (it != t->by_start.end() && it->first < hi) {
    kw::retire(t, it->second);
    it = t->by_start.erase(it);
  }
  Allocation* a = new Allocation;
  a->lo = lo;
  a->hi = hi;
  a->label = label ? label : "";
  a->id = t->next_id++;
  t->by_start[lo] = a;
}

void kw_read_only(void* table, const void* pointer) {
  Table* t = (Table*)table;
  std::unique_lock lock(t->mutex);
  if (Allocation* a = t->find((uint64_t)pointer)) a->read_only = true;
}

// For native allocators, which fill new memory with poison.
void kw_register_poisoned(void* table, const void* pointer, uint64_t bytes, const char* label) {
  kw_register(table, pointer, bytes, label);
  if (!pointer || !bytes) return;
  Table* t = (Table*)table;
  std::unique_lock lock(t->mutex);
  t->find((uint64_t)pointer)->poisoned = true;
}

// From now on reads of the allocation's bytes that neither kernels nor kw_initialised wrote are violations.
void kw_uninitialised(void* table, const void* pointer) {
  Table* t = (Table*)table;
  std::unique_lock lock(t->mutex);
  if (Allocation* a = t->find((uint64_t)pointer)) a->blank.assign((a->hi - a->lo + 63) / 64, ~0ull);
}

// The host has written these bytes; they may lie in several allocations.
void kw_initialised(void* table, const void* pointer, uint64_t bytes) {
  Table* t = (Table*)table;
  const uint64_t lo = (uint64_t)pointer, hi = lo + bytes;
  std::unique_lock lock(t->mutex);
  auto it = t->by_start.upper_bound(lo);
  if (it != t->by_start.begin()) --it;
  for (; it != t->by_start.end() && it->first < hi; ++it)
    if (!it->second->blank.empty()) kw::blank_clear(it->second, lo, hi);
}

void kw_unregister(void* table, const void* pointer) {
  Table* t = (Table*)table;
  std::unique_lock lock(t->mutex);
  auto it = t->by_start.find((uint64_t)pointer);
  if (it == t->by_start.end()) return;
  kw::retire(t, it->second);
  t->by_start.erase(it);
}

// The allocation that holds `address`, or (below = 1) the last one that begins at or before it. Returns 0 if there is none.
int32_t kw_find(void* table, uint64_t address, int32_t below, uint64_t* lo, uint64_t* bytes, char* label, int64_t room) {
  Table* t = (Table*)table;
  std::shared_lock lock(t->mutex);
  const Allocation* a = below ? t->nearest_below(address) : t->find(address);
  if (!a) return 0;
  *lo = a->lo;
  *bytes = a->hi - a->lo;
  if (label && room > 0) {
    strncpy(label, a->label.c_str(), room - 1);
    label[room - 1] = 0;
  }
  return 1;
}

uint64_t kw_written(void* table, const void* pointer) {
  Table* t = (Table*)table;
  std::shared_lock lock(t->mutex);
  Allocation* a = t->find((uint64_t)pointer);
  return a ? a->written.load() : 0;
}

void kw_mark(void* table) {
  Table* t = (Table*)table;
  std::unique_lock lock(t->mutex);
  for (auto& [lo, a] : t->by_start) {
    a->written = 0;
    a->forget();
  }
  t->partial = false;
}

// Fills `out`, one byte for each of the allocation's: 1 if it was stored to and is what it would be had all blocks run.
void kw_written_bytes(void* table, const void* pointer, uint8_t* out, uint64_t bytes) {
  Table* t = (Table*)table;
  std::shared_lock lock(t->mutex);
  const Allocation* a = t->find((uint64_t)pointer);
  for (uint64_t i = 0; a && i < bytes && a->lo + i < a->hi; i++) out[i] = a->complete(i);
}

uint64_t kw_count(void* table) {
  Table* t = (Table*)table;
  std::shared_lock lock(t->mutex);
  return t->by_start.size();
}
}
