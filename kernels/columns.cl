/* Images from columns of their patches and back.  columns [planes, taps, windows], images [planes, in]; see window.clh for windows and RUN. */
#include "common.clh"
#include "window.clh"

/* Each element of the image is the sum of those of the columns that were read from it.  Work-items: rows of the image (or elements), planes. */
__kernel void columns_to_images(__global const S *columns, long columns_at, __global S *x, long x_at, WINDOW_PARAMETERS)
{
    const int iy = ROW(in_x) % in_y, iz = ROW(in_x) / in_y;
    if (iz >= in_z) return;
    columns += columns_at + get_global_id(1) * TAPS * OUT_PLANE;
    EACH_RUN(first, in_x)
    {
        const int length = min(RUN, in_x - first);
        ACC sum[RUN];
        for (int j = 0; j < RUN; j++) sum[j] = 0;
        for (int tap = 0; tap < kernel_z * kernel_y; tap++) {
            const int oz = window_at(iz + pad_z - tap / kernel_y * dilation_z, stride_z, out_z);
            const int oy = window_at(iy + pad_y - tap % kernel_y * dilation_y, stride_y, out_y);
            if (oz < 0 || oy < 0) continue;
            for (int kx = 0; kx < kernel_x; kx++) {
                const long line = (tap * kernel_x + kx) * OUT_PLANE + ((long)oz * out_y + oy) * out_x;
                for (int j = 0; j < length; j++) {
                    const int ox = window_at(first + j + pad_x - kx * dilation_x, stride_x, out_x);
                    if (ox >= 0) sum[j] += LOAD(columns, line + ox);
                }
            }
        }
        const long to = x_at + get_global_id(1) * IN_PLANE + ((long)iz * in_y + iy) * in_x + first;
        for (int j = 0; j < length; j++) STORE(x, to + j, sum[j]);
    }
}

/* What each tap of each window sees, 0 outside.  Work-items: rows of windows (or windows), taps, planes. */
__kernel void images_to_columns(__global const S *x, long x_at, __global S *columns, long columns_at, WINDOW_PARAMETERS)
{
    const int oy = ROW(out_x) % out_y, oz = ROW(out_x) / out_y, tap = get_global_id(1);
    if (oz >= out_z) return;
    const int z = oz * stride_z + tap / kernel_x / kernel_y * dilation_z - pad_z;
    const int row = oy * stride_y + tap / kernel_x % kernel_y * dilation_y - pad_y, column = tap % kernel_x * dilation_x - pad_x;
    const bool inside = INSIDE(z, in_z) && INSIDE(row, in_y);
    const long from = x_at + get_global_id(2) * IN_PLANE + ((long)z * in_y + row) * in_x;
    const long to = columns_at + (get_global_id(2) * TAPS + tap) * OUT_PLANE + ((long)oz * out_y + oy) * out_x;
    EACH_RUN(first, out_x)
    {
        for (int ox = first; ox < min(first + RUN, out_x); ox++) {
            const int ix = column + ox * stride_x;
            STORE(columns, to + ox, inside && INSIDE(ix, in_x) ? LOAD(x, from + ix) : 0);
        }
    }
}
