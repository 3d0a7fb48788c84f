/* Matrix products on GPUs by our own kernels (kernels/gemm_groups.cl), recorded as ordinary launches: all that CLBlast does not do, which is patches of an
 * image without an im2col buffer, halves on any device, integers, and batches in one launch.  What is chosen depends on shapes and device_info
 * alone, so that a plan repeats. */
#include "device/gemm_record.h"
#include "device/tuning.h"
#include "gemm_groups.cl.h"

#include <string.h>

/* Tiles of c that a work-group can make, as in gemm_groups.cl.  `cost` is what a product takes in it over what it takes in the largest: a work-item of the
   first reads 12 elements of local memory for 32 products, of the others 8 for 16; the smallest reads as much again of global memory. */
typedef struct tile {
    int64_t side, blocks;
    double cost;
} tile;
static const tile tiles[] = { { 16, 2, 1.0 }, { 16, 1, 1.3 }, { 8, 1, 1.8 } };
#define N_TILES (sizeof tiles / sizeof tiles[0])

/* Of a row of an operand that is walked along k: a cache line or two sectors of one.  Twice as many leave no registers for sums on Intel's, and this many leave
   none where the sums take eight bytes and few work-items share the fetching. */
#define STEP_BYTES 64
#define GROUPS_PER_UNIT 2 /* that a compute unit hides its memory's latency with */
#define LEAST_PART 256 /* products in a part of a sum: with fewer, storing and adding up the parts costs more than it gains */
#define MOST_PARTS_BYTES ((uint64_t)64 << 20) /* of sums that wait to be added up */

typedef struct layout {
    aval_gemm g; /* c row-major, batch at least 1 */
    const tile *t;
    int64_t k_steps; /* TK */
    int64_t tile_rows, tile_columns; /* tiles of c */
    int64_t summed, matrices; /* matrices that are added up, and results */
    int64_t steps; /* of k_steps, over all summed matrices */
    int64_t parts, part_steps;
    bool a_along_k, b_along_k;
} layout;

static int64_t step_of(const tile *t, uint32_t bytes)
{
    return STEP_BYTES / bytes / (bytes == 8 && t->side == 8 ? 2 : 1);
}

/* Both tiles with their padding, and the table of patches. */
static uint64_t local_bytes(const tile *t, uint32_t bytes, bool patches)
{
    int64_t rows = 4 * t->blocks * t->side, columns = 4 * t->side, steps = step_of(t, bytes), table = columns > steps ? columns : steps;
    return (uint64_t)(steps * (rows + columns) + 4 * steps) * bytes + (patches ? (uint64_t)table * 16 : 0);
}

/* Sums of eight bytes do not fit the registers of all GPUs in the largest tile, nor, beside the places in an image, in the next one. */
static bool tile_fits(const aval_device_info *info, const tile *t, uint32_t bytes, bool patches)
{
    if ((uint64_t)(t->side * t->side) > info->max_group || local_bytes(t, bytes, patches) > info->local_bytes) return false;
    return bytes == 4 || (t->blocks == 1 && (t->side == 8 || !patches));
}

static int64_t wanted_groups(const aval_device_info *info)
{
    return GROUPS_PER_UNIT * unit_count(info);
}

static int64_t tile_count(const layout *l, const tile *t)
{
    return divide_up(l->g.m, 4 * t->blocks * t->side) * divide_up(l->g.n, 4 * t->side);
}

/* How many parts the sum can be made in. */
static int64_t most_parts(const layout *l, int type)
{
    uint64_t one = (uint64_t)l->g.m * (uint64_t)l->g.n * (uint64_t)l->matrices * operand_bytes(type);
    int64_t by_memory = (int64_t)(MOST_PARTS_BYTES / (one > 0 ? one : 1)), by_steps = divide_up(l->g.k, LEAST_PART) * l->summed;
    int64_t most = smaller(by_memory, by_steps);
    return most > 1 ? most : 1;
}

/* What a tile's products take, with those beyond the edges of c, and longer where too few groups are there for all compute units. */
static double time_of(const layout *l, const tile *t, const aval_device_info *info, int type)
{
    int64_t tiles_of_c = tile_count(l, t), groups = tiles_of_c * l->matrices * most_parts(l, type), wanted = wanted_groups(info);
    double products = (double)(tiles_of_c * t->blocks * t->side * t->side) * t->cost;
    return products * (groups < wanted ? (double)wanted / (double)groups : 1);
}

