/* Matrix products on CPU devices by our own kernels (kernels/gemm.cl), recorded as ordinary launches: every storage type, and b from the patches
 * of an image without an im2col buffer of the user's.  The fallback of all devices: gemm_direct needs neither work-groups nor local memory.  What is chosen here depends on shapes and device_info alone, so that a plan repeats. */
#include "device/gemm_record.h"
#include "device/tuning.h"
#include "gemm.cl.h"

#include <string.h>

#define SCRATCH_TARGET_BYTES ((uint64_t)32 << 20) /* a batch is packed in rounds of about so much */
#define K_SLICE 384 /* as in gemm.cl: steps that a work-item packs, and walks before it turns to the next panel */
#define COLUMNS 16 /* as in gemm.cl */
#define WIDE 512 /* as in gemm.cl */
#define WIDE_ROWS 6 /* as in gemm.cl */
#define LINE_ROWS 4 /* multiples of these in gemm.cl's tiles */
#define LINE_COLUMNS 5
#define LAID_COLUMNS 4 /* that are laid into lines at a time */
/* m n k of a work-item of gemm_lines, an element that is read counting as READ_WORK: some ten microseconds, as waking another core takes with what
   is in its caches.  128 x 10 x 512 by one, two and four work-items: 10.1, 10.4, 11.2 microseconds; 512 x 10 x 512: 41, 35, 31. */
#define LEAST_ITEM_WORK ((int64_t)1 << 20)
#define READ_WORK 4
#define LEAST_LINE_ROWS 8 /* of a below which laying b into lines costs more than it gains */
#define LEAST_WIDE 4 /* vectors in a row of c below which gemm_wide is not worth its sums */
#define VECTORS 2 /* NV in gemm.cl: vectors in a row of the register tile */
/* Panels of a and of b that a work-item multiplies, at most: bench gemm, 2048^3, in milliseconds: 8 x 8 43.8, 16 x 16 41.1, 4 x 16 40.2. */
#define BLOCK_ROW_PANELS 4
#define BLOCK_COLUMN_PANELS 16
#define ITEMS_PER_UNIT 4 /* work-items for each compute unit, so that none waits for long at the end */
/* m n k below which packing costs more than it gains.  Products on PoCL with 2 cores, microseconds in panels at once and without packing: 16^3 3.2 and
   3.1, 32^3 3.8 and 12.4, 48^3 5 (packed before either way). */
#define LEAST_PACKED_WORK 2048
/* Elements that each compute unit may pack more than once to save the launches that pack for all: PoCL takes 5 to 30 microseconds a launch, until all
   cores are awake, and packs some 10 elements a nanosecond. */
#define REPACKED_PER_UNIT ((int64_t)256 << 10)
#define SCRATCH_ALIGNMENT 128
#define MOST_OF_A_AT_ONCE ((int64_t)256 << 10) /* elements that stay in the second-level cache while panels of b pass */

/* ---- The layout of a product ------------------------------------------------------------------------------------------------ */

typedef enum method {
    METHOD_DIRECT = 1, /* as in method_names */
    METHOD_DOTS,
    METHOD_LINES,
    METHOD_NARROW,
    METHOD_WIDE,
    METHOD_AT_ONCE,
    METHOD_PANELS
} method;

static const char *const method_names[] = { "direct", "dots", "lines", "narrow", "wide", "at-once", "panels", NULL };

typedef struct layout {
    aval_gemm g; /* c row-major, batch at least 1 */
    aval__variant variant; /* zeros: as the device's model has it */
    method method;
    int64_t a_row, a_column, b_row, b_column; /* strides in elements; of b only for a matrix */
    int64_t vector, rows, columns; /* of the register tile: VW, MR, NR */
    /* panels */
    int64_t a_panels, b_panels;
    int64_t round; /* matrices of the batch that are packed at a time */
    int64_t a_matrices; /* packed matrices of a in a round: 1 when all share one, or are summed into one long k */
    int64_t b_matrices;
    int64_t k_packed; /* steps of a packed panel: k, or k times round when summed */
    uint64_t a_bytes, b_bytes;
    bool packed[2]; /* a and b come packed, in whole panels */
    /* at once: of a work-item */
    bool packs_b; /* else b is read as it lies, or comes packed */
    int64_t row_panels, column_panels;
    uint64_t item_bytes;
    /* lines: of a work-item */
    int64_t item_rows, item_columns;
    uint64_t line_bytes; /* 0: b is in lines already */
} layout;

