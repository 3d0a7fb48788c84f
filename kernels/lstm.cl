/* The cell of an LSTM (Hochreiter and Schmidhuber 1997) at each time step, and its gradient.
 *
 *     i, o, f = sigmoid(sum), n = tanh(sum), c = f before + i n, y = o tanh(c)        with sum = x + R h, gates in this order
 *
 * x and `gates` are [time, batch, 4 hidden], y and `cells` [time, batch, hidden], R [4 hidden, hidden], states [batch, hidden].
 *
 * Two ways; plugins/lstm.c chooses:
 *   all steps at once   on CPUs.  A sequence of the batch needs nothing of the others, so a work-item takes some of them through all steps without
 *                       waiting for anybody; sums go from registers to the cell, and a panel of R serves all rows that the work-item has.
 *   step by step        the product with R is a launch of its own, before (forward: `gates` has R h then) and behind (backward) lstm_cell. */
#include "common.clh"

#if WG == 1
#include "vector.clh"
#define NUMBER V
#define WIDTH VN
#define GET(p, i) (count == VN ? VLOAD(p, i) : load_part(p, i, count, 0))
#define PUT(p, i, x) \
    if (count == VN) VSTORE(p, i, x); \
    else store_part(p, i, count, x)
#define EXP(x) vector_exp((x) > (T)80 ? (V)(80) : (x))
#else
#define NUMBER T
#define WIDTH 1
#define GET(p, i) LOAD(p, i)
#define PUT(p, i, x) STORE(p, i, x)
#define EXP(x) exp(x)
#endif
#define SIGMOID(x) (1 / (1 + EXP(-(x))))
#define TANH(x) (1 - 2 / (1 + EXP(2 * (x))))

/* Where a tensor has what lies `from` elements behind its beginning; NULL where it is absent. */
#define PLACE(t, from) (t##_at < 0 ? 0 : t + t##_at + (from))

/* ---- The cell: `count` neighbouring cells of a sequence, from unit u on.  Pointers are to the sequence's row; gates are `hidden` apart. ------------- */

/* sum[g]: R h.  last_y and last_cell are NULL but at the last step. */
static inline void cell_forward(const NUMBER *sum, __global const S *x, __global const S *before, __global S *gates, __global S *cell,
                                __global S *y, __global S *last_y, __global S *last_cell, long hidden, long u, int count)
{
    const NUMBER in = SIGMOID(sum[0] + GET(x, u)), out = SIGMOID(sum[1] + GET(x, hidden + u)),
                 forget = SIGMOID(sum[2] + GET(x, 2 * hidden + u)), content = TANH(sum[3] + GET(x, 3 * hidden + u));
    const NUMBER c = forget * GET(before, u) + in * content, shown = out * TANH(c);
    PUT(gates, u, in);
    PUT(gates, hidden + u, out);
    PUT(gates, 2 * hidden + u, forget);
    PUT(gates, 3 * hidden + u, content);
    PUT(cell, u, c);
    PUT(y, u, shown);
    if (last_y != 0) { PUT(last_y, u, shown); }
    if (last_cell != 0) { PUT(last_cell, u, c); }
}

static inline NUMBER get_or_zero(__global const S *p, long i, int count)
{
    NUMBER x = 0;
    if (p != 0) x = GET(p, i);
    return x;
}

/* dx, the gradient of the sums.  up: what steps behind send back to y; kept: to c, which becomes what this step sends back to the cell before it.
   dy, dcell and dgates, the gradients of the outputs, may be NULL. */
static inline NUMBER cell_backward(NUMBER up, NUMBER kept, __global const S *gates, __global const S *cell, __global const S *before,
                                   __global const S *dy, __global const S *dcell, __global const S *dgates, __global S *dx, long hidden,
                                   long u, int count)
{
    const NUMBER in = GET(gates, u), out = GET(gates, hidden + u), forget = GET(gates, 2 * hidden + u),
                 content = GET(gates, 3 * hidden + u), seen = TANH(GET(cell, u));
    up += get_or_zero(dy, u, count);
    kept += get_or_zero(dcell, u, count);
    kept += up * out * (1 - seen * seen);
    PUT(dx, u, (kept * content + get_or_zero(dgates, u, count)) * in * (1 - in));
    PUT(dx, hidden + u, (up * seen + get_or_zero(dgates, hidden + u, count)) * out * (1 - out));
    PUT(dx, 2 * hidden + u, (kept * GET(before, u) + get_or_zero(dgates, 2 * hidden + u, count)) * forget * (1 - forget));
    PUT(dx, 3 * hidden + u, (kept * in + get_or_zero(dgates, 3 * hidden + u, count)) * (1 - content * content));
    return kept * forget;
}

