/* Where buffers lie that are not all alive at once: no two that overlap in time may overlap in space, in as few bytes as possible.
 * Dynamic storage allocation is NP-hard, so two heuristics are tried and the smaller result is taken: largest first at the lowest
 * free offset (Pisarchyk and Lee 2020, "greedy by size"), which is close to the optimum but quadratic and so for plans of usual size
 * only; and a free list over time with bins by size, which is linear. */
#include "plan/planner.h"

#include <stdlib.h>
#include <string.h>

#define MOST_BY_SIZE 4096 /* intervals up to which the quadratic way is taken */
#define NO_BLOCK UINT32_MAX

/* The lowest offset from `offset` on at which `bytes` do not cross a multiple of the span. */
static uint64_t within_span(uint64_t offset, uint64_t bytes, uint64_t span_bytes)
{
    return offset % span_bytes + bytes > span_bytes ? aval__align(offset, span_bytes) : offset;
}

/* ---- Largest first ------------------------------------------------------------------------------------------------------------------------- */

static int by_size(const void *a, const void *b)
{
    const aval__interval *x = *(aval__interval *const *)a, *y = *(aval__interval *const *)b;
    if (x->bytes != y->bytes) return x->bytes > y->bytes ? -1 : 1;
    uint32_t life_x = x->last - x->first, life_y = y->last - y->first;
    if (life_x != life_y) return life_x > life_y ? -1 : 1;
    return x < y ? -1 : x > y;
}

static int assign_by_size(aval__interval *intervals, size_t count, uint64_t span_bytes, uint64_t *total_bytes)
{
    aval__interval **order = aval__alloc_array(count, sizeof *order);
    aval__interval **placed = aval__alloc_array(count, sizeof *placed); /* by offset */
    int status = order && placed ? AVAL_OK : AVAL_E_MEMORY;
    if (status < 0) goto done;
    for (size_t i = 0; i < count; i++) order[i] = &intervals[i];
    qsort(order, count, sizeof *order, by_size);
    *total_bytes = 0;
    for (size_t i = 0; i < count; i++) {
        aval__interval *now = order[i];
        uint64_t offset = 0;
        for (size_t j = 0; j < i; j++) {
            const aval__interval *other = placed[j];
            if (other->first > now->last || other->last < now->first) continue;
            if (within_span(offset, now->bytes, span_bytes) + now->bytes <= other->offset) break;
            if (other->offset + other->bytes > offset) offset = other->offset + other->bytes;
        }
        now->offset = within_span(offset, now->bytes, span_bytes);
        if (now->offset + now->bytes > *total_bytes) *total_bytes = now->offset + now->bytes;
        size_t place = i;
        while (place > 0 && placed[place - 1]->offset > now->offset) placed[place] = placed[place - 1], place--;
        placed[place] = now;
    }
done:
    aval__free(order);
    aval__free(placed);
    return status;
}

/* ---- A free list over time ------------------------------------------------------------------------------------------------------------------ */

/* All space from 0 on is cut into blocks, used or free; neighbours in space know each other.  Free blocks hang in bins by the size's two
   leading bits. */
typedef struct block {
    uint64_t offset, bytes;
    uint32_t before, after; /* in space */
    uint32_t previous, next; /* in the bin */
    bool free;
} block;

#define BINS 128
#define MOST_TRIED 16 /* blocks of one bin that are looked at: the best of them is taken */

typedef struct blocks {
    block *at;
    uint32_t count, last, unused; /* unused: list of block records that were merged away */
    uint32_t bins[BINS];
    uint64_t span_bytes;
} blocks;

static unsigned bin_of(uint64_t bytes)
{
    unsigned log = 63u - (unsigned)__builtin_clzll(bytes | 2);
    return log * 2 + (unsigned)(bytes >> (log - 1) & 1);
}

static void bin_add(blocks *b, uint32_t i)
{
    uint32_t *head = &b->bins[bin_of(b->at[i].bytes)];
    b->at[i].free = true;
    b->at[i].previous = NO_BLOCK;
    b->at[i].next = *head;
    if (*head != NO_BLOCK) b->at[*head].previous = i;
    *head = i;
}

static void bin_remove(blocks *b, uint32_t i)
{
    block *k = &b->at[i];
    if (k->previous != NO_BLOCK) b->at[k->previous].next = k->next;
    else b->bins[bin_of(k->bytes)] = k->next;
    if (k->next != NO_BLOCK) b->at[k->next].previous = k->previous;
    k->free = false;
}

static uint32_t new_block(blocks *b, uint64_t offset, uint64_t bytes, uint32_t before, uint32_t after)
{
    uint32_t i = b->unused;
    if (i != NO_BLOCK) b->unused = b->at[i].next;
    else i = b->count++;
    b->at[i] = (block){ .offset = offset, .bytes = bytes, .before = before, .after = after };
    if (before != NO_BLOCK) b->at[before].after = i;
    if (after != NO_BLOCK) b->at[after].before = i;
    else b->last = i;
    return i;
}

static void drop_block(blocks *b, uint32_t i)
{
    uint32_t before = b->at[i].before, after = b->at[i].after;
    if (before != NO_BLOCK) b->at[before].after = after;
    if (after != NO_BLOCK) b->at[after].before = before;
    else b->last = before;
    b->at[i].next = b->unused;
    b->unused = i;
}

