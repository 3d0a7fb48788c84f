/* Matrix products with the patches of images on CPU devices: kernels/patches.cl, which see for how.  Convolution is the first kind, its
 * gradient by the filters the second:
 *   pixels  c[image] = a patches(image), a being the same for all images
 *   maps    c = sum over images of a[image] patches(image)'
 * Of the first kind are products of images, or into images, whose channels lie in blocks.  What is chosen here depends on shapes and device_info alone, so that a plan repeats. */
#include "device/gemm_record.h"
#include "device/tuning.h"
#include "patches.cl.h"

#include <string.h>

#define SCRATCH_TARGET_BYTES ((int64_t)48 << 20) /* images are copied and multiplied in rounds of about so much */
#define BLOCK_BYTES ((int64_t)128 << 10) /* packed maps that a work-item goes through at a time: half of a small second-level cache */
#define SEEN_BYTES ((int64_t)256 << 10) /* of an image that a work-item goes through before it turns to the next rows of a */
#define STORED_BYTES ((int64_t)16 << 10) /* of a result in blocks that are stored before their tail: half of a small first-level cache */
#define ITEMS_PER_UNIT 4 /* work-items for each compute unit, so that none waits for long at the end */
#define LEAST_WORK 65536 /* m n k batch below which the copies cost more than they gain */
#define ALIGNMENT 128
#define SUMMED_TAPS 64 /* TAPS in patches.cl */

/* Storage types that patches.cl can be built for, and bytes of the type it computes them in. */
static int64_t computed_bytes(int type)
{
    return type == AVAL_FLOAT || type == AVAL_FLOAT16 ? 4 : type == AVAL_DOUBLE ? 8 : 0;
}

typedef struct layout {
    aval_gemm g; /* batch at least 1 */
    const aval_patches *p;
    aval__variant variant; /* zeros: as the device's model has it */
    bool over_maps, over_windows; /* else over pixels */
    unsigned packed; /* bit 0: a comes packed: filters over windows, and places */
    bool as_it_lies; /* windows are the elements of the image, which needs no copy */
    bool own; /* each work-item copies its own images */
    bool copies_a; /* rows of a are no rows of what is computed with */
    int64_t bytes; /* of an element as it is computed */
    int64_t vector, rows, vectors, lines; /* of the register tile: VW, MR, NV, ROWS */
    int64_t b_block, c_block; /* channels that lie side by side in an image, 1: none; rows in the result, 0: none */
    int64_t stride_x; /* between the columns that are copied */
    int64_t seen[3]; /* of each stride of an axis, what windows see */
    int64_t width, row_step, plane_rows, planes, image_step; /* the padded image: columns, elements; see pad_images */
    int64_t step; /* over windows: elements from one window to the next in a row */
    int64_t out_rows, out_x; /* rows of windows in all planes, and windows in one */
    int64_t panels, lanes; /* of a: panels of MR rows, or of NV VW */
    int64_t tall, per_row, units; /* over windows: of a tile, tiles in a row and in an image */
    int64_t filters_bytes; /* over windows: of packed a */
    int64_t packed_places_at, packed_end; /* byte offsets in packed a */
    int64_t round; /* images at a time */
    int64_t item_images; /* over pixels, with `own` */
    int64_t parts, part_images, item_tiles, block; /* over maps; block: images at a time */
    int64_t a_at, places_at, x_at, sums_at, end; /* byte offsets in scratch: packed a, filter places, images, sums */
} layout;

static int64_t take(layout *l, int64_t elements, int64_t bytes)
{
    int64_t at = l->end;
    l->end += divide_up(elements * bytes, ALIGNMENT) * ALIGNMENT;
    return at;
}

