/* What of convolution is no matrix product: filters turned for the gradient by the images, its parts put together where filters stride, and
 * all three products for groups of few channels, which are too narrow to be matrices.
 *
 * x [images, groups * channels, in], w [groups * maps, channels, kernel], y [images, groups * maps, out]. */
#include "common.clh"
#include "window.clh"

/* Filter of the transposed convolution of one phase: turned [channels, maps, taps], where tap j along an axis is tap
   first + (taps - 1 - j) * step of w [maps, channels, kernel]; both for each group.  Work-items: maps, channels, groups. */
__kernel void turn_filters(__global const S *w, long w_at, __global S *turned, long turned_at, int maps, int channels, int kernel_z,
                           int kernel_y, int kernel_x, int taps_z, int taps_y, int taps_x, int first_z, int first_y, int first_x,
                           int step_z, int step_y, int step_x)
{
    const int map = get_global_id(0), channel = get_global_id(1);
    const long group = get_global_id(2);
    if (map >= maps) return;
    w += w_at + ((group * maps + map) * channels + channel) * kernel_z * kernel_y * kernel_x;
    long to = turned_at + ((group * channels + channel) * maps + map) * taps_z * taps_y * taps_x;
    for (int z = taps_z - 1; z >= 0; z--) {
        for (int y = taps_y - 1; y >= 0; y--) {
            const int row = ((first_z + z * step_z) * kernel_y + first_y + y * step_y) * kernel_x;
            for (int x = taps_x - 1; x >= 0; x--) STORE(turned, to++, LOAD(w, row + first_x + x * step_x));
        }
    }
}

/* One phase [planes, phase] into x [planes, in]: element p of the phase along an axis is element first + p * stride of x.  Work-items: rows of the
   phase (or elements, see RUN), planes. */
__kernel void spread_phase(__global const S *phase, long phase_at, __global S *x, long x_at, int in_z, int in_y, int in_x, int phase_z,
                           int phase_y, int phase_x, int first_z, int first_y, int first_x, int stride_z, int stride_y, int stride_x)
{
    const int row = ROW(phase_x);
    const long plane = get_global_id(1);
    if (row >= phase_z * phase_y) return;
    const int z = first_z + row / phase_y * stride_z, y = first_y + row % phase_y * stride_y;
    x += x_at + plane * IN_PLANE + ((long)z * in_y + y) * in_x + first_x;
    phase += phase_at + (plane * phase_z * phase_y + row) * phase_x;
    EACH_RUN(first, phase_x)
    {
        for (int i = first; i < min(first + RUN, phase_x); i++) STORE(x, i * stride_x, LOAD(phase, i));
    }
}

/* y = x convolved with w.  Work-items: rows of y's maps (or elements, see RUN), images * groups * maps. */
__kernel void convolve(__global const S *x, long x_at, __global const S *w, long w_at, __global S *y, long y_at, int channels, int maps,
                       int groups, WINDOW_PARAMETERS)
{
    const int oy = ROW(out_x) % out_y, oz = ROW(out_x) / out_y;
    const long plane = get_global_id(1), map = plane % (groups * maps), image = plane / (groups * maps);
    if (oz >= out_z) return;
    x += x_at + (image * groups + map / maps) * channels * IN_PLANE;
    w += w_at + map * channels * TAPS;
    EACH_RUN(first, out_x)
    {
        const int length = min(RUN, out_x - first);
        ACC sum[RUN];
        for (int j = 0; j < RUN; j++) sum[j] = 0;
        for (int tap = 0; tap < channels * kernel_z * kernel_y; tap++) {
            const int z = oz * stride_z + tap / kernel_y % kernel_z * dilation_z - pad_z;
            const int row = oy * stride_y + tap % kernel_y * dilation_y - pad_y;
            if (!INSIDE(z, in_z) || !INSIDE(row, in_y)) continue;
            const long line = tap / kernel_y / kernel_z * IN_PLANE + ((long)z * in_y + row) * in_x;
            for (int kx = 0; kx < kernel_x; kx++) {
                const int column = first * stride_x + kx * dilation_x - pad_x;
                const T weight = LOAD(w, tap * kernel_x + kx);
                if (column >= 0 && column + (length - 1) * stride_x < in_x) {
                    for (int j = 0; j < length; j++) sum[j] += weight * LOAD(x, line + column + j * stride_x);
                } else {
                    for (int j = 0; j < length; j++) {
                        if (INSIDE(column + j * stride_x, in_x)) sum[j] += weight * LOAD(x, line + column + j * stride_x);
                    }
                }
            }
        }
        const long to = y_at + plane * OUT_PLANE + ((long)oz * out_y + oy) * out_x + first;
        for (int j = 0; j < length; j++) STORE(y, to + j, sum[j]);
    }
}

