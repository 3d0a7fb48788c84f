/* OpenCL C's functions for kernels that run.py compiles for the host.  Vectors are one access each, as where a GPU takes them from four-byte addresses. */
#define VECTORS(type) \
    typedef struct __attribute__((packed)) { type##4 v; } type##_unaligned; \
    type##4 __attribute__((overloadable)) vload4(size_t i, const __global type *p) { return ((const __global type##_unaligned *)(p + 4 * i))->v; } \
    void __attribute__((overloadable)) vstore4(type##4 x, size_t i, __global type *p) { ((__global type##_unaligned *)(p + 4 * i))->v = x; }
VECTORS(float)
#define ORDERED(type) \
    type __attribute__((overloadable)) min(type x, type y) { return x < y ? x : y; } \
    type __attribute__((overloadable)) max(type x, type y) { return x > y ? x : y; }
ORDERED(int)
ORDERED(long)
ORDERED(float)
float __attribute__((overloadable)) exp(float x) { return __builtin_expf(x); }
float __attribute__((overloadable)) log(float x) { return __builtin_logf(x); }
float __attribute__((overloadable)) tanh(float x) { return __builtin_tanhf(x); }
float __attribute__((overloadable)) sqrt(float x) { return __builtin_sqrtf(x); }
float __attribute__((overloadable)) rsqrt(float x) { return 1 / __builtin_sqrtf(x); }
float __attribute__((overloadable)) fmax(float x, float y) { return __builtin_fmaxf(x, y); }
ushort __attribute__((overloadable)) convert_ushort(uint x) { return (ushort)x; }
int __attribute__((overloadable)) isnan(float x) { return x != x; }