static uint64_t align_up(uint64_t bytes)
{
    return (bytes + SCRATCH_ALIGNMENT - 1) / SCRATCH_ALIGNMENT * SCRATCH_ALIGNMENT;
}

/* Columns of a work-item of gemm_wide: two work-items a compute unit, or more where sums would not stay in the nearest cache. */
static int64_t wide_columns(const layout *l, const aval_device_info *info)
{
    int64_t each = divide_up(l->g.n, aval__knob_or(&l->variant, AVAL__KNOB_ITEMS, 2) * unit_count(info));
    return smaller(divide_up(each, l->vector) * l->vector, WIDE);
}

/* NARROW_ROWS in gemm.cl. */
static int64_t narrow_rows(const layout *l)
{
    return l->vector >= 16 ? 8 : 6;
}

/* Whether rows of a and columns of b are contiguous, or few columns can be made so. */
static bool suits_lines(const layout *l, bool rows_of_b)
{
    const aval_gemm *g = &l->g;
    bool long_lines = l->a_column == 1 && g->k >= 2 * l->vector;
    return long_lines && ((l->b_row == 1 && l->b_column != 1) || (rows_of_b && g->n <= COLUMNS && g->m >= LEAST_LINE_ROWS));
}

/* With few rows or columns nothing that is packed is read twice; these kernels read vectors of what is stored as it is computed. */
static method choose_skinny(const layout *l, int type)
{
    const aval_gemm *g = &l->g;
    if (g->b.patches != NULL || aval_type_bytes(type) != operand_bytes(type)) return METHOD_PANELS;
    bool rows_of_b = l->b_column == 1 && l->b_row >= g->n, few_rows = g->m <= WIDE_ROWS && g->m < l->rows / 2;
    if ((g->n <= COLUMNS || few_rows) && suits_lines(l, rows_of_b)) return METHOD_LINES;
    if (rows_of_b && g->n <= COLUMNS && g->m >= narrow_rows(l)) return METHOD_NARROW;
    if (rows_of_b && few_rows && g->n >= LEAST_WIDE * l->vector) return METHOD_WIDE;
    return METHOD_PANELS;
}

/* Whether the method computes this product at all, and rightly. */
static bool method_fits(const layout *l, const aval_device_info *info, int type, method wanted)
{
    const aval_gemm *g = &l->g;
    bool matrices = g->b.patches == NULL, whole = matrices && aval_type_bytes(type) == operand_bytes(type);
    bool rows_of_b = l->b_column == 1 && l->b_row >= g->n;
    if (g->k == 0) return wanted == METHOD_DIRECT;
    if (info->group > 1) return wanted == METHOD_DIRECT;
    switch (wanted) {
    case METHOD_DIRECT:
    case METHOD_PANELS:
    case METHOD_AT_ONCE: return true; /* at once is laid out where it can be */
    case METHOD_DOTS: return matrices && l->a_column == 1 && l->b_row == 1 && l->b_column != 1;
    case METHOD_LINES: return whole && suits_lines(l, rows_of_b);
    case METHOD_NARROW: return whole && rows_of_b && g->n <= COLUMNS;
    case METHOD_WIDE: return whole && rows_of_b && g->m <= WIDE_ROWS && g->n >= l->vector;
    }
    return false;
}

static method choose_method(const layout *l, const aval_device_info *info, int type)
{
    const aval_gemm *g = &l->g;
    if (g->k == 0) return METHOD_DIRECT;
    if (info->group > 1) return METHOD_DIRECT;
    if (choose_skinny(l, type) != METHOD_PANELS) return choose_skinny(l, type);
    bool worth_packing = g->m >= l->rows / 2 && g->n >= l->vector / 2 && g->m * g->n * g->k >= LEAST_PACKED_WORK;
    if (worth_packing) return METHOD_PANELS;
    return g->b.patches == NULL && l->a_column == 1 && l->b_row == 1 && l->b_column != 1 ? METHOD_DOTS : METHOD_DIRECT;
}

