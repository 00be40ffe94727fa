// Precompiled for extensions: torch's types and functions, CUDA's types, our binding in place of pybind11.
#include <torch/types.h>

#include "kernelwright_binding.hpp"
#include "kernelwright_cuda.hpp"
#include "kernelwright_torch_cuda.hpp"
