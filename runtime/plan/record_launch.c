/* Launches and matrix products that recorders ask for. */
#include "plan/planner.h"

#include <string.h>

/* Work-groups of launches that leave their size open.  PoCL runs a group as one loop: transposing 1M floats takes it 8.6 ms of both cores
   with groups of 1, 3.6 to 3.8 ms with 8 to 256.  64 is a wave of the widest GPUs. */
#define CPU_GROUP 64
#define GPU_GROUP 64

/* ---- Launches ------------------------------------------------------------------------------------------------------------------------------ */

static int add_tensor_arg(aval_call *call, const aval_arg *arg, bool *any_content, bool *any_written)
{
    aval__recording *r = call->user;
    aval__port *port;
    bool written = arg->kind != AVAL_ARG_READ;
    if (arg->kind == AVAL_ARG_READ) AVAL__TRY(aval__record_readable(call, arg->tensor, "launch", &port));
    else AVAL__TRY(aval__record_writable(call, arg->tensor, "launch", &port));
    *any_written |= written;
    *any_content |= written && aval__tensor_count(arg->tensor) > 0;
    bool made = port == r->rows && !r->rows_are_made; /* by the launch at hand */
    return aval__record_tensor_arg(r->p, port->storage, port->offset_bytes, arg->tensor->type, written || made);
}

static bool is_head(const aval__recording *r, const aval_tensor *t)
{
    const aval__port *port = aval__record_port(r, t);
    return r->head && port && aval__record_waits(r, port);
}

static int add_arg(aval_call *call, const aval_arg *arg, int s_type, bool *any_content, bool *any_written)
{
    const aval__recording *r = call->user;
    aval__planner *p = r->p;
    int32_t small = (int32_t)arg->integer;
    float single = (float)arg->real;
    if (arg->reserved || arg->more) return aval__fail(AVAL_E_PLUGIN, "launch: reserved and more of an argument: expected 0 and NULL");
    switch (arg->kind) {
    case AVAL_ARG_READ:
    case AVAL_ARG_WRITE:
    case AVAL_ARG_UPDATE:
        if (arg->tensor && !(arg->kind == AVAL_ARG_READ && is_head(r, arg->tensor)))
            return add_tensor_arg(call, arg, any_content, any_written);
        return aval__vec_push(&p->args, (aval__arg){ .kind = AVAL__ARG_TENSOR, .absent = true, .slot = AVAL__NONE, .offset = -1 });
    case AVAL_ARG_INT:
        if (small != arg->integer)
            return aval__fail(AVAL_E_PLUGIN, "launch: %lld does not fit an int argument; use AVAL_I64", (long long)arg->integer);
        return aval__record_value_arg(p, AVAL_ARG_INT, &small, sizeof small);
    case AVAL_ARG_LONG: return aval__record_value_arg(p, AVAL_ARG_LONG, &arg->integer, sizeof arg->integer);
    case AVAL_ARG_REAL:
        if (s_type == AVAL_DOUBLE) return aval__record_value_arg(p, AVAL_ARG_REAL, &arg->real, sizeof arg->real);
        return aval__record_value_arg(p, AVAL_ARG_REAL, &single, sizeof single);
    case AVAL_ARG_FLOAT: return aval__record_value_arg(p, AVAL_ARG_FLOAT, &single, sizeof single);
    case AVAL_ARG_LOCAL:
        if (arg->integer <= 0 || arg->integer > UINT32_MAX)
            return aval__fail(AVAL_E_PLUGIN, "launch: expected 1 or more bytes of local memory, found %lld", (long long)arg->integer);
        return aval__vec_push(&p->args, (aval__arg){ .kind = AVAL__ARG_LOCAL, .local_bytes = (uint64_t)arg->integer });
    default: return aval__fail(AVAL_E_PLUGIN, "launch: argument of unknown kind %u", arg->kind);
    }
}

/* Work-group along the first axis where the recorder leaves it to us.  A constant, since a CPU driver such as PoCL compiles a kernel anew
   for each size it meets, and left to itself picks one that divides the global size. */
