/* Copies that move elements about: transposition, slices, concatenation, padding; and tensors made from shapes.  Elements are not computed with, so that S stands
 * for any type of the same size. */
#include "common.clh"
#include "run.clh"
#include "walk.clh"

/* to[to_first + sum i_a ts_a] = from[from_first + sum i_a fs_a] for all indices i of the box.  Work-items: the walk's. */
__kernel void copy_box(__global S *to, long to_at, __global const S *from, long from_at, long to_first, long from_first, WALK, EIGHT(ts),
                       EIGHT(fs))
{
    to += to_at + to_first;
    from += from_at + from_first;
    EACH_PIECE
    {
        const long t = WALKED(ts) + PIECE_AT * ts7, f = WALKED(fs) + PIECE_AT * fs7;
#if WG == 1
        copy_run(to + t, ts7, from + f, fs7, PIECE_LENGTH);
#else
        to[t] = from[f];
#endif
    }
}

#if WG == 1
#define STRIP 64 /* as in box.h */
#define BLOCK 16 /* a side of what stays in the nearest cache: a line of four-byte elements */

/* to[j * to_step + k] = from[k * from_step + j] for j below `rows` and k below `columns`, in squares of four. */
static void turn(__global S *restrict to, long to_step, __global const S *restrict from, long from_step, int rows, int columns)
{
    int k = 0;
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

/* copy_box where the last axis but one has neighbours in `from` and the last one in `to`, for CPU devices: matrices that are transposed, in strips of
   STRIP of their `rows` rows, which d6 counts.  Work-items: the walk's. */
__kernel void copy_turned(__global S *to, long to_at, __global const S *from, long from_at, long to_first, long from_first, long rows,
                          long to_step, WALK, EIGHT(ts), EIGHT(fs))
{
    to += to_at + to_first;
    from += from_at + from_first;
    EACH_PIECE
    {
        const long t = WALKED(ts) + PIECE_AT, f = WALKED(fs) + PIECE_AT * fs7;
        const int strip = (int)min((long)STRIP, rows - index[6] * STRIP), columns = (int)PIECE_LENGTH;
        for (int k = 0; k < columns; k += BLOCK) {
            for (int j = 0; j < strip; j += BLOCK)
                turn(to + t + j * to_step + k, to_step, from + f + k * fs7 + j, fs7, min(BLOCK, strip - j), min(BLOCK, columns - k));
        }
    }
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

/* y = x [d5, d6, d7], but of each sequence the first elements, as many as `lengths` [batch] says, in the opposite order.  Axis 5 is time and 6 the
   batch, or (time_second) the other way round; neighbours in time lie time_step elements apart.  A length that does not fit leaves its sequence as it is.
   Work-items: the walk's. */
__kernel void reverse_sequence(__global const S *x, long x_at, __global const I *lengths, long lengths_at, __global S *y, long y_at,
                               int time_second, long time_step, WALK)
{
    x += x_at;
    y += y_at;
    EACH_PIECE
    {
        const long time = time_second ? d6 : d5, t = time_second ? index[6] : index[5];
        const long length = LOAD_I(lengths, lengths_at + (time_second ? index[5] : index[6]));
        const long from = place + ((t < length && length <= time ? length - 1 - t : t) - t) * time_step;
#if WG == 1
        copy_run(y + place, 1, x + from, 1, PIECE_LENGTH);
#else
        y[place] = x[from];
#endif
    }
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

#if WG == 1
/* n elements of a padded row, from place i of x [length] on, which may lie outside; mode -1: the filling alone.  Inside x, and outside where it is seen
   again, elements lie side by side, in one order or the other. */
static void pad_row(__global S *y, __global const S *x, int mode, long i, long length, S filling, long n)
{
    for (long k = 0, few; k < n; k += few) {
        const long from = i + k, outside = from < 0 ? -from : n, at = mode < 0 ? -1 : pad_index(mode, from, length);
        const bool inside = from >= 0 && from < length;
        if (at < 0) {
            few = min(mode < 0 || from >= length ? n : outside, n - k);
            fill_run(y + k, filling, few);
        } else if (length == 1 ? mode != 0 : mode == 2 && !inside) {
            few = min(length == 1 ? n : outside, n - k);
            fill_run(y + k, x[at], few);
        } else if (inside || mode == 3 || pad_index(mode, from + 1, length) > at) {
            few = min(length - at, n - k);
            copy_run(y + k, 1, x + at, 1, few);
        } else {
            few = min(at + 1, n - k);
            copy_run(y + k, 1, x + at, -1, few);
        }
    }
}
#endif

/* y [d0 .. d7] = x [x0 .. x7], moved by b0 .. b7 and padded.  `value` may be absent: zero.  Work-items: the walk's, over y. */
__kernel void pad(__global const S *x, long x_at, __global const S *value, long value_at, __global S *y, long y_at, int mode, WALK,
                  EIGHT(x), EIGHT(b))
{
    const S filling = value_at >= 0 ? value[value_at] : (S)0;
    const long x_lengths[8] = { x0, x1, x2, x3, x4, x5, x6, x7 }, before[8] = { b0, b1, b2, b3, b4, b5, b6, b7 };
    x += x_at;
    y += y_at;
    EACH_PIECE
    {
        long row = 0;
#pragma unroll
        for (int a = 8 - AXES; a < 7; a++) {
            const long i = pad_index(mode, index[a] - before[a], x_lengths[a]);
            row = i < 0 || row < 0 ? -1 : row * x_lengths[a] + i;
        }
#if WG == 1
        pad_row(y + place, x + row * x7, row < 0 ? -1 : mode, PIECE_AT - b7, x7, filling, PIECE_LENGTH);
#else
        const long column = pad_index(mode, PIECE_AT - b7, x7);
        y[place] = row >= 0 && column >= 0 ? x[row * x7 + column] : filling;
#endif
    }
}

#if WG == 1
/* n elements of a row that has the `period` ones of `from` again and again, from number `first` of them on: once one by one, then twice what is there. */
static void tile_row(__global S *to, __global const S *from, long first, long period, long n)
{
    long done = min(period - first, n), few = min(first, n - done);
    copy_run(to, 1, from + first, 1, done);
    copy_run(to + done, 1, from, 1, few);
    for (done += few; done < n; done += few) {
        few = min(done, n - done);
        copy_run(to + done, 1, to, 1, few);
    }
}
#endif

/* y [d0 .. d7], whose last axis has `period` neighbours of x again and again, of those that begin at sum i_a xs_a.  Work-items: the walk's, over y. */
__kernel void tile(__global const S *x, long x_at, __global S *y, long y_at, long period, WALK, EIGHT(xs))
{
    x += x_at;
    y += y_at;
    EACH_PIECE
    {
        __global const S *from = x + WALKED(xs);
#if WG == 1
        tile_row(y + place, from, PIECE_AT % period, period, PIECE_LENGTH);
#else
        y[place] = from[PIECE_AT % period];
#endif
    }
}