/* How panels are packed.  With `sum` the matrices of a round lie one after the other in k. */
static void lay_out_panels(layout *l, int type)
{
    const aval_gemm *g = &l->g;
    uint64_t bytes = operand_bytes(type);
    l->a_panels = divide_up(g->m, l->rows);
    l->b_panels = divide_up(g->n, l->columns);
    uint64_t a_one = (uint64_t)(l->a_panels * l->rows * g->k) * bytes, b_one = (uint64_t)(l->b_panels * l->columns * g->k) * bytes;
    l->round = (int64_t)(SCRATCH_TARGET_BYTES / (a_one + b_one));
    /* Rounds of a sum add up in c, which would round each time when c is stored in half. */
    if (l->round > g->batch || (g->sum && type == AVAL_FLOAT16)) l->round = g->batch;
    if (l->round < 1) l->round = 1;
    l->k_packed = g->sum ? g->k * l->round : g->k;
    l->a_matrices = g->sum || g->a.batch_stride == 0 ? 1 : l->round;
    l->b_matrices = g->sum || g->b.batch_stride == 0 ? 1 : l->round;
    uint64_t lengthened = g->sum ? (uint64_t)l->round : 1;
    l->a_bytes = l->packed[0] ? 0 : align_up(a_one * (uint64_t)l->a_matrices * lengthened);
    l->b_bytes = l->packed[1] ? 0 : align_up(b_one * (uint64_t)l->b_matrices * lengthened);
}

/* How long a grid of rows x columns work-items takes, in cycles: tiles at two vectors a cycle, packing at some three elements, starting
   work-items and waking the other cores; and a fourteenth more where too few work-items are left for who is done early. */
#define STARTING 3000.0
#define WAKING 10000.0
static double time_at_once(const layout *l, int64_t units, int64_t rows, int64_t columns)
{
    double a = (double)divide_up(l->a_panels, rows), b = (double)divide_up(l->b_panels, columns);
    double step = a * b * (double)l->rows + ((l->packed[0] ? 0 : a * (double)l->rows) + (l->packs_b ? b * (double)l->columns : 0)) / 3;
    int64_t items = rows * columns * l->g.batch;
    double turns = (double)divide_up(items, units) * (items < 2 * units ? 15.0 / 14 : 1);
    return turns * (step * (double)l->g.k + STARTING) + (items > 1 ? WAKING : 0);
}

static int64_t slice_of(const layout *l)
{
    return aval__knob_or(&l->variant, AVAL__KNOB_SLICE, K_SLICE);
}

/* The grid of at most four work-items a compute unit that is fastest; false: it packs so much that packing for all is better. */
static bool lay_out_at_once(layout *l, const aval_device_info *info, int type)
{
    const aval_gemm *g = &l->g;
    int64_t units = unit_count(info), most = aval__knob_or(&l->variant, AVAL__KNOB_ITEMS, 4) * units, best_rows = 1, best_columns = 1;
    if (g->sum || g->b.patches != NULL || type == AVAL_FLOAT16) return false;
    l->a_panels = divide_up(g->m, l->rows);
    l->b_panels = divide_up(g->n, l->columns);
    l->packs_b = !l->packed[1] && (l->b_column != 1 || aval_type_bytes(type) != operand_bytes(type));
    for (int64_t rows = 1; rows <= most && rows <= l->a_panels; rows++) {
        for (int64_t columns = 1; rows * columns <= most && columns <= l->b_panels; columns++) {
            if (time_at_once(l, units, rows, columns) >= time_at_once(l, units, best_rows, best_columns)) continue;
            best_rows = rows;
            best_columns = columns;
        }
    }
    /* how often the same is packed, by several work-items or for several matrices of the batch, after the first time */
    int64_t a_times = g->batch * best_columns - (g->a.batch_stride == 0 ? 1 : g->batch);
    int64_t b_times = g->batch * best_rows - (g->b.batch_stride == 0 ? 1 : g->batch);
    int64_t a_again = l->packed[0] ? 0 : a_times * l->a_panels * l->rows, b_again = l->packs_b ? b_times * l->b_panels * l->columns : 0;
    if ((a_again + b_again) * g->k > REPACKED_PER_UNIT * units) return false;
    l->row_panels = divide_up(l->a_panels, best_rows);
    l->column_panels = divide_up(l->b_panels, best_columns);
    if (l->row_panels * l->rows * smaller(g->k, slice_of(l)) > MOST_OF_A_AT_ONCE) return false;
    int64_t lanes = (l->packed[0] ? 0 : l->row_panels * l->rows) + l->columns; /* one panel of b at a time */
    l->item_bytes = align_up((uint64_t)(lanes * smaller(g->k, slice_of(l))) * operand_bytes(type));
    return true;
}

