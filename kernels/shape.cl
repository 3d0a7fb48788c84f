/* Copies that move elements about: transposition, slices, concatenation, padding; and tensors made from shapes.  Elements are not computed with, so that S stands
 * for any type of the same size. */
#include "common.clh"

#ifndef AXES
#define AXES 8 /* how many of the eight axes below are in use: the last ones */
#endif

/* to[to_first + sum i_a ts_a] = from[from_first + sum i_a fs_a] for all indices i of a box with axes of lengths d0 .. d7.
   Work-items: n, the product of the lengths. */
__kernel void copy_strided(__global S *to, long to_at, __global const S *from, long from_at, long n, long to_first, long from_first,
                           long d0, long d1, long d2, long d3, long d4, long d5, long d6, long d7, long ts0, long ts1, long ts2, long ts3,
                           long ts4, long ts5, long ts6, long ts7, long fs0, long fs1, long fs2, long fs3, long fs4, long fs5, long fs6,
                           long fs7)
{
    long i = get_global_id(0);
    if (i >= n) return;
    to_at += to_first;
    from_at += from_first;
    const long d[8] = { d0, d1, d2, d3, d4, d5, d6, d7 }, ts[8] = { ts0, ts1, ts2, ts3, ts4, ts5, ts6, ts7 };
    const long fs[8] = { fs0, fs1, fs2, fs3, fs4, fs5, fs6, fs7 };
#pragma unroll
    for (int a = 7; a > 8 - AXES; a--) {
        long index = i % d[a];
        i /= d[a];
        to_at += index * ts[a];
        from_at += index * fs[a];
    }
    to[to_at + i * ts[8 - AXES]] = from[from_at + i * fs[8 - AXES]];
}

/* The same, a run along the last axis a work-item, for CPU devices: places are worked out once a run.  Work-items: n, the product of the lengths
   of all other axes. */
__kernel void copy_runs(__global S *to, long to_at, __global const S *from, long from_at, long n, long to_first, long from_first, long d0,
                        long d1, long d2, long d3, long d4, long d5, long d6, long d7, long ts0, long ts1, long ts2, long ts3, long ts4,
                        long ts5, long ts6, long ts7, long fs0, long fs1, long fs2, long fs3, long fs4, long fs5, long fs6, long fs7)
{
    long i = get_global_id(0);
    if (i >= n) return;
    to += to_at + to_first;
    from += from_at + from_first;
    const long d[8] = { d0, d1, d2, d3, d4, d5, d6, d7 }, ts[8] = { ts0, ts1, ts2, ts3, ts4, ts5, ts6, ts7 };
    const long fs[8] = { fs0, fs1, fs2, fs3, fs4, fs5, fs6, fs7 };
#pragma unroll
    for (int a = 6; a >= 8 - AXES; a--) {
        const long index = a > 8 - AXES ? i % d[a] : i;
        i /= d[a];
        to += index * ts[a];
        from += index * fs[a];
    }
    if (ts7 == 1 && fs7 == 1) {
        for (long k = 0; k < d7; k++) to[k] = from[k];
    } else {
        for (long k = 0; k < d7; k++) to[k * ts7] = from[k * fs7];
    }
}

#if WG == 1
#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
#define FOUR JOIN(S, 4)
#define STRIP 16

/* to[j * to_step + k] = from[k * from_step + j] for j below `rows` and k below `columns`, in squares of four. */
static void turn(__global S *restrict to, long to_step, __global const S *restrict from, long from_step, int rows, long columns)
{
    long k = 0;
    for (; k + 4 <= columns; k += 4) {
        __global const S *at = from + k * from_step;
        int j = 0;
        for (; j + 4 <= rows; j += 4) {
            const FOUR a = vload4(0, at + j), b = vload4(0, at + from_step + j), c = vload4(0, at + 2 * from_step + j),
                       d = vload4(0, at + 3 * from_step + j);
            vstore4((FOUR)(a.x, b.x, c.x, d.x), 0, to + j * to_step + k);
            vstore4((FOUR)(a.y, b.y, c.y, d.y), 0, to + (j + 1) * to_step + k);
            vstore4((FOUR)(a.z, b.z, c.z, d.z), 0, to + (j + 2) * to_step + k);
            vstore4((FOUR)(a.w, b.w, c.w, d.w), 0, to + (j + 3) * to_step + k);
        }
        for (; j < rows; j++) {
            for (int q = 0; q < 4; q++) to[j * to_step + k + q] = at[q * from_step + j];
        }
    }
    for (; k < columns; k++) {
        for (int j = 0; j < rows; j++) to[j * to_step + k] = from[k * from_step + j];
    }
}

/* The same where the last axis but one has neighbours in `from` and the last one in `to` (fs6 = ts7 = 1), for CPU devices: matrices that are
   transposed, in strips of STRIP rows.  Work-items: n, the strips of d6 times the product of the lengths of the axes before. */
