/* Places of elements: of the largest or smallest along an axis, and of the first k in order.  Tensors are [outer, length, inner]; element j
 * of row (o, i) lies at (o * length + j) * inner + i.  Ties are broken by place, so that results are the same on every device. */
#include "common.clh"

/* Tests for NaN, x != x, are written for integers too. */
#ifdef __clang__
#pragma clang diagnostic ignored "-Wtautological-compare"
#endif

/* Place of element 0 of row r. */
#define ROW_AT(r) ((r) / inner * length * inner + (r) % inner)

#if WG == 1
#define COLUMNS 16 /* columns of a work-item in arg_columns */
#else
#define COLUMNS 1
#endif

/* ---- ArgMax, ArgMin ---------------------------------------------------------------------------------------------------------------- */

/* NaN wins over numbers. */
#define BEATS(a, b) ((b) == (b) && ((a) != (a) || (smallest ? (a) < (b) : (a) > (b))))
#define TIES(a, b) ((a) == (b) || ((a) != (a) && (b) != (b)))

#if WG == 1
#define PARTS 16
/* The place of the winner among n elements that lie side by side: first the winning value, by vectors, then its place. */
static long find_winner(__global const S *x, long n, int smallest, int last)
{
    T part[PARTS], best = LOAD(x, 0);
    long i = 0, whole = n / PARTS * PARTS;
    for (int p = 0; p < PARTS; p++) part[p] = best;
    if (smallest) {
        for (; i < whole; i += PARTS) {
            for (int p = 0; p < PARTS; p++) {
                T v = LOAD(x, i + p);
                part[p] = part[p] <= v || part[p] != part[p] ? part[p] : v;
            }
        }
    } else {
        for (; i < whole; i += PARTS) {
            for (int p = 0; p < PARTS; p++) {
                T v = LOAD(x, i + p);
                part[p] = part[p] >= v || part[p] != part[p] ? part[p] : v;
            }
        }
    }
    for (int p = 0; p < PARTS; p++) best = BEATS(part[p], best) ? part[p] : best;
    for (; i < n; i++) {
        T v = LOAD(x, i);
        if (BEATS(v, best)) best = v;
    }
    for (i = 0; i < n; i++) {
        long at = last ? n - 1 - i : i;
        T v = LOAD(x, at);
        if (TIES(v, best)) return at;
    }
    return 0;
}
#endif

/* y [rows] is the place of the winner of each row, of the first or the last one.  Groups: rows = outer * inner; length >= 1. */
__kernel void arg_rows(__global const S *x, long x_at, __global long *y, long y_at, long rows, long length, long inner, int smallest,
                       int last)
{
    __local T values[WG];
    __local long places[WG];
    GROUP_GUARD(rows);
    x += x_at + ROW_AT(GROUP);
#if WG == 1
    if (inner == 1) {
        y[y_at + GROUP] = find_winner(x, length, smallest, last);
        return;
    }
#endif
    T best = LOAD(x, 0);
    long at = 0;
    for (long j = LANE; j < length; j += WG) {
        T v = LOAD(x, j * inner);
        if (BEATS(v, best) || (last && TIES(v, best))) {
            best = v;
            at = j;
        }
    }
#if WG > 1
    values[LANE] = best;
    places[LANE] = at;
    barrier(CLK_LOCAL_MEM_FENCE);
    for (int half_of = WG / 2; half_of > 0; half_of /= 2) {
        if (LANE < half_of) {
            T other = values[LANE + half_of];
            long place = places[LANE + half_of];
            best = values[LANE];
            at = places[LANE];
            if (BEATS(other, best) || (TIES(other, best) && (last ? place > at : place < at))) {
                values[LANE] = other;
                places[LANE] = place;
            }
        }
        barrier(CLK_LOCAL_MEM_FENCE);
    }
    at = places[0];
#endif
    if (LANE == 0) y[y_at + GROUP] = at;
}

/* The same for neighbouring rows side by side.  Work-items: outer * ceil(inner / COLUMNS); length is below 2^31. */
__kernel void arg_columns(__global const S *x, long x_at, __global long *y, long y_at, long outer, long length, long inner, int smallest,
                          int last)
{
    long blocks = (inner + COLUMNS - 1) / COLUMNS, i = get_global_id(0), o = i / blocks, column = i % blocks * COLUMNS;
    if (o >= outer) return;
    int n = COLUMNS == 1 ? 1 : (int)min(inner - column, (long)COLUMNS), at[COLUMNS];
    T best[COLUMNS];
    x += x_at + o * length * inner + column;
    for (int k = 0; k < n; k++) {
        best[k] = LOAD(x, k);
        at[k] = 0;
    }
    for (int j = 1; j < (int)length; j++) {
        for (int k = 0; k < n; k++) {
            T v = LOAD(x, j * inner + k), old = best[k];
            int wins = BEATS(v, old) || (last && TIES(v, old));
            best[k] = wins ? v : old;
            at[k] = wins ? j : at[k];
        }
    }
    for (int k = 0; k < n; k++) y[y_at + o * inner + column + k] = at[k];
}

/* ---- TopK ---------------------------------------------------------------------------------------------------------------------------
 * On CPUs by a heap.  Elsewhere a merge sort of places [rows, length]: runs of RUN elements, then runs of twice the length until one is left.  Each
 * element finds its new place by counting, so that all of them move at once. */
#define RUN 64

