// What device code of published sources takes for granted and NVRTC does not have: integer types and limits, and the part
// of <cmath>, <limits>, <algorithm> and <type_traits> that kernels use.

using int8_t = signed char;
using int16_t = signed short;
using int32_t = signed int;
using int64_t = signed long long;  // as libcu++ has it under NVRTC; `long` and `long long` are the same size
using uint8_t = unsigned char;
using uint16_t = unsigned short;
using uint32_t = unsigned int;
using uint64_t = unsigned long long;
using intptr_t = int64_t;
using uintptr_t = uint64_t;
using ssize_t = long;
using uint = unsigned int;
using uchar = unsigned char;
using ushort = unsigned short;

#ifndef INFINITY
#define INFINITY __int_as_float(0x7f800000)
#define HUGE_VALF INFINITY
#define HUGE_VAL __longlong_as_double(0x7ff0000000000000ll)
#define NAN __int_as_float(0x7fffffff)
#endif
#define FLT_MAX 3.402823466e+38F
#define FLT_MIN 1.175494351e-38F
#define FLT_EPSILON 1.192092896e-07F
#define FLT_DIG 6
#define FLT_MANT_DIG 24
#define DBL_MAX 1.7976931348623158e+308
#define DBL_MIN 2.2250738585072014e-308
#define DBL_EPSILON 2.2204460492503131e-16
#ifndef INT_MAX
#define CHAR_BIT 8
#define SCHAR_MAX 127
#define UCHAR_MAX 255
#define SHRT_MAX 32767
#define INT_MAX 2147483647
#define INT_MIN (-INT_MAX - 1)
#define UINT_MAX 4294967295U
#define LONG_MAX 9223372036854775807L
#define LONG_MIN (-LONG_MAX - 1L)
#define ULONG_MAX 18446744073709551615UL
#define LLONG_MAX 9223372036854775807LL
#define LLONG_MIN (-LLONG_MAX - 1LL)
#define ULLONG_MAX 18446744073709551615ULL
#endif
#ifndef INT32_MAX
#define INT8_MAX 127
#define INT8_MIN (-128)
#define UINT8_MAX 255
#define INT16_MAX 32767
#define INT16_MIN (-32768)
#define UINT16_MAX 65535
#define INT32_MAX 2147483647
#define INT32_MIN (-INT32_MAX - 1)
#define UINT32_MAX 4294967295U
#define INT64_MAX 9223372036854775807LL
#define INT64_MIN (-INT64_MAX - 1LL)
#define UINT64_MAX 18446744073709551615ULL
#endif
#define M_E 2.7182818284590452354
#define M_LOG2E 1.4426950408889634074
#define M_LOG10E 0.43429448190325182765
#define M_LN2 0.69314718055994530942
#define M_LN10 2.30258509299404568402
#define M_PI 3.14159265358979323846
#define M_PI_2 1.57079632679489661923
#define M_PI_4 0.78539816339744830962
#define M_1_PI 0.31830988618379067154
#define M_2_PI 0.63661977236758134308
#define M_2_SQRTPI 1.12837916709551257390
#define M_SQRT2 1.41421356237309504880
#define M_SQRT1_2 0.70710678118654752440