static int64_t blocks_at_once(const layout *l)
{
    return divide_up(l->a_panels, l->row_panels) * divide_up(l->b_panels, l->column_panels) * l->g.batch;
}

/* Two work-items a compute unit, or fewer of LEAST_ITEM_WORK each; one, by rows, where each lays its own copy of b into lines. */
static void lay_out_lines(layout *l, const aval_device_info *info, int type)
{
    const aval_gemm *g = &l->g;
    bool laid = l->b_row != 1;
    int64_t work = g->m * g->n * g->k + READ_WORK * (g->m + g->n) * g->k, asked = l->variant.knobs[AVAL__KNOB_ITEMS];
    int64_t usual = smaller((laid ? 1 : 2) * unit_count(info), divide_up(work, LEAST_ITEM_WORK));
    int64_t items = asked > 0 ? asked * unit_count(info) : usual;
    bool by_rows = laid || g->m >= g->n;
    l->item_rows = by_rows ? divide_up(divide_up(g->m, items), LINE_ROWS) * LINE_ROWS : g->m;
    l->item_columns = by_rows ? g->n : divide_up(divide_up(g->n, items), LINE_COLUMNS) * LINE_COLUMNS;
    if (laid) l->line_bytes = align_up((uint64_t)(divide_up(g->n, LAID_COLUMNS) * LAID_COLUMNS * g->k) * operand_bytes(type));
}

static int64_t line_items(const layout *l)
{
    return divide_up(l->g.m, l->item_rows) * (l->g.sum ? 1 : l->g.batch);
}

/* Operand i of the layout is which of the caller's?  A transposed c exchanges them. */
static int own_operand(const aval_gemm *gemm, int i)
{
    return gemm->c.transposed ? 1 - i : i;
}

/* False where the product, or this way to compute it, has no layout. */
static bool lay_out_as(const aval_device_info *info, const aval_gemm *gemm, int type, unsigned packed, const aval__variant *variant,
                       layout *l)
{
    memset(l, 0, sizeof *l);
    l->variant = *variant;
    if (!aval__gemm_normalise(gemm, &l->g)) return false;
    const aval_gemm *g = &l->g;
    uint32_t bytes = operand_bytes(type);
    l->a_row = g->a.transposed ? 1 : g->a.ld;
    l->a_column = g->a.transposed ? g->a.ld : 1;
    l->b_row = g->b.transposed ? 1 : g->b.ld;
    l->b_column = g->b.transposed ? g->b.ld : 1;
    /* Registers of AVX-512 hold 28 sums of 16 floats, those of AVX2 and smaller vectors 12. */
    int64_t floats = aval__knob_or(variant, AVAL__KNOB_VECTOR, aval__vector_floats(info));
    l->rows = aval__knob_or(variant, AVAL__KNOB_ROWS, floats == 16 ? 14 : 6);
    l->vector = bytes == 8 ? floats / 2 : floats;
    l->columns = VECTORS * l->vector;
    for (int i = 0; i < 2; i++) l->packed[i] = packed >> own_operand(gemm, i) & 1;
    method wanted = (method)variant->knobs[AVAL__KNOB_METHOD];
    if (wanted != 0 && !method_fits(l, info, type, wanted)) return false;
    l->method = wanted != 0 ? wanted : choose_method(l, info, type);
    if (wanted == 0 && l->method == METHOD_PANELS && lay_out_at_once(l, info, type)) l->method = METHOD_AT_ONCE;
    if (wanted == METHOD_AT_ONCE && !lay_out_at_once(l, info, type)) return false;
    if (l->method == METHOD_PANELS) lay_out_panels(l, type);
    if (l->method == METHOD_LINES) lay_out_lines(l, info, type);
    return true;
}

