// A whole CUDA program, main and all: kernelwright run examples/reduce.cu -- 1000000
// It sums n numbers in blocks of 256 threads and checks the result. Build it with -X -DFORGET_BARRIER to see a race found.
#include <cstdio>
#include <cstdlib>
#include <vector>

#include <cuda_runtime.h>

#define CHECK(call)                                                                  \
  do {                                                                               \
    cudaError_t status = (call);                                                     \
    if (status != cudaSuccess) {                                                     \
      std::fprintf(stderr, "%s: %s\n", #call, cudaGetErrorString(status));           \
      std::exit(2);                                                                  \
    }                                                                                \
  } while (0)

__global__ void block_sums(const int* values, unsigned long long* total, int n) {
  __shared__ unsigned long long partial[256];
  unsigned long long sum = 0;
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) sum += values[i];
  partial[threadIdx.x] = sum;
  __syncthreads();
  for (int half = blockDim.x / 2; half > 0; half /= 2) {
    if (threadIdx.x < half) partial[threadIdx.x] += partial[threadIdx.x + half];
#ifndef FORGET_BARRIER
    __syncthreads();
#endif
  }
  if (threadIdx.x == 0) atomicAdd(total, partial[0]);
}

int main(int argc, char** argv) {
  const int n = argc > 1 ? std::atoi(argv[1]) : 100000;
  std::vector<int> values(n);
  unsigned long long expected = 0;
  for (int i = 0; i < n; ++i) expected += values[i] = i % 1000;

  int* device_values;
  unsigned long long *device_total, total = 0;
  CHECK(cudaMalloc(&device_values, n * sizeof(int)));
  CHECK(cudaMalloc(&device_total, sizeof(total)));
  CHECK(cudaMemcpy(device_values, values.data(), n * sizeof(int), cudaMemcpyHostToDevice));
  CHECK(cudaMemset(device_total, 0, sizeof(total)));
  block_sums<<<64, 256>>>(device_values, device_total, n);
  CHECK(cudaGetLastError());
  CHECK(cudaMemcpy(&total, device_total, sizeof(total), cudaMemcpyDeviceToHost));
  CHECK(cudaFree(device_values));
  CHECK(cudaFree(device_total));

  std::printf("sum of %d numbers: %llu, expected %llu\n", n, total, expected);
  return total == expected ? 0 : 1;
}
