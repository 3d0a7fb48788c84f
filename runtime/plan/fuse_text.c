/* The kernel of a cluster.
 *
 * The space is seen with as few axes as its broadcasting needs: neighbours in which every input varies, or stays, alike are one axis, so
 * that equal shapes are one line and a row bias two axes.  On CPU devices a work-item computes a contiguous chunk, row by row, in a loop
 * that clang is told to vectorise (elements depend on nothing but elements of the same index); measured on PoCL with 2^24 floats, copying so
 * moves 44 GB/s, as float16 vectors do, and one element a work-item 31.  Other devices compute one element a work-item.
 *
 * Each node computes in one arithmetic type, and what goes on to other nodes is first rounded to that type's storage
 * (half, bytes), so that a value has the same bits whether it went through memory or not. */
#include "plan/fuse_text.h"
#include "expression.clh.h"
#include "functions.clh.h"
#include "small_float.clh.h"

#include <stdio.h>
#include <string.h>

#define MOST_INPUTS 64 /* bits of a mask */

/* ---- Indices --------------------------------------------------------------------------------------------------------------------- */

/* The index of input i in coordinates c0, c1 ...; `last`: with the last axis, else up to its first element. */
static void put_index(aval__generator *g, aval__text *text, size_t input, bool last)
{
    bool any = false;
    aval__text inner = { 0 };
    for (size_t axis = 0; axis < g->axes.count; axis++) {
        if (!(g->axes.varies[axis] >> input & 1)) continue;
        if (!last && axis + 1 == g->axes.count) break;
        aval__text next = { 0 };
        if (any) aval__text_add(&next, "(%s) * n%zu + c%zu", inner.at == NULL ? "" : inner.at, axis, axis);
        else aval__text_add(&next, "c%zu", axis);
        aval__text_release(&inner);
        inner = next;
        any = true;
    }
    if (inner.failed) g->status = AVAL_E_MEMORY;
    aval__text_add(text, "%s", any && inner.at != NULL ? inner.at : "0");
    aval__text_release(&inner);
}

/* ---- Loads and stores ------------------------------------------------------------------------------------------------------------- */

static bool is_cpu(const aval__generator *g)
{
    return g->device->kind == AVAL_DEVICE_CPU;
}

/* Whether elements are computed in a loop over j: on CPUs, and in tails. */
static bool has_loop(const aval__generator *g)
{
    if (g->rows) return g->device->group == 1;
    return !g->head && (is_cpu(g) || g->grid != NULL);
}

/* Whether input i is another element for each j of a row. */
static bool varies(const aval__generator *g, size_t i)
{
    return g->axes.varies[g->axes.count - 1] >> i & 1;
}

/* Where the element of input i lies, from p<i> on: in a loop, and in a head, the row's start b<i> and the place j in the row. */
static void put_place(aval__generator *g, aval__text *place, size_t i)
{
    if (g->head) {
        aval__text_add(place, varies(g, i) ? "row.b%zu + j" : "row.b%zu", i);
        return;
    }
    aval__text_add(place, "o%zu + ", i);
    if (!has_loop(g)) put_index(g, place, i, true);
    else aval__text_add(place, varies(g, i) ? "b%zu + j" : "b%zu", i);
}

enum { FIXED = 1, VARYING = 2 }; /* inputs by what they are in a row */

/* An element of input i from memory. */
static void put_load(aval__generator *g, size_t i)
{
    const aval_value *value = g->cluster->inputs[i];
    const aval__fused_type *type = aval__fused_type_of(value->tensor.type);
    aval__text place = { 0 };
    char name[24], pointer[24];
    snprintf(name, sizeof name, "x%zu", i);
    snprintf(pointer, sizeof pointer, "p%zu", i);
    put_place(g, &place, i);
    if (!place.failed) aval__fused_put(&g->body, type->load, pointer, place.at, name);
    aval__text_add(&g->body, ";\n");
    g->doubles |= value->tensor.type == AVAL_DOUBLE;
    g->smalls |= type->small;
    if (place.failed) g->status = AVAL_E_MEMORY;
    aval__text_release(&place);
}