static bool lay_out_untuned(const aval_device_info *info, const aval_gemm *gemm, int type, unsigned packed, layout *l)
{
    return lay_out_as(info, gemm, type, packed, &(aval__variant){ 0 }, l);
}

/* Packed operands serve several products, which were tuned one by one, so all of these take the untuned tile. */
static bool lay_out(const aval_device_info *info, const aval_gemm *gemm, int type, unsigned packed, layout *l)
{
    const aval__variant tuned = packed != 0 ? (aval__variant){ 0 } : aval__tuning_find(info, gemm, type, &aval__gemm_tiles);
    return lay_out_as(info, gemm, type, packed, &tuned, l) || lay_out_untuned(info, gemm, type, packed, l);
}

/* ---- Recording ---------------------------------------------------------------------------------------------------------------- */

typedef struct recorder {
    const layout *l;
    const aval_tensor *packed[2]; /* of a and b, NULL: not given */
    bool tail;
    aval__gemm_launch to;
} recorder;

/* A_PARAMS of gemm.cl, from matrix `first` of the batch on. */
static void push_a(recorder *r, int64_t first)
{
    const aval_operand *a = &r->l->g.a;
    push(&r->to, (aval_arg)AVAL_READ(a->tensor));
    LONGS(&r->to, a->offset + first * a->batch_stride, a->batch_stride, r->l->a_row, r->l->a_column);
}

/* B_PARAMS */
static void push_b(recorder *r, int64_t first)
{
    const aval_operand *b = &r->l->g.b;
    const aval_patches *p = b->patches;
    push(&r->to, (aval_arg)AVAL_READ(b->tensor));
    LONGS(&r->to, b->offset + first * b->batch_stride, b->batch_stride);
    if (p == NULL) {
        LONGS(&r->to, r->l->b_row, r->l->b_column);
        return;
    }
    INTS(&r->to, b->transposed != 0);
    const int64_t *const geometry[] = { p->in, p->kernel, p->stride, p->pad, p->dilation };
    for (size_t i = 0; i < sizeof geometry / sizeof geometry[0]; i++) push_ints(&r->to, geometry[i], 3);
    INTS(&r->to, p->out[1], p->out[2]);
}

/* C_PARAMS */
static void push_c(recorder *r, int64_t first, double beta)
{
    const aval_operand *c = &r->l->g.c;
    push_result(&r->to, c->tensor, beta);
    LONGS(&r->to, c->offset + (r->l->g.sum ? 0 : first * c->batch_stride), c->batch_stride, c->ld);
}

static int launch_items(recorder *r, const char *kernel, int64_t x, int64_t y, int64_t z, int64_t side)
{
    const aval_define defines[] = {
        { "VW", r->l->vector },
        { "MR", r->l->rows },
        { "PATCHES", r->l->g.b.patches != NULL },
        { "TAIL", 1 },
    };
    bool tail = r->tail && strncmp(kernel, "gemm", 4) == 0; /* those that pack store nothing */
    return launch(&r->to, kernel, x, y, z, side, defines, sizeof defines / sizeof defines[0] - !tail);
}

/* The kernels without packing take the same arguments. */
static void push_unpacked(recorder *r)
{
    const aval_gemm *g = &r->l->g;
    push_c(r, 0, g->beta);
    push_a(r, 0);
    push_b(r, 0);
    INTS(&r->to, g->m, g->n, g->k, g->sum ? g->batch : 1);
    push_scales(&r->to, g->alpha, g->beta);
}

static int record_unpacked(recorder *r, const char *kernel, int64_t columns_per_item, int64_t rows_per_item, int64_t side)
{
    const aval_gemm *g = &r->l->g;
    push_unpacked(r);
    return launch_items(r, kernel, divide_up(g->n, columns_per_item), divide_up(g->m, rows_per_item), g->sum ? 1 : g->batch, side);
}

static int record_wide(recorder *r, const aval_device_info *info)
{
    const aval_gemm *g = &r->l->g;
    int64_t columns = wide_columns(r->l, info);
    push_unpacked(r);
    INTS(&r->to, columns);
    return launch_items(r, "gemm_wide", divide_up(g->n, columns), 1, g->sum ? 1 : g->batch, 1);
}

