/* Kernel of my::NewOp: y = x, moved by `shift` places along the last axis, in a circle.  Rows of `length` elements.
 * Work-items: n, all elements.  common.clh, which comes with aval, has the element types: S stored, T computed in, LOAD and STORE. */
#include "common.clh"

__kernel void new_op_roll(__global const S *x, long x_at, __global S *y, long y_at, long n, long length, long shift)
{
    long i = get_global_id(0), row = i / length;
    if (i >= n) return; /* there may be more work-items than asked for */
    long from = (i % length - shift % length + length) % length;
    STORE(y, y_at + i, LOAD(x, x_at + row * length + from));
}
