/* Patches of images read at places that are moved by offsets, between elements: bilinear, 0 outside.
 *
 * x [images, channels, in_y, in_x], offset [images, groups, taps, 2, out], mask [images, groups, taps, out] (may be absent: ones), columns
 * [images, channels, taps, out]; a group of offsets serves channels / groups channels. */
#include "common.clh"

#define DEFORM_PARAMETERS \
    int channels, int groups, int in_y, int in_x, int kernel_y, int kernel_x, int stride_y, int stride_x, int pad_y, int pad_x, \
        int dilation_y, int dilation_x, int out_y, int out_x
#define TAPS (kernel_y * kernel_x)
#define OUT (out_y * out_x)
/* Element of the offsets' first half, and of mask, for an image, a group, a tap and a window. */
#define OFFSET_AT(image, group, tap, window) (((((long)(image)*groups + (group)) * TAPS + (tap)) * 2) * OUT + (window))
#define MASK_AT(image, group, tap, window) ((((long)(image)*groups + (group)) * TAPS + (tap)) * OUT + (window))
#define PLACE_Y(tap, window) (((window) / out_x) * stride_y - pad_y + (tap) / kernel_x * dilation_y)
#define PLACE_X(tap, window) (((window) % out_x) * stride_x - pad_x + (tap) % kernel_x * dilation_x)

static ACC corner(__global const S *x, int row, int column, int in_y, int in_x)
{
    return row >= 0 && row < in_y && column >= 0 && column < in_x ? LOAD(x, row * in_x + column) : 0;
}

/* The value at (row, column), and its derivatives by both. */
static ACC between(__global const S *x, ACC row, ACC column, int in_y, int in_x, ACC *by_row, ACC *by_column)
{
    /* far outside: no corner lies in the image, and an int could not hold the place */
    *by_row = *by_column = 0;
    if (!(row > -1 && column > -1 && row < in_y && column < in_x)) return 0;
    const int top = (int)floor(row), left = (int)floor(column);
    const ACC v = row - top, h = column - left;
    const ACC a = corner(x, top, left, in_y, in_x), b = corner(x, top, left + 1, in_y, in_x);
    const ACC c = corner(x, top + 1, left, in_y, in_x), d = corner(x, top + 1, left + 1, in_y, in_x);
    *by_row = (1 - h) * (c - a) + h * (d - b);
    *by_column = (1 - v) * (b - a) + v * (d - c);
    return (1 - v) * ((1 - h) * a + h * b) + v * ((1 - h) * c + h * d);
}

/* Work-items: windows, taps, images * channels. */
__kernel void deform_columns(__global const S *x, long x_at, __global const S *offset, long offset_at, __global const S *mask, long mask_at,
                             __global S *columns, long columns_at, DEFORM_PARAMETERS)
{
    const int window = get_global_id(0), tap = get_global_id(1);
    const long plane = get_global_id(2), image = plane / channels, group = plane % channels / (channels / groups);
    if (window >= OUT) return;
    const long at = offset_at + OFFSET_AT(image, group, tap, window);
    ACC by_row, by_column;
    ACC v = between(x + x_at + plane * in_y * in_x, PLACE_Y(tap, window) + LOAD(offset, at), PLACE_X(tap, window) + LOAD(offset, at + OUT),
                    in_y, in_x, &by_row, &by_column);
    if (mask_at >= 0) v *= LOAD(mask, mask_at + MASK_AT(image, group, tap, window));
    STORE(columns, columns_at + (plane * TAPS + tap) * OUT + window, v);
}

/* Gradients by offset and mask (each may be absent).  Work-items: windows, taps, images * groups. */
__kernel void deform_backward_places(__global const S *x, long x_at, __global const S *offset, long offset_at, __global const S *mask,
                                     long mask_at, __global const S *g, long g_at, __global S *d_offset, long d_offset_at,
                                     __global S *d_mask, long d_mask_at, DEFORM_PARAMETERS)
{
    const int window = get_global_id(0), tap = get_global_id(1), some = channels / groups;
    const long set = get_global_id(2), image = set / groups, group = set % groups;
    if (window >= OUT) return;
    const long at = OFFSET_AT(image, group, tap, window), mask_place = MASK_AT(image, group, tap, window);
    const ACC row = PLACE_Y(tap, window) + LOAD(offset, offset_at + at), column = PLACE_X(tap, window) + LOAD(offset, offset_at + at + OUT);
    const ACC factor = mask_at >= 0 ? LOAD(mask, mask_at + mask_place) : 1;
    ACC by_row, by_column, rows = 0, columns = 0, values = 0;
    for (int c = 0; c < some; c++) {
        const long plane = image * channels + group * some + c;
        const ACC up = LOAD(g, g_at + (plane * TAPS + tap) * OUT + window);
        values += up * between(x + x_at + plane * in_y * in_x, row, column, in_y, in_x, &by_row, &by_column);
        rows += up * by_row;
        columns += up * by_column;
    }
    if (d_offset_at >= 0) {
        STORE(d_offset, d_offset_at + at, factor * rows);
        STORE(d_offset, d_offset_at + at + OUT, factor * columns);
    }
    if (d_mask_at >= 0) STORE(d_mask, d_mask_at + mask_place, values);
}

static void add_corner(__global D *sums, int row, int column, int in_y, int in_x, ACC x)
{
    if (row >= 0 && row < in_y && column >= 0 && column < in_x) STORE_D(sums, row * in_x + column, LOAD_D(sums, row * in_x + column) + x);
}

/* Gradient by x, summed plane by plane in D so that the order is fixed.  Work-items: images * channels. */
__kernel void deform_backward_images(__global const S *offset, long offset_at, __global const S *mask, long mask_at, __global const S *g,
                                     long g_at, __global D *sums, long sums_at, __global S *dx, long dx_at, int planes, DEFORM_PARAMETERS)
{
    const int plane = get_global_id(0), image = plane / channels, group = plane % channels / (channels / groups), size = in_y * in_x;
    if (plane >= planes) return;
    sums += sums_at + (long)plane * size;
    for (int i = 0; i < size; i++) STORE_D(sums, i, (TD)0);
    for (int i = 0; i < TAPS * OUT; i++) {
        const int tap = i / OUT, window = i % OUT;
        const long at = offset_at + OFFSET_AT(image, group, tap, window);
        const ACC row = PLACE_Y(tap, window) + LOAD(offset, at), column = PLACE_X(tap, window) + LOAD(offset, at + OUT);
        if (!(row > -1 && column > -1 && row < in_y && column < in_x)) continue;
        const int top = (int)floor(row), left = (int)floor(column);
        const ACC v = row - top, h = column - left;
        ACC up = LOAD(g, g_at + (long)plane * TAPS * OUT + i);
        if (mask_at >= 0) up *= LOAD(mask, mask_at + MASK_AT(image, group, tap, window));
        add_corner(sums, top, left, in_y, in_x, (1 - v) * (1 - h) * up);
        add_corner(sums, top, left + 1, in_y, in_x, (1 - v) * h * up);
        add_corner(sums, top + 1, left, in_y, in_x, v * (1 - h) * up);
        add_corner(sums, top + 1, left + 1, in_y, in_x, v * h * up);
    }
    for (int i = 0; i < size; i++) STORE(dx, dx_at + (long)plane * size + i, LOAD_D(sums, i));
}