/* The register tile: sums, the vectors of a step and a factor fill the registers. */
static void lay_out_tile(layout *l, const aval_device_info *info)
{
    int64_t floats = aval__knob_or(&l->variant, AVAL__KNOB_VECTOR, aval__vector_floats(info)), width = l->out_x;
    l->vector = l->bytes == 8 ? floats / 2 : floats;
    l->rows = aval__knob_or(&l->variant, AVAL__KNOB_ROWS, floats == 16 ? 8 : 4);
    l->vectors = aval__knob_or(&l->variant, AVAL__KNOB_VECTORS, l->over_maps && l->g.m <= l->vector ? 1 : 2);
    l->lines = 1;
    for (int64_t lines = 2; !l->over_maps && !l->as_it_lies && lines <= l->vector / 4 && width <= l->vector / lines; lines *= 2)
        l->lines = lines;
}

/* From the first element that a window sees to its last, along an axis. */
static int64_t span_of(const aval_patches *p, int axis)
{
    return (p->kernel[axis] - 1) * p->dilation[axis] + 1;
}

/* Vectors of windows want the columns that a filter element sees side by side; single windows take them from where they lie, and a row with all its
   columns is copied faster. */
static void lay_out_columns(layout *l)
{
    const aval_patches *p = l->p;
    l->stride_x = p->stride[2];
    l->seen[2] = smaller(p->stride[2], span_of(p, 2));
    l->width = p->out[2] + (span_of(p, 2) - 1) / l->seen[2];
    l->step = l->b_block;
    if (!l->over_windows || l->seen[2] == 1) return;
    l->stride_x = l->seen[2] = 1;
    l->width = (p->out[2] - 1) * p->stride[2] + span_of(p, 2);
    l->step = p->stride[2] * l->b_block;
}

static void lay_out_image(layout *l)
{
    const aval_patches *p = l->p;
    for (int i = 0; i < 2; i++) l->seen[i] = smaller(p->stride[i], span_of(p, i));
    lay_out_columns(l);
    l->out_rows = l->as_it_lies ? 1 : p->out[0] * p->out[1];
    l->out_x = l->as_it_lies ? l->g.n : p->out[2];
    if (l->as_it_lies) l->width = l->g.n;
    l->row_step = l->width * l->seen[2] * l->b_block;
    l->plane_rows = l->as_it_lies ? 1 : (p->out[1] - 1) * l->seen[1] + span_of(p, 1);
    l->planes = l->as_it_lies ? 1 : (p->out[0] - 1) * l->seen[0] + span_of(p, 0);
    l->image_step = p->channels / l->b_block * l->planes * l->plane_rows * l->row_step;
}

/* Work-items for all compute units. */
static int64_t items_of(const layout *l, const aval_device_info *info)
{
    return aval__knob_or(&l->variant, AVAL__KNOB_ITEMS, ITEMS_PER_UNIT) * unit_count(info);
}

/* Of images or packed maps, that a work-item goes through at a time. */
static int64_t block_bytes(const layout *l, int64_t otherwise)
{
    return aval__knob_or(&l->variant, AVAL__KNOB_BLOCK, otherwise >> 10) << 10;
}

/* Who sums up what over which images. */
static void lay_out_maps(layout *l, int64_t items)
{
    const aval_gemm *g = &l->g;
    int64_t tiles = divide_up(g->n, l->rows);
    l->item_tiles = l->own ? tiles : divide_up(tiles * l->panels, items);
    l->parts = l->own ? items : smaller(l->round, divide_up(items, divide_up(tiles, l->item_tiles) * l->panels));
    l->part_images = divide_up(l->round, l->parts);
    l->parts = divide_up(l->round, l->part_images);
    l->block = block_bytes(l, BLOCK_BYTES) / (l->panels * l->lanes * g->k * l->bytes);
    l->block = smaller(l->part_images, l->block > 0 ? l->block : 1);
}

/* Over windows: a tile is low where few windows of a row are left; TALL, LOW and LOWEST in patches.cl. */
static int64_t tile_height(const layout *l, int64_t windows)
{
    int64_t low = l->rows == 8 ? 8 : 4;
    return windows > low ? l->tall : windows > low / 2 ? low : low / 2;
}

