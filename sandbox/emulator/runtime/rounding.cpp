// Directed rounding for processors whose vector instructions lack it. Compiled with -frounding-math.
#include <fenv.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

namespace {
template <class T, class B>
void run(int op, int mode, B* r, const B* a, const B* b, const B* c, int n) {
  static const int modes[] = {FE_TONEAREST, FE_DOWNWARD, FE_UPWARD, FE_TOWARDZERO};
  const int before = fegetround();
  fesetround(modes[mode]);
  for (int i = 0; i < n; i++) {
    volatile T x, y, z;
    T t;
    memcpy(&t, a + i, sizeof t);
    x = t;
    memcpy(&t, b + i, sizeof t);
    y = t;
    memcpy(&t, c + i, sizeof t);
    z = t;
    volatile T v = op == 0 ? x + y : op == 1 ? x * y : op == 2 ? (T)fma(x, y, z) : op == 3 ? x / y : (T)sqrt(x);
    if (sizeof(T) == 4 && op == 2) v = fmaf(x, y, z);
    if (sizeof(T) == 4 && op == 4) v = sqrtf(x);
    t = v;
    memcpy(r + i, &t, sizeof t);
  }
  fesetround(before);
}
}  // namespace

extern "C" {
void kw_round_f32(int op, int mode, uint32_t* r, const uint32_t* a, const uint32_t* b, const uint32_t* c, int n) {
  run<float>(op, mode, r, a, b, c, n);
}
void kw_round_f64(int op, int mode, uint64_t* r, const uint64_t* a, const uint64_t* b, const uint64_t* c, int n) {
  run<double>(op, mode, r, a, b, c, n);
}
}
