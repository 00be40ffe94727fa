// What passes between compiled host code, the CUDA runtime of this folder, and Python. Plain C types only.
#pragma once

#include <cstdint>

extern "C" {

// One launch as a kernel's stub asks for it.
struct kernelwright_request {
  const char* unit;      // the translation unit
  std::int32_t kernel;   // the kernel's number in it
  std::int32_t count;    // parameters
  const char* instance;  // template arguments, spelled; empty if there are none
  std::uint32_t grid[3];
  std::uint32_t block[3];
  std::uint64_t shared;  // bytes of dynamic shared memory
  const void* const* args;
  const std::uint64_t* sizes;  // bytes of each parameter
};

// What ptxas says of a kernel.
struct kernelwright_resources {
  std::int32_t registers;
  std::int32_t static_shared;
  std::int32_t local;
  std::int32_t constant;
  std::int32_t max_threads;
};

struct kernelwright_device {
  char name[256];
  std::int32_t major, minor, processors, threads_per_processor, blocks_per_processor, registers_per_processor;
  std::int32_t shared_per_block, shared_optin, shared_per_processor, l2_bytes, clock_khz, memory_clock_khz, bus_bits;
  std::uint64_t memory_bytes;
};

// What Python installs. All return a cudaError_t.
struct kernelwright_hooks {
  std::int32_t (*launch)(const kernelwright_request*);
  std::int32_t (*resources)(const char* unit, std::int32_t kernel, const char* instance, kernelwright_resources*);
  // copies `bytes` between `host` and a variable of the device at `offset`
  std::int32_t (*symbol)(const char* unit, const char* name, std::uint64_t offset, void* host, std::uint64_t bytes,
                         std::int32_t to_device);
  std::int32_t (*symbol_address)(const char* unit, const char* name, std::uint64_t* pointer);
  void* table;  // the emulator's allocation table
  void (*told_new)(void* table, std::uint64_t pointer, std::uint64_t bytes, const char* label);
  void (*told_gone)(void* table, std::uint64_t pointer);
  // a refused launch: 0 makes it an error code of CUDA, 1 a C++ exception
  std::int32_t raises;
  // Only for programs, where all that the host writes to the device passes through here: memory that nobody has written,
  // and what the host then writes.
  void (*told_blank)(void* table, std::uint64_t pointer);
  void (*told_written)(void* table, std::uint64_t pointer, std::uint64_t bytes);
  // Only where the device's memory is another process's: where memory comes from, and how its contents are reached.
  void* (*allocate)(std::uint64_t bytes);
  void (*release)(void* pointer);
  std::int32_t (*copy)(std::uint64_t to, std::uint64_t from, std::uint64_t bytes);
  std::int32_t (*fill)(std::uint64_t to, std::int32_t value, std::uint64_t bytes);
};

void kernelwright_install(const kernelwright_hooks* hooks, const kernelwright_device* device);
// device memory that was never freed: writes up to `room` sizes, returns how many there are
std::uint64_t kernelwright_leaks(std::uint64_t* sizes, std::uint64_t room);
void kernelwright_flush();
// called when the process exits, after what is registered later
void kernelwright_at_exit(void (*function)());
// writes to the program's standard output, in order with its own
void kernelwright_print(const char* text);
// why the last launch was refused, for the exception's text
void kernelwright_set_reason(const char* text);
const char* kernelwright_reason();
// what cudaDeviceSetLimit asked for, by the number of the cudaLimit
std::uint64_t kernelwright_limit(std::int32_t limit);

void kernelwright_push(const std::uint32_t* grid, const std::uint32_t* block, std::uint64_t shared);
// takes the configuration of the innermost `<<<...>>>`; false if the stub was called as a plain function
bool kernelwright_pop(kernelwright_request* request);
std::int32_t kernelwright_launch(kernelwright_request* request, const void* address);
void kernelwright_register_kernel(const void* address, const char* unit, std::int32_t kernel, const char* instance,
                                  const std::uint64_t* sizes, std::int32_t count);
void kernelwright_register_variable(const void* address, const char* unit, const char* name, std::uint64_t bytes);
}
