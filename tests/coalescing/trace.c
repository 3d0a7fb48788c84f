/* Runs a kernel that clang compiled for the host, one work-item after the other between barriers, and counts what a GPU would fetch: run.py calls it.
 *
 * clang calls __sanitizer_cov_load and _store before each access.  The k-th time that 32 neighbouring work-items come by the same one is one access of theirs:
 *   buffers       how many segments of 128 bytes it touches, against the least that could hold its bytes
 *   local memory  how many turns its words take, when 32 banks of 4 bytes give a word each a turn, against the least
 * What lies on a work-item's own stack is private and not counted. */
#define _GNU_SOURCE
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#define MOST_ITEMS 256
#define STACK_BYTES (64 << 10)
#define MOST_BUFFERS 16
#define LANES 32
#define SEGMENT 128
#define BANKS 32

typedef struct access {
    uintptr_t place; /* in the code */
    uintptr_t at; /* in memory */
    uint32_t item, bytes, turn; /* turn: how often the item was there before */
    int buffer; /* number, MOST_BUFFERS: local memory */
    bool written;
} access;

typedef struct counts {
    uint64_t took, least;
} counts;

static struct {
    size_t local[3], group[3], global[3];
    ucontext_t scheduler, items[MOST_ITEMS];
    unsigned char *stacks;
    bool done[MOST_ITEMS];
    uint32_t n_items, current;
    void (*kernel)(void *);
    void *block;
    uintptr_t from[MOST_BUFFERS], end[MOST_BUFFERS];
    int n_buffers;
    access *log;
    size_t n_log, room;
    counts found[MOST_BUFFERS + 1][2]; /* read, written */
} run;

/* ---- What kernels call; the names are those of OpenCL C's functions ------------------------------------------------------------------ */

static size_t local_id(unsigned axis)
{
    size_t below = 1;
    for (unsigned i = 0; i < axis; i++) below *= run.local[i];
    return run.current / below % run.local[axis];
}

size_t get_local_id(unsigned axis) __asm__("_Z12get_local_idj");
size_t get_local_id(unsigned axis)
{
    return axis < 3 ? local_id(axis) : 0;
}

size_t get_global_id(unsigned axis) __asm__("_Z13get_global_idj");
size_t get_global_id(unsigned axis)
{
    return axis < 3 ? run.group[axis] * run.local[axis] + local_id(axis) : 0;
}

size_t get_global_size(unsigned axis) __asm__("_Z15get_global_sizej");
size_t get_global_size(unsigned axis)
{
    return axis < 3 ? run.global[axis] : 1;
}

void barrier(unsigned flags) __asm__("_Z7barrierj");
void barrier(unsigned flags)
{
    (void)flags;
    swapcontext(&run.items[run.current], &run.scheduler);
}

/* ---- Accesses ------------------------------------------------------------------------------------------------------------------------ */

static void note(const void *address, uint32_t bytes, bool written, uintptr_t place)
{
    const uintptr_t at = (uintptr_t)address, stacks = (uintptr_t)run.stacks, block = (uintptr_t)run.block;
    int buffer = MOST_BUFFERS;
    if (at >= stacks && at < stacks + (uintptr_t)MOST_ITEMS * STACK_BYTES) return;
    if (at >= block && at < block + 4096) return;
    for (int i = 0; i < run.n_buffers; i++) {
        if (at >= run.from[i] && at < run.end[i]) buffer = i;
    }
    if (run.n_log == run.room) {
        run.room = run.room > 0 ? 2 * run.room : 1 << 16;
        run.log = realloc(run.log, run.room * sizeof *run.log);
        if (run.log == NULL) abort();
    }
    run.log[run.n_log++] = (access){
        .place = place, .at = at, .item = run.current, .bytes = bytes, .turn = (uint32_t)run.n_log, .buffer = buffer, .written = written
    };
}
#define NOTE(bytes) \
    void __sanitizer_cov_load##bytes(void *at) \
    { \
        note(at, bytes, false, (uintptr_t)__builtin_return_address(0)); \
    } \
    void __sanitizer_cov_store##bytes(void *at) \
    { \
        note(at, bytes, true, (uintptr_t)__builtin_return_address(0)); \
    }
NOTE(1)
NOTE(2)
NOTE(4)
NOTE(8)
NOTE(16)
void __sanitizer_cov_trace_pc_guard(uint32_t *guard)
{
    (void)guard;
}
void __sanitizer_cov_trace_pc_guard_init(uint32_t *start, uint32_t *stop)
{
    (void)start, (void)stop;
}

#define COMPARE(x, y) \
    if ((x) != (y)) return (x) < (y) ? -1 : 1

static int by_item(const void *x, const void *y)
{
    const access *a = x, *b = y;
    COMPARE(a->place, b->place);
    COMPARE(a->item, b->item);
    COMPARE(a->turn, b->turn);
    return 0;
}

static int by_turn(const void *x, const void *y)
{
    const access *a = x, *b = y;
    COMPARE(a->place, b->place);
    COMPARE(a->turn, b->turn);
    COMPARE(a->item, b->item);
    return 0;
}

static int by_address(const void *x, const void *y)
{
    const access *a = x, *b = y;
    COMPARE(a->at, b->at);
    return 0;
}