static uint64_t open_group(const aval__recording *r)
{
    const aval_device_info *info = r->info;
    uint64_t usual = r->groups.open > 0 ? r->groups.open : info->kind == AVAL_DEVICE_CPU ? CPU_GROUP : GPU_GROUP;
    return usual < info->max_group ? usual : info->max_group > 0 ? info->max_group : 1;
}

static int check_local_memory(const aval__recording *r, const aval_launch *launch)
{
    const aval_device_info *info = r->p->request->devices[r->device];
    uint64_t bytes = 0;
    for (size_t i = 0; i < launch->n_args; i++)
        if (launch->args[i].kind == AVAL_ARG_LOCAL) bytes += (uint64_t)launch->args[i].integer;
    if (bytes <= info->local_bytes) return AVAL_OK;
    return aval__fail(AVAL_E_UNSUPPORTED, "launch %s: %llu bytes of local memory are more than device '%s' has (%llu)", launch->kernel,
                      (unsigned long long)bytes, info->name, (unsigned long long)info->local_bytes);
}

/* Work sizes: global is rounded up to a multiple of local.  *items is 0 when there is nothing to do. */
static int set_sizes(const aval__recording *r, const aval_launch *launch, aval__step *step, uint64_t *items)
{
    const aval_device_info *info = r->p->request->devices[r->device];
    uint64_t group = 1;
    step->dims = launch->dims > 0 ? launch->dims : 1;
    if (step->dims > 3) return aval__fail(AVAL_E_PLUGIN, "launch %s: expected 1 to 3 dimensions, found %u", launch->kernel, launch->dims);
    *items = 1;
    for (uint32_t i = 0; i < 3; i++) {
        bool used = i < step->dims;
        uint64_t local = used && launch->local[i] > 0 ? launch->local[i] : 1;
        if (i == 0 && launch->local[0] == 0) local = open_group(r);
        step->local[i] = local;
        step->global[i] = used ? aval__align(launch->global[i], local) : 1;
        *items = step->global[i] > 0 ? *items : 0;
        group *= local;
    }
    if (group > info->max_group)
        return aval__fail(AVAL_E_UNSUPPORTED, "launch %s: a work-group of %llu is larger than device '%s' allows (%u)", launch->kernel,
                          (unsigned long long)group, info->name, info->max_group);
    return AVAL_OK;
}

static int type_of_launch(const aval_launch *launch)
{
    if (launch->s_type) return (int)launch->s_type;
    for (size_t i = 0; i < launch->n_args; i++)
        if (launch->args[i].kind <= AVAL_ARG_UPDATE && launch->args[i].tensor) return launch->args[i].tensor->type;
    return AVAL_NONE;
}

/* Absent tensors get the buffer of another argument: OpenCL has no "none" that every driver takes. */
static int set_absent_args(aval__planner *p, const char *kernel)
{
    uint32_t valid = AVAL__NONE;
    for (size_t i = 0; i < p->args.count; i++)
        if (p->args.at[i].kind == AVAL__ARG_TENSOR && !p->args.at[i].absent) valid = p->args.at[i].slot;
    for (size_t i = 0; i < p->args.count; i++) {
        if (!p->args.at[i].absent) continue;
        if (valid == AVAL__NONE) return aval__fail(AVAL_E_PLUGIN, "launch %s: expected at least one tensor that is there", kernel);
        p->args.at[i].slot = valid;
    }
    return AVAL_OK;
}

/* Whether the launch is one that takes a product's tail. */
static bool stores_result(const aval_launch *launch)
{
    for (size_t i = 0; i < launch->n_defines; i++)
        if (strcmp(launch->defines[i].name, AVAL__TAIL_MACRO) == 0) return launch->defines[i].value != 0;
    return false;
}

/* An array and its length stand beside each other, and either is easily forgotten. */
static int check_array(const char *kernel, const char *field, const void *array, size_t n)
{
    if (!array == !n) return AVAL_OK;
    if (!array) return aval__fail(AVAL_E_PLUGIN, "launch %s: n_%s is %zu, but %s is NULL: expected so many", kernel, field, n, field);
    return aval__fail(AVAL_E_PLUGIN, "launch %s: %s is given, but n_%s is 0: expected how many there are", kernel, field, field);
}

