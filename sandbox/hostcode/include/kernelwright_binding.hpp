// Functions of an extension as Python sees them: the part of pybind11 that extensions use, on the C API of Python.
// pybind11 with torch's casters costs three more seconds for every translation unit.
#pragma once

#include <Python.h>

#include <torch/csrc/Device.h>
#include <torch/csrc/Dtype.h>

#include <array>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

// Exported by libtorch_python (torch/csrc/autograd/python_variable.h, which would bring pybind11 in).
extern PyObject* THPVariableClass;
extern PyObject* THPVariable_Wrap(const at::TensorBase& tensor);

namespace kernelwright::binding {

template <typename T, typename = void> struct Convert;

template <> struct Convert<at::Tensor> {
  using Held = at::Tensor;
  static bool load(PyObject* from, Held& to) {
    if (PyObject_IsInstance(from, THPVariableClass) != 1) return PyErr_Clear(), false;
    PyObject* address = PyObject_GetAttrString(from, "_cdata");
    if (address == nullptr) return PyErr_Clear(), false;
    auto* impl = static_cast<at::TensorImpl*>(PyLong_AsVoidPtr(address));
    Py_DECREF(address);
    to = at::Tensor(c10::intrusive_ptr<at::TensorImpl, at::UndefinedTensorImpl>::reclaim_copy(impl));
    return true;
  }
  static PyObject* cast(const at::Tensor& from) { return THPVariable_Wrap(from); }
};

template <> struct Convert<bool> {
  using Held = bool;
  static bool load(PyObject* from, Held& to) {
    if (!PyBool_Check(from) && !PyLong_Check(from)) return false;
    to = PyObject_IsTrue(from) == 1;
    return true;
  }
  static PyObject* cast(bool from) { return PyBool_FromLong(from); }
};

template <typename T> struct Convert<T, std::enable_if_t<std::is_integral_v<T> && !std::is_same_v<T, bool>>> {
  using Held = T;
  static bool load(PyObject* from, Held& to) {
    if (PyFloat_Check(from) || !PyIndex_Check(from)) return false;
    PyObject* number = PyNumber_Index(from);
    if (number == nullptr) return PyErr_Clear(), false;
    bool fits;
    if constexpr (std::is_signed_v<T>) {
      const long long value = PyLong_AsLongLong(number);
      to = static_cast<T>(value);
      fits = !PyErr_Occurred() && static_cast<long long>(to) == value;
    } else {
      const unsigned long long value = PyLong_AsUnsignedLongLong(number);
      to = static_cast<T>(value);
      fits = !PyErr_Occurred() && static_cast<unsigned long long>(to) == value;
    }
    PyErr_Clear();
    Py_DECREF(number);
    return fits;
  }
  static PyObject* cast(T from) {
    if constexpr (std::is_signed_v<T>) return PyLong_FromLongLong(from);
    else return PyLong_FromUnsignedLongLong(from);
  }
};

template <typename T> struct Convert<T, std::enable_if_t<std::is_floating_point_v<T>>> {
  using Held = T;
  static bool load(PyObject* from, Held& to) {
    if (!PyFloat_Check(from) && !PyIndex_Check(from) && !PyNumber_Check(from)) return false;
    if (PyUnicode_Check(from)) return false;
    to = static_cast<T>(PyFloat_AsDouble(from));
    if (PyErr_Occurred()) return PyErr_Clear(), false;
    return true;
  }
  static PyObject* cast(T from) { return PyFloat_FromDouble(from); }
};

template <> struct Convert<std::string> {
  using Held = std::string;
  static bool load(PyObject* from, Held& to) {
    if (!PyUnicode_Check(from)) return false;
    Py_ssize_t size = 0;
    const char* text = PyUnicode_AsUTF8AndSize(from, &size);
    if (text == nullptr) return PyErr_Clear(), false;
    to.assign(text, size);
    return true;
  }
  static PyObject* cast(const std::string& from) { return PyUnicode_FromStringAndSize(from.data(), from.size()); }
};
template <> struct Convert<std::string_view> : Convert<std::string> {};
template <> struct Convert<const char*> {
  using Held = std::string;
  static bool load(PyObject* from, Held& to) { return Convert<std::string>::load(from, to); }
  static PyObject* cast(const char* from) { return PyUnicode_FromString(from); }
};

template <> struct Convert<at::ScalarType> {
  using Held = at::ScalarType;
  static bool load(PyObject* from, Held& to) {
    if (!THPDtype_Check(from)) return false;
    to = reinterpret_cast<THPDtype*>(from)->scalar_type;
    return true;
  }
};
template <> struct Convert<at::Device> {
  struct Held {
    at::Device value = at::Device(at::kCPU);
    operator at::Device&() { return value; }
  };
  static bool load(PyObject* from, Held& to) {
    if (!THPDevice_Check(from)) return false;
    to.value = reinterpret_cast<THPDevice*>(from)->device;
    return true;
  }
  static PyObject* cast(const at::Device& from) { return THPDevice_New(from); }
};
template <> struct Convert<at::Scalar> {
  using Held = at::Scalar;
  static bool load(PyObject* from, Held& to) {
    if (PyBool_Check(from)) to = at::Scalar(from == Py_True);
    else if (PyLong_Check(from)) to = at::Scalar(static_cast<std::int64_t>(PyLong_AsLongLong(from)));
    else if (PyFloat_Check(from)) to = at::Scalar(PyFloat_AsDouble(from));
    else return false;
    return PyErr_Occurred() ? (PyErr_Clear(), false) : true;
  }
};

template <typename T> struct Convert<std::optional<T>> {
  using Held = std::optional<T>;
  static bool load(PyObject* from, Held& to) {
    if (from == Py_None) return to = std::nullopt, true;
    typename Convert<T>::Held inner{};
    if (!Convert<T>::load(from, inner)) return false;
    to = static_cast<T>(inner);
    return true;
  }
  static PyObject* cast(const std::optional<T>& from) {
    if (!from) Py_RETURN_NONE;
    return Convert<T>::cast(*from);
  }
};

template <typename T> struct Convert<std::vector<T>> {
  using Held = std::vector<T>;
  static bool load(PyObject* from, Held& to) {
    if (!PySequence_Check(from) || PyUnicode_Check(from) || PyObject_IsInstance(from, THPVariableClass) == 1) return false;
    PyObject* items = PySequence_Fast(from, "a sequence");
    if (items == nullptr) return PyErr_Clear(), false;
    to.clear();
    bool good = true;
    for (Py_ssize_t i = 0; good && i < PySequence_Fast_GET_SIZE(items); ++i) {
      typename Convert<T>::Held inner{};
      good = Convert<T>::load(PySequence_Fast_GET_ITEM(items, i), inner);
      if (good) to.push_back(static_cast<T>(inner));
    }
    Py_DECREF(items);
    return good;
  }
  template <typename Items> static PyObject* cast(const Items& from) {
    PyObject* list = PyList_New(0);
    for (const auto& each : from) {
      PyObject* item = Convert<T>::cast(each);
      if (item == nullptr || PyList_Append(list, item) != 0) return Py_XDECREF(item), Py_DECREF(list), nullptr;
      Py_DECREF(item);
    }
    return list;
  }
};
template <typename T> struct Convert<c10::ArrayRef<T>> : Convert<std::vector<T>> {};
template <typename T> struct Convert<c10::OptionalArrayRef<T>> {
  using Held = std::optional<std::vector<T>>;
  static bool load(PyObject* from, Held& to) { return Convert<Held>::load(from, to); }
};
template <typename T, std::size_t N> struct Convert<std::array<T, N>> {
  using Held = std::array<T, N>;
  static bool load(PyObject* from, Held& to) {
    std::vector<T> items;
    if (!Convert<std::vector<T>>::load(from, items) || items.size() != N) return false;
    std::copy(items.begin(), items.end(), to.begin());
    return true;
  }
  static PyObject* cast(const Held& from) { return Convert<std::vector<T>>::cast(from); }
};

template <typename Tuple, std::size_t... I> PyObject* cast_tuple(const Tuple& from, std::index_sequence<I...>) {
  PyObject* made = PyTuple_New(sizeof...(I));
  bool good = true;
  auto put = [&](std::size_t at, PyObject* item) {
    good = good && item != nullptr;
    PyTuple_SET_ITEM(made, at, item);
  };
  (put(I, Convert<std::decay_t<std::tuple_element_t<I, Tuple>>>::cast(std::get<I>(from))), ...);
  if (!good) return Py_DECREF(made), nullptr;
  return made;
}
template <typename... T> struct Convert<std::tuple<T...>> {
  static PyObject* cast(const std::tuple<T...>& from) { return cast_tuple(from, std::index_sequence_for<T...>{}); }
};
template <typename A, typename B> struct Convert<std::pair<A, B>> {
  static PyObject* cast(const std::pair<A, B>& from) { return cast_tuple(from, std::make_index_sequence<2>{}); }
};

// The Python error for a C++ exception, as torch and pybind11 choose it.
inline PyObject* raise_current() {
  try {
    throw;
  } catch (const c10::IndexError& error) {
    PyErr_SetString(PyExc_IndexError, error.what_without_backtrace());
  } catch (const c10::ValueError& error) {
    PyErr_SetString(PyExc_ValueError, error.what_without_backtrace());
  } catch (const c10::TypeError& error) {
    PyErr_SetString(PyExc_TypeError, error.what_without_backtrace());
  } catch (const c10::NotImplementedError& error) {
    PyErr_SetString(PyExc_NotImplementedError, error.what_without_backtrace());
  } catch (const c10::Error& error) {
    PyErr_SetString(PyExc_RuntimeError, error.what_without_backtrace());
  } catch (const std::bad_alloc& error) {
    PyErr_SetString(PyExc_MemoryError, error.what());
  } catch (const std::out_of_range& error) {
    PyErr_SetString(PyExc_IndexError, error.what());
  } catch (const std::invalid_argument& error) {
    PyErr_SetString(PyExc_ValueError, error.what());
  } catch (const std::domain_error& error) {
    PyErr_SetString(PyExc_ValueError, error.what());
  } catch (const std::exception& error) {
    PyErr_SetString(PyExc_RuntimeError, error.what());
  } catch (...) {
    PyErr_SetString(PyExc_RuntimeError, "an exception that is no std::exception");
  }
  return nullptr;
}

struct Parameter {
  std::string name;
  PyObject* fallback = nullptr;  // kept for the life of the process, as modules are
};

struct Overload {
  std::function<PyObject*(PyObject* const* arguments, bool& matched)> call;
  std::size_t count = 0;
  std::vector<Parameter> parameters;  // named ones; empty if none are
};

struct Function {
  std::string name, doc;
  std::vector<Overload> overloads;
  PyMethodDef method{};
};

template <typename R, typename... A, typename F, std::size_t... I>
PyObject* call_with(const F& function, PyObject* const* arguments, bool& matched, std::index_sequence<I...>) {
  std::tuple<typename Convert<std::decay_t<A>>::Held...> held;
  matched = (Convert<std::decay_t<A>>::load(arguments[I], std::get<I>(held)) && ...);
  if (!matched) return nullptr;
  auto pass = [&]<typename T>(auto& value) -> decltype(auto) {
    if constexpr (std::is_same_v<std::decay_t<T>, const char*>) return value.c_str();
    else if constexpr (std::is_same_v<std::decay_t<decltype(value)>, std::decay_t<T>> && std::is_lvalue_reference_v<T>) return (value);
    else return static_cast<std::decay_t<T>>(value);
  };
  try {
    if constexpr (std::is_void_v<R>) {
      function(pass.template operator()<A>(std::get<I>(held))...);
      Py_RETURN_NONE;
    } else {
      return Convert<std::decay_t<R>>::cast(function(pass.template operator()<A>(std::get<I>(held))...));
    }
  } catch (...) {
    return raise_current();
  }
}

template <typename R, typename... A, typename F> Overload make_overload(F function, R (*)(A...)) {
  Overload made;
  made.count = sizeof...(A);
  made.call = [function](PyObject* const* arguments, bool& matched) {
    return call_with<R, A...>(function, arguments, matched, std::index_sequence_for<A...>{});
  };
  return made;
}
template <typename R, typename... A> Overload overload_of(R (*function)(A...)) { return make_overload(function, function); }
template <typename F, typename R, typename... A> Overload overload_of_member(F function, R (F::*)(A...) const) {
  return make_overload(function, static_cast<R (*)(A...)>(nullptr));
}
template <typename F, typename = decltype(&F::operator())> Overload overload_of(F function) {
  return overload_of_member(function, &F::operator());
}

inline PyObject* dispatch(PyObject* self, PyObject* args, PyObject* keywords) {
  auto* function = static_cast<Function*>(PyCapsule_GetPointer(self, nullptr));
  const std::size_t given = PyTuple_GET_SIZE(args);
  for (const Overload& overload : function->overloads) {
    if (given > overload.count) continue;
    std::vector<PyObject*> values(overload.count + 1, nullptr);
    for (std::size_t i = 0; i < given; ++i) values[i] = PyTuple_GET_ITEM(args, i);
    Py_ssize_t used = 0;
    bool complete = true;
    for (std::size_t i = given; i < overload.count; ++i) {
      const Parameter* parameter = i < overload.parameters.size() ? &overload.parameters[i] : nullptr;
      PyObject* named = parameter != nullptr && keywords != nullptr ? PyDict_GetItemString(keywords, parameter->name.c_str()) : nullptr;
      used += named != nullptr;
      values[i] = named != nullptr ? named : parameter != nullptr ? parameter->fallback : nullptr;
      complete = complete && values[i] != nullptr;
    }
    if (!complete || (keywords != nullptr && used != PyDict_Size(keywords))) continue;
    bool matched = false;
    PyObject* result = overload.call(values.data(), matched);
    if (matched) return result;
  }
  std::string types;
  for (std::size_t i = 0; i < given; ++i)
    types += (i ? ", " : "") + std::string(Py_TYPE(PyTuple_GET_ITEM(args, i))->tp_name);
  PyErr_Format(PyExc_TypeError, "%s(): incompatible function arguments: it was called with (%s)", function->name.c_str(), types.c_str());
  return nullptr;
}

}  // namespace kernelwright::binding