static int record_lines(recorder *r)
{
    const layout *l = r->l;
    push_unpacked(r);
    /* where no lines are laid the kernel touches nothing here: any buffer will do */
    push(&r->to, l->line_bytes > 0 ? (aval_arg)AVAL_UPDATE(r->to.scratch) : (aval_arg)AVAL_READ(l->g.a.tensor));
    LONGS(&r->to, (int64_t)l->line_bytes);
    INTS(&r->to, l->item_rows, l->item_columns);
    return launch_items(r, "gemm_lines", divide_up(l->g.m, l->item_rows), divide_up(l->g.n, l->item_columns), l->g.sum ? 1 : l->g.batch, 1);
}

/* Packs `count` matrices from `first` on; `lanes` is MR for a and NR for b. */
static int record_pack(recorder *r, bool of_b, int64_t first, int64_t count)
{
    const layout *l = r->l;
    int64_t panels = of_b ? l->b_panels : l->a_panels, lanes = of_b ? l->columns : l->rows;
    int64_t panel_step = l->k_packed * lanes;
    push(&r->to, (aval_arg)AVAL_UPDATE(r->to.scratch));
    LONGS(&r->to, of_b ? (int64_t)l->a_bytes : 0);
    if (of_b) push_b(r, first);
    else push_a(r, first);
    INTS(&r->to, of_b ? l->g.n : l->g.m, l->g.k);
    LONGS(&r->to, panel_step, l->g.sum ? l->g.k * lanes : panels * panel_step);
    return launch_items(r, of_b ? "pack_b" : "pack_a", panels, count, divide_up(l->g.k, K_SLICE), 1);
}

static int record_at_once(recorder *r)
{
    const layout *l = r->l;
    const aval_gemm *g = &l->g;
    push_c(r, 0, g->beta);
    push(&r->to, (aval_arg)AVAL_UPDATE(r->to.scratch));
    LONGS(&r->to, (int64_t)l->item_bytes);
    push_a(r, 0);
    push_b(r, 0);
    for (int i = 0; i < 2; i++) push(&r->to, (aval_arg)AVAL_READ(r->packed[i]));
    INTS(&r->to, g->m, g->n, g->k, smaller(g->k, slice_of(l)), l->row_panels, l->column_panels);
    push_scales(&r->to, g->alpha, g->beta);
    return launch_items(r, "gemm_at_once", divide_up(l->a_panels, l->row_panels), divide_up(l->b_panels, l->column_panels), g->batch, 1);
}

/* Sides of the blocks of panels: large for reuse in the caches, small enough that every compute unit has work. */
static void choose_blocks(const layout *l, const aval_device_info *info, int64_t matrices, int64_t *rows, int64_t *columns)
{
    *rows = aval__knob_or(&l->variant, AVAL__KNOB_BLOCK, BLOCK_ROW_PANELS);
    *columns = aval__knob_or(&l->variant, AVAL__KNOB_BLOCK, BLOCK_COLUMN_PANELS);
    while (*rows * *columns > 1) {
        int64_t items = divide_up(l->a_panels, *rows) * divide_up(l->b_panels, *columns) * matrices;
        if (items >= aval__knob_or(&l->variant, AVAL__KNOB_ITEMS, ITEMS_PER_UNIT) * unit_count(info)) break;
        if (*rows >= *columns) *rows /= 2;
        else *columns /= 2;
    }
}

