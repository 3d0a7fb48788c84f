/* What tells the launches of one generated kernel apart: sizes, attributes and ranges; and the key that says which clusters share a kernel. */
#include "plan/fuse.h"

#include <math.h>

#define LEAST_CHUNK 4096 /* elements a work-item on CPUs: about a microsecond of memory, what starting a work-group costs */
/* So many that a core which is busy elsewhere leaves most of its share to the others: on 2 cores that do other work too, bench_fused finds
   medians of 0.83 of a copy kernel's bandwidth with 4 chunks, 0.88 with 16, 0.84 with 64 and 0.83 with 512. */
#define CHUNKS_PER_UNIT 16
#define GROUP 256

/* ---- Axes ------------------------------------------------------------------------------------------------------------------------ */

static uint64_t varying_inputs(const aval__cluster *c, int32_t axis)
{
    uint64_t varies = 0;
    for (size_t i = 0; i < c->n_inputs; i++) {
        int32_t own = axis - (c->space->rank - c->inputs[i]->tensor.rank);
        if (own >= 0 && c->inputs[i]->tensor.dims[own] == c->space->dims[axis]) varies |= (uint64_t)1 << i;
    }
    return varies;
}

void aval__fuse_axes(const aval__cluster *c, aval__fused_axes *out)
{
    *out = (aval__fused_axes){ 0 };
    for (int32_t axis = 0; axis < c->space->rank; axis++) {
        if (c->space->dims[axis] == 1) continue;
        uint64_t varies = varying_inputs(c, axis);
        if (out->count > 0 && out->varies[out->count - 1] == varies) out->sizes[out->count - 1] *= c->space->dims[axis];
        else {
            out->sizes[out->count] = c->space->dims[axis];
            out->varies[out->count++] = varies;
        }
    }
    if (out->count > 0) return;
    out->count = 1; /* one element: the same text as for a line of them */
    out->sizes[0] = 1;
    for (size_t i = 0; i < c->n_inputs; i++) out->varies[0] |= (uint64_t)1 << i;
}

/* ---- The range ------------------------------------------------------------------------------------------------------------------- */

static uint64_t chunk_of(uint64_t count, const aval_device_info *device)
{
    uint64_t pieces = (uint64_t)(device->compute_units > 0 ? device->compute_units : 1) * CHUNKS_PER_UNIT;
    uint64_t chunk = (count + pieces - 1) / pieces;
    return chunk < LEAST_CHUNK ? LEAST_CHUNK : (chunk + 63) / 64 * 64;
}

static bool needs_long_index(uint64_t count, const aval_device_info *device)
{
    return device->kind != AVAL_DEVICE_CPU && count > INT32_MAX - GROUP; /* rounded up to groups it must fit */
}

/* GPUs divide 64-bit integers in software. */
const char *aval__fuse_index(const aval__cluster *c, const aval_device_info *device)
{
    if (device->kind == AVAL_DEVICE_CPU) return "long";
    return needs_long_index((uint64_t)aval__tensor_count(c->space), device) ? "ulong" : "uint";
}

/* Where the elements of each member begin: on CPUs behind those of the one before, so that small ones share a work-item. */
static uint64_t count_of(const aval__cluster *c, const aval_device_info *device)
{
    uint64_t step = device->kind == AVAL_DEVICE_CPU ? 1 : AVAL__JOINT_STEP, count = 0;
    if (c->joint == NULL) return (uint64_t)aval__tensor_count(c->space);
    for (size_t i = 0; i < c->joint->n_members; i++)
        count += ((uint64_t)aval__tensor_count(c->joint->members[i]->space) + step - 1) / step * step;
    return count;
}

static void set_range(uint64_t count, const aval_device_info *device, aval__fused_kernel *out)
{
    if (device->kind == AVAL_DEVICE_CPU) {
        uint64_t chunk = chunk_of(count, device);
        out->global = (count + chunk - 1) / chunk;
        out->local = 1;
        out->options = "";
    } else {
        out->local = device->max_group > 0 && device->max_group < GROUP ? device->max_group : GROUP;
        out->global = (count + out->local - 1) / out->local * out->local;
        out->options = needs_long_index(count, device) ? "-DINDEX=ulong" : "-DINDEX=uint"; /* as aval__fuse_index says */
    }
}

/* ---- Arguments ------------------------------------------------------------------------------------------------------------------- */

static int64_t to_integer(double real)
{
    if (isnan(real)) return 0;
    return real >= 0x1p63 ? INT64_MAX : real < -0x1p63 ? INT64_MIN : (int64_t)real;
}

static int set_attribute(const aval_node *node, aval__fused_arg *arg)
{
    const char *name = node->def->op->attrs[arg->attr].name;
    const aval__attr_value *attr = aval__attrs_find(&node->attrs, name);
    if (attr == NULL || (attr->type != AVAL_ATTR_INT && attr->type != AVAL_ATTR_FLOAT))
        return aval__fail(AVAL_E_ARGUMENT, "%s: its expression reads attribute '%s', which has no numeric value here: give it",
                          node->def->name, name);
    arg->real = attr->type == AVAL_ATTR_INT ? (double)attr->integer : attr->real;
    int64_t integer = attr->type == AVAL_ATTR_INT ? attr->integer : to_integer(attr->real);
    int64_t most = arg->type == AVAL_INT32 ? INT32_MAX : INT64_MAX;
    arg->integer = integer > most ? most : integer < -most - 1 ? -most - 1 : integer;
    return AVAL_OK;
}

