/* Regions of images pooled to a fixed number of bins: x [images, channels, in_y, in_x], y [rois, channels, out_y, out_x].
 *
 * A region of an image that is not there is 0.  RoiAlign samples a grid of places in each bin, between elements; MaxRoiPool takes the largest element of whole ones.  Both gradients add up
 * plane by plane in D, in the order of the regions, so that they repeat. */
#include "common.clh"

#define ROI_PARAMETERS int n_images, int channels, int in_y, int in_x, int n_rois, int out_y, int out_x, REAL scale
#define ROI n_images, channels, in_y, in_x, n_rois, out_y, out_x, scale

/* ---- RoiAlign: rois [rois, 4], x1 y1 x2 y2; images [rois].  samples: a side of the grid, 0: as large as the bin is. ------------------------ */

typedef struct Bins {
    ACC top, left, height, width; /* of the first bin */
    int rows, columns; /* of the grid in a bin */
} Bins;

static Bins bins_of(__global const S *roi, int half_pixel, int samples, ROI_PARAMETERS)
{
    Bins b;
    const ACC shift = half_pixel ? (ACC)0.5f : 0;
    b.left = LOAD(roi, 0) * scale - shift;
    b.top = LOAD(roi, 1) * scale - shift;
    b.width = LOAD(roi, 2) * scale - shift - b.left;
    b.height = LOAD(roi, 3) * scale - shift - b.top;
    if (!half_pixel) { /* regions of no size count as one element */
        b.width = fmax(b.width, (ACC)1);
        b.height = fmax(b.height, (ACC)1);
    }
    b.width /= out_x;
    b.height /= out_y;
    b.rows = samples > 0 ? samples : (int)ceil(b.height);
    b.columns = samples > 0 ? samples : (int)ceil(b.width);
    return b;
}

/* The four elements around sample `i` of a bin and their weights; all of weight 0 outside. */
static void around(Bins b, int bin_y, int bin_x, int i, int in_y, int in_x, int *at, ACC *weight)
{
    ACC y = b.top + (bin_y + (i / b.columns + (ACC)0.5f) / b.rows) * b.height;
    ACC x = b.left + (bin_x + (i % b.columns + (ACC)0.5f) / b.columns) * b.width;
    const bool outside = y < -1 || y > in_y || x < -1 || x > in_x;
    y = fmin(fmax(y, (ACC)0), (ACC)(in_y - 1));
    x = fmin(fmax(x, (ACC)0), (ACC)(in_x - 1));
    const int top = (int)y, left = (int)x, bottom = min(top + 1, in_y - 1), right = min(left + 1, in_x - 1);
    const ACC v = y - top, h = x - left;
    at[0] = outside ? 0 : top * in_x + left;
    at[1] = outside ? 0 : top * in_x + right;
    at[2] = outside ? 0 : bottom * in_x + left;
    at[3] = outside ? 0 : bottom * in_x + right;
    weight[0] = outside ? 0 : (1 - v) * (1 - h);
    weight[1] = outside ? 0 : (1 - v) * h;
    weight[2] = outside ? 0 : v * (1 - h);
    weight[3] = outside ? 0 : v * h;
}

/* With `maximum`, the largest weighted element of a bin's samples: which sample and which of its four, and its value. */
static ACC largest(__global const S *x, Bins b, int bin_y, int bin_x, int in_y, int in_x, int *winner)
{
    ACC best = 0, weight[4];
    int at[4];
    *winner = -1;
    for (int s = 0; s < b.rows * b.columns; s++) {
        around(b, bin_y, bin_x, s, in_y, in_x, at, weight);
#pragma unroll
        for (int k = 0; k < 4; k++) {
            const ACC v = weight[k] * LOAD(x, at[k]);
            if (*winner >= 0 && !(v > best)) continue;
            best = v;
            *winner = 4 * s + k;
        }
    }
    return best;
}

/* Work-items: elements of y. */
__kernel void roi_align(__global const S *x, long x_at, __global const S *rois, long rois_at, __global const long *images, long images_at,
                        __global S *y, long y_at, int maximum, int half_pixel, int samples, ROI_PARAMETERS)
{
    const int i = get_global_id(0), bin_x = i % out_x, bin_y = i / out_x % out_y, channel = i / out_x / out_y % channels;
    const int roi = i / out_x / out_y / channels;
    if (roi >= n_rois) return;
    const Bins b = bins_of(rois + rois_at + 4 * roi, half_pixel, samples, ROI);
    ACC sum = 0, weight[4];
    int at[4], winner;
    const long image = images[images_at + roi];
    if (image < 0 || image >= n_images) {
        STORE(y, y_at + i, (T)0);
        return;
    }
    x += x_at + (image * channels + channel) * in_y * in_x;
    if (maximum) {
        STORE(y, y_at + i, largest(x, b, bin_y, bin_x, in_y, in_x, &winner));
        return;
    }
    for (int s = 0; s < b.rows * b.columns; s++) {
        around(b, bin_y, bin_x, s, in_y, in_x, at, weight);
        for (int k = 0; k < 4; k++) sum += weight[k] * LOAD(x, at[k]);
    }
    STORE(y, y_at + i, sum / max(1, b.rows * b.columns));
}

