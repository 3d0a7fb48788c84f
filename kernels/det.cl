/* Determinants and their gradients, by Gaussian elimination with complete pivoting in work [batch, n, n] of type D.  A group takes a matrix. */
#include "common.clh"

#if WG > 1
#define WAIT barrier(CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE)
#else
#define WAIT
#endif

/* The place of the largest magnitude in the square from (k, k) on, as row * n + column; the first at ties. */
static long find_pivot(__global const D *work, long n, long k, __local TD *values, __local long *places)
{
    long m = n - k, place = k * n + k;
    TD best = -1;
    for (long e = LANE; e < m * m; e += WG) {
        long at = (k + e / m) * n + k + e % m;
        TD v = fabs(LOAD_D(work, at));
        if (v > best) {
            best = v;
            place = at;
        }
    }
#if WG > 1
    values[LANE] = best;
    places[LANE] = place;
    WAIT;
    for (int half_of = WG / 2; half_of > 0; half_of /= 2) {
        if (LANE < half_of) {
            TD other = values[LANE + half_of];
            if (other > values[LANE] || (other == values[LANE] && places[LANE + half_of] < places[LANE])) {
                values[LANE] = other;
                places[LANE] = places[LANE + half_of];
            }
        }
        WAIT;
    }
    place = places[0];
    WAIT;
#endif
    return place;
}

/* work becomes L (below the diagonal, its own diagonal is 1) and U; rows and columns say which of x stands where.  Returns the sign of both
   permutations. */
static int factorize(__global const S *x, __global D *work, __global int *rows, __global int *columns, long n, __local TD *values,
                     __local long *places)
{
    int sign = 1;
    for (long e = LANE; e < n * n; e += WG) STORE_D(work, e, (TD)LOAD(x, e));
    for (long i = LANE; i < n; i += WG) rows[i] = columns[i] = (int)i;
    WAIT;
    for (long k = 0; k < n; k++) {
        long place = find_pivot(work, n, k, values, places), r = place / n, c = place % n;
        for (long j = LANE; j < n && r != k; j += WG) {
            TD t = LOAD_D(work, k * n + j);
            STORE_D(work, k * n + j, LOAD_D(work, r * n + j));
            STORE_D(work, r * n + j, t);
        }
        WAIT;
        for (long i = LANE; i < n && c != k; i += WG) {
            TD t = LOAD_D(work, i * n + k);
            STORE_D(work, i * n + k, LOAD_D(work, i * n + c));
            STORE_D(work, i * n + c, t);
        }
        if (LANE == 0) {
            int t = rows[k];
            rows[k] = rows[r];
            rows[r] = t;
            t = columns[k];
            columns[k] = columns[c];
            columns[c] = t;
        }
        if (r != k) sign = -sign;
        if (c != k) sign = -sign;
        WAIT;
        TD pivot = LOAD_D(work, k * n + k);
        if (pivot == 0) break; /* all that is left is 0 */
        for (long i = k + 1 + LANE; i < n; i += WG) STORE_D(work, i * n + k, LOAD_D(work, i * n + k) / pivot);
        WAIT;
        long m = n - k - 1;
        for (long e = LANE; e < m * m; e += WG) {
            long i = k + 1 + e / m, j = k + 1 + e % m;
            STORE_D(work, i * n + j, LOAD_D(work, i * n + j) - LOAD_D(work, i * n + k) * LOAD_D(work, k * n + j));
        }
        WAIT;
    }
    return sign;
}

/* y [batch].  Groups: batch. */
__kernel NARROW void det(__global const S *x, long x_at, __global D *work, long work_at, __global int *order, long order_at, __global S *y,
                         long y_at, long batch, long n)
{
    __local TD values[WG];
    __local long places[WG];
    GROUP_GUARD(batch);
    work += work_at + GROUP * n * n;
    order += order_at + GROUP * 2 * n;
    ACC result = factorize(x + x_at + GROUP * n * n, work, order, order + n, n, values, places);
    if (LANE > 0) return;
    for (long k = 0; k < n; k++) result *= LOAD_D(work, k * n + k);
    STORE(y, y_at + GROUP, result);
}

/* dx = g * the transpose of the adjugate of x, which for regular x is det(x) times the transposed inverse.  It is made without a division by
   the last pivot, so that it is right for singular x too: with P x Q = L U it is the product of adj(U) and L^-1, with rows and columns back in
   place.  solved [batch, n, n] holds its columns.  Groups: batch. */
__kernel NARROW void det_backward(__global const S *x, long x_at, __global const S *g, long g_at, __global D *work, long work_at,
                                  __global int *order, long order_at, __global D *solved, long solved_at, __global S *dx, long dx_at,
                                  long batch, long n)
{
    __local TD values[WG];
    __local long places[WG];
    GROUP_GUARD(batch);
    work += work_at + GROUP * n * n;
    order += order_at + GROUP * 2 * n;
    solved += solved_at + GROUP * n * n;
    ACC factor = factorize(x + x_at + GROUP * n * n, work, order, order + n, n, values, places) * (ACC)LOAD(g, g_at + GROUP);
    TD product = 1, last = LOAD_D(work, n * n - 1);
    for (long k = 0; k + 1 < n; k++) product *= LOAD_D(work, k * n + k);
    for (long s = LANE; s < n; s += WG) {
        __global D *z = solved + s * n;
        for (long i = 0; i < n; i++) { /* column s of L^-1 */
            TD sum = i == s ? 1 : 0;
            for (long j = s; j < i; j++) sum -= LOAD_D(work, i * n + j) * LOAD_D(z, j);
            STORE_D(z, i, sum);
        }
        TD end = LOAD_D(z, n - 1);
        for (long i = n - 2; i >= 0; i--) { /* (last w - end u) / U, in all rows but the last */
            TD sum = last * LOAD_D(z, i) - end * LOAD_D(work, i * n + n - 1);
            for (long j = i + 1; j < n - 1; j++) sum -= LOAD_D(work, i * n + j) * LOAD_D(z, j);
            STORE_D(z, i, product == 0 ? (TD)0 : sum / LOAD_D(work, i * n + i));
        }
        for (long i = 0; i < n; i++) {
            TD v = (i + 1 < n ? LOAD_D(z, i) : end) * product;
            STORE(dx, dx_at + GROUP * n * n + order[s] * n + order[n + i], factor * v);
        }
    }
}
