// What the stubs of kernels use: launch configurations, the spelling of template arguments, registration.
#pragma once

#include <cxxabi.h>

#include <cstdlib>
#include <initializer_list>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <typeinfo>
#include <vector>

#include "../runtime/abi.hpp"

namespace kernelwright {

template <typename T> struct TypeTag {};
template <auto V> struct ValueTag {};

inline std::string spell(const std::type_info& tag) {
  int status = 0;
  char* found = abi::__cxa_demangle(tag.name(), nullptr, nullptr, &status);
  std::string text = found != nullptr ? found : tag.name();
  std::free(found);
  const auto first = text.find('<'), last = text.rfind('>');
  text = text.substr(first + 1, last - first - 1);
  const std::string anonymous = "(anonymous namespace)::";
  for (auto at = text.find(anonymous); at != std::string::npos; at = text.find(anonymous)) text.erase(at, anonymous.size());
  return text;
}
template <typename T> std::string spell_type() { return spell(typeid(TypeTag<T>)); }
template <auto V> std::string spell_value() { return spell(typeid(ValueTag<V>)); }

struct Kernel {
  const char* unit;
  int number;
  std::string instance;
  Kernel(const char* unit, int number, std::initializer_list<std::string> arguments) : unit(unit), number(number) {
    for (const auto& each : arguments) instance += (instance.empty() ? "" : ", ") + each;
  }
};

// Thrown through the author's code when a launch is refused; Python raises the reason.
struct Refused : std::runtime_error {
  Refused() : std::runtime_error(std::string("the kernel launch was refused: ") + kernelwright_reason()) {}
};

template <auto Address> const void* address_of() {
  if constexpr (std::is_same_v<decltype(Address), std::nullptr_t>) return nullptr;
  else return reinterpret_cast<const void*>(Address);
}

template <auto Address, typename Info, typename... Parameters> struct Entry {
  const Kernel kernel = Info::make();
  Entry() {
    const std::uint64_t sizes[] = {sizeof(Parameters)..., 0};
    if (const void* address = address_of<Address>(); address != nullptr)
      kernelwright_register_kernel(address, kernel.unit, kernel.number, kernel.instance.c_str(), sizes,
                                   sizeof...(Parameters));
  }
  static inline const Entry once{};  // made when the library is loaded: addresses are known before the first launch
};

template <auto Address, typename Info, typename... Parameters> void enter(const Parameters&... parameters) {
  const Kernel& kernel = Entry<Address, Info, Parameters...>::once.kernel;
  const void* args[] = {static_cast<const void*>(&parameters)..., nullptr};
  const std::uint64_t sizes[] = {sizeof(Parameters)..., 0};
  kernelwright_request request{};
  if (!kernelwright_pop(&request)) throw std::logic_error("a kernel was called without <<<grid, block>>>");
  request.unit = kernel.unit;
  request.kernel = kernel.number;
  request.instance = kernel.instance.c_str();
  request.args = args;
  request.sizes = sizes;
  request.count = sizeof...(Parameters);
  if (kernelwright_launch(&request, address_of<Address>()) < 0) throw Refused();
}

inline void push(dim3 grid, dim3 block, std::size_t shared = 0, cudaStream_t = nullptr) {
  const std::uint32_t grid_sizes[] = {grid.x, grid.y, grid.z}, block_sizes[] = {block.x, block.y, block.z};
  kernelwright_push(grid_sizes, block_sizes, shared);
}

struct Variable {
  Variable(const char* unit, const char* name, const void* address, std::size_t bytes) {
    kernelwright_register_variable(address, unit, name, bytes);
  }
};

template <typename F> int call_main(F* entry, int argc, char** argv) {
  if constexpr (std::is_invocable_v<F, int, char**, char**>) return entry(argc, argv, environ);
  else if constexpr (std::is_invocable_v<F, int, char**>) return entry(argc, argv);
  else return entry();
}

}  // namespace kernelwright
