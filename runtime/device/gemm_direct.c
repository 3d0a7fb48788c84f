/* Matrix products with the patches of images in groups on CPU devices, all groups in one launch: kernels/direct.cl, which see for how.  Convolution, also
 * that by which its gradient by the images is made, is the first kind, its gradient by the filters the second:
 *   windows  c[image, group] = a[group] patches(image, group)
 *   filters  c[group] = sum over images of a[image, group] patches(image, group)'
 * and, where channels lie in blocks, windows of groups of one channel and one map.
 * What is chosen here depends on shapes and device_info alone, so that a plan repeats. */
#include "device/gemm_record.h"
#include "direct.cl.h"

#include <string.h>

#define BAND_BYTES ((int64_t)48 << 10) /* of copies and sums that a work-item goes through at a time, in its second-level cache */
#define RUN_BYTES ((int64_t)8 << 10) /* of small planes that it goes through together, in its nearest cache */
#define LEAST_SLICES 4 /* of a band that is made for work-items to have something to do */
#define ITEMS_PER_UNIT 4 /* work-items for each compute unit, so that none waits for long at the end */
#define MOST 32 /* channels and maps of a group, above which its matrices are worth a product of their own */
#define FEW 8 /* channels or maps, below which they never are */
#define ALIGNMENT 128
#define MOST_WINDOWS 8 /* of a tile of windows whose channels lie in blocks */
#define MOST_KNOWN 7 /* taps along a row that kernels are compiled for */
#define NEAR_BYTES ((int64_t)16 << 10) /* of their results that a tail finds in the nearest cache */

typedef struct layout {
    aval_gemm g;
    aval_patches p; /* the first axis is one that has a length */
    bool over_filters; /* else over windows */
    int64_t bytes, vector; /* of an element as it is computed; elements of V in direct.cl */
    int64_t rows, vectors; /* of a tile: MR, NV */
    int64_t slices, plane_rows, pitch; /* of a sheet, see planes.clh */
    int64_t sheets; /* of a copy of a channel */
    int64_t band_slices, bands;
    int64_t run_groups, runs; /* of groups that are gone through at a time */
    int64_t parts, part_images; /* over filters */
    int64_t units, item_units, items;
    int64_t copy_step, sums_step; /* elements */
    int64_t places_at, sums_at, copy_at, item_bytes; /* of a work-item's scratch */
    int64_t parts_bytes; /* before those of the work-items */
} layout;

/* Images of one or two axes have these first and last. */
static aval_patches turn_axes(const aval_patches *p)
{
    aval_patches turned = *p;
    if (p->in[0] != 1 || p->kernel[0] != 1 || p->out[0] != 1 || p->pad[0] != 0) return turned;
    int64_t *const axes[] = { turned.in, turned.kernel, turned.stride, turned.pad, turned.dilation, turned.out };
    for (size_t i = 0; i < sizeof axes / sizeof *axes; i++) {
        const int64_t first = axes[i][0];
        axes[i][0] = axes[i][1];
        axes[i][1] = first;
    }
    return turned;
}

/* SPAN, SEEN and SHEET of planes.clh. */
static int64_t span_of(const aval_patches *p, int axis)
{
    return (p->kernel[axis] - 1) * p->dilation[axis] + 1;
}

static int64_t seen_of(const aval_patches *p, int axis)
{
    return smaller(p->stride[axis], span_of(p, axis));
}

static int64_t sheet_of(const aval_patches *p, int axis, int64_t windows)
{
    return windows + (span_of(p, axis) - 1) / seen_of(p, axis);
}

/* Sums, the vectors of a step and a factor fill the registers. */
static void lay_out_tile(layout *l, const aval_device_info *info)
{
    const bool wide = aval__vector_floats(info) == 16;
    l->vector = l->bytes == 8 ? 8 : 16;
    if (l->over_filters) {
        l->rows = wide ? 9 : 5;
        l->vectors = 1;
    } else {
        l->rows = l->g.m == 1 ? 1 : l->g.m == 2 ? 2 : l->g.m <= 4 || !wide ? 4 : 8;
        l->vectors = l->rows == 1 || (wide && l->rows < 8) ? 4 : l->rows == 4 ? 1 : 2;
    }
}

