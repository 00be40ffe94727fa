"""A register-blocked matrix product: block and thread tiles as template parameters, static asserts, a host switch."""

import torch
from torch import nn
from torch.utils.cpp_extension import load_inline

CUDA = r"""
#include <torch/extension.h>
#include <cassert>

template <const int BM, const int BN, const int BK, const int TM, const int TN>
__global__ void sgemm_2d(int M, int N, int K, float alpha, const float* A, const float* B, float beta, float* C) {
  static_assert(BM % TM == 0 && BN % TN == 0, "tiles must divide");
  const unsigned row0 = blockIdx.y * BM, col0 = blockIdx.x * BN;
  const int threads = (BM / TM) * (BN / TN);
  __shared__ float As[BM * BK];
  __shared__ float Bs[BK * BN];
  const int tr = threadIdx.x / (BN / TN), tc = threadIdx.x % (BN / TN);
  float acc[TM][TN] = {};
  for (int k0 = 0; k0 < K; k0 += BK) {
    for (int i = threadIdx.x; i < BM * BK; i += threads) {
      const int r = i / BK, c = i % BK;
      As[i] = (row0 + r < M && k0 + c < K) ? A[(row0 + r) * K + k0 + c] : 0.f;
    }
    for (int i = threadIdx.x; i < BK * BN; i += threads) {
      const int r = i / BN, c = i % BN;
      Bs[i] = (k0 + r < K && col0 + c < N) ? B[(k0 + r) * N + col0 + c] : 0.f;
    }
    __syncthreads();
    for (int k = 0; k < BK; ++k) {
      float a[TM], b[TN];
      for (int i = 0; i < TM; ++i) a[i] = As[(tr * TM + i) * BK + k];
      for (int j = 0; j < TN; ++j) b[j] = Bs[k * BN + tc * TN + j];
      for (int i = 0; i < TM; ++i)
        for (int j = 0; j < TN; ++j) acc[i][j] += a[i] * b[j];
    }
    __syncthreads();
  }
  for (int i = 0; i < TM; ++i)
    for (int j = 0; j < TN; ++j) {
      const unsigned r = row0 + tr * TM + i, c = col0 + tc * TN + j;
      if (r < M && c < N) C[r * N + c] = alpha * acc[i][j] + beta * C[r * N + c];
    }
}

void sgemm(torch::Tensor A, torch::Tensor B, torch::Tensor C, double alpha, double beta) {
  const uint M = A.size(0), K = A.size(1), N = B.size(1);
  if (M >= 64 && N >= 64) {
    const uint BM = 64, BN = 64, BK = 8, TM = 8, TN = 8;
    dim3 grid((N + BN - 1) / BN, (M + BM - 1) / BM);
    sgemm_2d<BM, BN, BK, TM, TN><<<grid, (BM / TM) * (BN / TN)>>>(M, N, K, alpha, A.data_ptr<float>(), B.data_ptr<float>(), beta, C.data_ptr<float>());
  } else {
    dim3 grid((N + 31) / 32, (M + 31) / 32);
    sgemm_2d<32, 32, 16, 4, 4><<<grid, 64>>>(M, N, K, alpha, A.data_ptr<float>(), B.data_ptr<float>(), beta, C.data_ptr<float>());
  }
}
"""

ops = load_inline(
    "sgemm_register_blocked",
    "void sgemm(torch::Tensor A, torch::Tensor B, torch::Tensor C, double alpha, double beta);",
    CUDA,
    functions=["sgemm"],
)
TOLERANCE = 1e-4


class Model(nn.Module):
    def forward(self, a, b, c):
        return 1.5 * (a @ b) - 0.5 * c, 1.5 * (a[:20] @ b) - 0.5 * c[:20]


class ModelNew(nn.Module):
    def forward(self, a, b, c):
        big, small = c.clone(), c[:20].clone()
        assert ops.sgemm(a, b, big, 1.5, -0.5) is None
        ops.sgemm(a[:20].contiguous(), b, small, 1.5, -0.5)
        return big, small


def get_inputs():
    return [torch.randn(100, 40), torch.randn(40, 90), torch.randn(100, 90)]