/* Whether tiles of windows times maps compute less for nothing than rows of a times vectors of windows do.  Both are counted in multiplications of vectors: a
   step of a tile over pixels costs a tenth more, for loads across cache lines; turning a vector of sums costs as many as it has elements. */
static bool suits_windows(const layout *l)
{
    int64_t rest = l->out_x % l->tall, row = l->out_x / l->tall * l->tall + (rest > 0 ? tile_height(l, rest) : 0);
    int64_t maps = divide_up(l->g.m, l->vector), lanes = maps == 3 ? 3 : divide_up(maps, maps == 1 ? 1 : 2) * (maps == 1 ? 1 : 2);
    int64_t vectors = divide_up(l->out_rows, l->lines) * (l->lines > 1 ? 1 : divide_up(l->out_x, l->vector));
    double windows = (double)(l->out_rows * row * lanes) * (double)(l->g.k + l->vector);
    double pixels = (double)(divide_up(vectors, l->vectors) * l->vectors * divide_up(l->g.m, l->rows) * l->rows) * (double)l->g.k * 1.1;
    return windows < pixels && (!l->as_it_lies || l->g.n >= l->tall);
}

static void lay_out_windows(layout *l)
{
    int64_t maps;
    if (l->over_maps) return;
    l->tall = l->rows == 8 ? 14 : 6;
    l->over_windows = aval__gemm_in_blocks(&l->g) || (l->packed & 1 && suits_windows(l));
    if (!l->over_windows) return;
    l->as_it_lies = l->as_it_lies && l->g.n >= l->tall;
    lay_out_image(l);
    maps = divide_up(l->g.m, l->vector);
    l->vectors = maps == 1 || maps == 3 ? 1 : 2;
    l->lines = 1;
    l->per_row = divide_up(l->out_x, l->tall);
    l->units = l->out_rows * l->per_row;
}

/* Images a round, and what is kept of them. */
static void lay_out_scratch(layout *l, const aval_device_info *info)
{
    const aval_gemm *g = &l->g;
    int64_t items = items_of(l, info), slack = l->over_windows ? l->tall * l->step : (l->vectors > 2 ? l->vectors : 2) * l->vector;
    l->lanes = l->over_maps || l->over_windows ? l->vectors * l->vector : l->rows;
    l->panels = divide_up(g->m, l->lanes);
    l->own = !l->as_it_lies && g->batch >= items && l->variant.knobs[AVAL__KNOB_OWN] != 1;
    int64_t maps = l->over_maps ? l->panels * l->lanes * g->k : 0, image = ((l->as_it_lies ? 0 : l->image_step) + maps) * l->bytes;
    l->round = l->own ? g->batch : smaller(g->batch, SCRATCH_TARGET_BYTES / (image > 0 ? image : 1));
    if (l->round < 1) l->round = 1;
    l->item_images = l->own ? divide_up(g->batch, items) : 1;
    int64_t copies = l->own ? divide_up(g->batch, l->item_images) : l->round;
    if (l->over_maps) {
        lay_out_maps(l, items);
        if (l->own) copies = l->parts * l->block;
        l->a_at = take(l, copies * maps, l->bytes);
        l->sums_at = take(l, l->parts * l->panels * g->n * l->lanes, l->bytes);
    } else {
        l->filters_bytes = l->over_windows ? l->panels * l->lanes * g->k * l->bytes : 0;
        int64_t bytes = !l->over_windows ? g->m * g->k * l->bytes : l->packed & 1 ? 0 : l->filters_bytes;
        l->a_at = l->copies_a || l->over_windows ? take(l, bytes, 1) : -1;
    }
    if (!(l->packed & 1)) l->places_at = take(l, l->over_maps ? g->n : g->k, 4);
    /* Vectors at the end of a row read over it, from the last row of an image into what is behind. */
    if (l->own && !l->over_maps) l->image_step += slack;
    if (!l->as_it_lies) l->x_at = take(l, copies * l->image_step + slack, l->bytes);
}

static bool is_pointwise(const aval_patches *p)
{
    for (int i = 0; i < 3; i++)
        if (p->kernel[i] != 1 || p->stride[i] != 1 || p->pad[i] != 0 || p->in[i] != p->out[i]) return false;
    return true;
}