static const char *input_type(const aval__generator *g, size_t i)
{
    return aval__expr_type(aval__fused_type_of(g->cluster->inputs[i]->tensor.type)->arithmetic);
}

static void put_loads(aval__generator *g, unsigned which)
{
    for (size_t i = 0; i < g->cluster->n_inputs; i++) {
        if (!(which & (varies(g, i) ? VARYING : FIXED))) continue;
        const aval_value *value = g->cluster->inputs[i];
        char name[24];
        snprintf(name, sizeof name, "x%zu", i);
        aval__text_add(&g->body, "        const %s %s = ", input_type(g, i), name);
        if (g->held >> i & 1) aval__text_add(&g->body, varies(g, i) ? "h%zu[j];\n" : "h%zu;\n", i);
        else put_load(g, i);
        aval__fused_spell(g, value, name, aval__fused_type_of(value->tensor.type)->arithmetic);
    }
}

static const char *find_spelled(const aval__generator *g, const aval_value *value)
{
    const char *text = "0";
    for (size_t k = 0; k < g->spelled.count; k++) {
        if (g->spelled.at[k].value == value) text = g->spelled.at[k].text;
    }
    return text;
}

/* A head's result goes to the kernel. */
static bool is_stored(const aval__generator *g, size_t output)
{
    return !g->head || g->cluster->outputs[output] != g->cluster->headed;
}

static void put_stores(aval__generator *g)
{
    for (size_t i = 0; i < g->cluster->n_outputs; i++) {
        const aval_value *value = g->cluster->outputs[i];
        if (!is_stored(g, i)) continue;
        const char *text = find_spelled(g, value);
        char pointer[24], place[48];
        snprintf(pointer, sizeof pointer, "q%zu", i);
        snprintf(place, sizeof place, "qo%zu + %s%s", i, g->head ? "row.i" : "i", has_loop(g) || g->head ? " + j" : "");
        aval__text_add(&g->body, "        ");
        aval__fused_put(&g->body, aval__fused_type_of(value->tensor.type)->store, pointer, place, text);
        aval__text_add(&g->body, ";\n");
    }
}

/* ---- The frame ----------------------------------------------------------------------------------------------------------------------- */

static void put_coordinates(const aval__generator *g, aval__text *text, const char *type)
{
    if (g->axes.count == 1) {
        aval__text_add(text, "        const %s c0 = i;\n", type);
        return;
    }
    aval__text_add(text, "        %s rest = i;\n", type);
    for (size_t axis = g->axes.count; axis-- > 1;) {
        aval__text_add(text, "        const %s c%zu = rest %% (%s)n%zu;\n        rest /= (%s)n%zu;\n", type, axis, type, axis, type, axis);
    }
    aval__text_add(text, "        const %s c0 = rest;\n", type);
}

/* Elements `first` to `end` of a row.  What does not vary in it is loaded before: the compiler may not know that nothing written is read there. */
static void put_loop(aval__generator *g, const char *first, const char *end)
{
    put_loads(g, FIXED);
    /* Two vectors of 8 are all of a block of 16, for which no loop is left, and what rows share stays in registers. */
    const char *interleave =
        g->grid != NULL && g->grid->blocks > 0 && g->grid->columns == 16 ? "interleave_count(2)" : "interleave(enable)";
    aval__text_add(&g->body,
                   "#pragma clang loop vectorize(assume_safety) %s\n"
                   "        for (long j = %s; j < %s; j++) {\n",
                   interleave, first, end);
    put_loads(g, VARYING);
    aval__fused_nodes(g);
    put_stores(g);
    aval__text_add(&g->body, "        }\n");
}

