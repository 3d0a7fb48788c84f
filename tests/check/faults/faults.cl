/* Kernels with planted faults, chosen by FAULT: see faults.h.  Work-items: one an element unless it is said otherwise; each guards its range. */
#include "common.clh"

#ifndef FAULT
#define FAULT 0
#endif

#if S_TYPE == 7
/* y = sum of the n elements of x.  One work-item. */
__kernel void count_forward(__global const long *x, long x_at, __global long *y, long y_at, long n)
{
    long sum = 0;
    if (get_global_id(0) > 0) return;
    for (long i = 0; i < n; i++) sum += x[x_at + i];
    y[y_at] = FAULT == 51 ? (long)(int)sum : sum;
}
#else
/* y = factor (x^2 + 3 x).  `order` counts work-items as they come (FAULT 52). */
__kernel void square_forward(__global S *x, long x_at, __global S *y, long y_at, __global int *order, long order_at, long n, REAL factor)
{
    long i = get_global_id(0), from = i;
    if (i > n || (i == n && FAULT != 19)) return;
    if (FAULT == 19 && i == n) from = 0;
    if (FAULT == 21 && i == n - 1) from = n;
    if (FAULT == 22 && i == n - 1) return;
    if (FAULT == 35 && i < n - 1) from = i + 1;
    if (FAULT == 36) from = n - 1 - i;
    T v = LOAD(x, x_at + from), r = factor * (v * v + 3 * v);
    if (FAULT == 13) r += (T)0.25;
    if (FAULT == 16 && i == n / 2) r = NAN;
    if (FAULT == 23 && i >= n / 64 * 64) r *= 2;
    if (FAULT == 24 && i % 64 == 5) r *= 2;
    if (FAULT == 25 && i >= 65536) r *= 2;
    if (FAULT == 28 && S_TYPE == 10) r *= (T)1.1;
    if (FAULT == 29 && S_TYPE == 11) r *= (T)1.00001;
    if (FAULT == 45 && i == 0) r = INFINITY;
    if (FAULT == 20 && i == 0) STORE(y, y_at - 1, r);
#if FAULT == 32
    if (fabs(LOAD(y, y_at + i) - r) <= (T)1e-3 * fabs(r)) r += 1;
#endif
#if FAULT == 52
    /* Waits a little, so that a launch lasts long enough for the threads of a busy processor to take turns. */
    for (int wait = 0; wait < 100; wait++) atomic_or(order + order_at, 0);
    if ((atomic_inc(order + order_at) & 1) && S_TYPE == 1) r *= (T)1.0000005f;
#endif
#if FAULT == 54
    r = not_declared;
#endif
    STORE(y, y_at + i, r);
    if (FAULT == 34) STORE(x, x_at + i, (T)0);
}

/* dx = g (2 x + 3). */
__kernel void square_backward(__global const S *x, long x_at, __global const S *g, long g_at, __global S *dx, long dx_at, long n, REAL factor)
{
    long i = get_global_id(0);
    if (i >= n) return;
    T u = FAULT == 17 ? (T)1 : LOAD(g, g_at + i), d = factor * u * (2 * LOAD(x, x_at + i) + (FAULT == 37 ? 0 : 3));
    if (FAULT == 10) d = -d;
    if (FAULT == 11) d /= 2;
    if (FAULT == 12) d *= (T)1.0001;
    if (FAULT == 15) d = 0;
    if (FAULT == 18) d += LOAD(dx, dx_at + i);
    if (FAULT == 26 && i >= 65536) d *= 3;
    STORE(dx, dx_at + i, d);
}

/* y [rows, cols] = 3 x + b [cols]. */
__kernel void bias_forward(__global const S *x, long x_at, __global const S *b, long b_at, __global S *y, long y_at, long n, long cols)
{
    long i = get_global_id(0);
    if (i < n) STORE(y, y_at + i, 3 * LOAD(x, x_at + i) + LOAD(b, b_at + i % cols));
}

__kernel void bias_backward_x(__global const S *g, long g_at, __global S *dx, long dx_at, long n)
{
    long i = get_global_id(0);
    if (i < n) STORE(dx, dx_at + i, 3 * LOAD(g, g_at + i));
}

__kernel void bias_backward_b(__global const S *g, long g_at, __global S *db, long db_at, long rows, long cols)
{
    long j = get_global_id(0);
    if (j >= cols) return;
    ACC sum = 0;
    for (long i = FAULT == 38 ? rows - 1 : 0; i < rows; i++) sum += LOAD(g, g_at + i * cols + j);
    STORE(db, db_at + j, FAULT == 39 ? sum / rows : sum);
}

/* y = a b^2. */
__kernel void product_forward(__global const S *a, long a_at, __global const S *b, long b_at, __global S *y, long y_at, long n)
{
    long i = get_global_id(0);
    if (i >= n) return;
    T p = LOAD(a, a_at + i), q = LOAD(b, b_at + i);
    STORE(y, y_at + i, FAULT == 41 ? q * p * p : p * q * q);
}

/* of_b 0: da = g b^2, 1: db = 2 g a b. */
__kernel void product_backward(__global const S *a, long a_at, __global const S *b, long b_at, __global const S *g, long g_at, __global S *d,
                               long d_at, long n, int of_b)
{
    long i = get_global_id(0);
    if (i >= n) return;
    T p = LOAD(a, a_at + i), q = LOAD(b, b_at + i), u = LOAD(g, g_at + i);
    if (FAULT == 40) of_b = !of_b;
    STORE(d, d_at + i, of_b ? 2 * u * p * q : u * q * q);
}