/* ---- Step by step.  Index space: pieces of `chunk` units (1 but on CPUs); sequences.  Offsets that end in _from are those of the time step. --------- */

#if WG == 1
#define COUNT const int count = (int)min((long)VN, end - u)
#else
#define COUNT const int count = 1
#endif
#define EACH_UNIT \
    const long b = get_global_id(1), end = min((long)(get_global_id(0) + 1) * chunk, hidden); \
    if (b >= batch) return; \
    for (long u = (long)get_global_id(0) * chunk; u < end; u += WIDTH)

__kernel NARROW void lstm_cell(__global const S *x, long x_at, __global const S *before, long before_at, __global S *gates, long gates_at,
                               __global S *cell, long cell_at, __global S *y, long y_at, __global S *last_y, long last_y_at,
                               __global S *last_cell, long last_cell_at, long gates_from, long before_from, long cell_from, long batch,
                               long hidden, long chunk)
{
    EACH_UNIT
    {
        COUNT;
        __global S *of_step = gates + gates_at + gates_from + 4 * hidden * b;
        NUMBER sum[4];
        for (int g = 0; g < 4; g++) sum[g] = GET(of_step, g * hidden + u);
        cell_forward(sum, x + x_at + gates_from + 4 * hidden * b, before + before_at + before_from + hidden * b, of_step,
                     cell + cell_at + cell_from + hidden * b, y + y_at + cell_from + hidden * b, PLACE(last_y, hidden * b),
                     PLACE(last_cell, hidden * b), hidden, u, count);
    }
}

/* up and kept come from dlast_y and dlast_cell (at the last step), dh and, where `carried`, from dc, which then holds what goes to the step before. */
__kernel void lstm_cell_backward(__global const S *gates, long gates_at, __global const S *cell, long cell_at, __global const S *before,
                                 long before_at, __global const S *dy, long dy_at, __global const S *dlast_y, long dlast_y_at,
                                 __global const S *dlast_cell, long dlast_cell_at, __global const S *dcell, long dcell_at,
                                 __global const S *dgates, long dgates_at, __global const S *dh, long dh_at, __global S *dc, long dc_at,
                                 __global S *dx, long dx_at, long gates_from, long before_from, long cell_from, int carried, long batch,
                                 long hidden, long chunk)
{
    EACH_UNIT
    {
        COUNT;
        const long row = hidden * b;
        __global S *kept_at = dc + dc_at + row;
        NUMBER up = 0, kept = 0;
        if (dlast_y_at >= 0) up += GET(dlast_y, dlast_y_at + row + u);
        if (dh_at >= 0) up += GET(dh, dh_at + row + u);
        if (dlast_cell_at >= 0) kept += GET(dlast_cell, dlast_cell_at + row + u);
        if (carried) kept += GET(kept_at, u);
        kept = cell_backward(up, kept, gates + gates_at + gates_from + 4 * row, cell + cell_at + cell_from + row,
                             before + before_at + before_from + row, PLACE(dy, cell_from + row), PLACE(dcell, cell_from + row),
                             PLACE(dgates, gates_from + 4 * row), dx + dx_at + gates_from + 4 * row, hidden, u, count);
        PUT(kept_at, u, kept);
    }
}

#if WG == 1
/* ---- All steps at once -------------------------------------------------------------------------------------------------------------------------- */

/* Vectors in a row of the register tile, and its rows. */
#ifndef NV
#define NV 1
#endif
#ifndef NR
#define NR 3
#endif
#define PW (NV * VN) /* lanes of a panel; as in plugins/lstm.c */
#define K_SLICE 256 /* steps of a panel that stay in the nearest cache while rows pass */
#define MOST_ROWS 32 /* whose sums are kept at a time */

/* R in panels, zeros beyond its edge: panel[p * PW + lane].  Forward (gates = 4) a lane is a row of R and p a column: panels of the four gates of
   PW units, then of the next.  Backward (gates = 1) it is the other way round.  Index space: panels, slices of k. */
__kernel void lstm_pack(__global const S *r, long r_at, __global T *packed, long packed_at, long hidden, long k, int gates, long lane_step,
                        long p_step)
{
    const long panel = get_global_id(0), unit = panel / gates * PW, p0 = (long)get_global_id(1) * K_SLICE, p1 = min(k, p0 + K_SLICE);
    const int lanes = (int)min((long)PW, hidden - unit);
    if (unit >= hidden || p0 >= k) return;
    __global const S *from = r + r_at + (panel % gates * hidden + unit) * lane_step;
    __global T *out = packed + packed_at + panel * k * PW;
    if (lanes == PW && lane_step == 1) {
        for (long p = p0; p < p1; p++) {
            for (int v = 0; v < PW; v += VN) VPOKE(out + p * PW + v, VLOAD(from, p * p_step + v));
        }
        return;
    }
    for (long line = p0; line < p1; line += VN) { /* a cache line of each lane at a time */
        for (int lane = 0; lane < PW; lane++) {
            for (long p = line; p < min(line + VN, p1); p++)
                out[p * PW + lane] = lane < lanes ? LOAD(from, lane * lane_step + p * p_step) : 0;
        }
    }
}