/* `run` elements from i on, in a row. */
static void put_line(aval__generator *g)
{
    for (size_t i = 0; i < g->cluster->n_inputs; i++) {
        aval__text_add(&g->body, "        const long b%zu = ", i);
        put_index(g, &g->body, i, varies(g, i));
        aval__text_add(&g->body, ";\n");
    }
    put_loop(g, "0", "run");
}

/* The elements from `first` to `end`, by runs along the last axis. */
static void put_chunk(aval__generator *g)
{
    aval__text_add(&g->body, "    for (long i = first; i < end;) {\n");
    put_coordinates(g, &g->body, "long");
    aval__text_add(&g->body, "        const long run = min(n%zu - c%zu, end - i);\n", g->axes.count - 1, g->axes.count - 1);
    put_line(g);
    aval__text_add(&g->body, "        i += run;\n    }\n");
}

/* Those of a joint, whose members follow each other. */
static void put_members(aval__generator *g)
{
    aval__fuse_joint_chunk(g->cluster, &g->body);
    put_coordinates(g, &g->body, "long");
    put_line(g);
    aval__text_add(&g->body, "    }\n");
}

/* The same by the lanes of a group, each at its own. */
static void put_lanes(aval__generator *g)
{
    const char *index = aval__fuse_index(g->cluster, g->device);
    aval__text_add(&g->body, "    for (long at = first + lane; at < end; at += step) {\n        const %s i = (%s)at;\n", index, index);
    put_coordinates(g, &g->body, index);
    put_loads(g, FIXED | VARYING);
    aval__fused_nodes(g);
    put_stores(g);
    aval__text_add(&g->body, "    }\n");
}

static void put_element(aval__generator *g)
{
    if (g->cluster->joint != NULL) aval__fuse_joint_element(g->cluster, &g->body);
    else aval__text_add(&g->body, "    const INDEX i = (INDEX)get_global_id(0);\n    if (i < (INDEX)count) {\n");
    put_coordinates(g, &g->body, "INDEX");
    put_loads(g, FIXED | VARYING);
    aval__fused_nodes(g);
    put_stores(g);
    aval__text_add(&g->body, "    }\n");
}

static void put_tensor(aval__generator *g, const aval_value *value, bool written, size_t index)
{
    char type[64];
    snprintf(type, sizeof type, "__global %s%s *", written ? "" : "const ", aval__fused_type_of(value->tensor.type)->name);
    aval__fused_parameter(g, type, written ? "q" : "p", index,
                          (aval__fused_arg){ .kind = written ? AVAL__FUSED_OUTPUT : AVAL__FUSED_INPUT, .index = (uint32_t)index });
    aval__text_add(&g->parameters, ", long %s%zu", written ? "qo" : "o", index);
    aval__text_add(&g->names, ", %s%zu", written ? "qo" : "o", index);
}

/* Of a joint the shared inputs come first. */
static void put_tensors(aval__generator *g)
{
    const aval__joint *joint = g->cluster->joint;
    if (joint != NULL) {
        for (size_t i = 0; i < g->cluster->n_inputs; i++)
            if (joint->shared >> i & 1) put_tensor(g, g->cluster->inputs[i], false, i);
        if (aval__fuse_joint_parameters(g->cluster, &g->parameters, &g->args) < 0) g->status = AVAL_E_MEMORY;
        return;
    }
    for (size_t i = 0; i < g->cluster->n_inputs; i++) put_tensor(g, g->cluster->inputs[i], false, i);
    for (size_t i = 0; i < g->cluster->n_outputs; i++)
        if (is_stored(g, i)) put_tensor(g, g->cluster->outputs[i], true, i);
}

static void put_long(aval__generator *g, const char *letter, size_t number, aval__fused_origin origin)
{
    aval__fused_parameter(g, "long ", letter, number,
                          (aval__fused_arg){ .kind = AVAL__FUSED_LONG, .origin = origin, .index = (uint32_t)number });
}

