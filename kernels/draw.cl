/* Tensors of random numbers, and choices by chance.  An absent state is (seed, 0). */
#include "common.clh"
#include "functions.clh"
#include "philox.clh"

/* One product and one sum rounded each, as on the host: with both in one rounding a device would draw other numbers. */
#pragma OPENCL FP_CONTRACT OFF

/* Two independent normal numbers by Box and Muller from two even ones, whose angle is `second` turns: so many quarters, and a rest that is exact. */
__attribute__((always_inline)) static inline void normal_pair(T first, T second, T *a, T *b)
{
#if S_TYPE == 11
    const T radius = sqrt(-2 * log(first + 0x1p-24)), angle = 6.283185307179586476925286766559 * second;
    *a = radius * cos(angle);
    *b = radius * sin(angle);
#else
    const float radius = sqrt(-2 * aval_log_of_float(first + 0x1p-24f));
    const float shifted = 4 * second + 12582912.0f, rest = (4 * second - (shifted - 12582912.0f)) * 1.57079637f; /* 1.5 * 2^23 */
    const uint quarters = as_uint(shifted);
    const float sine = aval_sine_part(rest), cosine = aval_cosine_part(rest);
    const float x = (quarters & 1) != 0 ? -sine : cosine, y = (quarters & 1) != 0 ? cosine : sine;
    *a = radius * as_float(as_uint(x) ^ (quarters & 2) << 30);
    *b = radius * as_float(as_uint(y) ^ (quarters & 2) << 30);
#endif
}

/* The four numbers of a block. */
__attribute__((always_inline)) static inline void four_of(long block, long seed, long counter, int normal, T low, T high, T x[4])
{
    const uint4 w = philox(block, seed, counter);
    const T scale = normal ? high : high - low;
    x[0] = philox_uniform(w.x), x[1] = philox_uniform(w.y), x[2] = philox_uniform(w.z), x[3] = philox_uniform(w.w);
    if (normal) {
        normal_pair(x[0], x[1], &x[0], &x[1]);
        normal_pair(x[2], x[3], &x[2], &x[3]);
    }
    x[0] = low + scale * x[0], x[1] = low + scale * x[1], x[2] = low + scale * x[2], x[3] = low + scale * x[3];
}

/* y = low + (high - low) u, or with `normal` low + high z with z by Box and Muller from two words, u and z numbers of the stream.  Work-items:
   ceil(n / (4 chunk)), each with `chunk` blocks of four neighbours. */
__kernel void draw(__global S *y, long y_at, __global const long *state, long state_at, long n, long chunk, long seed, int normal, REAL low,
                   REAL high)
{
    const long first = get_global_id(0) * chunk, end = first + chunk, whole = min(end, n / 4);
    long counter = 0;
    if (state_at >= 0) {
        seed = state[state_at];
        counter = state[state_at + 1];
    }
    y += y_at;
    for (long block = first; block < whole; block++) {
        T x[4];
        four_of(block, seed, counter, normal, low, high, x);
        STORE(y, block * 4, x[0]);
        STORE(y, block * 4 + 1, x[1]);
        STORE(y, block * 4 + 2, x[2]);
        STORE(y, block * 4 + 3, x[3]);
    }
    if (first <= n / 4 && n / 4 < end && n % 4 > 0) {
        T x[4];
        four_of(n / 4, seed, counter, normal, low, high, x);
        for (long j = 0; j < n % 4; j++) STORE(y, n / 4 * 4 + j, x[j]);
    }
}

/* The state of the next draw: the counter goes up by one.  Work-items: 1; next may be state itself. */
__kernel void draw_next(__global const long *state, long state_at, __global long *next, long next_at, long first_seed)
{
    if (get_global_id(0) > 0) return;
    long seed = state_at < 0 ? first_seed : state[state_at], counter = state_at < 0 ? 0 : state[state_at + 1];
    next[next_at] = seed;
    next[next_at + 1] = counter + 1;
}

/* y [batch, samples]: classes drawn by the logarithms of their weights, x [batch, classes].  Work-items: batch * samples. */
__kernel void multinomial(__global const S *x, long x_at, __global D *y, long y_at, long batch, long samples, long classes, long seed)
{
    long i = get_global_id(0);
    if (i >= batch * samples) return;
    const uint4 words = philox(i / 4, seed, 0);
    const uint2 pair = i % 4 < 2 ? words.xy : words.zw;
    const uint word = i % 2 == 0 ? pair.x : pair.y;
    x_at += i / samples * classes;
    T highest = LOAD(x, x_at), sum = 0, below = 0;
    for (long c = 1; c < classes; c++) highest = fmax(highest, LOAD(x, x_at + c));
    for (long c = 0; c < classes; c++) sum += exp(LOAD(x, x_at + c) - highest);
    sum *= philox_uniform(word);
    long chosen = 0;
    for (long c = 0; c + 1 < classes; c++) {
        below += exp(LOAD(x, x_at + c) - highest);
        if (sum >= below) chosen = c + 1;
    }
    STORE_D(y, y_at + i, (TD)chosen);
}