// The names that sources use.
namespace pybind11 {

struct none {};
inline PyObject* default_of(none) { Py_RETURN_NONE; }
inline PyObject* default_of(std::nullopt_t) { Py_RETURN_NONE; }
inline PyObject* default_of(const char* text) { return PyUnicode_FromString(text); }
template <typename T> PyObject* default_of(const T& value) { return kernelwright::binding::Convert<std::decay_t<T>>::cast(value); }

struct arg {
  kernelwright::binding::Parameter parameter;
  explicit arg(const char* name) { parameter.name = name; }
  template <typename T> arg operator=(const T& value) const {
    arg made = *this;
    made.parameter.fallback = default_of(value);
    return made;
  }
  arg& none(bool = true) { return *this; }
  arg& noconvert(bool = true) { return *this; }
};
namespace literals {
inline arg operator""_a(const char* name, std::size_t) { return arg(name); }
}
struct gil_scoped_release {
  PyThreadState* state = PyEval_SaveThread();
  ~gil_scoped_release() { PyEval_RestoreThread(state); }
};
struct gil_scoped_acquire {
  PyGILState_STATE state = PyGILState_Ensure();
  ~gil_scoped_acquire() { PyGILState_Release(state); }
};
template <typename...> struct call_guard {};

class module_ {
 public:
  explicit module_(PyObject* module) : module(module) {}
  template <typename F, typename... Extra> module_& def(const char* name, F&& function, const Extra&... extra) {
    auto& all = functions();
    kernelwright::binding::Function* found = nullptr;
    for (auto& each : all)
      if (each->name == name) found = each.get();
    if (found == nullptr) {
      all.push_back(std::make_unique<kernelwright::binding::Function>());
      found = all.back().get();
      found->name = name;
    }
    auto overload = kernelwright::binding::overload_of(std::decay_t<F>(function));
    (take(*found, overload, extra), ...);
    found->overloads.push_back(std::move(overload));
    found->method = {found->name.c_str(), reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(&kernelwright::binding::dispatch)),
                     METH_VARARGS | METH_KEYWORDS, found->doc.c_str()};
    PyObject* capsule = PyCapsule_New(found, nullptr, nullptr);
    PyModule_AddObject(module, found->name.c_str(), PyCFunction_NewEx(&found->method, capsule, nullptr));
    return *this;
  }
  std::string& doc() { return text; }