static bool lay_out_as(const aval_device_info *info, const aval_gemm *gemm, int type, const aval__variant *variant, layout *l)
{
    int64_t tile_wanted = variant->knobs[AVAL__KNOB_TILE];
    memset(l, 0, sizeof *l);
    uint32_t bytes = operand_bytes(type);
    if (!aval__gemm_normalise(gemm, &l->g) || bytes == 0) return false;
    const aval_gemm *g = &l->g;
    bool patches = g->b.patches != NULL;
    l->a_along_k = !g->a.transposed;
    l->b_along_k = g->b.transposed;
    l->summed = g->sum ? g->batch : 1;
    l->matrices = g->sum ? 1 : g->batch;
    if (g->m == 0 || g->n == 0) return true; /* nothing is launched */
    for (size_t i = 0; i < N_TILES; i++) {
        if (!tile_fits(info, &tiles[i], bytes, patches) || (tile_wanted > 0 && tile_wanted != (int64_t)i + 1)) continue;
        if (l->t == NULL || time_of(l, &tiles[i], info, type) < time_of(l, l->t, info, type)) l->t = &tiles[i];
    }
    if (l->t == NULL) return false;
    l->k_steps = step_of(l->t, bytes);
    l->steps = divide_up(g->k, l->k_steps) * l->summed;
    l->tile_rows = divide_up(g->m, 4 * l->t->blocks * l->t->side);
    l->tile_columns = divide_up(g->n, 4 * l->t->side);
    int64_t usual = divide_up(wanted_groups(info), tile_count(l, l->t) * l->matrices);
    int64_t parts = smaller(most_parts(l, type), aval__knob_or(variant, AVAL__KNOB_PARTS, usual));
    l->part_steps = divide_up(l->steps, parts);
    l->parts = divide_up(l->steps, l->part_steps > 0 ? l->part_steps : 1);
    return true;
}

/* As it was tuned, where that can be. */
static bool lay_out(const aval_device_info *info, const aval_gemm *gemm, int type, layout *l)
{
    const aval__variant tuned = aval__tuning_find(info, gemm, type, &aval__gemm_groups), untuned = { 0 };
    return lay_out_as(info, gemm, type, &tuned, l) || lay_out_as(info, gemm, type, &untuned, l);
}

/* ---- Recording ---------------------------------------------------------------------------------------------------------------- */

static void push_operand(aval__gemm_launch *to, const aval_operand *o)
{
    push(to, (aval_arg)AVAL_READ(o->tensor));
    LONGS(to, o->offset, o->batch_stride);
}

/* The strides of a row and a column. */
static void push_strides(aval__gemm_launch *to, const aval_operand *o)
{
    LONGS(to, o->transposed ? 1 : o->ld, o->transposed ? o->ld : 1);
}

static void push_b(aval__gemm_launch *to, const aval_operand *b)
{
    const aval_patches *p = b->patches;
    push_operand(to, b);
    if (p == NULL) {
        push_strides(to, b);
        return;
    }
    INTS(to, b->transposed != 0);
    const int64_t *const geometry[] = { p->in, p->kernel, p->stride, p->pad, p->dilation };
    for (size_t i = 0; i < sizeof geometry / sizeof geometry[0]; i++) push_ints(to, geometry[i], 3);
    INTS(to, p->out[1], p->out[2]);
}

static void push_c(aval__gemm_launch *to, const aval_gemm *g)
{
    push_result(to, g->c.tensor, g->beta);
    LONGS(to, g->c.offset, g->c.batch_stride, g->c.ld);
}

static int launch_groups(const layout *l, aval__gemm_launch *to, const char *kernel, int64_t x, int64_t y, int64_t z, int64_t side)
{
    const aval_define defines[] = {
        { "SIDE", l->t->side },        { "BLOCKS", l->t->blocks },    { "TK", l->k_steps },      { "PATCHES", l->g.b.patches != NULL },
        { "A_ALONG_K", l->a_along_k }, { "B_ALONG_K", l->b_along_k }, { "SPLIT", l->parts > 1 },
    };
    return launch(to, kernel, x, y, z, side, defines, sizeof defines / sizeof defines[0]);
}

