/* The one step of convolution that is no matrix product: columns back into images. */
#include "common.clh"

/* dx [images, all_channels, height, width], `channels` channels of each image from element dx_first on: each element is the sum of those of columns [images,
   channels, kernel_h, kernel_w, out_h, out_w] that were read from it, in their order.  Work-items: images * channels * height * width. */
__kernel void columns_to_images(__global const S *columns, long columns_at, __global S *dx, long dx_at, long dx_first, long images, long channels, long height,
                                long width, long kernel_h, long kernel_w, long stride_h, long stride_w, long pad_h, long pad_w, long dilation_h,
                                long dilation_w, long out_h, long out_w, long image_step)
{
    long i = get_global_id(0), x = i % width, y = i / width % height, c = i / width / height % channels, image = i / width / height / channels;
    if (image >= images) return;
    ACC sum = 0;
    columns += columns_at + (image * channels + c) * kernel_h * kernel_w * out_h * out_w;
    for (long kh = 0; kh < kernel_h; kh++) {
        long row = y + pad_h - kh * dilation_h;
        if (row < 0 || row % stride_h != 0 || row / stride_h >= out_h) continue;
        for (long kw = 0; kw < kernel_w; kw++) {
            long column = x + pad_w - kw * dilation_w;
            if (column < 0 || column % stride_w != 0 || column / stride_w >= out_w) continue;
            sum += LOAD(columns, ((kh * kernel_w + kw) * out_h + row / stride_h) * out_w + column / stride_w);
        }
    }
    STORE(dx, dx_at + dx_first + image * image_step + (c * height + y) * width + x, sum);
}