/* c [m, n] = op(a) op(b), sums of k.  Work-items: m * n.  A step is how far apart neighbours lie. */
__kernel void matrix(__global const S *a, long a_at, __global const S *b, long b_at, __global S *c, long c_at, long m, long n, long k,
                     long a_row, long a_step, long b_row, long b_step, int of_weights)
{
    long i = get_global_id(0) / n, j = get_global_id(0) % n;
    if (i >= m) return;
    ACC sum = 0;
    for (long l = 0; l < (FAULT == 43 && of_weights ? k - 1 : k); l++)
        sum += LOAD(a, a_at + i * a_row + l * a_step) * LOAD(b, b_at + l * b_row + j * b_step);
    STORE(c, c_at + (FAULT == 42 && of_weights ? j * m + i : i * n + j), sum);
}

/* y = x / sqrt(mean x^2 + epsilon) by rows; backward dx = (g - y mean(g y)) / sqrt(...).  Work-items: rows. */
__kernel void rms_forward(__global const S *x, long x_at, __global S *y, long y_at, long rows, long cols, REAL epsilon)
{
    long r = get_global_id(0);
    if (r >= rows) return;
    ACC sum = 0;
    for (long j = 0; j < cols; j++) sum += LOAD(x, x_at + r * cols + j) * LOAD(x, x_at + r * cols + j);
    ACC inverse = 1 / sqrt(sum / cols + (FAULT == 44 ? 0 : epsilon));
    for (long j = 0; j < cols; j++) STORE(y, y_at + r * cols + j, LOAD(x, x_at + r * cols + j) * inverse);
}

__kernel void rms_backward(__global const S *x, long x_at, __global const S *g, long g_at, __global S *dx, long dx_at, long rows, long cols,
                           REAL epsilon)
{
    long r = get_global_id(0);
    if (r >= rows) return;
    ACC squares = 0, both = 0;
    for (long j = 0; j < cols; j++) {
        T v = LOAD(x, x_at + r * cols + j);
        squares += v * v;
        both += v * LOAD(g, g_at + r * cols + j);
    }
    ACC inverse = 1 / sqrt(squares / cols + (FAULT == 44 ? 0 : epsilon));
    for (long j = 0; j < cols; j++)
        STORE(dx, dx_at + r * cols + j,
              inverse * LOAD(g, g_at + r * cols + j) - LOAD(x, x_at + r * cols + j) * inverse * inverse * inverse * both / cols);
}

/* y [outer, inner] = scale * sum over the middle axis of x [outer, length, inner]. */
__kernel void sum_forward(__global const S *x, long x_at, __global S *y, long y_at, long outer, long length, long inner, REAL scale)
{
    long i = get_global_id(0);
    if (i >= outer * inner) return;
    ACC sum = 0;
    for (long j = 0; j < (FAULT == 48 ? length - 1 : length); j++) sum += LOAD(x, x_at + (i / inner * length + j) * inner + i % inner);
    STORE(y, y_at + i, FAULT == 47 ? sum : scale * sum);
}

__kernel void sum_backward(__global const S *g, long g_at, __global S *dx, long dx_at, long outer, long length, long inner, REAL scale)
{
    long i = get_global_id(0);
    if (i < outer * length * inner) STORE(dx, dx_at + i, scale * LOAD(g, g_at + i / inner / length * inner + i % inner));
}

/* y = max(x, 0); dx = g where x > 0. */
__kernel void floor_forward(__global const S *x, long x_at, __global S *y, long y_at, long n)
{
    long i = get_global_id(0);
    if (i < n) STORE(y, y_at + i, floor(10 * LOAD(x, x_at + i)));
}

__kernel void limit_forward(__global const S *x, long x_at, __global S *y, long y_at, long n)
{
    long i = get_global_id(0);
    if (i < n) STORE(y, y_at + i, fmax(LOAD(x, x_at + i), (T)0));
}

__kernel void limit_backward(__global const S *x, long x_at, __global const S *g, long g_at, __global S *dx, long dx_at, long n)
{
    long i = get_global_id(0);
    if (i >= n) return;
    T v = LOAD(x, x_at + i);
    STORE(dx, dx_at + i, v > 0 ? LOAD(g, g_at + i) : v == 0 && FAULT == 50 ? 2 * LOAD(g, g_at + i) : (T)0);
}

/* y = 2 x, in reversed order within groups of 4.  Work-items: n, a multiple of 4, in groups of 4. */
__kernel void local_forward(__global const S *x, long x_at, __global S *y, long y_at, long n)
{
    __local T shared[4];
    long i = get_global_id(0);
    int lane = (int)get_local_id(0);
    T extra;
    if (FAULT != 58) extra = 0;
    if (FAULT == 59) extra = LOAD(x, x_at + n + 100000 + i);
    if (FAULT != 57 || lane < 3) shared[lane] = 2 * LOAD(x, x_at + i);
    if (FAULT != 56) barrier(CLK_LOCAL_MEM_FENCE);
    T r = shared[3 - lane];
    if (FAULT == 58 || FAULT == 59) r += extra;
    STORE(y, y_at + (FAULT == 60 ? i % 4 : i), r);
}
#endif
