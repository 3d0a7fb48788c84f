/* Kernel of my::NewOp: y = x, moved by `shift` places along an axis, in a circle.
 * Work-items: lines along the axis, of `length` elements that are `inner` apart; LINE_START says where a line begins (lines.clh).
 * common.clh, which that includes and which comes with aval, has the element types: S stored, T computed in, LOAD and STORE. */
#include "lines.clh"

__kernel void new_op_roll(__global const S *x, long x_at, __global S *y, long y_at, long lines, long length, long inner, long shift)
{
    long line = get_global_id(0);
    if (line >= lines) return; /* there may be more work-items than asked for */
    long start = LINE_START(line, length, inner);
    for (long i = 0; i < length; i++) {
        long from = (i - shift % length + length) % length;
        STORE(y, y_at + start + i * inner, LOAD(x, x_at + start + from * inner));
    }
}