int aval__fuse_arguments(const aval__cluster *cluster, const aval__grid *grid, const aval_device_info *device, aval__fused_kernel *kernel)
{
    uint64_t count = count_of(cluster, device);
    aval__fused_axes axes;
    aval__fuse_axes(cluster, &axes);
    set_range(count, device, kernel);
    for (size_t i = 0; i < kernel->n_args; i++) {
        aval__fused_arg *arg = &kernel->args[i];
        if (arg->kind == AVAL__FUSED_INPUT || arg->kind == AVAL__FUSED_OUTPUT) continue;
        switch (arg->origin) {
        case AVAL__FUSED_SIZE: arg->integer = axes.sizes[arg->index]; break;
        case AVAL__FUSED_MEMBER: arg->integer = aval__tensor_count(cluster->joint->members[arg->member]->space); break;
        case AVAL__FUSED_COUNT: arg->integer = (int64_t)count; break;
        case AVAL__FUSED_CHUNK: arg->integer = (int64_t)chunk_of(count, device); break;
        case AVAL__FUSED_MATRIX_STEP: arg->integer = grid->matrix_step[arg->index]; break;
        case AVAL__FUSED_BLOCKS: arg->integer = grid->blocks; break;
        case AVAL__FUSED_BLOCK_STEP: arg->integer = grid->block_step[arg->index]; break;
        case AVAL__FUSED_ROW_STEP: arg->integer = grid->row_step[arg->index]; break;
        case AVAL__FUSED_ATTRIBUTE: AVAL__TRY(set_attribute(cluster->nodes[arg->index], arg)); break;
        }
    }
    return AVAL_OK;
}

/* ---- Keys ------------------------------------------------------------------------------------------------------------------------ */

/* Two numbers below 2^32 as one word. */
static uint64_t pair(size_t high, size_t low)
{
    return (uint64_t)high << 32 | (uint32_t)low;
}

static uint64_t value_word(const aval__fuse_words *words, const aval_value *value)
{
    return value == NULL ? UINT64_MAX : pair(words->place[value->id], (size_t)value->tensor.type);
}

static size_t count_words(const aval__cluster *c)
{
    size_t n = 4 + AVAL_MAX_RANK + c->n_inputs + c->n_outputs;
    for (size_t i = 0; i < c->n_nodes; i++) n += 2 + c->nodes[i]->n_inputs + c->nodes[i]->n_outputs;
    return n;
}

/* Values are numbered within the cluster: inputs, then results in order. */
static void number_values(aval__fuse_words *words, const aval__cluster *c)
{
    uint32_t next = 0;
    for (size_t i = 0; i < c->n_inputs; i++) words->place[c->inputs[i]->id] = next++;
    for (size_t i = 0; i < c->n_nodes; i++)
        for (uint32_t k = 0; k < c->nodes[i]->n_outputs; k++)
            if (c->nodes[i]->outputs[k] != NULL) words->place[c->nodes[i]->outputs[k]->id] = next++;
}

int aval__fuse_key(aval__fuse_words *words, const aval__cluster *c, const aval_device_info *device, aval__hash *key)
{
    aval__fused_axes axes;
    words->list.count = 0;
    AVAL__TRY(aval__vec_reserve(&words->list, count_words(c)));
    uint64_t *w = words->list.at;
    aval__fuse_axes(c, &axes);
    number_values(words, c);
    *w++ = device->kind == AVAL_DEVICE_CPU;
    *w++ = needs_long_index((uint64_t)aval__tensor_count(c->space), device);
    *w++ = pair(axes.count, c->n_nodes);
    *w++ = pair(c->n_inputs, c->n_outputs);
    for (size_t i = 0; i < axes.count; i++) *w++ = axes.varies[i];
    for (size_t i = 0; i < c->n_inputs; i++) *w++ = value_word(words, c->inputs[i]);
    for (size_t i = 0; i < c->n_outputs; i++) *w++ = value_word(words, c->outputs[i]);
    for (size_t i = 0; i < c->n_nodes; i++) {
        const aval_node *node = c->nodes[i];
        *w++ = (uintptr_t)node->def; /* lives as long as the registry, so as long as this plan is made */
        *w++ = pair(node->n_inputs, (size_t)node->n_outputs << 1 | aval__attrs_saturate(&node->attrs));
        for (uint32_t k = 0; k < node->n_inputs; k++) *w++ = value_word(words, node->inputs[k]);
        for (uint32_t k = 0; k < node->n_outputs; k++) *w++ = value_word(words, node->outputs[k]);
    }
    *key = aval__hash_bytes(words->list.at, (size_t)(w - words->list.at) * sizeof *w);
    return AVAL_OK;
}