static bool lay_out_as(const aval_device_info *info, const aval_gemm *gemm, int type, unsigned packed, const aval__variant *variant,
                       layout *l)
{
    memset(l, 0, sizeof *l);
    l->variant = *variant;
    l->packed = packed;
    if (!aval__gemm_normalise(gemm, &l->g)) return false;
    l->p = l->g.b.patches;
    l->b_block = l->g.b_block > 0 ? l->g.b_block : 1;
    l->c_block = l->g.c_block;
    l->bytes = computed_bytes(type);
    l->over_maps = l->g.b.transposed;
    bool whole = l->bytes == (int64_t)aval_type_bytes(type);
    l->as_it_lies = whole && !l->over_maps && is_pointwise(l->p);
    l->copies_a = !whole || l->g.a.transposed;
    lay_out_image(l);
    lay_out_tile(l, info);
    if (packed & 1 || aval__gemm_in_blocks(&l->g)) lay_out_windows(l);
    lay_out_scratch(l, info);
    l->packed_places_at = divide_up(l->filters_bytes, ALIGNMENT) * ALIGNMENT;
    l->packed_end = l->packed_places_at + divide_up(l->g.k * 4, ALIGNMENT) * ALIGNMENT;
    return true;
}

/* Packed filters may serve several products, so these take the untuned tile. */
static bool lay_out(const aval_device_info *info, const aval_gemm *gemm, int type, unsigned packed, layout *l)
{
    const aval__variant tuned = packed ? (aval__variant){ 0 } : aval__tuning_find(info, gemm, type, &aval__gemm_patches);
    return lay_out_as(info, gemm, type, packed, &tuned, l);
}

/* ---- Recording ---------------------------------------------------------------------------------------------------------------------- */

typedef struct recorder {
    const layout *l;
    const aval_tensor *packed; /* a, or NULL */
    bool tail;
    aval__gemm_launch to;
} recorder;

static void push_scratch(recorder *r)
{
    push(&r->to, (aval_arg)AVAL_UPDATE(r->to.scratch));
}

/* Where there is none the kernel touches nothing here: any buffer will do. */
static void push_any_scratch(recorder *r)
{
    push(&r->to, r->l->end > 0 ? (aval_arg)AVAL_UPDATE(r->to.scratch) : (aval_arg)AVAL_READ(r->packed));
}

static int launch_items(recorder *r, const char *kernel, int64_t x, int64_t y, int64_t z)
{
    const layout *l = r->l;
    aval_define defines[7] = { { "VW", l->vector }, { "MR", l->rows }, { "NV", l->vectors }, { "ROWS", l->lines } };
    size_t n = 4;
    bool stores = strcmp(kernel, l->over_maps ? "sum_parts" : l->over_windows ? "over_windows" : "over_pixels") == 0;
    if (stores && l->over_windows) {
        defines[n++] = (aval_define){ "STEP", l->step };
        defines[n++] = (aval_define){ "C_BLOCK", l->c_block };
    }
    if (stores && r->tail) defines[n++] = (aval_define){ "TAIL", 1 };
    return launch(&r->to, kernel, x, y, z, 1, defines, n);
}

/* IMAGE_PARAMS of patches.cl. */
static void push_image(recorder *r)
{
    const layout *l = r->l;
    const aval_patches *p = l->p;
    push_ints(&r->to, p->in, 3);
    push_ints(&r->to, p->pad, 3);
    INTS(&r->to, p->stride[0], p->stride[1], l->stride_x);
    push_ints(&r->to, l->seen, 3);
    INTS(&r->to, l->planes, l->plane_rows, l->width, l->b_block);
}

static void push_operand(recorder *r, const aval_operand *o, int64_t first)
{
    push(&r->to, (aval_arg)AVAL_READ(o->tensor));
    LONGS(&r->to, o->offset + first * o->batch_stride, o->batch_stride);
}