static int check_launch(const aval__recording *r, const aval_launch *launch)
{
    if (!launch->kernel) return aval__fail(AVAL_E_PLUGIN, "launch: kernel: expected the name of a function in the kernel file, found NULL");
    if (!r->source)
        return aval__fail(AVAL_E_PLUGIN,
                          "launch %s: the plugin has no kernel file: expected one in the `sources` of its aval_plugin, found none",
                          launch->kernel);
    if (launch->reserved || launch->reserved2) return aval__fail(AVAL_E_PLUGIN, "launch %s: reserved: expected 0", launch->kernel);
    AVAL__TRY(check_array(launch->kernel, "args", launch->args, launch->n_args));
    return check_array(launch->kernel, "defines", launch->defines, launch->n_defines);
}

/* Whether the launch reads what the head that was taken gives, and nothing has written yet. */
static bool reads_head(const aval__recording *r, const aval_launch *launch)
{
    for (size_t i = 0; r->head && !r->rows_are_made && i < launch->n_args; i++) {
        const aval_tensor *t = launch->args[i].kind == AVAL_ARG_READ ? launch->args[i].tensor : NULL;
        if (t && (is_head(r, t) || (r->rows && aval__record_port(r, t) == r->rows))) return true;
    }
    return false;
}

int aval__record_launch(aval_call *call, const aval_launch *launch)
{
    aval__recording *r = call->user;
    aval__planner *p = r->p;
    aval__step sizes = { 0 }, *step;
    bool any_content = false, any_written = false;
    uint64_t items = 0;
    AVAL__TRY(check_launch(r, launch));
    int s_type = type_of_launch(launch);
    const aval__graft *graft = stores_result(launch) ? r->tail : reads_head(r, launch) ? r->head : NULL;
    for (size_t i = 0; i < launch->n_args; i++) AVAL__TRY(add_arg(call, &launch->args[i], s_type, &any_content, &any_written));
    AVAL__TRY(set_absent_args(p, launch->kernel));
    AVAL__TRY(set_sizes(r, launch, &sizes, &items));
    AVAL__TRY(check_local_memory(r, launch));
    if (items == 0 && any_content)
        return aval__fail(AVAL_E_PLUGIN, "launch %s: expected 1 or more work-items for outputs that have elements, found 0",
                          launch->kernel);
    if (items == 0 || (any_written && !any_content)) { /* nothing to compute: OpenCL refuses a size of 0 */
        p->args.count = 0;
        return AVAL_OK;
    }
    if (graft) AVAL__TRY(aval__record_graft_args(r, graft));
    r->rows_are_made |= graft && r->rows;
    AVAL__TRY(aval__source_of_launch(p, r->source, launch, s_type, graft, &sizes.source));
    sizes.kernel = aval__keep_text(p, launch->kernel);
    if (!sizes.kernel) return AVAL_E_MEMORY;
    AVAL__TRY(aval__record_args(p, &sizes));
    AVAL__TRY(aval__record_step(r, AVAL__STEP_LAUNCH, &step));
    sizes.kind = step->kind;
    sizes.device = step->device;
    sizes.node = step->node;
    *step = sizes;
    if (launch->flops <= 0) return AVAL_OK;
    return aval__vec_push(&p->products, (aval__product){ .step = (uint32_t)p->steps.count - 1, .flops = launch->flops });
}

/* ---- Matrix products ------------------------------------------------------------------------------------------------------------------------- */

static int64_t batches(const aval_gemm *gemm)
{
    return gemm->batch == 0 ? 1 : gemm->batch;
}

/* What is not used yet is 0, so that it can be used once. */
static int check_unused(const aval_operand *operand, const char *name, bool patches)
{
    if (operand->reserved || operand->more || operand->transposed > 1 || (operand->patches && operand->patches->more))
        return aval__fail(AVAL_E_PLUGIN, "gemm: operand %s: expected reserved 0, more NULL and transposed 0 or 1", name);
    if (operand->patches && !patches) return aval__fail(AVAL_E_PLUGIN, "gemm: operand %s: expected no patches: only b may have them", name);
    return AVAL_OK;
}