/* `some`, sorted by address, as segments of `unit` bytes: how many, and the least that hold as many bytes. */
static void count_segments(const access *some, size_t count, counts *c)
{
    uintptr_t end = 0, last = UINTPTR_MAX;
    uint64_t bytes = 0;
    for (size_t i = 0; i < count; i++) {
        const uintptr_t from = some[i].at > end ? some[i].at : end, to = some[i].at + some[i].bytes;
        for (uintptr_t s = some[i].at / SEGMENT; s <= (to - 1) / SEGMENT; s++) {
            if (last == UINTPTR_MAX || s > last) {
                c->took++;
                last = s;
            }
        }
        if (to > from) bytes += to - from;
        if (to > end) end = to;
    }
    c->least += (bytes + SEGMENT - 1) / SEGMENT;
}

/* Local memory: words of one bank, other than the same word, wait for each other. */
static void count_banks(const access *some, size_t count, counts *c)
{
    uint64_t turns[BANKS] = { 0 }, most = 1;
    uintptr_t last = UINTPTR_MAX;
    for (size_t i = 0; i < count; i++) {
        for (uintptr_t word = some[i].at / 4; word <= (some[i].at + some[i].bytes - 1) / 4; word++) {
            if (last != UINTPTR_MAX && word <= last) continue;
            last = word;
            if (++turns[word % BANKS] > most) most = turns[word % BANKS];
        }
    }
    c->took += most;
    c->least++;
}

/* The accesses of one place and turn by 32 neighbours; wide ones of local memory are served for fewer of them at a time. */
static void count_together(access *some, size_t count)
{
    counts *c = &run.found[some[0].buffer][some[0].written];
    const bool is_local = some[0].buffer == MOST_BUFFERS;
    const uint32_t lanes = is_local && some[0].bytes > 4 ? LANES * 4 / some[0].bytes : LANES;
    for (size_t i = 0, end; i < count; i = end) {
        for (end = i; end < count && some[end].item / lanes == some[i].item / lanes;) end++;
        qsort(some + i, end - i, sizeof *some, by_address);
        if (is_local) count_banks(some + i, end - i, c);
        else count_segments(some + i, end - i, c);
    }
}

static void count_all(void)
{
    access *log = run.log;
    qsort(log, run.n_log, sizeof *log, by_item);
    for (size_t i = 0, turn = 0; i < run.n_log; i++) {
        turn = i > 0 && log[i].place == log[i - 1].place && log[i].item == log[i - 1].item ? turn + 1 : 0;
        log[i].turn = (uint32_t)turn;
    }
    qsort(log, run.n_log, sizeof *log, by_turn);
    for (size_t i = 0, end; i < run.n_log; i = end) {
        for (end = i; end < run.n_log && log[end].place == log[i].place && log[end].turn == log[i].turn &&
                      log[end].buffer == log[i].buffer && log[end].item / LANES == log[i].item / LANES;)
            end++;
        count_together(log + i, end - i);
    }
    run.n_log = 0;
}

/* ---- Work-groups --------------------------------------------------------------------------------------------------------------------- */

static void work_item(void)
{
    run.kernel(run.block);
    run.done[run.current] = true;
}

static void run_group(void)
{
    for (uint32_t i = 0; i < run.n_items; i++) {
        getcontext(&run.items[i]);
        run.items[i].uc_stack.ss_sp = run.stacks + (size_t)i * STACK_BYTES;
        run.items[i].uc_stack.ss_size = STACK_BYTES;
        run.items[i].uc_link = &run.scheduler;
        makecontext(&run.items[i], work_item, 0);
        run.done[i] = false;
    }
    for (bool any = true; any;) {
        any = false;
        for (run.current = 0; run.current < run.n_items; run.current++) {
            if (run.done[run.current]) continue;
            swapcontext(&run.scheduler, &run.items[run.current]);
            any |= !run.done[run.current];
        }
    }
    count_all();
}

/* Runs all work-groups of a launch.  `block` [4096 bytes] holds the arguments, eight bytes each; `found` [n_buffers + 1, 2 (read, written), 2 (took,
   least)], the last row for local memory. */
void trace_launch(void (*kernel)(void *), void *block, const uint64_t *global, const uint64_t *local, const uint64_t *buffers,
                  const uint64_t *bytes, int n_buffers, uint64_t *found)
{
    memset(run.found, 0, sizeof run.found);
    run.kernel = kernel;
    run.block = block;
    run.n_buffers = n_buffers;
    run.n_items = 1;
    if (run.stacks == NULL) run.stacks = malloc((size_t)MOST_ITEMS * STACK_BYTES);
    for (int i = 0; i < n_buffers; i++) {
        run.from[i] = (uintptr_t)buffers[i];
        run.end[i] = (uintptr_t)(buffers[i] + bytes[i]);
    }
    for (int i = 0; i < 3; i++) {
        run.global[i] = global[i];
        run.local[i] = local[i];
        run.n_items *= (uint32_t)local[i];
    }
    if (run.stacks == NULL || run.n_items > MOST_ITEMS) abort();
    for (run.group[2] = 0; run.group[2] < global[2] / local[2]; run.group[2]++)
        for (run.group[1] = 0; run.group[1] < global[1] / local[1]; run.group[1]++)
            for (run.group[0] = 0; run.group[0] < global[0] / local[0]; run.group[0]++) run_group();
    for (int i = 0; i <= n_buffers; i++) {
        const counts *row = run.found[i < n_buffers ? i : MOST_BUFFERS];
        const uint64_t four[] = { row[0].took, row[0].least, row[1].took, row[1].least };
        memcpy(found + 4 * i, four, sizeof four);
    }
}