static int record_places(recorder *r, int64_t at)
{
    const layout *l = r->l;
    const aval_patches *p = l->p;
    push_scratch(r);
    LONGS(&r->to, at);
    push_ints(&r->to, p->kernel, 3);
    push_ints(&r->to, p->dilation, 3);
    INTS(&r->to, l->seen[2], l->planes, l->plane_rows, l->width, l->b_block);
    return launch_items(r, "list_places", p->channels, 1, 1);
}

static int record_images(recorder *r, const aval_device_info *info, int64_t first, int64_t count)
{
    const layout *l = r->l;
    int64_t channels = l->p->channels / l->b_block, rows = l->planes * l->plane_rows,
            parts = divide_up(items_of(l, info), channels * count);
    int64_t item_rows = divide_up(rows, smaller(parts, rows));
    push_operand(r, &l->g.b, first);
    push_scratch(r);
    LONGS(&r->to, l->x_at);
    push_image(r);
    INTS(&r->to, item_rows);
    return launch_items(r, "pad_images", channels, count, divide_up(rows, item_rows));
}

/* Sides of a work-item's block of vectors and panels: whole images where there are enough of them. */
static void choose_blocks(int64_t items, int64_t vectors, int64_t panels, int64_t images, int64_t tile, int64_t *item_vectors,
                          int64_t *item_panels)
{
    *item_vectors = vectors;
    *item_panels = panels;
    while (divide_up(vectors, *item_vectors) * divide_up(panels, *item_panels) * images < items) {
        if (*item_panels > 1) *item_panels = divide_up(*item_panels, 2);
        else if (*item_vectors > tile) *item_vectors = divide_up(divide_up(*item_vectors, 2), tile) * tile;
        else break;
    }
}

static void push_filters(recorder *r, int64_t at)
{
    const aval_operand *a = &r->l->g.a;
    push(&r->to, (aval_arg)AVAL_READ(a->tensor));
    LONGS(&r->to, a->offset, a->transposed ? 1 : a->ld, a->transposed ? a->ld : 1);
    push_scratch(r);
    LONGS(&r->to, at);
}

static int record_filters(recorder *r)
{
    push_filters(r, r->l->a_at);
    INTS(&r->to, r->l->g.k);
    return launch_items(r, "pack_filters", r->l->g.m, 1, 1);
}

static int record_lanes(recorder *r, int64_t at)
{
    push_filters(r, at);
    INTS(&r->to, r->l->g.m, r->l->g.k);
    return launch_items(r, "pack_lanes", r->l->panels, 1, 1);
}

static double flops(const aval_gemm *g, int64_t images)
{
    return 2 * (double)g->m * (double)g->n * (double)g->k * (double)images;
}

/* Images `first` to `first + count - 1` of the batch. */
static int record_pixels_of(recorder *r, const aval_device_info *info, int64_t first, int64_t count)
{
    const layout *l = r->l;
    const aval_gemm *g = &l->g;
    const aval_patches *p = l->p;
    int64_t step_y = l->seen[1] * l->row_step, step_z = l->seen[0] * l->plane_rows * l->row_step;
    int64_t per_row = l->lines > 1 ? 1 : divide_up(l->out_x, l->vector), vectors = divide_up(l->out_rows, l->lines) * per_row;
    int64_t block = block_bytes(l, SEEN_BYTES) / (p->channels * l->seen[2] * l->seen[1] * l->vector * l->bytes) / l->vectors * l->vectors;
    int64_t item_vectors = vectors, item_panels = l->panels;
    if (!l->own) choose_blocks(items_of(l, info), vectors, l->panels, count, l->vectors, &item_vectors, &item_panels);
    push_result(&r->to, g->c.tensor, g->beta);
    LONGS(&r->to, g->c.offset + first * g->c.batch_stride, g->c.batch_stride, g->c.ld);
    push_operand(r, &g->b, first);
    push(&r->to, (aval_arg)AVAL_READ(g->a.tensor));
    LONGS(&r->to, g->a.offset, l->copies_a ? g->k : g->a.ld);
    push_any_scratch(r);
    LONGS(&r->to, l->a_at);
    push(&r->to, (aval_arg)AVAL_READ(r->packed ? r->packed : r->to.scratch));
    LONGS(&r->to, r->packed ? l->packed_places_at : l->places_at, l->x_at);
    INTS(&r->to, l->own, p->channels);
    push_image(r);
    INTS(&r->to, l->image_step, l->as_it_lies ? g->n : 0, count, l->item_images, g->m, g->k, vectors, item_vectors, item_panels,
         block > l->vectors ? block : l->vectors, per_row, l->out_rows, l->as_it_lies ? 1 : p->out[1], l->out_x, step_z, step_y);
    push_scales(&r->to, g->alpha, g->beta);
    r->to.flops = flops(g, count);
    return launch_items(r, "over_pixels", divide_up(vectors, item_vectors), divide_up(l->panels, item_panels),
                        divide_up(count, l->item_images));
}

