// Torch's helpers for device code, after device_std.cuh. With KERNELWRIGHT_HALF also its 16-bit types.

#define C10_HOST_DEVICE __host__ __device__
#define C10_DEVICE __device__
#define C10_HOST __host__
#define C10_ALWAYS_INLINE __forceinline__
#define C10_LAUNCH_BOUNDS_0 __launch_bounds__(256, 4)
#define C10_LAUNCH_BOUNDS_1(threads) __launch_bounds__(threads)
#define C10_LAUNCH_BOUNDS_2(threads, blocks) __launch_bounds__(threads, blocks)
#define C10_WARP_SIZE 32
#define C10_RESTRICT __restrict__
#define C10_UNUSED
#define CUDA_KERNEL_ASSERT(condition) assert(condition)
#define CUDA_KERNEL_LOOP_TYPE(i, n, index_type)                                       \
  int64_t kernelwright_##i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;          \
  for (index_type i = kernelwright_##i; kernelwright_##i < (n);                       \
       kernelwright_##i += int64_t(blockDim.x) * gridDim.x, i = kernelwright_##i)
#define CUDA_KERNEL_LOOP(i, n) CUDA_KERNEL_LOOP_TYPE(i, n, int)
#define CUDA_1D_KERNEL_LOOP(i, n) CUDA_KERNEL_LOOP_TYPE(i, n, int)

template <typename T> __device__ __forceinline__ T WARP_SHFL(T value, int lane, int width = 32, unsigned mask = 0xffffffffu) {
  return __shfl_sync(mask, value, lane, width);
}
template <typename T> __device__ __forceinline__ T WARP_SHFL_XOR(T value, int lanes, int width = 32, unsigned mask = 0xffffffffu) {
  return __shfl_xor_sync(mask, value, lanes, width);
}
template <typename T> __device__ __forceinline__ T WARP_SHFL_UP(T value, unsigned delta, int width = 32, unsigned mask = 0xffffffffu) {
  return __shfl_up_sync(mask, value, delta, width);
}
template <typename T> __device__ __forceinline__ T WARP_SHFL_DOWN(T value, unsigned delta, int width = 32, unsigned mask = 0xffffffffu) {
  return __shfl_down_sync(mask, value, delta, width);
}
__device__ __forceinline__ unsigned WARP_BALLOT(int predicate, unsigned mask = 0xffffffffu) { return __ballot_sync(mask, predicate); }
template <typename T> __device__ __forceinline__ T gpuAtomicAdd(T* address, T value) { return atomicAdd(address, value); }
template <typename T> __device__ __forceinline__ void gpuAtomicAddNoReturn(T* address, T value) { atomicAdd(address, value); }

#ifdef KERNELWRIGHT_HALF
#include <cuda_bf16.h>
#include <cuda_fp16.h>

namespace c10 {

struct alignas(2) Half {
  unsigned short x;
  struct from_bits_t {};
  Half() = default;
  __host__ __device__ constexpr Half(unsigned short bits, from_bits_t) : x(bits) {}
  __host__ __device__ static constexpr from_bits_t from_bits() { return {}; }
  __host__ __device__ Half(float value) : x(__half_as_ushort(__float2half(value))) {}
  __host__ __device__ Half(const __half& value) : x(__half_as_ushort(value)) {}
  __host__ __device__ operator float() const { return __half2float(__ushort_as_half(x)); }
  __host__ __device__ operator __half() const { return __ushort_as_half(x); }
};
struct alignas(2) BFloat16 {
  unsigned short x;
  struct from_bits_t {};
  BFloat16() = default;
  __host__ __device__ constexpr BFloat16(unsigned short bits, from_bits_t) : x(bits) {}
  __host__ __device__ static constexpr from_bits_t from_bits() { return {}; }
  __host__ __device__ BFloat16(float value) : x(__bfloat16_as_ushort(__float2bfloat16(value))) {}
  __host__ __device__ BFloat16(const __nv_bfloat16& value) : x(__bfloat16_as_ushort(value)) {}
  __host__ __device__ operator float() const { return __bfloat162float(__ushort_as_bfloat16(x)); }
  __host__ __device__ explicit operator __nv_bfloat16() const { return __ushort_as_bfloat16(x); }
};

// Arithmetic in float, as c10's own; with every other arithmetic type the result is Half.
#define KERNELWRIGHT_OPERATOR(H, op)                                                                              \
  __host__ __device__ inline H operator op(const H& a, const H& b) { return float(a) op float(b); }               \
  __host__ __device__ inline float operator op(const H& a, float b) { return float(a) op b; }                     \
  __host__ __device__ inline float operator op(float a, const H& b) { return a op float(b); }                     \
  __host__ __device__ inline double operator op(const H& a, double b) { return double(float(a)) op b; }           \
  __host__ __device__ inline double operator op(double a, const H& b) { return a op double(float(b)); }           \
  __host__ __device__ inline H operator op(const H& a, int b) { return float(a) op float(b); }                    \
  __host__ __device__ inline H operator op(int a, const H& b) { return float(a) op float(b); }                    \
  __host__ __device__ inline H operator op(const H& a, int64_t b) { return float(a) op float(b); }                \
  __host__ __device__ inline H operator op(int64_t a, const H& b) { return float(a) op float(b); }                \
  __host__ __device__ inline H& operator op##=(H& a, const H& b) { return a = a op b; }                           \
  __host__ __device__ inline float& operator op##=(float& a, const H& b) { return a = a op float(b); }
#define KERNELWRIGHT_OPERATORS(H)                                                \
  KERNELWRIGHT_OPERATOR(H, +)                                                    \
  KERNELWRIGHT_OPERATOR(H, -)                                                    \
  KERNELWRIGHT_OPERATOR(H, *)                                                    \
  KERNELWRIGHT_OPERATOR(H, /)                                                    \
  __host__ __device__ inline H operator-(const H& a) { return -float(a); }
KERNELWRIGHT_OPERATORS(Half)
KERNELWRIGHT_OPERATORS(BFloat16)
#undef KERNELWRIGHT_OPERATORS
#undef KERNELWRIGHT_OPERATOR

}  // namespace c10

namespace at {
using c10::BFloat16;
using c10::Half;
}  // namespace at
namespace torch {
using c10::BFloat16;
using c10::Half;
}  // namespace torch

namespace std {
template <> class numeric_limits<c10::Half> {
 public:
  static constexpr bool is_specialized = true, has_infinity = true, is_integer = false, is_signed = true;
  static constexpr int digits = 11;
  __host__ __device__ static constexpr c10::Half max() { return {0x7BFF, c10::Half::from_bits()}; }
  __host__ __device__ static constexpr c10::Half min() { return {0x0400, c10::Half::from_bits()}; }
  __host__ __device__ static constexpr c10::Half lowest() { return {0xFBFF, c10::Half::from_bits()}; }
  __host__ __device__ static constexpr c10::Half epsilon() { return {0x1400, c10::Half::from_bits()}; }
  __host__ __device__ static constexpr c10::Half infinity() { return {0x7C00, c10::Half::from_bits()}; }
};
template <> class numeric_limits<c10::BFloat16> {
 public:
  static constexpr bool is_specialized = true, has_infinity = true, is_integer = false, is_signed = true;
  static constexpr int digits = 8;
  __host__ __device__ static constexpr c10::BFloat16 max() { return {0x7F7F, c10::BFloat16::from_bits()}; }
  __host__ __device__ static constexpr c10::BFloat16 min() { return {0x0080, c10::BFloat16::from_bits()}; }
  __host__ __device__ static constexpr c10::BFloat16 lowest() { return {0xFF7F, c10::BFloat16::from_bits()}; }
  __host__ __device__ static constexpr c10::BFloat16 epsilon() { return {0x3C00, c10::BFloat16::from_bits()}; }
  __host__ __device__ static constexpr c10::BFloat16 infinity() { return {0x7F80, c10::BFloat16::from_bits()}; }
};
}  // namespace std

__device__ __forceinline__ c10::Half atomicAdd(c10::Half* address, c10::Half value) {
  return atomicAdd(reinterpret_cast<__half*>(address), static_cast<__half>(value));
}
__device__ __forceinline__ c10::BFloat16 atomicAdd(c10::BFloat16* address, c10::BFloat16 value) {
  return atomicAdd(reinterpret_cast<__nv_bfloat16*>(address), static_cast<__nv_bfloat16>(value));
}
__device__ __forceinline__ c10::Half __shfl_down_sync(unsigned mask, c10::Half value, unsigned delta, int width = 32) {
  return {static_cast<unsigned short>(__shfl_down_sync(mask, static_cast<int>(value.x), delta, width)), c10::Half::from_bits()};
}
__device__ __forceinline__ c10::Half __shfl_xor_sync(unsigned mask, c10::Half value, int lanes, int width = 32) {
  return {static_cast<unsigned short>(__shfl_xor_sync(mask, static_cast<int>(value.x), lanes, width)), c10::Half::from_bits()};
}
__device__ __forceinline__ c10::Half __ldg(const c10::Half* address) {
  return {__ldg(&address->x), c10::Half::from_bits()};
}
__device__ __forceinline__ c10::BFloat16 __ldg(const c10::BFloat16* address) {
  return {__ldg(&address->x), c10::BFloat16::from_bits()};
}
#endif

namespace at {

// The type in which torch accumulates (ATen/AccumulateType.h, device side).
template <typename T, bool on_device> struct AccumulateType { using type = T; };
template <bool on_device> struct AccumulateType<signed char, on_device> { using type = int64_t; };
template <bool on_device> struct AccumulateType<unsigned char, on_device> { using type = int64_t; };
template <bool on_device> struct AccumulateType<short, on_device> { using type = int64_t; };
template <bool on_device> struct AccumulateType<int, on_device> { using type = int64_t; };
template <typename T> struct OpMathType { using type = T; };
#ifdef KERNELWRIGHT_HALF
template <bool on_device> struct AccumulateType<c10::Half, on_device> { using type = float; };
template <bool on_device> struct AccumulateType<c10::BFloat16, on_device> { using type = float; };
template <bool on_device> struct AccumulateType<__half, on_device> { using type = float; };
template <> struct OpMathType<c10::Half> { using type = float; };
template <> struct OpMathType<c10::BFloat16> { using type = float; };
#endif
template <typename T, bool on_device> using acc_type = typename AccumulateType<T, on_device>::type;
template <typename T> using opmath_type = typename OpMathType<T>::type;

template <typename T> __host__ __device__ constexpr T ceil_div(T a, T b) { return (a + b - 1) / b; }

// Tensors by pointer, sizes and strides: the layouts of ATen/core/TensorAccessor.h.
template <typename T> struct DefaultPtrTraits { using PtrType = T*; };
template <typename T> struct RestrictPtrTraits { using PtrType = T* __restrict__; };

template <typename T, size_t N, template <typename> class Traits, typename index_t> class TensorAccessor;

// What both have; `Extents` is where sizes and strides lie: elsewhere, or in the accessor itself.
template <typename T, size_t N, template <typename> class Traits, typename index_t, typename Extents> class AnyAccessor {
 public:
  using PtrType = typename Traits<T>::PtrType;
  __host__ __device__ index_t size(index_t i) const { return sizes_[i]; }
  __host__ __device__ index_t stride(index_t i) const { return strides_[i]; }
  __host__ __device__ PtrType data() { return data_; }
  __host__ __device__ const PtrType data() const { return data_; }
  __host__ __device__ decltype(auto) operator[](index_t i) const {
    if constexpr (N == 1) return (data_[strides_[0] * i]);
    else return TensorAccessor<T, N - 1, Traits, index_t>(data_ + strides_[0] * i, sizes_ + 1, strides_ + 1);
  }

 protected:
  PtrType data_;
  Extents sizes_;
  Extents strides_;
};

template <typename T, size_t N, template <typename> class Traits, typename index_t>
class TensorAccessor : public AnyAccessor<T, N, Traits, index_t, const index_t*> {
 public:
  __host__ __device__ TensorAccessor(typename Traits<T>::PtrType data, const index_t* sizes, const index_t* strides) {
    this->data_ = data;
    this->sizes_ = sizes;
    this->strides_ = strides;
  }
};

template <typename T, size_t N, template <typename> class Traits = DefaultPtrTraits, typename index_t = int64_t>
class GenericPackedTensorAccessor : public AnyAccessor<T, N, Traits, index_t, index_t[N]> {};
template <typename T, size_t N, template <typename> class Traits = DefaultPtrTraits>
using PackedTensorAccessor32 = GenericPackedTensorAccessor<T, N, Traits, int32_t>;
template <typename T, size_t N, template <typename> class Traits = DefaultPtrTraits>
using PackedTensorAccessor64 = GenericPackedTensorAccessor<T, N, Traits, int64_t>;

namespace cuda {
template <typename T> __host__ __device__ constexpr T ATenCeilDiv(T a, T b) { return (a + b - 1) / b; }
}  // namespace cuda

}  // namespace at

namespace torch {
using at::DefaultPtrTraits;
using at::GenericPackedTensorAccessor;
using at::PackedTensorAccessor32;
using at::PackedTensorAccessor64;
using at::RestrictPtrTraits;
using at::TensorAccessor;
}  // namespace torch