static int record_tiles(const layout *l, aval__gemm_launch *to)
{
    const aval_gemm *g = &l->g;
    if (l->parts > 1) push(to, (aval_arg)AVAL_UPDATE(to->scratch));
    else push_c(to, g);
    push_operand(to, &g->a);
    push_strides(to, &g->a);
    push_b(to, &g->b);
    INTS(to, g->m, g->n, g->k, l->summed, l->parts, l->part_steps);
    push_scales(to, g->alpha, g->beta);
    to->flops = 2.0 * (double)g->m * (double)g->n * (double)g->k * (double)g->batch;
    return launch_groups(l, to, "gemm_groups", l->tile_columns * l->t->side, l->tile_rows * l->t->side, l->matrices * l->parts, l->t->side);
}

static int record_sums(const layout *l, aval__gemm_launch *to)
{
    const aval_gemm *g = &l->g;
    push_c(to, g);
    push(to, (aval_arg)AVAL_READ(to->scratch));
    INTS(to, g->m, g->n, l->parts);
    push_scales(to, g->alpha, g->beta);
    return launch_groups(l, to, "add_parts", g->m * g->n, l->matrices, 1, 1);
}

/* ---- The provider --------------------------------------------------------------------------------------------------------------- */

/* Counts are int in the kernels. */
static bool sizes_fit(const aval_gemm *g)
{
    if (!fits_int(g->m) || !fits_int(g->n) || !fits_int(g->k) || !fits_int(g->batch) || g->batch * g->k > INT32_MAX / 4) return false;
    const aval_patches *p = g->b.patches;
    return p == NULL || fits_int(p->channels * p->in[0] * p->in[1] * p->in[2]);
}

static int supports(const aval_device_info *info, const aval_gemm *gemm, int type)
{
    layout l;
    if (operand_bytes(type) == 0 || (type == AVAL_DOUBLE && !info->fp64)) return AVAL_E_UNSUPPORTED;
    if (gemm->k == 0 || !lay_out(info, gemm, type, &l) || !sizes_fit(&l.g)) return AVAL_E_UNSUPPORTED;
    return AVAL_OK;
}

static uint64_t scratch_bytes(const aval_device_info *info, const aval_gemm *gemm, int type, unsigned packed)
{
    layout l;
    (void)packed;
    if (!lay_out(info, gemm, type, &l) || l.g.m == 0 || l.g.n == 0 || l.parts <= 1) return 0;
    return (uint64_t)(l.matrices * l.parts * l.g.m * l.g.n) * operand_bytes(type);
}

static int record(const aval_device_info *info, const aval_gemm *gemm, int type, const aval_tensor *scratch,
                  const aval_tensor *const *packed, bool tail, aval_call *call)
{
    layout l;
    (void)packed;
    (void)tail;
    if (!lay_out(info, gemm, type, &l)) return aval__fail(AVAL_E_INTERNAL, "groups was given a product that it does not do");
    if (l.g.m == 0 || l.g.n == 0) return AVAL_OK;
    aval__gemm_launch to = { .call = call, .scratch = scratch, .type = type };
    AVAL__TRY(record_tiles(&l, &to));
    return l.parts > 1 ? record_sums(&l, &to) : AVAL_OK;
}

/* ---- What may be chosen by measuring ---------------------------------------------------------------------------------------------- */

static bool fits(const aval_device_info *info, const aval_gemm *gemm, int type, const aval__variant *variant)
{
    layout l;
    int64_t parts = variant->knobs[AVAL__KNOB_PARTS];
    return lay_out_as(info, gemm, type, variant, &l) && (parts == 0 || l.parts == parts);
}

static const aval__knob_range ranges[] = { { AVAL__KNOB_TILE, { 1, 2, 3 } }, { AVAL__KNOB_PARTS, { 1, 2, 3, 4, 6, 8, 16 } } };

static const aval__tuner tuner = { .ranges = ranges, .n_ranges = sizeof ranges / sizeof *ranges, .fits = fits };

static const aval_kernel_source source = { .name = "gemm_groups.cl", .text = gemm_groups_cl };

const aval__gemm_provider aval__gemm_groups = {
    .name = "groups", .supports = supports, .scratch_bytes = scratch_bytes, .record = record, .source = &source, .tuner = &tuner
};