/* Bands of planes as large as the cache takes, or several groups of planes that are smaller, but so few that all work-items have something to do. */
static void lay_out_bands(layout *l, int64_t items)
{
    const aval_gemm *g = &l->g;
    const aval_patches *p = &l->p;
    const int64_t slice = l->plane_rows * l->pitch, sums = l->over_filters ? 0 : divide_up(g->m, l->rows) * l->rows;
    const int64_t bytes = (p->channels * l->sheets * seen_of(p, 0) + sums) * slice * p->out[0] * l->bytes;
    l->bands = smaller(p->out[0], divide_up(bytes, BAND_BYTES));
    const int64_t wanted = smaller(divide_up(items, g->batch), p->out[0] / LEAST_SLICES);
    if (!l->over_filters && l->bands < wanted) l->bands = wanted;
    l->band_slices = divide_up(p->out[0], l->bands);
    l->bands = divide_up(p->out[0], l->band_slices);
    l->slices = sheet_of(p, 0, l->band_slices);
    l->copy_step = l->sheets * seen_of(p, 0) * l->slices * slice;
    int64_t few = (l->over_filters ? g->groups : g->batch) / items, run = smaller(RUN_BYTES / bytes, few);
    l->runs = l->bands > 1 || run < 1 ? g->groups : divide_up(g->groups, run);
    l->run_groups = divide_up(g->groups, l->runs);
    l->runs = divide_up(g->groups, l->run_groups);
}

static int64_t take(int64_t *end, int64_t bytes)
{
    int64_t at = *end;
    *end += divide_up(bytes, ALIGNMENT) * ALIGNMENT;
    return at;
}

static void lay_out_windows(layout *l, int64_t items)
{
    const aval_gemm *g = &l->g;
    const aval_patches *p = &l->p;
    const int64_t tile = l->vectors * l->vector, rows = divide_up(g->m, l->rows) * l->rows;
    l->pitch = sheet_of(p, 2, p->out[2]);
    l->plane_rows = sheet_of(p, 1, p->out[1]);
    l->sheets = seen_of(p, 1) * seen_of(p, 2);
    lay_out_bands(l, items);
    l->units = g->batch / g->groups * l->runs * l->bands;
    l->sums_step = divide_up(l->band_slices * l->plane_rows * l->pitch, tile) * tile;
    take(&l->item_bytes, l->run_groups * rows * g->k * l->bytes);
    l->places_at = take(&l->item_bytes, g->k * 4);
    l->sums_at = take(&l->item_bytes, l->run_groups * rows * l->sums_step * l->bytes);
    l->copy_at = take(&l->item_bytes, (l->run_groups * p->channels * l->copy_step + tile) * l->bytes);
}

static void lay_out_filters(layout *l, int64_t items)
{
    const aval_gemm *g = &l->g;
    const aval_patches *p = &l->p;
    const int64_t images = g->batch / g->groups;
    l->pitch = p->out[2];
    l->plane_rows = p->out[1];
    l->sheets = p->kernel[1] * p->kernel[2];
    lay_out_bands(l, items);
    l->part_images = divide_up(images, smaller(images, divide_up(items, g->groups)));
    l->parts = divide_up(images, l->part_images);
    l->units = l->parts * l->runs;
    take(&l->parts_bytes, l->parts * g->groups * g->m * g->n * l->bytes);
    take(&l->item_bytes, g->n * 4);
    l->sums_at = take(&l->item_bytes, l->run_groups * g->m * g->n * l->vector * l->bytes);
    l->copy_at = take(&l->item_bytes, (l->run_groups * p->channels * l->copy_step + l->vector) * l->bytes);
}

static bool lay_out(const aval_device_info *info, const aval_gemm *gemm, int type, layout *l)
{
    const int64_t items = ITEMS_PER_UNIT * unit_count(info);
    memset(l, 0, sizeof *l);
    if (!aval__gemm_normalise(gemm, &l->g)) return false;
    l->p = turn_axes(l->g.b.patches);
    l->bytes = type == AVAL_DOUBLE ? 8 : 4;
    l->over_filters = l->g.b.transposed;
    lay_out_tile(l, info);
    if (l->over_filters) lay_out_filters(l, items);
    else lay_out_windows(l, items);
    l->item_units = divide_up(l->units, items);
    l->items = divide_up(l->units, l->item_units);
    return true;
}