/* Two free neighbours become one, unless a span ends between them. */
static uint32_t join(blocks *b, uint32_t low, uint32_t high)
{
    if (low == NO_BLOCK || high == NO_BLOCK || !b->at[low].free || !b->at[high].free) return low;
    if (b->at[high].offset % b->span_bytes == 0) return high;
    bin_remove(b, low);
    bin_remove(b, high);
    b->at[low].bytes += b->at[high].bytes;
    drop_block(b, high);
    bin_add(b, low);
    return low;
}

static void give_back(blocks *b, uint32_t i)
{
    bin_add(b, i);
    join(b, i, b->at[i].after);
    join(b, b->at[i].before, i);
}

static uint32_t find_free(const blocks *b, uint64_t bytes)
{
    for (unsigned bin = bin_of(bytes); bin < BINS; bin++) {
        uint32_t best = NO_BLOCK;
        int tried = 0;
        for (uint32_t i = b->bins[bin]; i != NO_BLOCK && tried < MOST_TRIED; i = b->at[i].next, tried++)
            if (b->at[i].bytes >= bytes && (best == NO_BLOCK || b->at[i].bytes < b->at[best].bytes)) best = i;
        if (best != NO_BLOCK) return best;
    }
    return NO_BLOCK;
}

/* New space at the end; a free block there grows first, and what is left of a span that is too short stays free. */
static uint32_t extend(blocks *b, uint64_t bytes)
{
    uint32_t last = b->last;
    uint64_t end = last == NO_BLOCK ? 0 : b->at[last].offset + b->at[last].bytes;
    if (last != NO_BLOCK && b->at[last].free && within_span(b->at[last].offset, bytes, b->span_bytes) == b->at[last].offset) {
        bin_remove(b, last);
        b->at[last].bytes = bytes;
        return last;
    }
    uint64_t offset = within_span(end, bytes, b->span_bytes);
    if (offset > end) {
        bin_add(b, new_block(b, end, offset - end, last, NO_BLOCK));
        join(b, last, b->last);
    }
    return new_block(b, offset, bytes, b->last, NO_BLOCK);
}

static uint32_t take(blocks *b, uint64_t bytes)
{
    uint32_t i = find_free(b, bytes);
    if (i == NO_BLOCK) return extend(b, bytes);
    bin_remove(b, i);
    uint64_t left = b->at[i].bytes - bytes;
    b->at[i].bytes = bytes;
    if (left > 0) bin_add(b, new_block(b, b->at[i].offset + bytes, left, i, b->at[i].after));
    return i;
}

static int assign_over_time(aval__interval *intervals, size_t count, uint32_t n_positions, uint64_t span_bytes, uint64_t *total_bytes)
{
    blocks b = { .last = NO_BLOCK, .unused = NO_BLOCK, .span_bytes = span_bytes };
    uint32_t *next_ending = aval__alloc_array(count, sizeof *next_ending); /* lists of intervals by the position of their end */
    uint32_t *ending = aval__alloc_array((size_t)n_positions, sizeof *ending);
    uint32_t *block_of = aval__alloc_array(count, sizeof *block_of);
    b.at = aval__alloc_array(3 * count + 3, sizeof *b.at);
    int status = next_ending && ending && block_of && b.at ? AVAL_OK : AVAL_E_MEMORY;
    if (status < 0) goto done;
    for (int i = 0; i < BINS; i++) b.bins[i] = NO_BLOCK;
    for (uint32_t i = 0; i < n_positions; i++) ending[i] = NO_BLOCK;
    uint32_t position = 0;
    *total_bytes = 0;
    for (uint32_t i = 0; i < count; i++) {
        for (; position < intervals[i].first; position++)
            for (uint32_t j = ending[position]; j != NO_BLOCK; j = next_ending[j]) give_back(&b, block_of[j]);
        uint32_t got = block_of[i] = take(&b, intervals[i].bytes);
        intervals[i].offset = b.at[got].offset;
        if (intervals[i].offset + intervals[i].bytes > *total_bytes) *total_bytes = intervals[i].offset + intervals[i].bytes;
        next_ending[i] = ending[intervals[i].last];
        ending[intervals[i].last] = i;
    }
done:
    aval__free(next_ending);
    aval__free(ending);
    aval__free(block_of);
    aval__free(b.at);
    return status;
}

int aval__offsets_assign(aval__interval *intervals, size_t count, uint32_t n_positions, uint64_t span_bytes, uint64_t live_bytes,
                         uint64_t *total_bytes)
{
    uint64_t by_size_bytes;
    *total_bytes = 0;
    if (count == 0) return AVAL_OK;
    AVAL__TRY(assign_over_time(intervals, count, n_positions, span_bytes, total_bytes));
    if (count > MOST_BY_SIZE || *total_bytes <= live_bytes) return AVAL_OK;
    aval__interval *other = aval__alloc_array(count, sizeof *other);
    if (!other) return AVAL_E_MEMORY;
    memcpy(other, intervals, count * sizeof *other);
    int status = assign_by_size(other, count, span_bytes, &by_size_bytes);
    if (status >= 0 && by_size_bytes < *total_bytes) {
        memcpy(intervals, other, count * sizeof *other);
        *total_bytes = by_size_bytes;
    }
    aval__free(other);
    return status;
}
