/* MaxUnpool: elements of x [planes, elements] and where they belong. */
#include "common.clh"

/* y [planes, large] = x [planes, elements] put where `places` says, counted in [planes, small]; y holds zeros.  Later elements win.  A place of
   another plane is none.  Work-items: planes. */
__kernel void max_unpool(__global const S *x, long x_at, __global const long *places, long places_at, __global S *y, long y_at, long planes,
                         long elements, int small_z, int small_y, int small_x, int large_z, int large_y, int large_x)
{
    long plane = get_global_id(0), small = (long)small_z * small_y * small_x;
    if (plane >= planes) return;
    for (long i = plane * elements; i < (plane + 1) * elements; i++) {
        long at = places[places_at + i] - plane * small, column = at % small_x, row = at / small_x % small_y, z = at / small_x / small_y;
        if (at < 0 || at >= small || z >= large_z || row >= large_y || column >= large_x) continue;
        STORE(y, y_at + ((plane * large_z + z) * large_y + row) * large_x + column, LOAD(x, x_at + i));
    }
}

/* dx = g where the element went.  Work-items: planes * elements. */
__kernel void max_unpool_backward(__global const S *g, long g_at, __global const long *places, long places_at, __global S *dx, long dx_at,
                                  long planes, long elements, int small_z, int small_y, int small_x, int large_z, int large_y, int large_x)
{
    long i = get_global_id(0), plane = i / elements, small = (long)small_z * small_y * small_x;
    if (plane >= planes) return;
    long at = places[places_at + i] - plane * small, column = at % small_x, row = at / small_x % small_y, z = at / small_x / small_y;
    bool there = at >= 0 && at < small && z < large_z && row < large_y && column < large_x;
    STORE(dx, dx_at + i, there ? LOAD(g, g_at + ((plane * large_z + z) * large_y + row) * large_x + column) : 0);
}
