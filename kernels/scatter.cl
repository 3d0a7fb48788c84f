/* What comes together where indices name the same place: the gradient of gathers, and scatters with a reduction.  The indices become keys,
 * the keys are sorted, and all that belongs to one row of the data is then one stretch of the sorted keys, in the order of the indices: so
 * that sums are the same in each run, without atomics.  An index out of range has the key `rows`, behind all others. */
#include "common.clh"
#include "index.clh"
#include "sort.clh"
#define AXES 2 /* of all walks here */
#include "walk.clh"

/* NaN is not equal to itself; for integers that is never so. */
#ifdef __clang__
#pragma clang diagnostic ignored "-Wtautological-compare"
#endif

#define COLUMNS 8 /* of a work-item at a time, in sum_rows */
#if WG == 1
#define RUN 16 /* the same in scatter_rows */
#else
#define RUN 1
#endif

/* keys [n] of Gather.  Work-items: n. */
__kernel void axis_keys(__global const I *indices, long indices_at, __global uint *keys, long keys_at, long n, long rows)
{
    long i = get_global_id(0);
    if (i >= n) return;
    long row = row_in(LOAD_I(indices, indices_at + i), rows);
    keys[keys_at + i] = (uint)(row < 0 ? rows : row);
}

/* keys [n] of GatherElements, see row_of_element.  Work-items: n. */
__kernel void element_keys(__global const I *indices, long indices_at, __global uint *keys, long keys_at, long n, long rows, int first,
                           long length, long step, EIGHT(d), EIGHT(s))
{
    long i = get_global_id(0);
    if (i >= n) return;
    long row = row_of_element(LOAD_I(indices, indices_at + i), i, first, length, step, d0, d1, d2, d3, d4, d5, d6, d7, s0, s1, s2, s3, s4,
                              s5, s6, s7);
    keys[keys_at + i] = (uint)(row < 0 ? rows : row);
}

/* keys [n] of GatherND: per_batch tuples read the same batch_rows slices.  Work-items: n. */
__kernel void tuple_keys(__global const I *indices, long indices_at, __global uint *keys, long keys_at, long n, long rows, long per_batch,
                         long batch_rows, int depth, EIGHT(d), EIGHT(s))
{
    long i = get_global_id(0);
    if (i >= n) return;
    long row = place_of_tuple(indices, indices_at + i * depth, depth, d0, d1, d2, d3, d4, d5, d6, d7, s0, s1, s2, s3, s4, s5, s6, s7);
    keys[keys_at + i] = (uint)(row < 0 ? rows : i / per_batch * batch_rows + row);
}

/* dx [outer, rows, inner] = the sum of the rows of g [outer, n, inner] that have the row's key.
   Results: outer * rows; the lanes of a group share out the columns. */
__kernel NARROW void sum_rows(__global const S *g, long g_at, __global const uint *sorted, long sorted_at, __global const uint *order,
                              long order_at, __global S *dx, long dx_at, long outer, long rows, long n, long inner, long chunk)
{
    long behind = -1; /* the stretch of the row before */
    sorted += sorted_at;
    order += order_at;
    g += g_at;
    dx += dx_at;
    EACH_RESULT(r, outer * rows)
    {
        const uint row = (uint)(r % rows);
        const long first = behind < 0 || row == 0 ? sort_find(sorted, n, row) : behind;
        __global const S *all = g + r / rows * n * inner;
        for (behind = first; behind < n && sorted[behind] == row; behind++) {}
        for (long c = LANE; c < inner; c += COLUMNS * WG) {
            const int whole = c + (COLUMNS - 1) * WG < inner;
            ACC sum[COLUMNS] = { 0 };
            for (long k = first; k < behind; k++) {
                __global const S *from = all + order[k] * inner + c;
                if (whole) {
#pragma unroll
                    for (int q = 0; q < COLUMNS; q++) sum[q] += LOAD(from, q * WG);
                } else {
#pragma unroll
                    for (int q = 0; q < COLUMNS; q++)
                        if (c + q * WG < inner) sum[q] += LOAD(from, q * WG);
                }
            }
#pragma unroll
            for (int q = 0; q < COLUMNS; q++)
                if (c + q * WG < inner) STORE(dx, r * inner + c + q * WG, (T)sum[q]);
        }
    }
}