/* ---- Recording ---------------------------------------------------------------------------------------------------------------------- */

static int launch_items(aval__gemm_launch *to, const layout *l, const char *kernel, int64_t items, bool tail)
{
    const aval_define defines[] = { { "MR", l->rows }, { "NV", l->vectors }, { "TAIL", 1 } };
    return launch(to, kernel, items, 1, 1, 1, defines, sizeof defines / sizeof defines[0] - !tail);
}

static void push_image(aval__gemm_launch *to, const layout *l)
{
    push(to, (aval_arg)AVAL_READ(l->g.b.tensor));
    LONGS(to, l->g.b.offset);
    push(to, (aval_arg)AVAL_READ(l->g.a.tensor));
    LONGS(to, l->g.a.offset, l->g.a.batch_stride);
}

/* WINDOW_PARAMETERS of window.clh. */
static void push_window(aval__gemm_launch *to, const aval_patches *p)
{
    const int64_t *const axes[] = { p->in, p->kernel, p->stride, p->pad, p->dilation, p->out };
    for (size_t i = 0; i < sizeof axes / sizeof *axes; i++) push_ints(to, axes[i], 3);
}

static void push_scratch(aval__gemm_launch *to)
{
    push(to, (aval_arg)AVAL_UPDATE(to->scratch));
}

static int record_windows(aval__gemm_launch *to, const layout *l, bool tail)
{
    const aval_gemm *g = &l->g;
    push_result(to, g->c.tensor, g->beta);
    LONGS(to, g->c.offset, g->c.batch_stride, g->c.ld);
    push_image(to, l);
    LONGS(to, g->a.transposed ? 1 : g->a.ld, g->a.transposed ? g->a.ld : 1);
    push_scratch(to);
    LONGS(to, l->item_bytes, l->places_at, l->sums_at, l->copy_at);
    INTS(to, l->sums_step, l->copy_step, g->groups, l->run_groups, l->p.channels, g->m, g->k, l->units, l->item_units, l->bands,
         l->band_slices);
    push_window(to, &l->p);
    push_scales(to, g->alpha, g->beta);
    to->flops = 2 * (double)g->m * (double)g->n * (double)g->k * (double)g->batch;
    return launch_items(to, l, "direct_windows", l->items, tail);
}

static int record_filters(aval__gemm_launch *to, const layout *l, bool tail)
{
    const aval_gemm *g = &l->g;
    push_scratch(to);
    LONGS(to, 0, l->parts_bytes, l->item_bytes, l->sums_at, l->copy_at);
    push_image(to, l);
    LONGS(to, g->a.ld);
    INTS(to, l->copy_step, g->groups, l->run_groups, l->p.channels, g->m, g->n, l->units, l->item_units, g->batch / g->groups,
         l->part_images, l->band_slices);
    push_window(to, &l->p);
    to->flops = 2 * (double)g->m * (double)g->n * (double)g->k * (double)g->batch;
    AVAL__TRY(launch_items(to, l, "direct_filters", l->items, false));
    push_result(to, g->c.tensor, g->beta);
    LONGS(to, g->c.offset, g->c.batch_stride, g->c.ld);
    push_scratch(to);
    LONGS(to, 0);
    INTS(to, g->groups, g->m, g->n, l->parts);
    push_scales(to, g->alpha, g->beta);
    return launch_items(to, l, "direct_sum", g->groups * g->m, tail);
}

/* ---- Channels in blocks, each by itself --------------------------------------------------------------------------------------------- */

typedef struct blocked {
    aval_gemm g;
    int64_t bytes; /* of an element as it is computed */
    int64_t windows; /* of a tile: MR */
    int64_t rows, items, band_rows; /* rows of windows: of all planes, and of a band */
    int64_t zeros_at, item_bytes; /* of a work-item's scratch */
} blocked;

