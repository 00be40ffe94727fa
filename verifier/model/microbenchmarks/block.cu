// What happens inside a block: shared memory, barriers; and a launch that does nothing.

// lanes of a warp read shared memory `stride` words apart: stride lanes to a bank
extern "C" __global__ void conflicts(float* y, int stride, int turns) {
    __shared__ float words[1024];
    for (int i = threadIdx.x; i < 1024; i += blockDim.x) words[i] = (float)(i & 15);
    __syncthreads();
    float sum = 0.0f;
    for (int turn = 0; turn < turns; ++turn) sum += words[(threadIdx.x * stride + turn) & 1023];
    y[blockIdx.x * blockDim.x + threadIdx.x] = sum;
}

// values go round the block, one place a turn, two barriers each
extern "C" __global__ void barriers(int* y, int turns) {
    __shared__ int ring[1024];
    int mine = threadIdx.x;
    for (int turn = 0; turn < turns; ++turn) {
        ring[threadIdx.x] = mine;
        __syncthreads();
        mine = ring[threadIdx.x + 1 == blockDim.x ? 0 : threadIdx.x + 1];
        __syncthreads();
    }
    y[blockIdx.x * blockDim.x + threadIdx.x] = mine;
}

extern "C" __global__ void empty() {}
