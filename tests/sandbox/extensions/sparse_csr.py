"""CSR matrix times vector: one warp per row, int32 indices, ballot-free reduction; and a COO to CSR count."""

import torch
from torch import nn
from torch.utils.cpp_extension import load_inline

CUDA = r"""
#include <torch/extension.h>

constexpr unsigned kFull = 0xFFFFFFFFu;

__global__ void csr_spmv(const int* __restrict__ row_ptr, const int* __restrict__ col, const float* __restrict__ val,
                         const float* __restrict__ x, float* __restrict__ y, int rows) {
  const int warp = (blockIdx.x * blockDim.x + threadIdx.x) >> 5, lane = threadIdx.x & 31;
  if (warp >= rows) return;
  float sum = 0.f;
  for (int j = row_ptr[warp] + lane; j < row_ptr[warp + 1]; j += 32) sum += val[j] * x[col[j]];
#pragma unroll
  for (int o = 16; o > 0; o >>= 1) sum += __shfl_down_sync(kFull, sum, o);
  if (lane == 0) y[warp] = sum;
}

__global__ void count_rows(const int* row, int* counts, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  const bool active = i < n;
  const int mine = active ? row[i] : -1;
  // one atomic for each group of lanes with the same row
  const unsigned peers = __match_any_sync(kFull, mine);
  const int leader = __ffs(peers) - 1;
  if (active && (threadIdx.x & 31) == leader) atomicAdd(&counts[mine + 1], __popc(peers));
}

torch::Tensor spmv(torch::Tensor row, torch::Tensor col, torch::Tensor val, torch::Tensor x, int64_t rows) {
  auto counts = torch::zeros({rows + 1}, row.options());
  count_rows<<<(row.numel() + 127) / 128, 128>>>(row.data_ptr<int>(), counts.data_ptr<int>(), row.numel());
  auto row_ptr = counts.cumsum(0, torch::kInt);
  auto y = torch::empty({rows}, x.options());
  csr_spmv<<<(rows * 32 + 127) / 128, 128>>>(row_ptr.data_ptr<int>(), col.data_ptr<int>(), val.data_ptr<float>(), x.data_ptr<float>(), y.data_ptr<float>(), rows);
  return y;
}
"""

ops = load_inline(
    "sparse_csr",
    "torch::Tensor spmv(torch::Tensor row, torch::Tensor col, torch::Tensor val, torch::Tensor x, int64_t rows);",
    CUDA,
    functions=["spmv"],
)


class Model(nn.Module):
    def forward(self, row, col, val, x):
        return torch.zeros(30).index_add(0, row.long(), val * x[col.long()])


class ModelNew(nn.Module):
    def forward(self, row, col, val, x):
        return ops.spmv(row, col, val, x, 30)


def get_inputs():
    row = torch.randint(0, 30, (400,), dtype=torch.int32).sort().values
    return [row, torch.randint(0, 50, (400,), dtype=torch.int32), torch.randn(400), torch.randn(50)]