static void put_range(aval__generator *g)
{
    for (size_t i = 0; i < g->axes.count && g->cluster->joint == NULL; i++) put_long(g, "n", i, AVAL__FUSED_SIZE);
    aval__text_add(&g->parameters, ", long count");
    aval__fused_push_arg(g, (aval__fused_arg){ .kind = AVAL__FUSED_LONG, .origin = AVAL__FUSED_COUNT });
    if (!is_cpu(g)) return;
    aval__text_add(&g->parameters, ", long chunk");
    aval__fused_push_arg(g, (aval__fused_arg){ .kind = AVAL__FUSED_LONG, .origin = AVAL__FUSED_CHUNK });
}

/* Inputs that are the same for all rows of a block, which are short, in private memory: nothing that is written can lie there, so that compilers keep
   them in registers. */
static void hold_inputs(aval__generator *g)
{
    const long long columns = (long long)g->grid->columns;
    for (size_t i = 0; i < g->cluster->n_inputs; i++) {
        if (!(g->grid->same_rows >> i & 1)) continue;
        aval__text_add(&g->body, "    const long b%zu = image * u%zu + block * w%zu;\n", i, i, i);
        if (varies(g, i)) {
            aval__text_add(&g->body, "    %s h%zu[%lld];\n    for (long j = 0; j < %lld; j++) h%zu[j] = ", input_type(g, i), i, columns,
                           columns, i);
        } else aval__text_add(&g->body, "    const %s h%zu = ", input_type(g, i), i);
        put_load(g, i);
        g->held |= (uint64_t)1 << i;
    }
}

/* Rows of a product's result, as far as a work-item has just stored them. */
static void put_rows(aval__generator *g)
{
    size_t product = g->grid->product;
    const bool blocked = g->grid->blocks > 0;
    char columns[24];
    for (size_t i = 0; i < g->cluster->n_inputs; i++) {
        put_long(g, "u", i, AVAL__FUSED_MATRIX_STEP);
        if (blocked) put_long(g, "w", i, AVAL__FUSED_BLOCK_STEP);
        put_long(g, "v", i, AVAL__FUSED_ROW_STEP);
    }
    if (blocked) {
        put_long(g, "blocks", 0, AVAL__FUSED_BLOCKS);
        aval__text_add(&g->body, "    const long image = matrix / blocks0, block = matrix %% blocks0;\n");
    }
    if (blocked) hold_inputs(g);
    aval__text_add(&g->body, "    for (long row = first_row; row < end_row; row++) {\n");
    for (size_t i = 0; i < g->cluster->n_inputs; i++) {
        if (g->held >> i & 1) continue;
        aval__text_add(&g->body, "        const long b%zu = row * v%zu + ", i, i);
        if (blocked) aval__text_add(&g->body, "image * u%zu + block * w%zu;\n", i, i);
        else aval__text_add(&g->body, "matrix * u%zu;\n", i);
    }
    aval__text_add(&g->body, "        const long i = b%zu;\n", product);
    snprintf(columns, sizeof columns, "%lld", (long long)g->grid->columns);
    /* Rows of a block are whole: a loop whose length compilers know is a few vectors. */
    if (blocked) put_loop(g, "0", columns);
    else put_loop(g, "first_column", "end_column");
    aval__text_add(&g->body, "    }\n");
}

/* One element, and where the run begins that it is in. */
static void put_run(aval__generator *g)
{
    const char *index = aval__fuse_index(g->cluster, g->device);
    for (size_t i = 0; i < g->axes.count; i++) put_long(g, "n", i, AVAL__FUSED_SIZE);
    aval__text_add(&g->places, "    const %s i = (%s)element;\n", index, index);
    put_coordinates(g, &g->places, index);
    for (size_t i = 0; i < g->cluster->n_inputs; i++) {
        aval__text_add(&g->places, "    row.b%zu = o%zu + ", i, i);
        put_index(g, &g->places, i, true);
        aval__text_add(&g->places, ";\n");
    }
    if (g->cluster->n_outputs > 1) aval__text_add(&g->places, "    row.i = i;\n");
    put_loads(g, FIXED | VARYING);
    aval__fused_nodes(g);
    put_stores(g);
    aval__text_add(&g->body, "        return %s;\n", find_spelled(g, g->cluster->headed));
}