namespace std {

using ::abs;
using ::acos;
using ::acosh;
using ::asin;
using ::asinh;
using ::atan;
using ::atan2;
using ::atanh;
using ::cbrt;
using ::ceil;
using ::copysign;
using ::cos;
using ::cosh;
using ::erf;
using ::erfc;
using ::exp;
using ::exp2;
using ::expm1;
using ::fabs;
using ::floor;
using ::fma;
using ::fmax;
using ::fmin;
using ::fmod;
using ::hypot;
using ::isfinite;
using ::isinf;
using ::isnan;
using ::ldexp;
using ::lgamma;
using ::log;
using ::log10;
using ::log1p;
using ::log2;
using ::nearbyint;
using ::pow;
using ::rint;
using ::round;
using ::signbit;
using ::sin;
using ::sinh;
using ::sqrt;
using ::tan;
using ::tanh;
using ::tgamma;
using ::trunc;

using ::int16_t;
using ::int32_t;
using ::int64_t;
using ::int8_t;
using ::size_t;
using ::uint16_t;
using ::uint32_t;
using ::uint64_t;
using ::uint8_t;
using ptrdiff_t = long;
using nullptr_t = decltype(nullptr);

template <typename T> __host__ __device__ constexpr const T& max(const T& a, const T& b) { return a < b ? b : a; }
template <typename T> __host__ __device__ constexpr const T& min(const T& a, const T& b) { return b < a ? b : a; }
template <typename T> __host__ __device__ constexpr const T& clamp(const T& x, const T& low, const T& high) {
  return x < low ? low : high < x ? high : x;
}
template <typename T> __host__ __device__ constexpr void swap(T& a, T& b) {
  T kept = a;
  a = b;
  b = kept;
}

template <typename T, T V> struct integral_constant {
  static constexpr T value = V;
  using value_type = T;
  using type = integral_constant;
  __host__ __device__ constexpr operator T() const { return V; }
};
using true_type = integral_constant<bool, true>;
using false_type = integral_constant<bool, false>;
template <bool B, typename T = void> struct enable_if {};
template <typename T> struct enable_if<true, T> { using type = T; };
template <bool B, typename T = void> using enable_if_t = typename enable_if<B, T>::type;
template <bool B, typename T, typename F> struct conditional { using type = T; };
template <typename T, typename F> struct conditional<false, T, F> { using type = F; };
template <bool B, typename T, typename F> using conditional_t = typename conditional<B, T, F>::type;
template <typename T> struct remove_const { using type = T; };
template <typename T> struct remove_const<const T> { using type = T; };
template <typename T> using remove_const_t = typename remove_const<T>::type;
template <typename T> struct remove_cv { using type = T; };
template <typename T> struct remove_cv<const T> { using type = T; };
template <typename T> struct remove_cv<volatile T> { using type = T; };
template <typename T> struct remove_cv<const volatile T> { using type = T; };
template <typename T> using remove_cv_t = typename remove_cv<T>::type;
template <typename T> struct remove_reference { using type = T; };
template <typename T> struct remove_reference<T&> { using type = T; };
template <typename T> struct remove_reference<T&&> { using type = T; };
template <typename T> using remove_reference_t = typename remove_reference<T>::type;
template <typename T> using decay_t = remove_cv_t<remove_reference_t<T>>;
template <typename T> struct decay { using type = decay_t<T>; };
template <typename T> struct remove_pointer { using type = T; };
template <typename T> struct remove_pointer<T*> { using type = T; };
template <typename T> using remove_pointer_t = typename remove_pointer<T>::type;
template <typename A, typename B> struct is_same : false_type {};
template <typename A> struct is_same<A, A> : true_type {};
template <typename A, typename B> inline constexpr bool is_same_v = is_same<A, B>::value;
template <typename T> struct is_floating_point
    : integral_constant<bool, is_same_v<remove_cv_t<T>, float> || is_same_v<remove_cv_t<T>, double>> {};
template <typename T> inline constexpr bool is_floating_point_v = is_floating_point<T>::value;
template <typename T> struct is_pointer : false_type {};
template <typename T> struct is_pointer<T*> : true_type {};
template <typename T> inline constexpr bool is_pointer_v = is_pointer<T>::value;
template <typename...> using void_t = void;
template <typename T> remove_reference_t<T>&& declval() noexcept;
template <typename T> struct make_unsigned;
template <> struct make_unsigned<int> { using type = unsigned int; };
template <> struct make_unsigned<long> { using type = unsigned long; };
template <> struct make_unsigned<long long> { using type = unsigned long long; };
template <> struct make_unsigned<short> { using type = unsigned short; };
template <> struct make_unsigned<char> { using type = unsigned char; };
template <typename T> using make_unsigned_t = typename make_unsigned<T>::type;

template <typename A, typename B> struct pair {
  A first;
  B second;
};
template <typename T, size_t N> struct array {
  T elements[N];
  __host__ __device__ constexpr T& operator[](size_t i) { return elements[i]; }
  __host__ __device__ constexpr const T& operator[](size_t i) const { return elements[i]; }
  __host__ __device__ constexpr size_t size() const { return N; }
  __host__ __device__ constexpr T* data() { return elements; }
  __host__ __device__ constexpr const T* data() const { return elements; }
  __host__ __device__ constexpr T* begin() { return elements; }
  __host__ __device__ constexpr T* end() { return elements + N; }
};

template <typename T> struct plus { __host__ __device__ T operator()(T a, T b) const { return a + b; } };
template <typename T> struct multiplies { __host__ __device__ T operator()(T a, T b) const { return a * b; } };

template <typename T> class numeric_limits {
 public:
  static constexpr bool is_specialized = false, has_infinity = false, is_integer = false, is_signed = false;
};
template <> class numeric_limits<float> {
 public:
  static constexpr bool is_specialized = true, has_infinity = true, is_integer = false, is_signed = true;
  static constexpr int digits = 24;
  __host__ __device__ static constexpr float max() { return FLT_MAX; }
  __host__ __device__ static constexpr float min() { return FLT_MIN; }
  __host__ __device__ static constexpr float lowest() { return -FLT_MAX; }
  __host__ __device__ static constexpr float epsilon() { return FLT_EPSILON; }
  __host__ __device__ static constexpr float infinity() { return __builtin_bit_cast(float, 0x7f800000); }
  __host__ __device__ static constexpr float quiet_NaN() { return __builtin_bit_cast(float, 0x7fc00000); }
};
template <> class numeric_limits<double> {
 public:
  static constexpr bool is_specialized = true, has_infinity = true, is_integer = false, is_signed = true;
  static constexpr int digits = 53;
  __host__ __device__ static constexpr double max() { return DBL_MAX; }
  __host__ __device__ static constexpr double min() { return DBL_MIN; }
  __host__ __device__ static constexpr double lowest() { return -DBL_MAX; }
  __host__ __device__ static constexpr double epsilon() { return DBL_EPSILON; }
  __host__ __device__ static constexpr double infinity() { return __builtin_bit_cast(double, 0x7ff0000000000000ll); }
  __host__ __device__ static constexpr double quiet_NaN() { return __builtin_bit_cast(double, 0x7ff8000000000000ll); }
};
#define KERNELWRIGHT_INTEGER_LIMITS(T, LOW, HIGH)                                                            \
  template <> class numeric_limits<T> {                                                                      \
   public:                                                                                                   \
    static constexpr bool is_specialized = true, has_infinity = false, is_integer = true, is_signed = static_cast<T>(-1) < static_cast<T>(0); \
    static constexpr int digits = 8 * sizeof(T) - is_signed;                                                 \
    __host__ __device__ static constexpr T max() { return HIGH; }                                            \
    __host__ __device__ static constexpr T min() { return LOW; }                                             \
    __host__ __device__ static constexpr T lowest() { return LOW; }                                          \
    __host__ __device__ static constexpr T epsilon() { return 0; }                                           \
    __host__ __device__ static constexpr T infinity() { return 0; }                                          \
  };
KERNELWRIGHT_INTEGER_LIMITS(bool, false, true)
KERNELWRIGHT_INTEGER_LIMITS(char, -128, 127)
KERNELWRIGHT_INTEGER_LIMITS(signed char, -128, 127)
KERNELWRIGHT_INTEGER_LIMITS(unsigned char, 0, 255)
KERNELWRIGHT_INTEGER_LIMITS(short, -32768, 32767)
KERNELWRIGHT_INTEGER_LIMITS(unsigned short, 0, 65535)
KERNELWRIGHT_INTEGER_LIMITS(int, INT_MIN, INT_MAX)
KERNELWRIGHT_INTEGER_LIMITS(unsigned int, 0, UINT_MAX)
KERNELWRIGHT_INTEGER_LIMITS(long, LONG_MIN, LONG_MAX)
KERNELWRIGHT_INTEGER_LIMITS(unsigned long, 0, ULONG_MAX)
KERNELWRIGHT_INTEGER_LIMITS(long long, LLONG_MIN, LLONG_MAX)
KERNELWRIGHT_INTEGER_LIMITS(unsigned long long, 0, ULLONG_MAX)
#undef KERNELWRIGHT_INTEGER_LIMITS

template <typename T> struct is_integral : integral_constant<bool, numeric_limits<remove_cv_t<T>>::is_integer> {};
template <typename T> inline constexpr bool is_integral_v = is_integral<T>::value;
template <typename T> struct is_signed : integral_constant<bool, numeric_limits<remove_cv_t<T>>::is_signed> {};
template <typename T> inline constexpr bool is_signed_v = is_signed<T>::value;
template <typename T> struct is_unsigned : integral_constant<bool, is_integral_v<T> && !is_signed_v<T>> {};
template <typename T> inline constexpr bool is_unsigned_v = is_unsigned<T>::value;
template <typename T> struct is_arithmetic : integral_constant<bool, is_integral_v<T> || is_floating_point_v<T>> {};
template <typename T> inline constexpr bool is_arithmetic_v = is_arithmetic<T>::value;

}  // namespace std

// nvcc knows alloca; NVRTC does not.
__device__ __forceinline__ void* kernelwright_alloca(::size_t bytes) {
  void* taken;
  asm volatile("{ .reg .u64 place; alloca.u64 place, %1, 16; cvta.local.u64 %0, place; }" : "=l"(taken) : "l"((unsigned long long)bytes));
  return taken;
}
#ifndef alloca
#define alloca(bytes) kernelwright_alloca(bytes)
#endif