 private:
  static std::vector<std::unique_ptr<kernelwright::binding::Function>>& functions() {
    static auto* made = new std::vector<std::unique_ptr<kernelwright::binding::Function>>;
    return *made;
  }
  static void take(kernelwright::binding::Function&, kernelwright::binding::Overload& overload, const arg& extra) {
    overload.parameters.push_back(extra.parameter);
  }
  static void take(kernelwright::binding::Function& function, kernelwright::binding::Overload&, const char* doc) {
    function.doc = doc;
  }
  template <typename... G> static void take(kernelwright::binding::Function&, kernelwright::binding::Overload&, const call_guard<G...>&) {}
  PyObject* module;
  std::string text;
};
using module = module_;

}  // namespace pybind11
namespace py = pybind11;

#define KERNELWRIGHT_JOIN(a, b) a##b
#define KERNELWRIGHT_JOINED(a, b) KERNELWRIGHT_JOIN(a, b)
#define KERNELWRIGHT_TEXT(a) #a
#define KERNELWRIGHT_TEXTED(a) KERNELWRIGHT_TEXT(a)
#define PYBIND11_MODULE(name, variable, ...)                                                         \
  static void kernelwright_fill_module(::pybind11::module_& variable);                               \
  extern "C" __attribute__((visibility("default"))) PyObject* KERNELWRIGHT_JOINED(PyInit_, name)() { \
    static PyModuleDef definition{PyModuleDef_HEAD_INIT, KERNELWRIGHT_TEXTED(name), nullptr, -1};    \
    PyObject* made = PyModule_Create(&definition);                                                   \
    if (made == nullptr) return nullptr;                                                             \
    ::pybind11::module_ module(made);                                                                \
    kernelwright_fill_module(module);                                                                \
    return made;                                                                                     \
  }                                                                                                  \
  static void kernelwright_fill_module(::pybind11::module_& variable)