/* Windows of a tile: as many as registers take sums of, or fewer where less of a row is computed twice then. */
static int64_t tile_of(const aval_device_info *info, const aval_gemm *g, int64_t bytes)
{
    if (g->beta != 0) return 1; /* nothing is added twice */
    const int64_t registers = aval__vector_floats(info) == 16 ? 32 : 16,
                  vector = divide_up(g->c_block * bytes, aval__vector_floats(info) * 4);
    const int64_t row = g->b.patches->out[2], most = smaller(smaller(MOST_WINDOWS, registers / 2 / vector), row);
    int64_t best = most;
    for (int64_t windows = most - 1; windows > most / 2; windows--)
        if (divide_up(row, windows) * windows < divide_up(row, best) * best) best = windows;
    return best;
}

static void lay_out_blocks(const aval_device_info *info, const aval_gemm *gemm, int type, blocked *l)
{
    const aval_patches *p = gemm->b.patches;
    *l = (blocked){ .bytes = type == AVAL_DOUBLE ? 8 : 4 };
    aval__gemm_normalise(gemm, &l->g);
    l->windows = tile_of(info, &l->g, l->bytes);
    l->rows = l->g.batch / l->g.c_block * p->out[0] * p->out[1];
    l->items = smaller(l->rows, ITEMS_PER_UNIT * unit_count(info));
    const int64_t near = NEAR_BYTES / (p->out[2] * l->g.c_block * l->bytes);
    l->band_rows = near > 0 ? near : 1;
    take(&l->item_bytes, l->g.k * l->g.c_block * l->bytes);
    l->zeros_at = take(&l->item_bytes, l->g.c_block * l->bytes);
}

/* Whether offsets in a block's image and result are ints, and those of what windows see beside it. */
static bool fits_plane(const aval_patches *p, int64_t block)
{
    int64_t in = block, out = block, taps = block;
    for (int i = 0; i < 3; i++) {
        const int64_t pad = p->pad[i] < 0 ? -p->pad[i] : p->pad[i],
                      of_axis[] = { p->in[i], p->kernel[i], p->stride[i], p->dilation[i], p->out[i], pad };
        for (size_t k = 0; k < sizeof of_axis / sizeof *of_axis; k++)
            if (!fits_int(of_axis[k])) return false;
        if (!fits_int(p->out[i] * p->stride[i]) || !fits_int(p->kernel[i] * p->dilation[i])) return false;
        if (!fits_int((p->out[i] * p->stride[i] + p->kernel[i] * p->dilation[i] + pad) * block)) return false;
        in *= p->in[i];
        out *= p->out[i];
        taps *= p->kernel[i];
        if (!fits_int(in) || !fits_int(out) || !fits_int(taps)) return false;
    }
    return true;
}

static bool supports_blocks(const aval_gemm *g)
{
    const aval_patches *p = g->b.patches;
    const int64_t block = g->c_block;
    if ((block != 4 && block != 8 && block != 16) || g->b_block != block || p->channels != 1 || g->m != 1 || g->b.transposed) return false;
    return fits_plane(p, block) && g->b.batch_stride == p->in[0] * p->in[1] * p->in[2] && g->c.batch_stride == g->n && fits_int(g->batch);
}

static int record_blocks(aval__gemm_launch *to, const aval_device_info *info, const aval_gemm *gemm, bool tail)
{
    blocked l;
    lay_out_blocks(info, gemm, to->type, &l);
    const aval_gemm *g = &l.g;
    const aval_patches *p = g->b.patches;
    aval_define defines[6] = { { "MR", l.windows }, { "BLOCK", g->c_block } };
    size_t n_defines = 2;
    if (p->kernel[2] <= MOST_KNOWN) {
        defines[n_defines++] = (aval_define){ "KERNEL_X", p->kernel[2] };
        defines[n_defines++] = (aval_define){ "STRIDE_X", p->stride[2] };
        defines[n_defines++] = (aval_define){ "DILATION_X", p->dilation[2] };
    }
    if (tail) defines[n_defines++] = (aval_define){ "TAIL", 1 };
    push_result(to, g->c.tensor, g->beta);
    LONGS(to, g->c.offset);
    push(to, (aval_arg)AVAL_READ(g->b.tensor));
    LONGS(to, g->b.offset);
    push(to, (aval_arg)AVAL_READ(g->a.tensor));
    LONGS(to, g->a.offset, g->a.batch_stride, g->a.transposed ? g->a.ld : 1);
    push_scratch(to);
    LONGS(to, l.item_bytes, l.zeros_at, l.rows);
    INTS(to, l.items, g->groups / g->c_block, l.band_rows);
    push_window(to, p);
    push_scales(to, g->alpha, g->beta);
    to->flops = 2 * (double)g->n * (double)g->k * (double)g->batch;
    return launch(to, "direct_blocks", l.items, 1, 1, 1, defines, n_defines);
}

