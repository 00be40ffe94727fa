#include <cuda_fp16.h>

__device__ __forceinline__ float wmax(float v) { for (int o = 16; o; o >>= 1) v = fmaxf(v, __shfl_xor_sync(~0u, v, o)); return v; }
__device__ __forceinline__ float wsum(float v) { for (int o = 16; o; o >>= 1) v += __shfl_xor_sync(~0u, v, o); return v; }

extern "C" __global__ void softmax(const float* x, float* y, int n) {
  __shared__ float s[32];
  const float* row = x + (size_t)blockIdx.x * n;
  int w = threadIdx.x >> 5, l = threadIdx.x & 31, warps = blockDim.x >> 5;
  float m = __int_as_float(0xff800000);
  for (int i = threadIdx.x; i < n; i += blockDim.x) m = fmaxf(m, row[i]);
  m = wmax(m); if (!l) s[w] = m; __syncthreads();
  m = wmax(l < warps ? s[l] : __int_as_float(0xff800000)); __syncthreads();
  float t = 0;
  for (int i = threadIdx.x; i < n; i += blockDim.x) t += expf(row[i] - m);
  t = wsum(t); if (!l) s[w] = t; __syncthreads();
  t = wsum(l < warps ? s[l] : 0.f);
  for (int i = threadIdx.x; i < n; i += blockDim.x) y[(size_t)blockIdx.x * n + i] = expf(row[i] - m) / t;
}

extern "C" __global__ void layer_norm(const float* x, float* y, int n) {
  __shared__ float s[64];
  const float* row = x + (size_t)blockIdx.x * n;
  int w = threadIdx.x >> 5, l = threadIdx.x & 31, warps = blockDim.x >> 5;
  float t = 0, q = 0;
  for (int i = threadIdx.x; i < n; i += blockDim.x) { float v = row[i]; t += v; q += v * v; }
  t = wsum(t); q = wsum(q); if (!l) { s[w] = t; s[w + 32] = q; } __syncthreads();
  t = wsum(l < warps ? s[l] : 0.f) / n; q = wsum(l < warps ? s[l + 32] : 0.f) / n;
  float r = rsqrtf(q - t * t + 1e-5f);
  for (int i = threadIdx.x; i < n; i += blockDim.x) y[(size_t)blockIdx.x * n + i] = (row[i] - t) * r;
}

extern "C" __global__ void add4(const float4* a, const float4* b, float4* c, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) { float4 p = a[i], q = b[i]; c[i] = make_float4(p.x + q.x, p.y + q.y, p.z + q.z, p.w + q.w); }
}

template <int T> __device__ void tiled(const float* A, const float* B, float* C, int N) {
  __shared__ float a[T][T], b[T][T];
  int tx = threadIdx.x, ty = threadIdx.y, r = blockIdx.y * T + ty, c = blockIdx.x * T + tx;
  float acc = 0;
  for (int k = 0; k < N; k += T) {
    a[ty][tx] = A[r * N + k + tx]; b[ty][tx] = B[(k + ty) * N + c]; __syncthreads();
    for (int i = 0; i < T; i++) acc += a[ty][i] * b[i][tx];
    __syncthreads();
  }
  C[r * N + c] = acc;
}
extern "C" __global__ void matmul16(const float* A, const float* B, float* C, int N) { tiled<16>(A, B, C, N); }
extern "C" __global__ void matmul32(const float* A, const float* B, float* C, int N) { tiled<32>(A, B, C, N); }

extern "C" __global__ void sgemm(const float* A, const float* B, float* C, int N) {
  __shared__ float As[8][128], Bs[8][128];
  float acc[8][8] = {};
  int tx = threadIdx.x % 16, ty = threadIdx.x / 16;
  for (int k = 0; k < N; k += 8) {
    for (int i = 0; i < 4; i++) {
      int e = threadIdx.x * 4 + i;
      As[e % 8][e / 8] = A[(blockIdx.y * 128 + e / 8) * N + k + e % 8];
      Bs[e / 128][e % 128] = B[(k + e / 128) * N + blockIdx.x * 128 + e % 128];
    }
    __syncthreads();
    #pragma unroll
    for (int kk = 0; kk < 8; kk++)
      for (int i = 0; i < 8; i++)
        for (int j = 0; j < 8; j++) acc[i][j] += As[kk][ty * 8 + i] * Bs[kk][tx * 8 + j];
    __syncthreads();
  }
  for (int i = 0; i < 8; i++)
    for (int j = 0; j < 8; j++) C[(blockIdx.y * 128 + ty * 8 + i) * N + blockIdx.x * 128 + tx * 8 + j] = acc[i][j];
}

// Halves on the tensor cores: blocks of 64 x 64, four warps with 32 x 32 each, steps of 32 through shared memory.
extern "C" __global__ void mma(const __half* A, const __half* B, float* C, int N) {
  __shared__ __align__(16) __half a[64][40], b[32][72];
  int lane = threadIdx.x % 32, wr = threadIdx.x / 64 * 32, wc = threadIdx.x / 32 % 2 * 32;
  const __half* from_a = A + (size_t)(blockIdx.y * 64 + threadIdx.x / 2) * N + threadIdx.x % 2 * 16;
  const __half* from_b = B + (size_t)(threadIdx.x / 4) * N + blockIdx.x * 64 + threadIdx.x % 4 * 16;
  float acc[2][4][4] = {};
  for (int k = 0; k < N; k += 32) {
    for (int i = 0; i < 2; i++) {
      *(uint4*)&a[threadIdx.x / 2][threadIdx.x % 2 * 16 + 8 * i] = *(const uint4*)(from_a + k + 8 * i);
      *(uint4*)&b[threadIdx.x / 4][threadIdx.x % 4 * 16 + 8 * i] = *(const uint4*)(from_b + (size_t)k * N + 8 * i);
    }
    __syncthreads();
    for (int kk = 0; kk < 32; kk += 16) {
      unsigned fa[2][4], fb[4][2];
      for (int i = 0; i < 2; i++)
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                     : "=r"(fa[i][0]), "=r"(fa[i][1]), "=r"(fa[i][2]), "=r"(fa[i][3])
                     : "r"((unsigned)__cvta_generic_to_shared(&a[wr + i * 16 + lane % 16][kk + lane / 16 * 8])));
      for (int j = 0; j < 4; j++)
        asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0, %1}, [%2];"
                     : "=r"(fb[j][0]), "=r"(fb[j][1])
                     : "r"((unsigned)__cvta_generic_to_shared(&b[kk + lane % 16][wc + j * 8])));
      for (int i = 0; i < 2; i++)
        for (int j = 0; j < 4; j++)
          asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                       : "+f"(acc[i][j][0]), "+f"(acc[i][j][1]), "+f"(acc[i][j][2]), "+f"(acc[i][j][3])
                       : "r"(fa[i][0]), "r"(fa[i][1]), "r"(fa[i][2]), "r"(fa[i][3]), "r"(fb[j][0]), "r"(fb[j][1]));
    }
    __syncthreads();
  }
  for (int i = 0; i < 2; i++)
    for (int j = 0; j < 4; j++)
      for (int n = 0; n < 4; n++)
        C[(size_t)(blockIdx.y * 64 + wr + i * 16 + lane / 4 + n / 2 * 8) * N + blockIdx.x * 64 + wc + j * 8 + lane % 4 * 2 + n % 2] = acc[i][j][n];
}