static int record_windows_of(recorder *r, const aval_device_info *info, int64_t first, int64_t count)
{
    const layout *l = r->l;
    const aval_gemm *g = &l->g;
    const aval_patches *p = l->p;
    int64_t step_y = l->seen[1] * l->row_step, step_z = l->seen[0] * l->plane_rows * l->row_step;
    int64_t block = SEEN_BYTES / (p->channels / l->b_block * l->step * l->seen[1] * l->tall * l->bytes), item_units = l->units;
    int64_t item_panels = l->panels, stored = l->c_block > 0 ? STORED_BYTES / (l->tall * l->lanes * l->bytes) : l->units;
    if (!l->own) choose_blocks(items_of(l, info), l->units, l->panels, count, 1, &item_units, &item_panels);
    push_result(&r->to, g->c.tensor, g->beta);
    LONGS(&r->to, g->c.offset + first * g->c.batch_stride, g->c.batch_stride, g->c.ld);
    push_operand(r, &g->b, first);
    push(&r->to, (aval_arg)AVAL_READ(r->packed ? r->packed : r->to.scratch));
    LONGS(&r->to, r->packed ? 0 : l->a_at, r->packed ? l->packed_places_at : l->places_at);
    push_any_scratch(r);
    LONGS(&r->to, l->x_at);
    INTS(&r->to, l->own, l->as_it_lies, p->channels);
    push_image(r);
    INTS(&r->to, l->image_step, count, l->item_images, g->m, g->k, l->units, item_units, item_panels, block > 1 ? block : 1,
         stored > 1 ? stored : 1, l->per_row, l->as_it_lies ? 1 : p->out[1], l->out_x, step_z, step_y);
    push_scales(&r->to, g->alpha, g->beta);
    r->to.flops = flops(g, count);
    return launch_items(r, "over_windows", divide_up(l->units, item_units), divide_up(l->panels, item_panels),
                        divide_up(count, l->item_images));
}

static int record_pixels(recorder *r, const aval_device_info *info)
{
    const layout *l = r->l;
    if (!r->packed) AVAL__TRY(record_places(r, l->places_at));
    if (l->over_windows && !r->packed) AVAL__TRY(record_lanes(r, l->a_at));
    if (l->copies_a && !l->over_windows) AVAL__TRY(record_filters(r));
    for (int64_t first = 0; first < l->g.batch; first += l->round) {
        int64_t count = smaller(l->round, l->g.batch - first);
        if (!l->as_it_lies && !l->own) AVAL__TRY(record_images(r, info, first, count));
        AVAL__TRY(l->over_windows ? record_windows_of(r, info, first, count) : record_pixels_of(r, info, first, count));
    }
    return AVAL_OK;
}