/* The operand's last element must be in its tensor. */
static int check_operand(const aval_operand *operand, const char *name, int64_t rows, int64_t columns, int64_t batch)
{
    if (rows == 0 || columns == 0 || operand->patches) return AVAL_OK;
    if (operand->transposed) {
        int64_t swap = rows;
        rows = columns;
        columns = swap;
    }
    int64_t last = operand->offset + (batch - 1) * operand->batch_stride + (rows - 1) * operand->ld + columns - 1;
    if (operand->offset >= 0 && operand->ld >= columns && last < aval__tensor_count(operand->tensor)) return AVAL_OK;
    return aval__fail(AVAL_E_PLUGIN, "gemm: operand %s: %lld x %lld elements, %lld apart, from %lld on do not lie in a tensor of %lld",
                      name, (long long)rows, (long long)columns, (long long)operand->ld, (long long)operand->offset,
                      (long long)aval__tensor_count(operand->tensor));
}

/* Blocks divide what lies in them, so that the elements of a matrix are as many as without. */
static int check_blocks(const aval_gemm *gemm)
{
    const int64_t groups = gemm->groups > 0 ? gemm->groups : 1, b = gemm->b_block, c = gemm->c_block;
    if (b == 0 && c == 0) return AVAL_OK;
    const aval_patches *p = gemm->b.patches;
    bool fits = p && !gemm->sum && !gemm->c.transposed && !gemm->b.transposed && b >= 0 && c >= 0;
    if (fits && (b == 0 || groups * p->channels % b == 0) && (c == 0 || (groups * gemm->m % c == 0 && gemm->c.ld == gemm->n)))
        return AVAL_OK;
    return aval__fail(AVAL_E_PLUGIN,
                      "gemm: b_block %lld and c_block %lld: expected 0 or divisors of channels and rows, of a product with patches",
                      (long long)b, (long long)c);
}

static int check_gemm(const aval_gemm *gemm)
{
    if (gemm->m < 0 || gemm->n < 0 || gemm->k < 0 || gemm->batch < 0 || !gemm->a.tensor || !gemm->b.tensor || !gemm->c.tensor)
        return aval__fail(AVAL_E_PLUGIN, "gemm: expected three operands and sizes of 0 or more");
    if (gemm->whole > 1 || gemm->sum > 1) return aval__fail(AVAL_E_PLUGIN, "gemm: expected whole and sum to be 0 or 1");
    if (gemm->groups < 0 || (gemm->groups > 0 && batches(gemm) % gemm->groups != 0))
        return aval__fail(AVAL_E_PLUGIN, "gemm: groups is %lld, expected 0 or a divisor of batch, %lld", (long long)gemm->groups,
                          (long long)batches(gemm));
    AVAL__TRY(check_blocks(gemm));
    AVAL__TRY(check_unused(&gemm->a, "a", false));
    AVAL__TRY(check_unused(&gemm->b, "b", true));
    AVAL__TRY(check_unused(&gemm->c, "c", false));
    if (gemm->a.tensor->type != gemm->c.tensor->type || gemm->b.tensor->type != gemm->c.tensor->type)
        return aval__fail(AVAL_E_PLUGIN, "gemm: expected operands of one type, found %s, %s and %s", aval_type_name(gemm->a.tensor->type),
                          aval_type_name(gemm->b.tensor->type), aval_type_name(gemm->c.tensor->type));
    if (gemm->m == 0 || gemm->n == 0) return AVAL_OK;
    AVAL__TRY(check_operand(&gemm->a, "a", gemm->m, gemm->k, gemm->groups > 0 && !gemm->sum ? gemm->groups : batches(gemm)));
    AVAL__TRY(check_operand(&gemm->b, "b", gemm->k, gemm->n, batches(gemm)));
    return check_operand(&gemm->c, "c", gemm->m, gemm->n, aval__gemm_results(gemm));
}

