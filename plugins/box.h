/* Copies between boxes: what operators that only move elements have in common.  Copies do not compute, so their kernel runs on an integer
 * type of the element's size.  Inline, because a plugin links nothing; a plugin that uses it brings shape.cl. */
#ifndef AVAL_PLUGINS_BOX_H
#define AVAL_PLUGINS_BOX_H

#include "walk.h"

/* A copy between two boxes of equal lengths with strides and first elements of their own. */
typedef struct box {
    uint32_t rank;
    int64_t dims[AVAL_MAX_RANK], to[AVAL_MAX_RANK], from[AVAL_MAX_RANK];
    int64_t to_first, from_first;
} box;

static inline void row_major(const int64_t *dims, uint32_t rank, int64_t *strides)
{
    int64_t stride = 1;
    for (uint32_t i = rank; i-- > 0;) {
        strides[i] = stride;
        stride *= dims[i];
    }
}

/* Takes out axes of length 1 and merges those that move together. */
static inline void box_simplify(box *b)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < b->rank; i++) {
        if (b->dims[i] == 1) continue;
        if (n > 0 && b->to[n - 1] == b->to[i] * b->dims[i] && b->from[n - 1] == b->from[i] * b->dims[i]) {
            b->dims[n - 1] *= b->dims[i];
        } else {
            b->dims[n] = b->dims[i];
            n++;
        }
        b->to[n - 1] = b->to[i];
        b->from[n - 1] = b->from[i];
    }
    b->rank = n;
}

static inline void box_exchange(box *b, uint32_t i, uint32_t k)
{
    int64_t dim = b->dims[i], to = b->to[i], from = b->from[i];
    b->dims[i] = b->dims[k], b->to[i] = b->to[k], b->from[i] = b->from[k];
    b->dims[k] = dim, b->to[k] = to, b->from[k] = from;
}

/* The axis that a CPU takes for rows: the last, or the longest where that is short. */
static inline void box_choose_rows(box *b)
{
    enum { LEAST_RUN = 8 };
    uint32_t last = b->rank - 1, longest = last;
    for (uint32_t i = 0; i < b->rank; i++)
        if (b->dims[i] > b->dims[longest]) longest = i;
    if (b->dims[last] < LEAST_RUN && longest != last) box_exchange(b, last, longest);
}

/* Does a CPU transpose: has `from` neighbours along one axis, which becomes the last but one, and `to` along another, which becomes the last? */
static inline int box_is_turned(box *b)
{
    enum { LEAST_SIDE = 8 };
    uint32_t row = b->rank, column = b->rank;
    for (uint32_t i = 0; i < b->rank; i++) {
        if (b->from[i] == 1) row = i;
        if (b->to[i] == 1) column = i;
    }
    if (row == b->rank || column == b->rank || row == column || b->dims[row] < LEAST_SIDE || b->dims[column] < LEAST_SIDE) return 0;
    box_exchange(b, column, b->rank - 1);
    box_exchange(b, row == b->rank - 1 ? column : row, b->rank - 2);
    return 1;
}

/* copy_turned of a box that is, in strips of rows. */
static inline int box_turn(const aval_host *host, aval_call *call, const aval_tensor *to, const aval_tensor *from, box b)
{
    enum { STRIP = 64, COLUMNS = 256 /* in a piece: as much of both sides as stays in a core's second cache */ };
    uint32_t row = b.rank - 2;
    int64_t rows = b.dims[row], to_step = b.to[row], ts[8], fs[8];
    b.dims[row] = (rows + STRIP - 1) / STRIP;
    b.to[row] *= STRIP;
    b.from[row] *= STRIP;
    walk w = walk_in_pieces(host->device(call), b.dims, b.rank, COLUMNS, STRIP);
    right_aligned(b.to, b.rank, 0, ts);
    right_aligned(b.from, b.rank, 0, fs);
    return host->launch(call, AVAL_LAUNCH(.kernel = "copy_turned", BY_WALK(host->device(call), w), .s_type = aval_carrier(host->type(to)),
                                          AVAL_ARGS(AVAL_UPDATE(to), AVAL_READ(from), AVAL_I64(b.to_first), AVAL_I64(b.from_first),
                                                    AVAL_I64(rows), AVAL_I64(to_step), WALK(w), EIGHT(ts), EIGHT(fs))));
}

/* `to` need not be written whole. */
static inline int box_copy(const aval_host *host, aval_call *call, const aval_tensor *to, const aval_tensor *from, box b)
{
    int64_t count = product(b.dims, b.rank), ts[8], fs[8];
    if (count == 0) return 0;
    box_simplify(&b);
    if (b.rank == 0 || (b.rank == 1 && b.to[0] == 1 && b.from[0] == 1)) return host->copy(call, to, b.to_first, from, b.from_first, count);
    const aval_device_info *device = host->device(call);
    if (device->group == 1 && box_is_turned(&b)) return box_turn(host, call, to, from, b);
    if (device->group == 1) box_choose_rows(&b);
    walk w = walk_over(device, b.dims, b.rank);
    right_aligned(b.to, b.rank, 0, ts);
    right_aligned(b.from, b.rank, 0, fs);
    return host->launch(call, AVAL_LAUNCH(.kernel = "copy_box", BY_WALK(device, w), .s_type = aval_carrier(host->type(to)),
                                          AVAL_ARGS(AVAL_UPDATE(to), AVAL_READ(from), AVAL_I64(b.to_first), AVAL_I64(b.from_first), WALK(w),
                                                    EIGHT(ts), EIGHT(fs))));
}

/* A part of input 0, which fills output y: what lies in one piece is an alias. */
static inline int box_take(const aval_host *host, aval_call *call, const aval_tensor *y, const box *b)
{
    box merged = *b;
    box_simplify(&merged);
    int whole = host->count(y) > 0 && (merged.rank == 0 || (merged.rank == 1 && merged.from[0] == 1));
    if (whole) return host->alias(call, y, host->input(call, 0), b->from_first);
    return box_copy(host, call, y, host->input(call, 0), *b);
}

/* box_copy on the host. */
static inline void box_reference(const aval_host *host, aval_call *call, const aval_tensor *to, const aval_tensor *from, const box *b)
{
    int64_t count = product(b->dims, b->rank);
    for (int64_t i = 0; i < count; i++) {
        int64_t rest = i, t = b->to_first, f = b->from_first;
        for (uint32_t a = b->rank; a-- > 0;) {
            t += rest % b->dims[a] * b->to[a];
            f += rest % b->dims[a] * b->from[a];
            rest /= b->dims[a];
        }
        move_element(host, call, to, t, from, f);
    }
}

#endif
