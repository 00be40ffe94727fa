// Precompiled for extensions that use more of pybind11 than function definitions.
#include <torch/types.h>
#include <torch/csrc/utils/pybind.h>

#include "kernelwright_cuda.hpp"
#include "kernelwright_torch_cuda.hpp"
