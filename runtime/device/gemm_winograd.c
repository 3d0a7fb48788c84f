/* Matrix products with the patches of images that are convolutions with 3 x 3 or 5 x 5 filters: by kernels/winograd.cl with a quarter of the
 * multiplications (9/36 x 16 for 3 x 3, 25/36 x 4 for 5 x 5), in float, on CPU devices.  Its rounding is some ten times that of sums of
 * products, far within the tolerance of convolutions.  Cases that gain too little are left to `patches`: without filters that are transformed once for
 * many products, small images. */
#include "device/gemm_record.h"
#include "device/private.h"
#include "device/tuning.h"

#include "winograd.cl.h"

#include <string.h>

#define SIDE 6 /* of the squares that images are cut into: SIDE in winograd.cl */
#define POINTS (SIDE * SIDE)
#define TALL_OF_32 14 /* TALL in winograd.cl, with 32 vector registers, and with 16 */
#define TALL_OF_16 6
#define BLOCK_BYTES ((int64_t)384 << 10) /* of transformed squares and sums, that stay in a second-level cache beside filters */
#define LEAST_SQUARES 64 /* in all, below which filters cost too much to transform and to read */
#define MOST_FILTER_BYTES \
    ((int64_t)4 \
     << 20) /* that are read for fewer squares, where they are transformed already: what a third-level cache gives to one layer */
#define LEAST_BLOCK 16 /* squares that a block must have room for, since each block reads all filters */
#define LEAST_CHANNELS 16
#define ITEMS_PER_UNIT 2
#define FEW_BLOCKS 8 /* for each compute unit, below which panels are divided too */
#define ALIGNMENT 128
/* Cycles, estimated: to transform a square of a vector of channels, to turn a square of a vector of maps back, to read a vector of filters. */
#define TRANSFORM 200.0
#define TURN_BACK 200.0
#define READ_FILTERS 2.0

typedef struct layout {
    aval_gemm g; /* batch at least 1 */
    const aval_patches *p;
    int64_t vector, vectors, lanes, panels; /* VW, NV, of a panel of maps, panels */
    int64_t out; /* windows along a square's side */
    int64_t squares_y, squares_x, block_rows, blocks, item_blocks, item_panels, items; /* items: along blocks */
    int64_t filters_bytes, work_bytes; /* the second: of a work-item */
} layout;

static int64_t aligned(int64_t elements)
{
    return divide_up(elements * (int64_t)sizeof(float), ALIGNMENT) * ALIGNMENT;
}

/* An image of two axes at most, each element of which a square filter meets. */
static bool is_square(const aval_patches *p)
{
    for (int i = 0; i < 3; i++)
        if (p->stride[i] != 1 || (p->kernel[i] > 1 && p->dilation[i] != 1)) return false;
    bool flat = p->in[0] == 1 && p->kernel[0] == 1 && p->pad[0] == 0 && p->out[0] == 1;
    return flat && p->kernel[1] == p->kernel[2] && (p->kernel[2] == 3 || p->kernel[2] == 5);
}

/* How long blocks of so many rows, divided into items with so many panels each, take. */
static double time_of(const layout *l, int64_t units, int64_t rows, int64_t panels)
{
    double channels = (double)l->p->channels, vectors = (double)(panels * l->vectors), squares = (double)(rows * l->squares_x);
    double square = channels / (double)l->vector * TRANSFORM + vectors * (POINTS * channels / 2 + TURN_BACK);
    int64_t items = divide_up(l->squares_y, rows) * l->g.batch * divide_up(l->panels, panels);
    return (double)divide_up(items, units) * (squares * square + vectors * POINTS * channels * READ_FILTERS);
}

/* Blocks of few squares are divided as is fastest: by rows of squares, which all filters are read for, or by panels, which all squares are transformed for. */
static void divide_few(layout *l, int64_t units, int64_t most_rows)
{
    l->item_panels = l->panels;
    for (int64_t rows = 1; rows <= most_rows; rows++) {
        for (int64_t panels = 1; panels <= l->panels; panels++) {
            if (time_of(l, units, rows, panels) >= time_of(l, units, l->block_rows, l->item_panels)) continue;
            l->block_rows = rows;
            l->item_panels = panels;
        }
    }
}

static void lay_out_blocks(const aval_device_info *info, const aval__variant *variant, layout *l)
{
    int64_t bytes = aval__knob_or(variant, AVAL__KNOB_BLOCK, BLOCK_BYTES >> 10) << 10;
    int64_t step = divide_up(l->p->channels, l->vector) * l->vector,
            row = l->squares_x * POINTS * (step + l->lanes) * (int64_t)sizeof(float);
    int64_t units = unit_count(info), most_rows = smaller(l->squares_y, bytes / row > 1 ? bytes / row : 1);
    l->block_rows = divide_up(l->squares_y, divide_up(l->squares_y, most_rows));
    l->item_panels = l->panels;
    if (divide_up(l->squares_y, l->block_rows) * l->g.batch < FEW_BLOCKS * units) divide_few(l, units, most_rows);
    l->blocks = divide_up(l->squares_y, l->block_rows) * l->g.batch;
    l->item_blocks =
        l->item_panels < l->panels ? 1 : divide_up(l->blocks, units * aval__knob_or(variant, AVAL__KNOB_ITEMS, ITEMS_PER_UNIT));
    l->items = divide_up(l->blocks, l->item_blocks);
    int64_t tall = l->vector >= 16 ? TALL_OF_32 : TALL_OF_16, border = SIDE - l->out;
    int64_t most = l->block_rows * l->squares_x > tall ? l->block_rows * l->squares_x : tall;
    l->work_bytes = aligned((l->block_rows * l->out + border) * (l->squares_x * l->out + border) * l->vector +
                            POINTS * (most * (step + l->lanes) + 2 * l->vector) + l->out * l->out * l->squares_x * l->vector);
}

