/* What of convolution is no matrix product: filters turned for the gradient by the images, its parts put together where filters stride, and
 * all three products for groups of few channels, which are too narrow to be matrices.
 *
 * x [images, groups * channels, in], w [groups * maps, channels, kernel], y [images, groups * maps, out]. */
#include "common.clh"
#include "window.clh"

/* Filter of the transposed convolution of one phase: turned [channels, maps, taps], where tap j along an axis is tap
   first + (taps - 1 - j) * step of w [maps, channels, kernel] from element w_first on.  Work-items: channels * maps * taps. */
__kernel void turn_filters(__global const S *w, long w_at, __global S *turned, long turned_at, long w_first, int maps, int channels, int kernel_z,
                           int kernel_y, int kernel_x, int taps_z, int taps_y, int taps_x, int first_z, int first_y, int first_x, int step_z,
                           int step_y, int step_x)
{
    long i = get_global_id(0), rest = i;
    int x = rest % taps_x, y = (rest /= taps_x) % taps_y, z = (rest /= taps_y) % taps_z, map = (rest /= taps_z) % maps, channel = rest / maps;
    if (channel >= channels) return;
    z = first_z + (taps_z - 1 - z) * step_z;
    y = first_y + (taps_y - 1 - y) * step_y;
    x = first_x + (taps_x - 1 - x) * step_x;
    long from = w_first + (((long)map * channels + channel) * kernel_z + z) * kernel_y * kernel_x + y * kernel_x + x;
    STORE(turned, turned_at + i, LOAD(w, w_at + from));
}

/* One phase [images, channels, phase] into x [images, .., in] from element x_first on: element p of the phase along an axis is element
   first + p * stride of x.  Work-items: phase, images * channels. */
__kernel void spread_phase(__global const S *phase, long phase_at, __global S *x, long x_at, long x_first, int channels, long image_step, int in_z,
                           int in_y, int in_x, int phase_z, int phase_y, int phase_x, int first_z, int first_y, int first_x, int stride_z,
                           int stride_y, int stride_x)
{
    int i = get_global_id(0), px = i % phase_x, py = i / phase_x % phase_y, pz = i / phase_x / phase_y;
    long plane = get_global_id(1);
    if (pz >= phase_z) return;
    long to = x_first + plane / channels * image_step + plane % channels * IN_PLANE;
    to += ((long)(first_z + pz * stride_z) * in_y + first_y + py * stride_y) * in_x + first_x + px * stride_x;
    STORE(x, x_at + to, LOAD(phase, phase_at + plane * phase_z * phase_y * phase_x + i));
}

/* y = x convolved with w.  Work-items: runs of y's rows, images * groups * maps. */
__kernel void convolve(__global const S *x, long x_at, __global const S *w, long w_at, __global S *y, long y_at, int channels, int maps, int groups,
                       WINDOW_PARAMETERS)
{
    int runs = (out_x + RUN - 1) / RUN, i = get_global_id(0), first = i % runs * RUN, oy = i / runs % out_y, oz = i / runs / out_y;
    long plane = get_global_id(1), map = plane % (groups * maps), image = plane / (groups * maps);
    if (oz >= out_z) return;
    ACC sum[RUN];
    for (int j = 0; j < RUN; j++) sum[j] = 0;
    x += x_at + (image * groups + map / maps) * channels * IN_PLANE;
    w += w_at + map * channels * TAPS;
    for (int tap = 0; tap < channels * TAPS; tap++) {
        int kx = tap % kernel_x, ky = tap / kernel_x % kernel_y, kz = tap / (kernel_x * kernel_y) % kernel_z;
        int z = oz * stride_z + kz * dilation_z - pad_z, row = oy * stride_y + ky * dilation_y - pad_y;
        int column = first * stride_x + kx * dilation_x - pad_x;
        if (!INSIDE(z, in_z) || !INSIDE(row, in_y)) continue;
        long at = tap / TAPS * IN_PLANE + ((long)z * in_y + row) * in_x;
        T weight = LOAD(w, tap);
        for (int j = 0; j < RUN; j++) {
            int from = column + j * stride_x;
            if (INSIDE(from, in_x)) sum[j] += weight * LOAD(x, at + from);
        }
    }
    long to = y_at + plane * OUT_PLANE + ((long)oz * out_y + oy) * out_x + first;
    for (int j = 0; j < min(RUN, out_x - first); j++) STORE(y, to + j, sum[j]);
}

/* x = y convolved backwards with w.  Work-items: runs of x's rows, images * groups * channels. */
__kernel void convolve_transposed(__global const S *y, long y_at, __global const S *w, long w_at, __global S *x, long x_at, int channels, int maps,
                                  int groups, WINDOW_PARAMETERS)
{
    int runs = (in_x + RUN - 1) / RUN, i = get_global_id(0), first = i % runs * RUN, iy = i / runs % in_y, iz = i / runs / in_y;
    long plane = get_global_id(1), channel = plane % (groups * channels), image = plane / (groups * channels), group = channel / channels;
    if (iz >= in_z) return;
    ACC sum[RUN];
    for (int j = 0; j < RUN; j++) sum[j] = 0;
    y += y_at + (image * groups + group) * maps * OUT_PLANE;
    w += w_at + (group * maps * channels + channel % channels) * TAPS;
    for (int tap = 0; tap < maps * TAPS; tap++) {
        int kx = tap % kernel_x, ky = tap / kernel_x % kernel_y, kz = tap / (kernel_x * kernel_y) % kernel_z, map = tap / TAPS;
        int oz = window_at(iz + pad_z - kz * dilation_z, stride_z, out_z), oy = window_at(iy + pad_y - ky * dilation_y, stride_y, out_y);
        if (oz < 0 || oy < 0) continue;
        long at = map * OUT_PLANE + ((long)oz * out_y + oy) * out_x;
        T weight = LOAD(w, (long)map * channels * TAPS + tap % TAPS);
        for (int j = 0; j < RUN; j++) {
            int ox = window_at(first + j + pad_x - kx * dilation_x, stride_x, out_x);
            if (ox >= 0) sum[j] += weight * LOAD(y, at + ox);
        }
    }
    long to = x_at + plane * IN_PLANE + ((long)iz * in_y + iy) * in_x + first;
    for (int j = 0; j < min(RUN, in_x - first); j++) STORE(x, to + j, sum[j]);
}

/* w = sum over images of x times y where a filter element sees them.  Groups: elements of w. */
__kernel void convolve_weights(__global const S *x, long x_at, __global const S *y, long y_at, __global S *w, long w_at, int images, int channels,
                               int maps, int groups, WINDOW_PARAMETERS)
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
