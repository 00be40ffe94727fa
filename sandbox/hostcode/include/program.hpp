// Precompiled for bare CUDA programs.
#include "kernelwright_cuda.hpp"