static int record_panels(recorder *r, const aval_device_info *info)
{
    const layout *l = r->l;
    const aval_gemm *g = &l->g;
    for (int64_t first = 0; first < g->batch; first += l->round) {
        int64_t count = smaller(l->round, g->batch - first), matrices = g->sum ? 1 : count, row_panels, column_panels;
        int64_t k = g->sum ? count * g->k : g->k;
        double beta = g->sum && first > 0 ? 1 : g->beta;
        bool a_is_packed = r->packed[0] || (first > 0 && !g->sum && l->g.a.batch_stride == 0);
        bool b_is_packed = r->packed[1] || (first > 0 && !g->sum && l->g.b.batch_stride == 0);
        layout round = *l;
        round.k_packed = k;
        r->l = &round;
        if (!a_is_packed) AVAL__TRY(record_pack(r, false, first, g->sum ? count : smaller(count, l->a_matrices)));
        if (!b_is_packed) AVAL__TRY(record_pack(r, true, first, g->sum ? count : smaller(count, l->b_matrices)));
        r->l = l;
        choose_blocks(l, info, matrices, &row_panels, &column_panels);
        push_c(r, first, beta);
        push(&r->to, (aval_arg)AVAL_READ(r->packed[0] ? r->packed[0] : r->to.scratch));
        LONGS(&r->to, 0);
        push(&r->to, (aval_arg)AVAL_READ(r->packed[1] ? r->packed[1] : r->to.scratch));
        LONGS(&r->to, r->packed[1] ? 0 : (int64_t)l->a_bytes);
        /* Slices add up in c, which would round each time when c is stored in half. */
        INTS(&r->to, g->m, g->n, k, r->to.type == AVAL_FLOAT16 ? k : slice_of(l));
        LONGS(&r->to, l->a_matrices > 1 ? l->a_panels * l->rows * k : 0, l->b_matrices > 1 ? l->b_panels * l->columns * k : 0);
        INTS(&r->to, row_panels, column_panels);
        push_scales(&r->to, g->alpha, beta);
        AVAL__TRY(launch_items(r, "gemm_panels", divide_up(l->a_panels, row_panels), divide_up(l->b_panels, column_panels), matrices, 1));
    }
    return AVAL_OK;
}

/* ---- The provider --------------------------------------------------------------------------------------------------------------- */

static int supports(const aval_device_info *info, const aval_gemm *gemm, int type)
{
    aval_gemm g;
    if (!aval__gemm_normalise(gemm, &g) || operand_bytes(type) == 0 || (type == AVAL_DOUBLE && !info->fp64)) return AVAL_E_UNSUPPORTED;
    if (!fits_int(g.m) || !fits_int(g.n) || !fits_int(g.k) || !fits_int(g.batch)) return AVAL_E_UNSUPPORTED;
    if (g.sum && g.k > 0 && g.batch > INT32_MAX / 4 / g.k) return AVAL_E_UNSUPPORTED;
    const aval_patches *p = g.b.patches;
    if (p != NULL && !fits_int(p->channels * p->in[0] * p->in[1] * p->in[2])) return AVAL_E_UNSUPPORTED;
    return AVAL_OK;
}

/* Products by panels share packed operands; one batch, or one that all of the batch share, and no long sums over a batch. */
static uint64_t packed_bytes(const aval_device_info *info, const aval_gemm *gemm, int type, int operand)
{
    layout l;
    if (!lay_out_untuned(info, gemm, type, 0, &l) || l.g.sum || (l.method != METHOD_AT_ONCE && l.method != METHOD_PANELS)) return 0;
    bool b = own_operand(gemm, operand) == 1;
    const aval_operand *o = b ? &l.g.b : &l.g.a;
    if (o->patches || (l.g.batch > 1 && o->batch_stride != 0)) return 0;
    if (b && l.b_column == 1 && l.b_row == l.columns && l.g.n == l.columns && !l.packs_b) return 0; /* one panel already */
    int64_t lanes = b ? divide_up(l.g.n, l.columns) * l.columns : divide_up(l.g.m, l.rows) * l.rows;
    return align_up((uint64_t)(lanes * l.g.k) * operand_bytes(type));
}

static int pack(const aval_device_info *info, const aval_gemm *gemm, int type, int operand, const aval_tensor *to, aval_call *call)
{
    layout l;
    if (!lay_out_untuned(info, gemm, type, 0, &l)) return aval__fail(AVAL_E_INTERNAL, "tiles was given a transposed product from patches");
    l.a_panels = divide_up(l.g.m, l.rows);
    l.b_panels = divide_up(l.g.n, l.columns);
    l.k_packed = l.g.k;
    l.a_bytes = 0;
    recorder r = { .l = &l, .to = { .call = call, .scratch = to, .type = type } };
    return record_pack(&r, own_operand(gemm, operand) == 1, 0, 1);
}

static uint64_t scratch_bytes(const aval_device_info *info, const aval_gemm *gemm, int type, unsigned packed)
{
    layout l;
    if (!lay_out(info, gemm, type, packed, &l) || l.g.m == 0 || l.g.n == 0) return 0;
    if (l.method == METHOD_AT_ONCE) return l.item_bytes * (uint64_t)blocks_at_once(&l);
    if (l.method == METHOD_LINES) return l.line_bytes * (uint64_t)line_items(&l);
    return l.method != METHOD_PANELS ? 0 : l.a_bytes + l.b_bytes;
}

