/* Pooling over windows of images [planes, height, width], a plane being a channel of an image; windows are numbered [planes, out_h, out_w]. */
#include "common.clh"

#define IS_NAN(x) ((x) != (x)) /* a macro, so that no compiler wonders about it where x is an integer */

#define WINDOW_PARAMETERS \
    long planes, long height, long width, long kernel_h, long kernel_w, long stride_h, long stride_w, long pad_h, long pad_w, long dilation_h, \
        long dilation_w, long out_h, long out_w

/* y = the largest element of each window, and its place in x; the first at ties.  Work-items: planes * out_h * out_w. */
__kernel void max_pool(__global const S *x, long x_at, __global S *y, long y_at, __global long *places, long places_at, WINDOW_PARAMETERS)
{
    long i = get_global_id(0), ox = i % out_w, oy = i / out_w % out_h, plane = i / out_w / out_h, place = -1;
    if (plane >= planes) return;
    T best = 0;
    for (long kh = 0; kh < kernel_h; kh++) {
        long row = oy * stride_h + kh * dilation_h - pad_h;
        if (row < 0 || row >= height) continue;
        for (long kw = 0; kw < kernel_w; kw++) {
            long column = ox * stride_w + kw * dilation_w - pad_w, at = (plane * height + row) * width + column;
            if (column < 0 || column >= width) continue;
            T v = LOAD(x, x_at + at);
            if (place < 0 || v > best || (IS_NAN(v) && !IS_NAN(best))) {
                best = v;
                place = at;
            }
        }
    }
    STORE(y, y_at + i, place < 0 ? (T)-INFINITY : best);
    if (places_at >= 0) places[places_at + i] = place;
}

/* dx = the sum of g over the windows whose largest element it is, in their order.  Work-items: planes * height * width. */
__kernel void max_pool_backward(__global const S *g, long g_at, __global const long *places, long places_at, __global S *dx, long dx_at,
                                WINDOW_PARAMETERS)
{
    long i = get_global_id(0), x = i % width, y = i / width % height, plane = i / width / height;
    if (plane >= planes) return;
    ACC sum = 0;
    for (long kh = kernel_h - 1; kh >= 0; kh--) {
        long row = y + pad_h - kh * dilation_h;
        if (row < 0 || row % stride_h != 0 || row / stride_h >= out_h) continue;
        for (long kw = kernel_w - 1; kw >= 0; kw--) {
            long column = x + pad_w - kw * dilation_w;
            if (column < 0 || column % stride_w != 0 || column / stride_w >= out_w) continue;
            long window = (plane * out_h + row / stride_h) * out_w + column / stride_w;
            if (places[places_at + window] == i) sum += LOAD(g, g_at + window);
        }
    }
    STORE(dx, dx_at + i, sum);
}