/* Zeros in every row of c, in as few fills as its layout allows. */
static int fill_result(aval__recording *r, const aval_gemm *gemm, const aval__port *c)
{
    int64_t batch = aval__gemm_results(gemm), rows = gemm->m, length = gemm->n;
    if (gemm->c.ld == length) length *= rows, rows = 1;
    if (rows == 1 && (batch == 1 || gemm->c.batch_stride == length)) length *= batch, batch = 1;
    for (int64_t b = 0; b < batch; b++)
        for (int64_t i = 0; i < rows; i++)
            AVAL__TRY(aval__record_fill_range(r, c, gemm->c.offset + b * gemm->c.batch_stride + i * gemm->c.ld, length, 0));
    return AVAL_OK;
}

/* The plan's own copy; tensors for type and shape. */
static const aval_gemm *keep_gemm(aval__planner *p, const aval_gemm *gemm)
{
    aval__arena *arena = &p->plan->arena;
    aval_gemm *kept = aval__arena_copy(arena, gemm, sizeof *gemm);
    if (!kept) return NULL;
    aval_operand *operands[] = { &kept->a, &kept->b, &kept->c };
    for (int i = 0; i < 3; i++) {
        if (aval__keep_tensor(p, operands[i]->tensor, &operands[i]->tensor) < 0) return NULL;
        if (!operands[i]->patches) continue;
        operands[i]->patches = aval__arena_copy(arena, operands[i]->patches, sizeof *operands[i]->patches);
        if (!operands[i]->patches) return NULL;
    }
    return kept;
}

static aval__place place_of(const aval__port *port)
{
    return (aval__place){ port->storage, (int64_t)port->offset_bytes };
}

/* A product that its provider runs itself. */
static int add_gemm_step(aval__recording *r, const aval_gemm *gemm, const aval__gemm_choice *choice, aval__port *const ports[3],
                         const aval__port *scratch)
{
    aval__step *step;
    const aval_gemm *kept = keep_gemm(r->p, gemm);
    if (!kept) return AVAL_E_MEMORY;
    AVAL__TRY(aval__record_step(r, AVAL__STEP_GEMM, &step));
    step->gemm = kept;
    step->a = place_of(ports[0]);
    step->b = place_of(ports[1]);
    step->c = place_of(ports[2]);
    step->scratch = scratch ? place_of(scratch) : (aval__place){ AVAL__NONE, 0 };
    step->bytes = choice->scratch_bytes;
    step->provider = choice->provider;
    step->type = gemm->c.tensor->type;
    return AVAL_OK;
}

static bool writes_to(const aval__step *step, uint32_t storage)
{
    if (step->kind == AVAL__STEP_GEMM) return true;
    for (uint32_t i = 0; i < step->n_args; i++)
        if (step->args[i].kind == AVAL__ARG_TENSOR && step->args[i].written && step->args[i].slot == storage) return true;
    return false;
}

/* The arithmetic of a product whose launches do not tell it is in the steps from `first` on that write its result: not in those that pack operands. */
static int note_product(aval__planner *p, size_t first, uint32_t storage, double flops)
{
    size_t n = 0;
    for (size_t i = first; i < p->steps.count; i++) n += writes_to(&p->steps.at[i], storage);
    for (size_t i = first; i < p->steps.count; i++)
        if (writes_to(&p->steps.at[i], storage))
            AVAL__TRY(aval__vec_push(&p->products, (aval__product){ .step = (uint32_t)i, .flops = flops / (double)n }));
    return AVAL_OK;
}

/* The products from `first` on are as measuring has decided. */
static int note_tuned(aval__planner *p, size_t first, const char *tuned)
{
    const char *kept = tuned[0] ? aval__keep_text(p, tuned) : NULL;
    for (size_t i = first; i < p->products.count; i++) p->products.at[i].tuned = kept;
    return tuned[0] && !kept ? AVAL_E_MEMORY : AVAL_OK;
}

static int record_product(aval_call *call, const aval_gemm *gemm);

