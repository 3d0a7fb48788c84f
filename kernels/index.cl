/* Gather, GatherElements, GatherND: copies of what indices name; what is out of range gives 0.  Elements are not computed with, so that S
 * stands for any type of the same size. */
#include "common.clh"
#include "index.clh"

/* y [outer, count, inner] = x [outer, length, inner] at indices [count].  Work-items: outer * count * inner. */
__kernel void gather(__global const S *x, long x_at, __global const I *indices, long indices_at, __global S *y, long y_at, long outer,
                     long length, long count, long inner)
{
    long i = get_global_id(0), column = i % inner, j = i / inner % count, o = i / inner / count;
    if (o >= outer) return;
    long row = row_in(LOAD_I(indices, indices_at + j), length);
    y[y_at + i] = row >= 0 ? x[x_at + (o * length + row) * inner + column] : (S)0;
}

/* y [n] = x at the element that each index names (row_of_element).  Work-items: n. */
__kernel void gather_elements(__global const S *x, long x_at, __global const I *indices, long indices_at, __global S *y, long y_at, long n,
                              int first, long length, long step, EIGHT(d), EIGHT(s))
{
    long i = get_global_id(0);
    if (i >= n) return;
    long row = row_of_element(LOAD_I(indices, indices_at + i), i, first, length, step, d0, d1, d2, d3, d4, d5, d6, d7, s0, s1, s2, s3, s4,
                              s5, s6, s7);
    y[y_at + i] = row >= 0 ? x[x_at + row] : (S)0;
}

/* y [n, inner] = the slice of x that each of n tuples of indices names; per_batch tuples read the same batch_rows slices.
   Work-items: n * inner. */
__kernel void gather_tuples(__global const S *x, long x_at, __global const I *indices, long indices_at, __global S *y, long y_at, long n,
                            long inner, long per_batch, long batch_rows, int depth, EIGHT(d), EIGHT(s))
{
    long i = get_global_id(0), j = i / inner;
    if (j >= n) return;
    long row = row_of_tuple(indices, indices_at + j * depth, depth, d0, d1, d2, d3, d4, d5, d6, d7, s0, s1, s2, s3, s4, s5, s6, s7);
    y[y_at + i] = row >= 0 ? x[x_at + (j / per_batch * batch_rows + row) * inner + i % inner] : (S)0;
}