/* Whether element j, a, stands before element k, b: by value (NaN is larger than numbers), then by place. */
static int stands_before(T a, int j, T b, int k, int largest)
{
    int nan_a = a != a, nan_b = b != b;
    if (nan_a != nan_b) return largest ? nan_a : nan_b;
    if (a == b || nan_a) return j < k;
    return largest ? a > b : a < b;
}

/* The same of the row at x. */
static int before(__global const S *x, long inner, int largest, int j, int k)
{
    return stands_before(LOAD(x, j * inner), j, LOAD(x, k * inner), k, largest);
}

#if WG == 1
/* Lets `place` sink from node `at` on in a heap of n places, in which each stands behind its children. */
static void sink(__global int *heap, long n, long at, int place, __global const S *x, long inner, int largest)
{
    for (long child = 2 * at + 1; child < n; child = 2 * at + 1) {
        if (child + 1 < n && before(x, inner, largest, heap[child], heap[child + 1])) child++;
        if (!before(x, inner, largest, place, heap[child])) break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = place;
}

/* values and indices [outer, k, inner] of the first k; either may be absent.  For CPUs: a work-item goes once through a row, with a heap of the
   places that stand first so far, of which the last is at the root; most elements stand behind that.  Taken off the root one by one, they come
   in order, from behind.  heaps: [rows, k].  Work-items: ceil(rows / chunk). */
__kernel void select_first(__global const S *x, long x_at, __global int *heaps, long heaps_at, __global S *values, long values_at,
                           __global long *indices, long indices_at, long rows, long length, long inner, long k, int largest, long chunk)
{
    EACH_RESULT(r, rows)
    {
        __global const S *row = x + x_at + ROW_AT(r);
        __global int *heap = heaps + heaps_at + r * k;
        const long to = r / inner * k * inner + r % inner;
        for (int i = 0; i < k; i++) heap[i] = i;
        for (long i = k / 2; i-- > 0;) sink(heap, k, i, heap[i], row, inner, largest);
        T last = LOAD(row, heap[0] * inner);
        for (int j = (int)k; j < length; j++) {
            if (!stands_before(LOAD(row, j * inner), j, last, heap[0], largest)) continue;
            sink(heap, k, 0, j, row, inner, largest);
            last = LOAD(row, heap[0] * inner);
        }
        for (long n = k - 1; n > 0; n--) {
            const int root = heap[0];
            sink(heap, n, 0, heap[n], row, inner, largest);
            heap[n] = root;
        }
        for (long i = 0; i < k; i++) {
            if (values_at >= 0) STORE(values, values_at + to + i * inner, LOAD(row, heap[i] * inner));
            if (indices_at >= 0) indices[indices_at + to + i * inner] = heap[i];
        }
    }
}
#endif

/* Work-items: rows * length. */
__kernel void sort_runs(__global const S *x, long x_at, __global int *places, long places_at, long rows, long length, long inner,
                        int largest)
{
    long i = get_global_id(0), r = i / length;
    if (r >= rows) return;
    int j = (int)(i % length), first = j / RUN * RUN, end = (int)min((long)first + RUN, length), rank = first;
    x += x_at + ROW_AT(r);
    for (int k = first; k < end; k++) rank += k != j && before(x, inner, largest, k, j);
    places[places_at + r * length + rank] = j;
}

/* Merges neighbouring runs of `width` elements.  Work-items: rows * length. */
__kernel void merge_runs(__global const S *x, long x_at, __global const int *from, long from_at, __global int *to, long to_at, long rows,
                         long length, long inner, long width, int largest)
{
    long i = get_global_id(0), r = i / length, p = i % length, base = p / (2 * width) * (2 * width);
    if (r >= rows) return;
    x += x_at + ROW_AT(r);
    from += from_at + r * length;
    int own = from[p], second = p >= base + width;
    /* how many elements of the other run stand before this one */
    long first = second ? base : base + width, low = first, high = min(first + width, max(length, first));
    while (low < high) {
        long middle = (low + high) / 2;
        if (before(x, inner, largest, from[middle], own)) low = middle + 1;
        else high = middle;
    }
    to[to_at + r * length + base + (p - (second ? base + width : base)) + (low - first)] = own;
}

/* values and indices [outer, k, inner] of the first k places; either may be absent.  Work-items: rows * k. */
__kernel void take_first(__global const S *x, long x_at, __global const int *places, long places_at, __global S *values, long values_at,
                         __global long *indices, long indices_at, long rows, long length, long inner, long k)
{
    long i = get_global_id(0), r = i / inner / k * inner + i % inner;
    if (r >= rows) return;
    int place = places[places_at + r * length + i / inner % k];
    if (values_at >= 0) STORE(values, values_at + i, LOAD(x, x_at + ROW_AT(r) + place * inner));
    if (indices_at >= 0) indices[indices_at + i] = place;
}

/* dx, which is 0 everywhere, gets g [outer, k, inner] at the places it came from.  Work-items: rows * k. */
__kernel void take_backward(__global const S *g, long g_at, __global const long *indices, long indices_at, __global S *dx, long dx_at,
                            long rows, long length, long inner, long k)
{
    long i = get_global_id(0), r = i / inner / k * inner + i % inner;
    if (r >= rows) return;
    STORE(dx, dx_at + ROW_AT(r) + indices[indices_at + i] * inner, LOAD(g, g_at + i));
}
