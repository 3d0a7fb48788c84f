/* The cell of an LSTM (Hochreiter and Schmidhuber 1997) at one time step, and its gradient.  The product with the recurrent weights is a launch of its
 * own before (forward) and behind (backward) each.
 *
 * Everything lies turned, [hidden, batch], so that the four gates of a step are rows of one matrix [4 hidden, batch]: input, output, forget, content.
 *     i, o, f = sigmoid(sum), n = tanh(sum), c = f before + i n, y = o tanh(c)
 * with sum = x + (R h + bias), of which `gates` has R h before, and holds i, o, f, n afterwards.  `cells` is hidden * batch.  Offsets that end in _from are
 * those of the time step in its tensor.
 *
 * Index space: pieces of `chunk` cells, on CPUs walked over by vectors; elsewhere chunk is 1. */
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

/* The cells from i on, `count` of them. */
#define EACH_CELL \
    const long end = min((long)(get_global_id(0) + 1) * chunk, cells); \
    for (long i = (long)get_global_id(0) * chunk; i < end; i += WIDTH)
#if WG == 1
#define COUNT const int count = (int)min((long)VN, end - i)
#else
#define COUNT (void)0
#endif

/* The biases of cells i on: one a row of `batch` cells; 0 where there are none. */
static NUMBER bias_of(__global const S *bias, long bias_at, long i, long cells, int batch)
{
    if (bias_at < 0) return 0;
#if WG == 1
    T line[VN];
    if (batch % VN == 0) return (V)(LOAD(bias, bias_at + i / batch));
    for (int k = 0; k < VN; k++) line[k] = LOAD(bias, bias_at + min(i + k, cells - 1) / batch);
    return VPEEK(line);
#else
    return LOAD(bias, bias_at + i / batch);
#endif
}

__kernel void lstm_cell(__global const S *x, long x_at, __global const S *bias, long bias_at, __global const S *before, long before_at,
                        __global S *gates, long gates_at, __global S *cell, long cell_at, __global S *y, long y_at, long gates_from,
                        long before_from, long cell_from, int batch, long cells, long chunk)
{
    const long hidden = cells / batch;
    x += x_at + gates_from;
    gates += gates_at + gates_from;
    before += before_at + before_from;
    cell += cell_at + cell_from;
    y += y_at + cell_from;
    EACH_CELL
    {
        COUNT;
        NUMBER sum[4];
        for (int g = 0; g < 4; g++)
            sum[g] =
                GET(x, g * cells + i) + GET(gates, g * cells + i) + bias_of(bias, bias_at < 0 ? -1 : bias_at + g * hidden, i, cells, batch);
        const NUMBER in = SIGMOID(sum[0]), out = SIGMOID(sum[1]), forget = SIGMOID(sum[2]), content = TANH(sum[3]);
        const NUMBER c = forget * GET(before, i) + in * content;
        PUT(gates, i, in);
        PUT(gates, cells + i, out);
        PUT(gates, 2 * cells + i, forget);
        PUT(gates, 3 * cells + i, content);
        PUT(cell, i, c);
        PUT(y, i, out * TANH(c));
    }
}

/* dx, the gradient of the four sums, of those of y, c and the gates (each may be absent) and of what the step behind has sent back: dh to y (absent at
   the last step), dc to c (read where `carried`); dc then holds what this step sends back to the cell before it. */
__kernel void lstm_cell_backward(__global const S *gates, long gates_at, __global const S *cell, long cell_at, __global const S *before,
                                 long before_at, __global const S *dy, long dy_at, __global const S *dcell, long dcell_at,
                                 __global const S *dgates, long dgates_at, __global const S *dh, long dh_at, __global S *dc, long dc_at,
                                 __global S *dx, long dx_at, long gates_from, long before_from, long cell_from, int carried, long cells,
                                 long chunk)
{
    gates += gates_at + gates_from;
    before += before_at + before_from;
    cell += cell_at + cell_from;
    dx += dx_at + gates_from;
    dc += dc_at;
    EACH_CELL
    {
        COUNT;
        const NUMBER in = GET(gates, i), out = GET(gates, cells + i), forget = GET(gates, 2 * cells + i),
                     content = GET(gates, 3 * cells + i);
        const NUMBER seen = TANH(GET(cell, i));
        NUMBER up = 0, kept = 0, more[4];
        for (int g = 0; g < 4; g++) {
            more[g] = 0;
            if (dgates_at >= 0) more[g] = GET(dgates, dgates_at + gates_from + g * cells + i);
        }
        if (dy_at >= 0) up += GET(dy, dy_at + cell_from + i);
        if (dh_at >= 0) up += GET(dh, dh_at + i);
        if (dcell_at >= 0) kept += GET(dcell, dcell_at + cell_from + i);
        if (carried) kept += GET(dc, i);
        kept += up * out * (1 - seen * seen);
        PUT(dx, i, (kept * content + more[0]) * in * (1 - in));
        PUT(dx, cells + i, (up * seen + more[1]) * out * (1 - out));
        PUT(dx, 2 * cells + i, (kept * GET(before, i) + more[2]) * forget * (1 - forget));
        PUT(dx, 3 * cells + i, (kept * in + more[3]) * (1 - content * content));
        PUT(dc, i, kept * forget);
    }
}

/* sums [rows] of x [time, rows, batch] over time and batch.  Groups: pieces of `chunk` rows, at most SUM_ROWS, on CPUs; rows elsewhere. */
#define SUM_ROWS 64
__kernel void lstm_bias_backward(__global const S *x, long x_at, __global S *sums, long sums_at, long rows, int time, int batch, long chunk)
{
#if WG == 1
    const long first = GROUP * chunk;
    const int n = (int)min(chunk, rows - first);
    T sum[SUM_ROWS];
    for (int r = 0; r < n; r++) sum[r] = 0;
    for (int t = 0; t < time; t++) {
        __global const S *row = x + x_at + (t * rows + first) * batch;
        for (int r = 0; r < n; r++, row += batch) {
            V part = 0;
            int b = 0;
            for (; b + VN <= batch; b += VN) part += VLOAD(row, b);
            for (; b < batch; b++) sum[r] += LOAD(row, b);
            sum[r] += vector_sum(part);
        }
    }
    for (int r = 0; r < n; r++) STORE(sums, sums_at + first + r, sum[r]);
#else
    __local ACC shared[WG];
    const long r = GROUP;
    ACC sum = 0;
    GROUP_GUARD(rows);
    for (long e = LANE; e < (long)time * batch; e += WG) sum += LOAD(x, x_at + (e / batch * rows + r) * batch + e % batch);
    sum = group_sum(shared, sum);
    if (LANE == 0) STORE(sums, sums_at + r, (T)sum);
#endif
}