/* Rows that the kernel of another node asks for. */
static void put_own_rows(aval__generator *g)
{
    for (size_t i = 0; i < g->axes.count; i++) put_long(g, "n", i, AVAL__FUSED_SIZE);
    if (has_loop(g)) put_chunk(g);
    else put_lanes(g);
}

static int check(const aval__cluster *c)
{
    if (c->n_inputs > MOST_INPUTS) {
        return aval__fail(AVAL_E_UNSUPPORTED, "%s reads %zu tensors, an expression can read %d", c->nodes[0]->def->name, c->n_inputs,
                          MOST_INPUTS);
    }
    for (size_t i = 0; i < c->n_nodes; i++) {
        const aval_node *node = c->nodes[i];
        for (uint32_t k = 0; k < node->n_inputs + node->n_outputs; k++) {
            const aval_value *v = k < node->n_inputs ? node->inputs[k] : node->outputs[k - node->n_inputs];
            if (v == NULL || aval__fused_type_of(v->tensor.type)->arithmetic != AVAL_NONE) continue;
            return aval__fail(AVAL_E_TYPE, "%s: expressions cannot compute with element type %s", node->def->name,
                              aval_type_name(v->tensor.type));
        }
    }
    return AVAL_OK;
}

static void put_preamble(const aval__generator *g, aval__text *text)
{
    if (g->doubles) aval__text_add(text, "#pragma OPENCL EXTENSION cl_khr_fp64 : enable\n");
    /* PoCL vectorises after clang's own pass, which complains that it has not done so. */
    if (has_loop(g) || g->head) aval__text_add(text, "#ifdef __clang__\n#pragma clang diagnostic ignored \"-Wpass-failed\"\n#endif\n");
    if (strstr(g->body.at, "aval_of") != NULL) aval__text_put(text, functions_clh, strlen(functions_clh));
    aval__text_put(text, expression_clh, strlen(expression_clh));
    if (g->smalls) aval__text_put(text, small_float_clh, strlen(small_float_clh));
}

static void put_head(const aval__generator *g, aval__text *text)
{
    bool stores = g->cluster->n_outputs > 1;
    aval__text_add(text, "\n#define HEAD 1\n#define HEAD_STORES %d\n#define HEAD_PARAMS , %s\n#define HEAD_ARGS , %s\n", stores,
                   g->parameters.at, g->names.at);
    aval__text_add(text, "typedef struct head_row {\n    long b0");
    for (size_t i = 1; i < g->cluster->n_inputs; i++) aval__text_add(text, ", b%zu", i);
    aval__text_add(text, "%s;\n} head_row;\n", stores ? ", i" : "");
    aval__text_add(text, "static head_row head_at(long element HEAD_PARAMS)\n{\n    head_row row;\n%s    return row;\n}\n", g->places.at);
    /* A call would hand the row over in memory. */
    aval__text_add(
        text, "__attribute__((always_inline)) static %s head(head_row row, long j HEAD_PARAMS)\n{\n%s}\n#pragma OPENCL FP_CONTRACT ON\n",
        aval__expr_type(aval__fused_type_of(g->cluster->headed->tensor.type)->arithmetic), g->body.at);
}

static void put_head_rows(const aval__generator *g, aval__text *text)
{
    bool by_groups = g->device->group > 1;
    const char *lanes = by_groups ? "int lane, int step, " : "";
    aval__text_add(
        text, "\n#define HEAD_PARAMS , %s\n#define HEAD_ARGS , %s\nstatic void head_rows(%slong first, long end HEAD_PARAMS)\n{\n%s}\n",
        g->parameters.at, g->names.at, lanes, g->body.at);
    aval__text_add(text, "#define HEAD_ROWS(first, n) %s\n#pragma OPENCL FP_CONTRACT ON\n",
                   by_groups ? "head_rows(LANE, WG, (first), (first) + (n)HEAD_ARGS), barrier(CLK_GLOBAL_MEM_FENCE)"
                             : "head_rows((first), (first) + (n)HEAD_ARGS)");
}