/* Not where several launches store parts of the result. */
static bool takes_tail(const aval_device_info *info, const aval_gemm *gemm, int type)
{
    layout l;
    return lay_out(info, gemm, type, 0, &l) && (l.method != METHOD_PANELS || l.round >= l.g.batch);
}

static int record(const aval_device_info *info, const aval_gemm *gemm, int type, const aval_tensor *scratch,
                  const aval_tensor *const *packed, bool tail, aval_call *call)
{
    layout l;
    if (!lay_out(info, gemm, type, (packed[0] ? 1u : 0) | (packed[1] ? 2u : 0), &l))
        return aval__fail(AVAL_E_INTERNAL, "tiles was given a transposed product from patches");
    if (l.g.m == 0 || l.g.n == 0) return AVAL_OK;
    recorder r = { .l = &l, .tail = tail, .to = { .call = call, .scratch = scratch, .type = type } };
    for (int i = 0; i < 2; i++) r.packed[i] = packed[own_operand(gemm, i)];
    switch (l.method) {
    case METHOD_PANELS: return record_panels(&r, info);
    case METHOD_DOTS: return record_unpacked(&r, "gemm_dots", 1, 1, 1);
    case METHOD_AT_ONCE: return record_at_once(&r);
    case METHOD_LINES: return record_lines(&r);
    case METHOD_NARROW: return record_unpacked(&r, "gemm_narrow", COLUMNS, narrow_rows(&l), 1);
    case METHOD_WIDE: return record_wide(&r, info);
    case METHOD_DIRECT: break;
    }
    return record_unpacked(&r, "gemm_direct", COLUMNS, 1, 1);
}

/* ---- What may be chosen by measuring ---------------------------------------------------------------------------------------------- */

static bool fits(const aval_device_info *info, const aval_gemm *gemm, int type, const aval__variant *variant)
{
    layout l;
    const int32_t *knobs = variant->knobs;
    if (!lay_out_as(info, gemm, type, 0, variant, &l) || l.g.m == 0 || l.g.n == 0) return false;
    if (l.columns < 4 || knobs[AVAL__KNOB_VECTOR] > aval__vector_floats(info)) return false;
    bool tile = l.method == METHOD_PANELS || l.method == METHOD_AT_ONCE, vectors = tile || l.method == METHOD_LINES;
    vectors = vectors || l.method == METHOD_NARROW || l.method == METHOD_WIDE;
    if (knobs[AVAL__KNOB_BLOCK] > 0 && l.method != METHOD_PANELS) return false;
    if ((knobs[AVAL__KNOB_ROWS] > 0 || knobs[AVAL__KNOB_SLICE] > 0) && !tile) return false;
    return vectors || (knobs[AVAL__KNOB_VECTOR] == 0 && knobs[AVAL__KNOB_ITEMS] == 0);
}

static const aval__knob_range ranges[] = {
    { AVAL__KNOB_METHOD, { METHOD_DIRECT, METHOD_DOTS, METHOD_LINES, METHOD_NARROW, METHOD_WIDE, METHOD_AT_ONCE, METHOD_PANELS } },
    { AVAL__KNOB_ROWS, { 6, 14 } },
    { AVAL__KNOB_VECTOR, { 4, 8, 16 } },
    { AVAL__KNOB_ITEMS, { 1, 2, 3, 4, 8, 16 } },
    { AVAL__KNOB_BLOCK, { 2, 4, 8, 16, 32 } },
    { AVAL__KNOB_SLICE, { 128, 256, 384, 512, 768 } },
};

static const aval__tuner tuner = { .ranges = ranges, .n_ranges = sizeof ranges / sizeof *ranges, .methods = method_names, .fits = fits };

static const aval_kernel_source source = { .name = "gemm.cl", .text = gemm_cl };

const aval__gemm_provider aval__gemm_tiles = {
    .name = "tiles",
    .supports = supports,
    .scratch_bytes = scratch_bytes,
    .packed_bytes = packed_bytes,
    .pack = pack,
    .record = record,
    .source = &source,
    .takes_tail = takes_tail,
    .tuner = &tuner,
};
