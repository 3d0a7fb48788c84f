/* Kernel of plugins/template.c: y = x, moved by `shift` places along the last axis, in a circle.  Rows of `length` elements.
 * Work-items: n, all elements. */
#include "common.clh"

__kernel void roll(__global const S *x, long x_at, __global S *y, long y_at, long n, long length, long shift)
{
    long i = get_global_id(0), row = i / length;
    if (i >= n) return;
    long from = (i % length - shift % length + length) % length;
    STORE(y, y_at + i, LOAD(x, x_at + row * length + from));
}