/* Images `first` to `first + count - 1` of the batch, added to those before. */
static int record_maps_of(recorder *r, const aval_device_info *info, int64_t first, int64_t count)
{
    const layout *l = r->l;
    const aval_gemm *g = &l->g;
    const aval_patches *p = l->p;
    int64_t step_y = l->seen[1] * l->row_step, step_z = l->seen[0] * l->plane_rows * l->row_step;
    if (!l->own) {
        AVAL__TRY(record_images(r, info, first, count));
        push_operand(r, &g->a, first);
        LONGS(&r->to, g->a.ld);
        push_scratch(r);
        LONGS(&r->to, l->a_at);
        INTS(&r->to, g->m, g->k);
        AVAL__TRY(launch_items(r, "pack_maps", l->panels, count, 1));
    }
    push_scratch(r);
    LONGS(&r->to, l->places_at, l->x_at, l->a_at, l->sums_at);
    push_operand(r, &g->b, first);
    push_operand(r, &g->a, first);
    LONGS(&r->to, g->a.ld);
    INTS(&r->to, l->own, p->channels);
    push_image(r);
    INTS(&r->to, l->image_step, g->m, l->panels, count, l->part_images, l->block, g->n, l->item_tiles, l->out_rows, p->out[1], p->out[2],
         step_z, step_y, first > 0);
    r->to.flops = flops(g, count);
    return launch_items(r, "over_maps", divide_up(divide_up(g->n, l->rows), l->item_tiles), l->own ? 1 : l->panels, l->parts);
}

static int record_maps(recorder *r, const aval_device_info *info)
{
    const layout *l = r->l;
    const aval_gemm *g = &l->g;
    AVAL__TRY(record_places(r, l->places_at));
    for (int64_t first = 0; first < g->batch; first += l->round)
        AVAL__TRY(record_maps_of(r, info, first, smaller(l->round, g->batch - first)));
    push_result(&r->to, g->c.tensor, g->beta);
    LONGS(&r->to, g->c.offset, g->c.ld);
    push_scratch(r);
    LONGS(&r->to, l->sums_at);
    INTS(&r->to, g->n, l->parts, l->panels);
    push_scales(&r->to, g->alpha, g->beta);
    return launch_items(r, "sum_parts", divide_up(g->n, SUMMED_TAPS), g->m, 1);
}

/* ---- The provider ------------------------------------------------------------------------------------------------------------------- */

static int supports(const aval_device_info *info, const aval_gemm *gemm, int type)
{
    aval_gemm g;
    layout l;
    if (gemm->b.patches == NULL || info->kind != AVAL_DEVICE_CPU || info->group > 1 || !aval__gemm_normalise(gemm, &g))
        return AVAL_E_UNSUPPORTED;
    if (computed_bytes(type) == 0 || (type == AVAL_DOUBLE && !info->fp64) || g.m == 0 || g.n == 0 || g.k == 0) return AVAL_E_UNSUPPORTED;
    bool pixels = !g.b.transposed && !g.sum && (g.a.batch_stride == 0 || g.batch == 1), maps = g.b.transposed && g.sum && !g.a.transposed;
    if ((!pixels && !maps) || !fits_int(g.m) || !fits_int(g.n) || !fits_int(g.k) || !fits_int(g.batch)) return AVAL_E_UNSUPPORTED;
    if (!aval__gemm_in_blocks(&g) && (double)g.m * (double)g.n * (double)g.k * (double)g.batch < LEAST_WORK) return AVAL_E_UNSUPPORTED;
    if (!lay_out(info, gemm, type, 0, &l)) return AVAL_E_UNSUPPORTED;
    return fits_int(l.image_step) && fits_int(l.panels * l.lanes * g.k) ? AVAL_OK : AVAL_E_UNSUPPORTED;
}

/* Blocks that do not begin and end with an image and a result belong to several groups. */
static bool takes_blocks(const aval_device_info *info, const aval_gemm *gemm, int type)
{
    if (supports(info, gemm, type) != AVAL_OK || gemm->b.transposed) return false;
    return (gemm->b_block == 0 || gemm->b.patches->channels % gemm->b_block == 0) && (gemm->c_block == 0 || gemm->m % gemm->c_block == 0);
}