static int finish(aval__generator *g, aval__fused_kernel *out)
{
    aval__text text = { 0 };
    if (g->status < 0) return g->status;
    if (g->parameters.failed || g->names.failed || g->places.failed || g->body.failed) return AVAL_E_MEMORY;
    put_preamble(g, &text);
    /* Powers of doubles are long sequences in line. */
    const char *kind = g->doubles ? "NARROW " : "";
    if (g->head) put_head(g, &text);
    else if (g->rows) put_head_rows(g, &text);
    else if (g->grid == NULL) aval__text_add(&text, "\n__kernel %svoid fused(%s)\n{\n%s}\n", kind, g->parameters.at, g->body.at);
    else
        aval__text_add(
            &text,
            "\n#define TAIL_PARAMS , %s\n#define TAIL_ARGS %s\n"
            "static void tail(long matrix, long first_row, long end_row, long first_column, long end_column TAIL_PARAMS)\n{\n%s}\n"
            "#pragma OPENCL FP_CONTRACT ON\n",
            g->parameters.at, g->names.at, g->body.at);
    out->text = text.failed ? NULL : aval__arena_text(g->arena, text.at);
    out->kernel = "fused";
    out->args = aval__arena_copy(g->arena, g->args.at, g->args.count * sizeof *g->args.at);
    out->n_args = g->args.count;
    aval__text_release(&text);
    return out->text == NULL || out->args == NULL ? AVAL_E_MEMORY : AVAL_OK;
}

static int generate(aval__generator *g, aval__fused_kernel *out)
{
    AVAL__TRY(check(g->cluster));
    put_tensors(g);
    if (g->head) put_run(g);
    else if (g->rows) put_own_rows(g);
    else if (g->grid != NULL) put_rows(g);
    else {
        put_range(g);
        if (is_cpu(g)) {
            aval__text_add(&g->body, "    const long first = (long)get_global_id(0) * chunk, end = min(first + chunk, count);\n");
            if (g->cluster->joint != NULL) put_members(g);
            else put_chunk(g);
        } else put_element(g);
    }
    int status = finish(g, out);
    if (status == AVAL_OK) status = aval__fuse_arguments(g->cluster, g->grid, g->device, out);
    aval__text_release(&g->parameters);
    aval__text_release(&g->names);
    aval__text_release(&g->places);
    aval__text_release(&g->body);
    aval__text_release(&g->result);
    aval__text_release(&g->rounded);
    aval__vec_release(&g->args);
    aval__vec_release(&g->temporaries);
    aval__vec_release(&g->spelled);
    aval__vec_release(&g->attrs);
    return status;
}

int aval__fuse_kernel(aval__arena *arena, const aval__cluster *cluster, const aval_device_info *device, aval__fused_kernel *out)
{
    aval__generator g = { .cluster = cluster, .device = device, .arena = arena };
    aval__fuse_axes(cluster, &g.axes);
    return generate(&g, out);
}

int aval__fuse_tail(aval__arena *arena, const aval__cluster *cluster, const aval__grid *grid, const aval_device_info *device,
                    aval__fused_kernel *out)
{
    aval__generator g = { .cluster = cluster, .grid = grid, .device = device, .arena = arena };
    g.axes = (aval__fused_axes){ .count = 1, .varies = { grid->along_row } };
    return generate(&g, out);
}

int aval__fuse_head(aval__arena *arena, const aval__cluster *cluster, bool rows, const aval_device_info *device, aval__fused_kernel *out)
{
    aval__generator g = { .cluster = cluster, .head = !rows, .rows = rows, .device = device, .arena = arena };
    aval__fuse_axes(cluster, &g.axes);
    return generate(&g, out);
}
