"""A PYBIND11_MODULE of its own: keyword arguments, defaults, overloads, a lambda, a docstring."""

import torch
from torch import nn
from torch.utils.cpp_extension import load_inline

CUDA = r"""
#include <torch/extension.h>
namespace py = pybind11;
using namespace pybind11::literals;

__global__ void clamp_kernel(const float* x, float* y, float lo, float hi, int n) {
  int i = threadIdx.x + blockIdx.x * blockDim.x;
  if (i < n) y[i] = fminf(fmaxf(x[i], lo), hi);
}

torch::Tensor clamp(torch::Tensor x, float lo, float hi, bool negate) {
  auto y = torch::empty_like(x);
  {
    py::gil_scoped_release release;
    clamp_kernel<<<(x.numel() + 255) / 256, 256>>>(x.data_ptr<float>(), y.data_ptr<float>(), lo, hi, x.numel());
  }
  return negate ? y.neg() : y;
}

torch::Tensor clamp_to(torch::Tensor x, torch::Tensor bounds) {
  return clamp(x, bounds[0].item<float>(), bounds[1].item<float>(), false);
}

PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) {
  m.def("clamp", &clamp, "limits every element", py::arg("x"), py::arg("lo") = -1.0f, py::arg("hi") = 1.0f, py::arg("negate") = false);
  m.def("clamp", &clamp_to, "x"_a, "bounds"_a);
  m.def("version", []() { return std::string("1.2"); });
  m.def("pair", [](int64_t a, std::optional<double> b) { return std::make_tuple(a + 1, b.value_or(0.5)); }, py::arg("a"), py::arg("b") = py::none());
}
"""

ops = load_inline("keyword_arguments_module", "", CUDA, functions=None)


class Model(nn.Module):
    def forward(self, x):
        return x.clamp(-1, 1), -x.clamp(-1, 0.5), x.clamp(0.1, 0.2)


class ModelNew(nn.Module):
    def forward(self, x):
        assert ops.version() == "1.2"
        assert ops.pair(3) == (4, 0.5)
        assert ops.pair(b=2.0, a=1) == (2, 2.0)
        assert ops.clamp.__doc__ == "limits every element"
        try:
            ops.clamp(x, low=3)
        except TypeError:
            pass
        else:
            raise AssertionError("an unknown keyword was accepted")
        return ops.clamp(x), ops.clamp(x, hi=0.5, negate=True), ops.clamp(x, torch.tensor([0.1, 0.2]))


def get_inputs():
    return [torch.randn(400)]
