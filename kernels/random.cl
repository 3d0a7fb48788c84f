/* Dropout from counter-based random numbers. */
#include "common.clh"
#include "philox.clh"

/* y = x / (1 - ratio) where kept, else 0; mask says which; without training y = x.  An absent ratio is 0.5, absent training is 0, an
   absent state is (seed, 0); an absent mask is not written.  Work-items: ceil(n / 4), each with four neighbours. */
__kernel void dropout_forward(__global const S *x, long x_at, __global const D *ratio_at, long ratio_first, __global const uchar *training,
                              long training_at, __global const long *state, long state_at, __global S *y, long y_at, __global uchar *mask,
                              long mask_at, long n, long seed)
{
    long block = get_global_id(0), counter = 0;
    if (block * 4 >= n) return;
    T ratio = ratio_first < 0 ? (T)0.5f : (T)LOAD_D(ratio_at, ratio_first);
    int active = training_at >= 0 && training[training_at] != 0;
    if (state_at >= 0) {
        seed = state[state_at];
        counter = state[state_at + 1];
    }
    uint4 r = philox(block, seed, counter);
    T factor = active ? 1 / (1 - ratio) : (T)1;
    for (int j = 0; j < 4 && block * 4 + j < n; j++, r = r.yzwx) {
        long i = block * 4 + j;
        int kept = !active || !(philox_uniform(r.x) < (float)ratio);
        STORE(y, y_at + i, kept ? LOAD(x, x_at + i) * factor : (T)0);
        if (mask_at >= 0) mask[mask_at + i] = (uchar)kept;
    }
}

/* The state of the next draw: the counter goes up by one, with training only.  An absent state was (first_seed, 0).  Work-items: 1; next may
   be state itself. */
__kernel void dropout_next(__global const long *state, long state_at, __global const uchar *training, long training_at, __global long *next,
                           long next_at, long first_seed)
{
    if (get_global_id(0) > 0) return;
    long seed = state_at < 0 ? first_seed : state[state_at], counter = state_at < 0 ? 0 : state[state_at + 1];
    next[next_at] = seed;
    next[next_at + 1] = counter + (training_at >= 0 && training[training_at] != 0);
}

/* dx = g / (1 - ratio) where the mask holds, else 0.  Work-items: n. */
__kernel void dropout_backward(__global const S *g, long g_at, __global const D *ratio_at, long ratio_first, __global const uchar *training,
                               long training_at, __global const uchar *mask, long mask_at, __global S *dx, long dx_at, long n)
{
    long i = get_global_id(0);
    if (i >= n) return;
    T ratio = ratio_first < 0 ? (T)0.5f : (T)LOAD_D(ratio_at, ratio_first);
    int active = training_at >= 0 && training[training_at] != 0;
    T factor = active ? 1 / (1 - ratio) : (T)1;
    STORE(dx, dx_at + i, mask[mask_at + i] ? LOAD(g, g_at + i) * factor : (T)0);
}