/* x = y convolved backwards with w.  Work-items: rows of x's channels (or elements), images * groups * channels. */
__kernel void convolve_transposed(__global const S *y, long y_at, __global const S *w, long w_at, __global S *x, long x_at, int channels,
                                  int maps, int groups, WINDOW_PARAMETERS)
{
    const int iy = ROW(in_x) % in_y, iz = ROW(in_x) / in_y;
    const long plane = get_global_id(1), channel = plane % (groups * channels), image = plane / (groups * channels),
               group = channel / channels;
    if (iz >= in_z) return;
    y += y_at + (image * groups + group) * maps * OUT_PLANE;
    w += w_at + (group * maps * channels + channel % channels) * TAPS;
    EACH_RUN(first, in_x)
    {
        const int length = min(RUN, in_x - first);
        ACC sum[RUN];
        for (int j = 0; j < RUN; j++) sum[j] = 0;
        for (int tap = 0; tap < maps * kernel_z * kernel_y; tap++) {
            const int kz = tap / kernel_y % kernel_z, ky = tap % kernel_y, map = tap / kernel_y / kernel_z;
            const int oz = window_at(iz + pad_z - kz * dilation_z, stride_z, out_z),
                      oy = window_at(iy + pad_y - ky * dilation_y, stride_y, out_y);
            if (oz < 0 || oy < 0) continue;
            const long line = map * OUT_PLANE + ((long)oz * out_y + oy) * out_x;
            for (int kx = 0; kx < kernel_x; kx++) {
                const T weight = LOAD(w, (long)map * channels * TAPS + (kz * kernel_y + ky) * kernel_x + kx);
                const int column = first + pad_x - kx * dilation_x;
                if (stride_x == 1 && column >= 0 && column + length <= out_x) {
                    for (int j = 0; j < length; j++) sum[j] += weight * LOAD(y, line + column + j);
                } else {
                    for (int j = 0; j < length; j++) {
                        const int ox = window_at(column + j, stride_x, out_x);
                        if (ox >= 0) sum[j] += weight * LOAD(y, line + ox);
                    }
                }
            }
        }
        const long to = x_at + plane * IN_PLANE + ((long)iz * in_y + iy) * in_x + first;
        for (int j = 0; j < length; j++) STORE(x, to + j, sum[j]);
    }
}

/* w = sum over images of x times y where a filter element sees them.  Groups: elements of w. */
__kernel void convolve_weights(__global const S *x, long x_at, __global const S *y, long y_at, __global S *w, long w_at, int images,
                               int channels, int maps, int groups, WINDOW_PARAMETERS)
{
    __local ACC shared[WG];
    GROUP_GUARD((long)groups * maps * channels * TAPS);
    int tap = GROUP % TAPS, channel = GROUP / TAPS % channels, map = GROUP / TAPS / channels;
    int kx = tap % kernel_x, ky = tap / kernel_x % kernel_y, kz = tap / (kernel_x * kernel_y), rows = out_z * out_y;
    ACC sum[RUN], all = 0;
    for (int j = 0; j < RUN; j++) sum[j] = 0;
    for (long i = LANE; i < (long)images * rows; i += WG) {
        int image = i / rows, row = i % rows, iz = row / out_y * stride_z + kz * dilation_z - pad_z;
        int iy = row % out_y * stride_y + ky * dilation_y - pad_y, column = kx * dilation_x - pad_x;
        if (!INSIDE(iz, in_z) || !INSIDE(iy, in_y)) continue;
        long x_row = x_at + (((long)image * groups + map / maps) * channels + channel) * IN_PLANE + ((long)iz * in_y + iy) * in_x;
        long y_row = y_at + ((long)image * groups * maps + map) * OUT_PLANE + (long)row * out_x;
        for (int first = 0; first < out_x; first += RUN) {
            for (int j = 0; j < min(RUN, out_x - first); j++) {
                int from = column + (first + j) * stride_x;
                if (INSIDE(from, in_x)) sum[j] += LOAD(x, x_row + from) * LOAD(y, y_row + first + j);
            }
        }
    }
    for (int j = 0; j < RUN; j++) all += sum[j];
    all = group_sum(shared, all);
    if (LANE == 0) STORE(w, w_at + GROUP, all);
}