/* ---- The provider ------------------------------------------------------------------------------------------------------------------- */

static int supports(const aval_device_info *info, const aval_gemm *gemm, int type)
{
    aval_gemm g;
    layout l;
    if (gemm->b.patches == NULL || gemm->groups < 2 || info->kind != AVAL_DEVICE_CPU || info->group > 1 || !aval__gemm_normalise(gemm, &g))
        return AVAL_E_UNSUPPORTED;
    if ((type != AVAL_FLOAT && type != AVAL_FLOAT16 && type != AVAL_DOUBLE) || (type == AVAL_DOUBLE && !info->fp64))
        return AVAL_E_UNSUPPORTED;
    bool windows = !g.b.transposed && !g.sum, filters = g.b.transposed && g.sum && !g.a.transposed;
    if ((!windows && !filters) || g.m == 0 || g.n == 0 || g.k == 0) return AVAL_E_UNSUPPORTED;
    if (aval__gemm_in_blocks(&g)) return supports_blocks(&g) ? AVAL_OK : AVAL_E_UNSUPPORTED;
    const aval_patches *p = g.b.patches;
    if (g.b.batch_stride != p->channels * p->in[0] * p->in[1] * p->in[2]) return AVAL_E_UNSUPPORTED;
    const int64_t channels = p->channels, fewer = smaller(g.m, channels), more = g.m + channels - fewer;
    if ((more > MOST && fewer >= FEW) || !lay_out(info, gemm, type, &l)) return AVAL_E_UNSUPPORTED;
    const int64_t sizes[] = {
        g.m, g.n, g.k, g.batch, l.units, g.m * g.n, l.run_groups * channels * l.copy_step, l.run_groups * (g.m + 8) * l.sums_step
    };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        if (!fits_int(sizes[i])) return AVAL_E_UNSUPPORTED;
    return AVAL_OK;
}

static uint64_t scratch_bytes(const aval_device_info *info, const aval_gemm *gemm, int type, unsigned packed)
{
    layout l;
    blocked b;
    (void)packed;
    if (aval__gemm_in_blocks(gemm)) {
        lay_out_blocks(info, gemm, type, &b);
        return (uint64_t)(b.items * b.item_bytes);
    }
    return lay_out(info, gemm, type, &l) ? (uint64_t)(l.parts_bytes + l.items * l.item_bytes) : 0;
}

static bool takes_blocks(const aval_device_info *info, const aval_gemm *gemm, int type)
{
    return supports(info, gemm, type) == AVAL_OK;
}

static bool takes_tail(const aval_device_info *info, const aval_gemm *gemm, int type)
{
    (void)info;
    (void)gemm;
    (void)type;
    return true;
}

static int record(const aval_device_info *info, const aval_gemm *gemm, int type, const aval_tensor *scratch,
                  const aval_tensor *const *packed, bool tail, aval_call *call)
{
    layout l;
    aval__gemm_launch to = { .call = call, .scratch = scratch, .type = type };
    (void)packed;
    if (aval__gemm_in_blocks(gemm)) return record_blocks(&to, info, gemm, tail);
    if (!lay_out(info, gemm, type, &l)) return aval__fail(AVAL_E_INTERNAL, "direct was given a transposed product");
    return l.over_filters ? record_filters(&to, &l, tail) : record_windows(&to, &l, tail);
}

static const aval_kernel_source source = { .name = "direct.cl", .text = direct_cl };

const aval__gemm_provider aval__gemm_direct = {
    .name = "direct",
    .supports = supports,
    .scratch_bytes = scratch_bytes,
    .record = record,
    .source = &source,
    .takes_tail = takes_tail,
    .takes_blocks = takes_blocks,
    .takes_groups = true,
};