/* The products of group `number` alone, one an image. */
static aval_gemm group_of(const aval_gemm *gemm, int64_t number)
{
    aval_gemm g = *gemm;
    aval_operand *const operands[] = { &g.a, &g.b, &g.c };
    for (int i = 0; i < 3; i++) {
        operands[i]->offset += number * operands[i]->batch_stride;
        operands[i]->batch_stride *= g.groups;
    }
    (g.sum ? &g.c : &g.a)->batch_stride = 0;
    g.batch = batches(gemm) / g.groups;
    g.whole = g.whole && g.groups == 1;
    g.groups = 0;
    return g;
}

static int record_groups(aval_call *call, const aval_gemm *gemm)
{
    for (int64_t i = 0; i < gemm->groups; i++) {
        const aval_gemm group = group_of(gemm, i);
        AVAL__TRY(record_product(call, &group));
    }
    return AVAL_OK;
}

int aval__record_gemm(aval_call *call, const aval_gemm *gemm)
{
    AVAL__TRY(check_gemm(gemm));
    return gemm->groups == 1 ? record_groups(call, gemm) : record_product(call, gemm);
}

static int record_product(aval_call *call, const aval_gemm *gemm)
{
    aval__recording *r = call->user;
    const aval__plan_hooks *hooks = r->p->request->hooks;
    aval__gemm_choice choice = { 0 };
    aval__port *ports[3];
    aval__packed *packed[2];
    const aval_tensor *scratch = NULL;
    AVAL__TRY(aval__record_readable(call, gemm->a.tensor, "gemm a", &ports[0]));
    AVAL__TRY(aval__record_readable(call, gemm->b.tensor, "gemm b", &ports[1]));
    AVAL__TRY(aval__record_writable(call, gemm->c.tensor, "gemm c", &ports[2]));
    if (gemm->m == 0 || gemm->n == 0) return AVAL_OK;
    if (gemm->k == 0 && gemm->beta == 0) return fill_result(r, gemm, ports[2]);
    if (gemm->k == 0 && gemm->beta == 1) return AVAL_OK; /* c stays as it is */

    int type = gemm->c.tensor->type;
    for (int i = 0; i < 2; i++) {
        AVAL__TRY(aval__record_meet_operand(r, ports[i], gemm, i, &packed[i]));
        choice.many[i] = packed[i] != NULL;
    }
    AVAL__TRY(hooks->gemm_choose(hooks->user, r->device, gemm, type, &choice));
    if (choice.apart) return record_groups(call, gemm);
    for (int i = 0; i < 2; i++)
        if (packed[i] && choice.packed_bytes[i] > 0)
            AVAL__TRY(aval__record_packed(call, gemm, type, &choice, i, packed[i], &choice.packed[i]));
    if (choice.scratch_bytes > 0) {
        scratch = aval__record_scratch(call, AVAL_UINT8, (int64_t)choice.scratch_bytes);
        if (!scratch) return AVAL_E_MEMORY;
    }
    size_t first = r->p->steps.count, told = r->p->products.count;
    const char *label = r->label;
    if (choice.takes_tail && choice.records && r->unit->tail) AVAL__TRY(aval__record_begin_tail(r, gemm, ports[2]));
    choice.with_tail = r->tail != NULL;
    if (!choice.records) AVAL__TRY(add_gemm_step(r, gemm, &choice, ports, scratch ? r->scratch : NULL));
    else {
        const aval_kernel_source *own = r->source;
        int status = hooks->gemm_record(hooks->user, r->device, gemm, type, &choice, scratch, call, &r->source);
        r->source = own;
        r->label = label;
        r->tail_is_done |= r->tail != NULL;
        r->tail = NULL;
        if (status < 0) return status;
    }
    double flops = 2.0 * (double)gemm->m * (double)gemm->n * (double)gemm->k * (double)batches(gemm);
    if (r->p->products.count == told) AVAL__TRY(note_product(r->p, first, ports[2]->storage, flops));
    return note_tuned(r->p, told, choice.tuned);
}