static uint64_t scratch_bytes(const aval_device_info *info, const aval_gemm *gemm, int type, unsigned packed)
{
    layout l;
    return lay_out(info, gemm, type, packed, &l) ? (uint64_t)l.end : 0;
}

static uint64_t packed_bytes(const aval_device_info *info, const aval_gemm *gemm, int type, int operand)
{
    layout l;
    bool filters = operand == 0 && lay_out(info, gemm, type, 1, &l) && !l.over_maps;
    return filters && fits_int(l.panels * l.lanes * l.g.k) ? (uint64_t)l.packed_end : 0;
}

static int pack(const aval_device_info *info, const aval_gemm *gemm, int type, int operand, const aval_tensor *to, aval_call *call)
{
    layout l;
    if (operand != 0 || !lay_out(info, gemm, type, 1, &l))
        return aval__fail(AVAL_E_INTERNAL, "patches was asked to pack what are no filters");
    recorder r = { .l = &l, .to = { .call = call, .scratch = to, .type = type } };
    AVAL__TRY(record_places(&r, l.packed_places_at));
    return l.over_windows ? record_lanes(&r, 0) : AVAL_OK;
}

/* Not where several launches store parts of the result. */
static bool takes_tail(const aval_device_info *info, const aval_gemm *gemm, int type)
{
    layout l;
    for (unsigned packed = 0; packed < 2; packed++)
        if (!lay_out(info, gemm, type, packed, &l) || (!l.over_maps && l.round < l.g.batch)) return false;
    return true;
}

static int record(const aval_device_info *info, const aval_gemm *gemm, int type, const aval_tensor *scratch,
                  const aval_tensor *const *packed, bool tail, aval_call *call)
{
    layout l;
    if (!lay_out(info, gemm, type, packed[0] ? 1 : 0, &l)) return aval__fail(AVAL_E_INTERNAL, "patches was given a transposed product");
    recorder r = { .l = &l, .packed = packed[0], .tail = tail, .to = { .call = call, .scratch = scratch, .type = type } };
    return l.over_maps ? record_maps(&r, info) : record_pixels(&r, info);
}

/* ---- What may be chosen by measuring ---------------------------------------------------------------------------------------------------- */

#define SMALL_REGISTERS 16 /* of devices with vectors of up to 8 floats; larger vectors come with 32 */

static bool fits(const aval_device_info *info, const aval_gemm *gemm, int type, const aval__variant *variant)
{
    layout l;
    if (variant->knobs[AVAL__KNOB_VECTOR] > aval__vector_floats(info) || !lay_out_as(info, gemm, type, 0, variant, &l) || l.vector < 4)
        return false;
    if (variant->knobs[AVAL__KNOB_OWN] == 2 && !l.own) return false;
    if (!fits_int(l.image_step) || !fits_int(l.panels * l.lanes * l.g.k)) return false;
    return l.rows * l.vectors + l.vectors + 1 <= (aval__vector_floats(info) == 16 ? 2 : 1) * SMALL_REGISTERS;
}

static const aval__knob_range ranges[] = {
    { AVAL__KNOB_ROWS, { 4, 6, 8 } },    { AVAL__KNOB_VECTORS, { 1, 2, 3 } },  { AVAL__KNOB_OWN, { 1, 2 } },
    { AVAL__KNOB_VECTOR, { 4, 8, 16 } }, { AVAL__KNOB_ITEMS, { 1, 2, 4, 8 } }, { AVAL__KNOB_BLOCK, { 32, 64, 128, 256, 512, 1024 } },
};

static const aval__tuner tuner = { .ranges = ranges, .n_ranges = sizeof ranges / sizeof *ranges, .fits = fits };

static const aval_kernel_source source = { .name = "patches.cl", .text = patches_cl };

const aval__gemm_provider aval__gemm_patches = {
    .name = "patches",
    .supports = supports,
    .scratch_bytes = scratch_bytes,
    .packed_bytes = packed_bytes,
    .pack = pack,
    .record = record,
    .source = &source,
    .takes_tail = takes_tail,
    .takes_blocks = takes_blocks,
    .tuner = &tuner,
};
