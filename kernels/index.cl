/* Gather, GatherElements, GatherND: copies of what indices name; what is out of range gives 0.  Elements are not computed with, so that S
 * stands for any type of the same size. */
#include "common.clh"
#include "walk.clh"
#include "run.clh"
#include "index.clh"

#ifndef DEPTH
#define DEPTH 1 /* how many indices together name a place */
#endif

/* y [d0 .. d7] = x at the places that indices name: those of an element start at sum i_a is_a, and count from sum i_a xs_a of x on along axes of lengths
   l0 .. with s0 .. elements between neighbours.  Work-items: the walk's, over y. */
__kernel void gather(__global const S *x, long x_at, __global const I *indices, long indices_at, __global S *y, long y_at, WALK, EIGHT(is),
                     EIGHT(xs), EIGHT(l), EIGHT(s))
{
    x += x_at;
    y += y_at;
    EACH_PIECE
    {
        const long i = indices_at + WALKED(is) + PIECE_AT * is7, own = WALKED(xs) + PIECE_AT * xs7;
#if WG == 1
        if (is7 == 0) {
            const long at = place_of_tuple(indices, i, DEPTH, EIGHT_OF(l), EIGHT_OF(s));
            if (at >= 0) copy_run(y + place, 1, x + own + at, xs7, PIECE_LENGTH);
            else fill_run(y + place, (S)0, PIECE_LENGTH);
        } else
#endif
            for (long k = 0; k < PIECE_LENGTH; k++) {
                const long at = place_of_tuple(indices, i + k * is7, DEPTH, EIGHT_OF(l), EIGHT_OF(s));
                y[place + k] = at >= 0 ? x[own + k * xs7 + at] : (S)0;
            }
    }
}