static bool lay_out_as(const aval_device_info *info, const aval_gemm *gemm, const aval__variant *variant, layout *l)
{
    memset(l, 0, sizeof *l);
    if (!aval__gemm_normalise(gemm, &l->g)) return false;
    const aval_patches *p = l->p = l->g.b.patches;
    l->vector = aval__vector_floats(info);
    l->vectors = l->g.m <= l->vector ? 1 : 2;
    l->lanes = l->vectors * l->vector;
    l->panels = divide_up(l->g.m, l->lanes);
    l->out = SIDE + 1 - p->kernel[2];
    l->squares_y = divide_up(p->out[1], l->out);
    l->squares_x = divide_up(p->out[2], l->out);
    l->filters_bytes = aligned(POINTS * l->panels * l->lanes * p->channels);
    lay_out_blocks(info, variant, l);
    return true;
}

/* As it was tuned: the order of packed filters is the same with all variants. */
static bool lay_out(const aval_device_info *info, const aval_gemm *gemm, layout *l)
{
    const aval__variant tuned = aval__tuning_find(info, gemm, AVAL_FLOAT, &aval__gemm_winograd);
    return lay_out_as(info, gemm, &tuned, l);
}

/* Whether the kernels compute this at all, where it is laid out then. */
static bool computes(const aval_device_info *info, const aval_gemm *gemm, int type, layout *l)
{
    aval_gemm g;
    if (gemm->b.patches == NULL || info->kind != AVAL_DEVICE_CPU || info->group > 1 || type != AVAL_FLOAT) return false;
    if (!aval__gemm_normalise(gemm, &g) || g.b.transposed || g.a.transposed || g.sum || g.beta != 0) return false;
    if (g.batch > 1 && g.a.batch_stride != 0) return false;
    const aval_patches *p = g.b.patches;
    if (!is_square(p) || p->channels < LEAST_CHANNELS || g.m < LEAST_CHANNELS || g.n == 0) return false;
    if (!lay_out(info, gemm, l)) return false;
    int64_t square_bytes = POINTS * (divide_up(p->channels, l->vector) * l->vector + l->lanes) * (int64_t)sizeof(float);
    if (square_bytes * LEAST_BLOCK > BLOCK_BYTES * 2) return false;
    return fits_int(p->channels * p->in[1] * p->in[2]) && fits_int(g.m * g.n) && fits_int(l->blocks) && fits_int(l->work_bytes);
}

static int supports(const aval_device_info *info, const aval_gemm *gemm, int type)
{
    layout l;
    if (!computes(info, gemm, type, &l) || l.squares_y * l.squares_x * l.g.batch < LEAST_SQUARES) return AVAL_E_UNSUPPORTED;
    /* Squares that reach over the image's end are work for nothing. */
    return 3 * l.squares_y * l.squares_x * l.out * l.out <= 4 * l.g.n ? AVAL_OK : AVAL_E_UNSUPPORTED;
}

/* Half of the multiplications at most. */
static bool supports_packed(const aval_device_info *info, const aval_gemm *gemm, int type, unsigned packed)
{
    layout l;
    if (!(packed & 1) || !computes(info, gemm, type, &l)) return false;
    int64_t squares = l.squares_y * l.squares_x;
    if (squares * l.g.batch < LEAST_SQUARES && (squares < LEAST_BLOCK || l.filters_bytes > MOST_FILTER_BYTES)) return false;
    return 2 * squares * POINTS <= l.g.n * l.p->kernel[1] * l.p->kernel[2];
}

static uint64_t scratch_bytes(const aval_device_info *info, const aval_gemm *gemm, int type, unsigned packed)
{
    layout l;
    (void)type;
    if (!lay_out(info, gemm, &l)) return 0;
    int64_t groups = divide_up(l.panels, l.item_panels);
    return (uint64_t)((packed & 1 ? 0 : l.filters_bytes) + l.items * groups * l.work_bytes);
}

static uint64_t packed_bytes(const aval_device_info *info, const aval_gemm *gemm, int type, int operand)
{
    layout l;
    (void)type;
    return operand == 0 && lay_out(info, gemm, &l) ? (uint64_t)l.filters_bytes : 0;
}