__kernel void copy_turned(__global S *to, long to_at, __global const S *from, long from_at, long n, long to_first, long from_first, long d0,
                          long d1, long d2, long d3, long d4, long d5, long d6, long d7, long ts0, long ts1, long ts2, long ts3, long ts4,
                          long ts5, long ts6, long ts7, long fs0, long fs1, long fs2, long fs3, long fs4, long fs5, long fs6, long fs7)
{
    const long strips = (d6 + STRIP - 1) / STRIP;
    long i = get_global_id(0);
    if (i >= n) return;
    const long first = i % strips * STRIP, d[6] = { d0, d1, d2, d3, d4, d5 };
    const long ts[6] = { ts0, ts1, ts2, ts3, ts4, ts5 }, fs[6] = { fs0, fs1, fs2, fs3, fs4, fs5 };
    i /= strips;
    to += to_at + to_first + first * ts6;
    from += from_at + from_first + first;
#pragma unroll
    for (int a = 5; a >= 8 - AXES; a--) {
        const long index = i % d[a];
        i /= d[a];
        to += index * ts[a];
        from += index * fs[a];
    }
    turn(to, ts6, from, fs7, (int)min((long)STRIP, d6 - first), d7);
}
#endif

/* The shape of a tensor as int64 numbers: y [rank].  Work-items: rank. */
__kernel void shape(__global S *y, long y_at, int rank, long d0, long d1, long d2, long d3, long d4, long d5, long d6, long d7)
{
    int i = get_global_id(0);
    if (i >= rank) return;
    y[y_at + i] = (S)(i == 0 ? d0 : i == 1 ? d1 : i == 2 ? d2 : i == 3 ? d3 : i == 4 ? d4 : i == 5 ? d5 : i == 6 ? d6 : d7);
}

/* y [n] = start, start + delta, ...  Work-items: n. */
__kernel void range(__global const S *start, long start_at, __global const S *delta, long delta_at, __global S *y, long y_at, long n)
{
    long i = get_global_id(0);
    if (i < n) STORE(y, y_at + i, LOAD(start, start_at) + (T)i * LOAD(delta, delta_at));
}

/* y = x, but of each sequence the first elements, as many as `lengths` [batch] says, in the opposite order.  Neighbours in time lie
   time_step elements apart, those in the batch batch_step; a length that does not fit leaves its sequence as it is.  Work-items: n. */
__kernel void reverse_sequence(__global const S *x, long x_at, __global const I *lengths, long lengths_at, __global S *y, long y_at, long n,
                               long time, long time_step, long batch, long batch_step)
{
    long i = get_global_id(0);
    if (i >= n) return;
    long t = i / time_step % time, length = LOAD_I(lengths, lengths_at + i / batch_step % batch);
    long from = t < length && length <= time ? length - 1 - t : t;
    y[y_at + i] = x[x_at + i + (from - t) * time_step];
}

/* Which index of an axis of `length` elements stands at i, which may lie outside: -1, the constant (mode 0), mirrored at the edges (1), the
   nearest (2), or from the other end (3). */
static long pad_index(int mode, long i, long length)
{
    if (i >= 0 && i < length) return i;
    if (mode == 0) return -1;
    if (mode == 2) return i < 0 ? 0 : length - 1;
    long period = mode == 1 ? 2 * (length - 1) : length;
    i = period == 0 ? 0 : (i % period + period) % period;
    return i < length ? i : period - i;
}

/* y [o0 .. o7] = x [d0 .. d7], moved by b0 .. b7 and padded; axes before `first` have length 1.  `value` may be absent: zero.
   Work-items: n, the elements of y. */
__kernel void pad(__global const S *x, long x_at, __global const S *value, long value_at, __global S *y, long y_at, long n, int mode,
                  int first, long o0, long o1, long o2, long o3, long o4, long o5, long o6, long o7, long d0, long d1, long d2, long d3,
                  long d4, long d5, long d6, long d7, long b0, long b1, long b2, long b3, long b4, long b5, long b6, long b7)
{
    long i = get_global_id(0), rest = i, at = 0, stride = 1;
    if (i >= n) return;
    /* Vectors that are turned, since an array that is indexed by a variable would lie in memory. */
    long8 o = (long8)(o0, o1, o2, o3, o4, o5, o6, o7), d = (long8)(d0, d1, d2, d3, d4, d5, d6, d7);
    long8 b = (long8)(b0, b1, b2, b3, b4, b5, b6, b7);
    for (int a = 7; a >= first; a--) {
        long index = pad_index(mode, rest % o.s7 - b.s7, d.s7);
        rest /= o.s7;
        at = index < 0 || at < 0 ? -1 : at + index * stride;
        stride *= d.s7;
        o = o.s70123456;
        d = d.s70123456;
        b = b.s70123456;
    }
    y[y_at + i] = at >= 0 ? x[x_at + at] : value_at >= 0 ? value[value_at] : (S)0;
}