/* Work-items: images * channels. */
__kernel void roi_align_backward(__global const S *x, long x_at, __global const S *rois, long rois_at, __global const long *images,
                                 long images_at, __global const S *g, long g_at, __global D *sums, long sums_at, __global S *dx, long dx_at,
                                 int planes, int maximum, int half_pixel, int samples, ROI_PARAMETERS)
{
    const int plane = get_global_id(0), channel = plane % channels, size = in_y * in_x;
    if (plane >= planes) return;
    x += x_at + (long)plane * size;
    sums += sums_at + (long)plane * size;
    for (int i = 0; i < size; i++) STORE_D(sums, i, (TD)0);
    for (int roi = 0; roi < n_rois; roi++) {
        if (images[images_at + roi] != plane / channels) continue;
        const Bins b = bins_of(rois + rois_at + 4 * roi, half_pixel, samples, ROI);
        for (int bin = 0; bin < out_y * out_x; bin++) {
            ACC weight[4], up = LOAD(g, g_at + ((long)roi * channels + channel) * out_y * out_x + bin);
            int at[4], winner = -1;
            if (maximum) largest(x, b, bin / out_x, bin % out_x, in_y, in_x, &winner);
            else up /= max(1, b.rows * b.columns);
            for (int s = 0; s < b.rows * b.columns; s++) {
                if (maximum && s != winner / 4) continue;
                around(b, bin / out_x, bin % out_x, s, in_y, in_x, at, weight);
                for (int k = 0; k < 4; k++)
                    if (!maximum || k == winner % 4) STORE_D(sums, at[k], LOAD_D(sums, at[k]) + weight[k] * up);
            }
        }
    }
    for (int i = 0; i < size; i++) STORE(dx, dx_at + (long)plane * size + i, LOAD_D(sums, i));
}

/* ---- MaxRoiPool: rois [rois, 5], image x1 y1 x2 y2, rounded to elements ------------------------------------------------------------------ */

/* The element of the plane x that is the largest of a bin, the first at ties; -1 for an empty bin. */
static int largest_element(__global const S *x, __global const S *roi, int bin, ROI_PARAMETERS)
{
    const int left = (int)round(LOAD(roi, 1) * scale), top = (int)round(LOAD(roi, 2) * scale);
    const ACC height = max((int)round(LOAD(roi, 4) * scale) - top + 1, 1), width = max((int)round(LOAD(roi, 3) * scale) - left + 1, 1);
    const int bin_y = bin / out_x, bin_x = bin % out_x;
    const int y0 = clamp(top + (int)floor(bin_y * height / out_y), 0, in_y),
              y1 = clamp(top + (int)ceil((bin_y + 1) * height / out_y), 0, in_y);
    const int x0 = clamp(left + (int)floor(bin_x * width / out_x), 0, in_x),
              x1 = clamp(left + (int)ceil((bin_x + 1) * width / out_x), 0, in_x);
    int winner = -1;
    for (int row = y0; row < y1; row++) {
        for (int column = x0; column < x1; column++) {
            if (winner < 0 || LOAD(x, row * in_x + column) > LOAD(x, winner)) winner = row * in_x + column;
        }
    }
    return winner;
}

/* Work-items: elements of y. */
__kernel void max_roi_pool(__global const S *x, long x_at, __global const S *rois, long rois_at, __global S *y, long y_at, ROI_PARAMETERS)
{
    const int i = get_global_id(0), bin = i % (out_x * out_y), channel = i / out_x / out_y % channels, roi = i / out_x / out_y / channels;
    if (roi >= n_rois) return;
    const T image = LOAD(rois, rois_at + 5 * roi);
    int winner = -1;
    if (image >= 0 && image < n_images) {
        x += x_at + ((long)image * channels + channel) * in_y * in_x;
        winner = largest_element(x, rois + rois_at + 5 * roi, bin, ROI);
    }
    STORE(y, y_at + i, winner < 0 ? 0 : LOAD(x, winner));
}

/* Work-items: images * channels. */
__kernel void max_roi_pool_backward(__global const S *x, long x_at, __global const S *rois, long rois_at, __global const S *g, long g_at,
                                    __global D *sums, long sums_at, __global S *dx, long dx_at, int planes, ROI_PARAMETERS)
{
    const int plane = get_global_id(0), channel = plane % channels, size = in_y * in_x;
    if (plane >= planes) return;
    x += x_at + (long)plane * size;
    sums += sums_at + (long)plane * size;
    for (int i = 0; i < size; i++) STORE_D(sums, i, (TD)0);
    for (int roi = 0; roi < n_rois; roi++) {
        if ((int)LOAD(rois, rois_at + 5 * roi) != plane / channels) continue;
        for (int bin = 0; bin < out_y * out_x; bin++) {
            const int winner = largest_element(x, rois + rois_at + 5 * roi, bin, ROI);
            const long from = g_at + ((long)roi * channels + channel) * out_y * out_x + bin;
            if (winner >= 0) STORE_D(sums, winner, LOAD_D(sums, winner) + LOAD(g, from));
        }
    }
    for (int i = 0; i < size; i++) STORE(dx, dx_at + (long)plane * size + i, LOAD_D(sums, i));
}
