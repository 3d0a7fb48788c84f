/* Convolution of images whose channels lie in blocks, where no provider of products computes it: one element of y after the other.
 *
 * x [images, channels / x_block, in, x_block], y [images, maps / y_block, out, y_block], blocks of 1 being channels as they lie otherwise;
 * w [maps, group_channels, kernel]. */
#include "common.clh"
#include "window.clh"

/* Work-items: elements of y. */
__kernel void convolve_blocks(__global const S *x, long x_at, __global const S *w, long w_at, __global S *y, long y_at, int images, int channels,
                              int group_channels, int maps, int group_maps, int x_block, int y_block, WINDOW_PARAMETERS)
{
    const long at = get_global_id(0), block = at / y_block / OUT_PLANE, window = at / y_block % OUT_PLANE;
    const int image = block / (maps / y_block), map = block % (maps / y_block) * y_block + at % y_block;
    const int z = window / out_x / out_y * stride_z - pad_z, row = window / out_x % out_y * stride_y - pad_y,
              column = window % out_x * stride_x - pad_x;
    ACC sum = 0;
    if (image >= images) return;
    for (int i = 0; i < group_channels; i++) {
        const int channel = map / group_maps * group_channels + i;
        const long first = x_at + (((long)image * channels + channel) / x_block) * x_block * IN_PLANE + channel % x_block;
        for (int tap = 0; tap < TAPS; tap++) {
            const int tap_z = z + tap / kernel_x / kernel_y * dilation_z, tap_y = row + tap / kernel_x % kernel_y * dilation_y,
                      tap_x = column + tap % kernel_x * dilation_x;
            if (!INSIDE(tap_z, in_z) || !INSIDE(tap_y, in_y) || !INSIDE(tap_x, in_x)) continue;
            sum += LOAD(x, first + (((long)tap_z * in_y + tap_y) * in_x + tap_x) * x_block) *
                   LOAD(w, w_at + ((long)map * group_channels + i) * TAPS + tap);
        }
    }
    STORE(y, y_at + at, sum);
}
