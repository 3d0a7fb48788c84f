/* The launches of kernels/walk.clh: each piece of each row of a box. */
#ifndef AVAL_PLUGINS_WALK_H
#define AVAL_PLUGINS_WALK_H

#include "support.h"

/* Axes are right-aligned, as in the kernels; those before have length 1. */
typedef struct walk {
    int64_t n, chunk, pieces, piece;
    int64_t dims[8];
    uint32_t axes;
} walk;

/* Eight numbers for `rank` ones, with `others` before them. */
static inline void right_aligned(const int64_t *numbers, uint32_t rank, int64_t others, int64_t eight[8])
{
    for (uint32_t i = 0; i < 8; i++) eight[i] = i + rank < 8 ? others : numbers[i + rank - 8];
}

/* Over a box with elements, on CPUs in pieces of at most `piece` places, at each of which `across` elements are moved. */
static inline walk walk_in_pieces(const aval_device_info *device, const int64_t *dims, uint32_t rank, int64_t piece, int64_t across)
{
    walk w = { .piece = device->group == 1 ? piece : 1, .axes = rank < 1 ? 1 : rank };
    right_aligned(dims, rank, 1, w.dims);
    w.pieces = (w.dims[7] + w.piece - 1) / w.piece;
    w.n = product(w.dims, 7) * w.pieces;
    w.chunk = chunk_of(device, w.n, (w.dims[7] < w.piece ? w.dims[7] : w.piece) * across);
    return w;
}

static inline walk walk_over(const aval_device_info *device, const int64_t *dims, uint32_t rank)
{
    return walk_in_pieces(device, dims, rank, PIECE_ELEMENTS, 1);
}

/* BY_WALK_WITH: with one more macro. */
#define BY_WALK(device, w) WALK_ITEMS(device, w), AVAL_DEFINES({ "WG", (device)->group }, { "AXES", (w).axes })
#define BY_WALK_WITH(device, w, name, value) \
    WALK_ITEMS(device, w), AVAL_DEFINES({ "WG", (device)->group }, { "AXES", (w).axes }, { name, value })
#define WALK_ITEMS(device, w) .global = { (uint64_t)(((w).n + (w).chunk - 1) / (w).chunk) }, .local = { (device)->group == 1 }
#define WALK(w) AVAL_I64((w).n), AVAL_I64((w).chunk), AVAL_I64((w).pieces), AVAL_I64((w).piece), EIGHT((w).dims)

#endif
