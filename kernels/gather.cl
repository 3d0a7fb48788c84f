/* The gradient of Gather, without atomics: each row of the destination looks for its sources, in their order. */
#include "common.clh"

/* dx [outer, length, inner] = sum of g [outer, count, inner] over the places where indices [count] name the row.
   Groups: outer * length; the lanes of a group share out the columns. */
__kernel void gather_gradient(__global const S *g, long g_at, __global const I *indices, long indices_at, __global S *dx, long dx_at, long outer,
                              long length, long count, long inner)
{
    long row = GROUP % length, o = GROUP / length;
    if (o >= outer) return;
    dx += dx_at + GROUP * inner;
    g += g_at + o * count * inner;
    for (long c = LANE; c < inner; c += WG) {
        ACC sum = 0;
        for (long j = 0; j < count; j++) {
            long index = LOAD_I(indices, indices_at + j);
            if (index == row || index + length == row) sum += LOAD(g, j * inner + c);
        }
        STORE(dx, c, (T)sum);
    }
}