/* Of the vectors that kernels are built for. */
static bool takes_blocks(const aval_device_info *info, const aval_gemm *gemm, int type)
{
    const int64_t vector = aval__vector_floats(info);
    (void)type;
    return (gemm->b_block == 0 || gemm->b_block == vector) && (gemm->c_block == 0 || gemm->c_block == vector);
}

static bool takes_tail(const aval_device_info *info, const aval_gemm *gemm, int type)
{
    (void)info;
    (void)gemm;
    (void)type;
    return true;
}

static int launch_items(aval__gemm_launch *to, const layout *l, const char *kernel, int64_t x, int64_t y, bool tail)
{
    const aval_define defines[] = { { "VW", l->vector },
                                    { "NV", l->vectors },
                                    { "FILTER", l->p->kernel[2] },
                                    { "X_BLOCKS", l->g.b_block > 0 },
                                    { "C_BLOCKS", l->g.c_block > 0 },
                                    { "TAIL", 1 } };
    return launch(to, kernel, x, y, 1, 1, defines, sizeof defines / sizeof defines[0] - !tail);
}

/* Transformed filters, at the beginning of the launch's scratch tensor. */
static int record_filters(aval__gemm_launch *to, const layout *l)
{
    const aval_gemm *g = &l->g;
    push(to, (aval_arg)AVAL_READ(g->a.tensor));
    LONGS(to, g->a.offset, g->a.ld);
    push(to, (aval_arg)AVAL_UPDATE(to->scratch));
    LONGS(to, 0);
    INTS(to, g->m);
    return launch_items(to, l, "winograd_filters", l->p->channels, l->panels * l->vectors, false);
}

static int pack(const aval_device_info *info, const aval_gemm *gemm, int type, int operand, const aval_tensor *to, aval_call *call)
{
    layout l;
    aval__gemm_launch launch = { .call = call, .scratch = to, .type = type };
    if (operand != 0 || !lay_out(info, gemm, &l)) return aval__fail(AVAL_E_INTERNAL, "winograd was asked to pack what are no filters");
    return record_filters(&launch, &l);
}

static int record(const aval_device_info *info, const aval_gemm *gemm, int type, const aval_tensor *scratch,
                  const aval_tensor *const *packed, bool tail, aval_call *call)
{
    layout l;
    if (!lay_out(info, gemm, &l)) return aval__fail(AVAL_E_INTERNAL, "winograd was given a transposed product");
    const aval_gemm *g = &l.g;
    const aval_patches *p = l.p;
    aval__gemm_launch to = { .call = call, .scratch = scratch, .type = type };
    if (!packed[0]) AVAL__TRY(record_filters(&to, &l));
    push_result(&to, g->c.tensor, 0);
    LONGS(&to, g->c.offset, g->c.batch_stride, g->c.ld);
    push(&to, (aval_arg)AVAL_READ(g->b.tensor));
    LONGS(&to, g->b.offset, g->b.batch_stride);
    push(&to, (aval_arg)AVAL_READ(packed[0] ? packed[0] : scratch));
    push(&to, (aval_arg)AVAL_UPDATE(scratch));
    LONGS(&to, packed[0] ? 0 : l.filters_bytes, l.work_bytes);
    INTS(&to, p->channels, p->in[1], p->in[2], p->pad[1], p->pad[2], g->m, p->out[1], p->out[2], l.squares_y, l.squares_x, l.block_rows,
         l.item_blocks, l.item_panels, l.blocks);
    push(&to, (aval_arg){ .kind = AVAL_ARG_FLOAT, .real = g->alpha });
    to.flops = 2.0 * POINTS * (double)(l.squares_y * l.squares_x * g->batch) * (double)(g->m * p->channels);
    return launch_items(&to, &l, "winograd", l.items, divide_up(l.panels, l.item_panels), tail);
}

/* ---- What may be chosen by measuring ---------------------------------------------------------------------------------------------- */

static bool fits(const aval_device_info *info, const aval_gemm *gemm, int type, const aval__variant *variant)
{
    layout l;
    if (!computes(info, gemm, type, &l) || !lay_out_as(info, gemm, variant, &l)) return false;
    /* items are of blocks that keep all panels */
    return fits_int(l.blocks) && fits_int(l.work_bytes) && (variant->knobs[AVAL__KNOB_ITEMS] == 0 || l.item_panels == l.panels);
}

static const aval__knob_range ranges[] = { { AVAL__KNOB_BLOCK, { 96, 192, 256, 512, 768 } }, { AVAL__KNOB_ITEMS, { 1, 3, 4, 8 } } };

static const aval__tuner tuner = { .ranges = ranges, .n_ranges = sizeof ranges / sizeof *ranges, .fits = fits };

static const aval_kernel_source source = { .name = "winograd.cl", .text = winograd_cl };

const aval__gemm_provider aval__gemm_winograd = {
    .name = "winograd",
    .supports = supports,
    .supports_packed = supports_packed,
    .scratch_bytes = scratch_bytes,
    .packed_bytes = packed_bytes,
    .pack = pack,
    .record = record,
    .source = &source,
    .takes_tail = takes_tail,
    .takes_blocks = takes_blocks,
    .rounds = true,
    .tuner = &tuner,
};