/* What rows are multiplied from: halves become floats a tile at a time. */
#if S_TYPE == 10
#define OPERAND const T
static inline void widen(__global const S *x, long x_row, T *restrict out, int rows, int k)
{
    for (int r = 0; r < rows; r++) {
        for (int p = 0; p < k; p += VN)
            VPOKE(out + r * K_SLICE + p, p + VN <= k ? VLOAD(x, r * x_row + p) : load_part(x, r * x_row + p, k - p, 0));
    }
}
#else
#define OPERAND __global const T
#endif

/* sums [n, PW] += x [n, k] times a panel [k, PW], for n rows that are x_row apart.  Sums are variables of their own, as in tile.clh. */
#if NV == 2
#define SECOND(x) x
#elif NV == 1
#define SECOND(x)
#else
#error "NV: 1 or 2 vectors"
#endif
#define ROWS_1(X) X(0)
#define ROWS_2(X) ROWS_1(X) X(1)
#define ROWS_3(X) ROWS_2(X) X(2)
#define ROWS_4(X) ROWS_3(X) X(3)
#define ROWS_5(X) ROWS_4(X) X(4)
#define ROWS_6(X) ROWS_5(X) X(5)
#define ROWS_7(X) ROWS_6(X) X(6)
#define ROWS_8(X) ROWS_7(X) X(7)
#define LOAD_ROW(r) \
    V s##r##_0 = VPEEK(sums + r * PW); \
    SECOND(V s##r##_1 = VPEEK(sums + r * PW + VN);)
#define MULTIPLY_ROW(r) \
    { \
        const V factor = (V)(x[r * x_row + p]); \
        s##r##_0 += factor * a0; \
        SECOND(s##r##_1 += factor * a1;) \
    }
#define STORE_ROW(r) \
    VPOKE(sums + r * PW, s##r##_0); \
    SECOND(VPOKE(sums + r * PW + VN, s##r##_1);)
#define TILE(n) \
    static inline void tile_##n(T *restrict sums, __global const T *restrict panel, OPERAND *restrict x, long x_row, int k) \
    { \
        ROWS_##n(LOAD_ROW) for (int p = 0; p < k; p++, panel += PW) \
        { \
            const V a0 = VPEEK(panel); \
            SECOND(const V a1 = VPEEK(panel + VN);) \
            ROWS_##n(MULTIPLY_ROW) \
        } \
        ROWS_##n(STORE_ROW) \
    }
#define CASE(n) \
    case n: tile_##n(sums, panel, from, from_row, k); break;
TILE(1)
TILE(2)
TILE(3)
#if NR == 3
#define CASES CASE(1) CASE(2) CASE(3)
#else
TILE(4)
TILE(5)
TILE(6)
#if NR == 6
#define CASES CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6)
#elif NR == 8
TILE(7)
TILE(8)
#define CASES CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6) CASE(7) CASE(8)
#else
#error "NR: 3, 6 or 8 rows"
#endif
#endif

/* The same for any number of rows, in tiles as equal as may be. */
static inline void add_product(T *sums, __global const T *panel, __global const S *x, long x_row, int rows, int k)
{
    for (int tiles = (rows + NR - 1) / NR; tiles > 0; tiles--) {
        const int n = (rows + tiles - 1) / tiles;
#if S_TYPE == 10
        T from[NR * K_SLICE];
        const long from_row = K_SLICE;
        widen(x, x_row, from, n, k);
#else
        __global const T *from = x;
        const long from_row = x_row;
#endif
        switch (n) {
            CASES
        }
        rows -= n;
        sums += n * PW;
        x += n * x_row;
    }
}

#define STEP_AT(i) (reversed ? time - 1 - (i) : (i))
#define EACH_ROWS \
    for (long unit = 0; unit < hidden; unit += PW) \
        for (long first = begin; first < end; first += MOST_ROWS)
#define EACH_PART \
    for (int row = 0; row < rows; row++) \
        for (long u = unit; u < min(unit + PW, hidden); u += VN)
#define LANES_OF(sums) VPEEK((sums) + row * PW + (u - unit))

/* Index space: groups of `each` sequences. */
__kernel void lstm_steps(__global const S *x, long x_at, __global const T *panels, long panels_at, __global const S *first_h,
                         long first_h_at, __global const S *first_cell, long first_cell_at, __global S *gates, long gates_at,
                         __global S *cell, long cell_at, __global S *y, long y_at, __global S *last_y, long last_y_at,
                         __global S *last_cell, long last_cell_at, int time, int reversed, long batch, long hidden, long each)
{
    const long begin = get_global_id(0) * each, end = min(begin + each, batch), states = batch * hidden;
    __global const S *h = first_h + first_h_at, *before = first_cell + first_cell_at;
    T sums[4 * MOST_ROWS * PW];
    for (int i = 0; i < time; i++) {
        const long t = STEP_AT(i);
        EACH_ROWS
        {
            const int rows = (int)min((long)MOST_ROWS, end - first);
            for (int g = 0; g < 4; g++) {
                __global const T *panel = panels + panels_at + (unit / PW * 4 + g) * hidden * PW;
                T *sum = sums + g * MOST_ROWS * PW;
                for (int e = 0; e < rows * PW; e += VN) VPOKE(sum + e, (V)(0));
                for (long p = 0; p < hidden; p += K_SLICE)
                    add_product(sum, panel + p * PW, h + first * hidden + p, hidden, rows, (int)min((long)K_SLICE, hidden - p));
            }
            EACH_PART
            {
                const int count = (int)min((long)VN, hidden - u);
                const long at = (first + row) * hidden, of_step = t * states + at;
                V sum[4];
                for (int g = 0; g < 4; g++) sum[g] = LANES_OF(sums + g * MOST_ROWS * PW);
                cell_forward(sum, x + x_at + 4 * of_step, before + at, gates + gates_at + 4 * of_step, cell + cell_at + of_step,
                             y + y_at + of_step, i == time - 1 ? PLACE(last_y, at) : 0, i == time - 1 ? PLACE(last_cell, at) : 0, hidden, u,
                             count);
            }
        }
        h = y + y_at + t * states;
        before = cell + cell_at + t * states;
    }
}

/* dh is absent where it is not wanted.  Index space as above. */
__kernel void lstm_steps_backward(__global const S *gates, long gates_at, __global const S *cell, long cell_at,
                                  __global const S *first_cell, long first_cell_at, __global const T *panels, long panels_at,
                                  __global const S *dy, long dy_at, __global const S *dlast_y, long dlast_y_at,
                                  __global const S *dlast_cell, long dlast_cell_at, __global const S *dcell, long dcell_at,
                                  __global const S *dgates, long dgates_at, __global S *dh, long dh_at, __global S *dc, long dc_at,
                                  __global S *dx, long dx_at, int time, int reversed, long batch, long hidden, long each)
{
    const long begin = get_global_id(0) * each, end = min(begin + each, batch), states = batch * hidden;
    T sums[MOST_ROWS * PW];
    for (int i = time - 1; i >= (dh_at < 0 ? 0 : -1); i--) { /* -1: what step 0 sends back to the first state */
        const long t = STEP_AT(i), behind = STEP_AT(i + 1);
        __global const S *before = i == 0 ? first_cell + first_cell_at : cell + cell_at + STEP_AT(i - 1) * states;
        EACH_ROWS
        {
            const int rows = (int)min((long)MOST_ROWS, end - first);
            for (int e = 0; e < rows * PW; e += VN) VPOKE(sums + e, (V)(0));
            for (long p = 0; p < 4 * hidden && i < time - 1; p += K_SLICE)
                add_product(sums, panels + panels_at + (unit * 4 * hidden + p * PW),
                            dx + dx_at + 4 * (behind * states + first * hidden) + p, 4 * hidden, rows,
                            (int)min((long)K_SLICE, 4 * hidden - p));
            EACH_PART
            {
                const int count = (int)min((long)VN, hidden - u);
                const long at = (first + row) * hidden, of_step = t * states + at;
                __global S *kept_at = dc + dc_at + at;
                V up = LANES_OF(sums), kept = 0;
                if (i < 0) {
                    PUT(dh, dh_at + at + u, up);
                    continue;
                }
                if (i < time - 1) kept = GET(kept_at, u);
                else if (dlast_cell_at >= 0) kept = GET(dlast_cell, dlast_cell_at + at + u);
                if (i == time - 1 && dlast_y_at >= 0) up += GET(dlast_y, dlast_y_at + at + u);
                kept = cell_backward(up, kept, gates + gates_at + 4 * of_step, cell + cell_at + of_step, before + at, PLACE(dy, of_step),
                                     PLACE(dcell, of_step), PLACE(dgates, 4 * of_step), dx + dx_at + 4 * of_step, hidden, u, count);
                PUT(kept_at, u, kept);
            }
        }
    }
}
#endif