/* How an update meets what is there. */
#define REPLACE 0
#define ADD 1
#define MULTIPLY 2
#define SMALLEST 3
#define LARGEST 4

/* Does b win over a?  NaN wins, and stays. */
static int wins(int reduction, T b, T a)
{
    return b != b ? a == a : reduction == SMALLEST ? b < a : b > a;
}

/* y [rows, inner], which holds the data, takes in updates [n, inner], those of each row in their order.
   Work-items: the walk's, over the updates; the one at the first key of a row does all of the row's updates in its columns. */
__kernel void scatter_rows(__global const S *updates, long updates_at, __global const uint *sorted, long sorted_at,
                           __global const uint *order, long order_at, __global S *y, long y_at, long rows, int reduction, WALK)
{
    sorted += sorted_at;
    order += order_at;
    updates += updates_at;
    EACH_PIECE
    {
        const long first = index[6];
        const uint row = sorted[first];
        long end = first;
        if (row < rows && (first == 0 || sorted[first - 1] != row)) {
            while (end < d6 && sorted[end] == row) end++;
            for (long column = PIECE_AT; column < PIECE_AT + PIECE_LENGTH; column += RUN) {
                const int few = (int)min((long)RUN, PIECE_AT + PIECE_LENGTH - column);
                __global S *to = y + y_at + row * d7 + column;
                ACC a[RUN];
                for (int j = 0; j < few; j++) a[j] = LOAD(to, j);
                for (long k = reduction == REPLACE ? end - 1 : first; k < end; k++) {
                    for (int j = 0; j < few; j++) {
                        const T b = LOAD(updates, order[k] * d7 + column + j);
                        if (reduction == REPLACE) a[j] = b;
                        else if (reduction == ADD) a[j] += b;
                        else if (reduction == MULTIPLY) a[j] *= b;
                        else if (wins(reduction, b, (T)a[j])) a[j] = b;
                    }
                }
                for (int j = 0; j < few; j++) STORE(to, j, (T)a[j]);
            }
        }
    }
}

/* The gradients of scatter_rows where it multiplies or takes the smallest or largest: dx [rows, inner] holds the upstream gradient and
   becomes that of the data, du [n, inner] becomes that of the updates.  Of equal smallest or largest ones the first has the gradient,
   before all the data.  Work-items as in scatter_rows. */
__kernel void scatter_gradient(__global const S *x, long x_at, __global const S *updates, long updates_at, __global const uint *sorted,
                               long sorted_at, __global const uint *order, long order_at, __global S *dx, long dx_at, __global S *du,
                               long du_at, long rows, long n, long inner, int reduction)
{
    long i = get_global_id(0), first = i / inner, column = i % inner, end = first;
    if (first >= n) return;
    sorted += sorted_at;
    order += order_at;
    uint row = sorted[first];
    if (row >= rows) STORE(du, du_at + order[first] * inner + column, (T)0);
    if (row >= rows || (first > 0 && sorted[first - 1] == row)) return;
    long at = row * inner + column, winner = -1;
    T g = LOAD(dx, dx_at + at), best = LOAD(x, x_at + at), product = 1;
    updates += updates_at;
    du += du_at;
    for (; end < n && sorted[end] == row; end++) {
        long k = order[end] * inner + column;
        T b = LOAD(updates, k);
        if (reduction == MULTIPLY) {
            STORE(du, k, g * best * product); /* of all before it */
            product *= b;
        } else if (wins(reduction, b, best)) {
            best = b;
            winner = end;
        }
    }
    T after = 1;
    for (long m = end - 1; m >= first; m--) {
        long k = order[m] * inner + column;
        if (reduction == MULTIPLY) STORE(du, k, LOAD(du, k) * after);
        else STORE(du, k, m == winner ? g : (T)0);
        after *= LOAD(updates, k);
    }
    STORE(dx, dx_at + at, reduction == MULTIPLY ? g * product : winner < 0 ? g : (T)0);
}
