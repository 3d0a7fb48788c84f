/* Einsum: products and sums of tensors whose axes have names.  A body: operands are multiplied pair by pair from the left; names that
 * nothing after needs are summed over, in a matrix product where both have them.  Its gradient follows from those of its parts. */
#include "support.h"

#include <string.h>

typedef const aval_tensor *tensor;

#define NAMES 160 /* characters, then the axes that "..." stands for */
#define ELLIPSIS 128 /* the name of its first axis, counted so that all operands' last ones agree */
#define MOST_OPERANDS 16

/* A tensor and the names of its axes. */
typedef struct operand {
    tensor t;
    int names[AVAL_MAX_RANK];
    uint32_t rank;
} operand;

typedef struct equation {
    operand operands[MOST_OPERANDS];
    size_t count;
    int64_t lengths[NAMES]; /* 0: the name does not occur */
    int occurs[NAMES]; /* how often, in all operands */
    int output[AVAL_MAX_RANK];
    uint32_t output_rank;
    int ellipsis; /* axes that "..." stands for */
} equation;

/* ---- Reading the equation ------------------------------------------------------------------------------------------------------------ */

/* The names of one term, up to `end`; axes of "..." are `hidden` many. */
static int read_term(const aval_host *host, aval_call *call, const char *from, const char *end, int hidden, int all_hidden, int *names,
                     uint32_t *rank)
{
    *rank = 0;
    while (from < end) {
        int n = 1, name = (unsigned char)*from;
        if (strncmp(from, "...", 3) == 0) {
            n = hidden;
            name = ELLIPSIS + all_hidden - hidden;
            from += 3;
        } else if ((*from >= 'a' && *from <= 'z') || (*from >= 'A' && *from <= 'Z')) {
            from++;
        } else {
            return host->fail(call, AVAL_PLUGIN_BAD_ARGUMENT, "attribute equation has '%c', expected letters, commas, ... and ->", *from);
        }
        if (*rank + (uint32_t)n > AVAL_MAX_RANK)
            return host->fail(call, AVAL_PLUGIN_BAD_ARGUMENT, "attribute equation has a term of more than %d axes", AVAL_MAX_RANK);
        for (int i = 0; i < n; i++) names[(*rank)++] = name + i;
    }
    return 0;
}

/* Letters of a term, without the points of "...". */
static int count_letters(const char *from, const char *end)
{
    int count = 0;
    for (; from < end; from++) count += *from != '.' ? 1 : 0;
    return count;
}

static int has_ellipsis(const char *from, const char *end)
{
    for (; from + 2 < end; from++)
        if (strncmp(from, "...", 3) == 0) return 1;
    return 0;
}

/* Lengths of all names; 1 broadcasts. */
static int read_lengths(const aval_host *host, aval_call *call, equation *e)
{
    for (size_t i = 0; i < e->count; i++) {
        const operand *o = &e->operands[i];
        for (uint32_t a = 0; a < o->rank; a++) {
            int64_t length = host->dims(o->t)[a], *known = &e->lengths[o->names[a]];
            if (e->occurs[o->names[a]]++ > 0 && *known != length && *known != 1 && length != 1)
                return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "input %zu: axis %u has length %lld, but its name stands for %lld elsewhere",
                                  i, (unsigned)a, (long long)length, (long long)*known);
            if (e->occurs[o->names[a]] == 1 || *known == 1) *known = length;
        }
    }
    return 0;
}

/* Without "->": the axes of "...", then the names that occur once, in alphabetical order. */
static int implied_output(const aval_host *host, aval_call *call, equation *e)
{
    e->output_rank = 0;
    for (int pass = 0; pass < 2; pass++) {
        for (int name = pass == 0 ? ELLIPSIS : 0; name < (pass == 0 ? NAMES : ELLIPSIS); name++) {
            if (pass == 0 ? e->occurs[name] == 0 : e->occurs[name] != 1) continue;
            if (e->output_rank == AVAL_MAX_RANK)
                return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "the result would have more than %d axes", AVAL_MAX_RANK);
            e->output[e->output_rank++] = name;
        }
    }
    return 0;
}

static int check_output(const aval_host *host, aval_call *call, const equation *e)
{
    for (uint32_t i = 0; i < e->output_rank; i++) {
        int twice = 0;
        for (uint32_t j = 0; j < i; j++) twice = twice || e->output[j] == e->output[i];
        if (twice || e->occurs[e->output[i]] == 0)
            return host->fail(call, AVAL_PLUGIN_BAD_ARGUMENT, "attribute equation: name %u of the result %s", (unsigned)i,
                              twice ? "stands there twice" : "is not in any input");
    }
    return 0;
}

static int read_operands(const aval_host *host, aval_call *call, equation *e, const char *written, const char *end)
{
    const char *terms[MOST_OPERANDS + 1];
    int hidden[MOST_OPERANDS];
    size_t n = host->n_inputs(call);
    e->count = 0;
    terms[0] = written;
    for (const char *c = written; c <= end; c++) {
        if (c < end && *c != ',') continue;
        if (e->count == MOST_OPERANDS || e->count == n) break;
        terms[++e->count] = c + 1;
    }
    if (e->count != n || terms[e->count] != end + 1)
        return host->fail(call, AVAL_PLUGIN_BAD_ARGUMENT, "attribute equation must have a term for each of %zu inputs, at most %d", n,
                          MOST_OPERANDS);
    for (size_t i = 0; i < n; i++) {
        int rank = (int)host->rank(host->input(call, i)), letters = count_letters(terms[i], terms[i + 1] - 1);
        hidden[i] = has_ellipsis(terms[i], terms[i + 1] - 1) ? rank - letters : 0;
        if (hidden[i] < 0 || letters + hidden[i] != rank)
            return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "input %zu has %d axes, but its term in the equation names %d", i, rank,
                              letters);
        if (hidden[i] > e->ellipsis) e->ellipsis = hidden[i];
    }
    for (size_t i = 0; i < n; i++) {
        operand *o = &e->operands[i];
        o->t = host->input(call, i);
        TRY(read_term(host, call, terms[i], terms[i + 1] - 1, hidden[i], e->ellipsis, o->names, &o->rank));
    }
    return 0;
}

static int read_equation(const aval_host *host, aval_call *call, equation *e)
{
    char written[512];
    size_t length = 0;
    memset(e, 0, sizeof *e);
    for (const char *c = host->attr_string(call, "equation"); *c != 0; c++) {
        if (*c == ' ') continue;
        if (length + 1 == sizeof written)
            return host->fail(call, AVAL_PLUGIN_BAD_ARGUMENT, "attribute equation is longer than 511 characters");
        written[length++] = *c;
    }
    written[length] = 0;
    char *arrow = strstr(written, "->");
    TRY(read_operands(host, call, e, written, arrow == NULL ? written + length : arrow));
    TRY(read_lengths(host, call, e));
    if (arrow == NULL) return implied_output(host, call, e);
    TRY(read_term(host, call, arrow + 2, written + length, e->ellipsis, e->ellipsis, e->output, &e->output_rank));
    return check_output(host, call, e);
}

static int einsum_infer(const aval_host *host, aval_call *call)
{
    equation e;
    int64_t dims[AVAL_MAX_RANK];
    TRY(read_equation(host, call, &e));
    for (uint32_t i = 0; i < e.output_rank; i++) dims[i] = e.lengths[e.output[i]];
    return host->set_output(call, 0, host->type(host->input(call, 0)), e.output_rank, dims);
}

/* ---- Steps of the body ----------------------------------------------------------------------------------------------------------------- */

static int place_of(const operand *o, int name)
{
    for (uint32_t i = 0; i < o->rank; i++)
        if (o->names[i] == name) return (int)i;
    return -1;
}

static int apply2(const aval_host *host, aval_call *call, const char *op, const char *attrs, tensor a, tensor b, tensor *out)
{
    const tensor inputs[] = { a, b };
    return host->apply(call, op, attrs, 2, inputs, 1, out);
}

/* The axes in the order of places `perm`. */
static int permute(const aval_host *host, aval_call *call, operand *o, const int64_t *perm)
{
    operand old = *o;
    text attrs = { 0 };
    int moves = 0;
    for (uint32_t i = 0; i < o->rank; i++) {
        o->names[i] = old.names[perm[i]];
        moves = moves || perm[i] != i;
    }
    if (!moves) return 0;
    text_ints(&attrs, "perm", perm, o->rank);
    return host->apply(call, "Transpose", attrs.at, 1, &old.t, 1, &o->t);
}

/* A name that one operand has twice becomes the diagonal of the two axes: every (n + 1)th element of both as one. */
static int take_diagonals(const aval_host *host, aval_call *call, operand *o)
{
    for (uint32_t i = 0; i < o->rank; i++) {
        for (uint32_t j = i + 1; j < o->rank; j++) {
            if (o->names[i] != o->names[j]) continue;
            int64_t perm[AVAL_MAX_RANK], dims[AVAL_MAX_RANK], n = host->dims(o->t)[i], m = host->dims(o->t)[j];
            uint32_t at = 0;
            for (uint32_t a = 0; a < o->rank; a++)
                if (a != i && a != j) perm[at++] = a;
            perm[at] = i;
            perm[at + 1] = j;
            TRY(permute(host, call, o, perm));
            for (uint32_t a = 0; a < at; a++) dims[a] = host->dims(o->t)[a];
            dims[at] = n * m;
            o->rank--;
            TRY(reshaped(host, call, o->t, o->rank, dims, &o->t));
            /* where one of the two has length 1 the other is taken whole */
            const int64_t start = 0, end = n * m, axis = at, step = n == 1 || m == 1 ? 1 : n + 1;
            const tensor slice[] = { o->t, constant_ints(host, call, &start, 1), constant_ints(host, call, &end, 1),
                                     constant_ints(host, call, &axis, 1), constant_ints(host, call, &step, 1) };
            TRY(host->apply(call, "Slice", NULL, 5, slice, 1, &o->t));
            return take_diagonals(host, call, o);
        }
    }
    return 0;
}

/* Axes of length 1 whose name is longer elsewhere are taken out: the others broadcast along them. */
static int drop_ones(const aval_host *host, aval_call *call, const equation *e, operand *o)
{
    int64_t dims[AVAL_MAX_RANK];
    uint32_t rank = 0;
    for (uint32_t i = 0; i < o->rank; i++) {
        if (host->dims(o->t)[i] == 1 && e->lengths[o->names[i]] != 1) continue;
        dims[rank] = host->dims(o->t)[i];
        o->names[rank++] = o->names[i];
    }
    if (rank == o->rank) return 0;
    o->rank = rank;
    return reshaped(host, call, o->t, rank, dims, &o->t);
}

/* Whether the result or an operand from `next` on has the name. */
static int is_needed(const equation *e, size_t next, int name)
{
    for (uint32_t i = 0; i < e->output_rank; i++)
        if (e->output[i] == name) return 1;
    for (size_t k = next; k < e->count; k++)
        if (place_of(&e->operands[k], name) >= 0) return 1;
    return 0;
}

/* Sums over the names that neither `other` (NULL: none) nor anything from `next` on has. */
static int sum_out(const aval_host *host, aval_call *call, const equation *e, operand *o, const operand *other, size_t next)
{
    int64_t axes[AVAL_MAX_RANK];
    size_t n = 0;
    uint32_t rank = 0;
    for (uint32_t i = 0; i < o->rank; i++) {
        if (is_needed(e, next, o->names[i]) || (other != NULL && place_of(other, o->names[i]) >= 0)) o->names[rank++] = o->names[i];
        else axes[n++] = i;
    }
    if (n == 0) return 0;
    o->rank = rank;
    return apply2(host, call, "ReduceSum", "keepdims=0", o->t, constant_ints(host, call, axes, n), &o->t);
}

/* Groups of names of a pair of operands. */
enum { BATCH, FIRST, SECOND, SUMMED, GROUPS };
typedef struct group {
    int names[AVAL_MAX_RANK];
    uint32_t count;
    int64_t size;
} group;

static void add_name(group *g, int name, int64_t length)
{
    g->names[g->count++] = name;
    g->size *= length;
}

/* The operand with the names of groups x, y and z in this order. */
static int arrange(const aval_host *host, aval_call *call, operand *o, const group *x, const group *y, const group *z)
{
    const group *const order[] = { x, y, z };
    int64_t perm[AVAL_MAX_RANK];
    uint32_t at = 0;
    for (size_t g = 0; g < 3; g++)
        for (uint32_t i = 0; i < order[g]->count; i++) perm[at++] = place_of(o, order[g]->names[i]);
    return permute(host, call, o, perm);
}

/* Nothing is summed over: an ordinary product in which both broadcast. */
static int multiply_each(const aval_host *host, aval_call *call, const equation *e, operand *a, operand *b, const group *g, tensor *out)
{
    int64_t da[AVAL_MAX_RANK], db[AVAL_MAX_RANK];
    uint32_t rank = 0;
    TRY(arrange(host, call, a, &g[BATCH], &g[FIRST], &g[SUMMED]));
    TRY(arrange(host, call, b, &g[BATCH], &g[SECOND], &g[SUMMED]));
    for (int k = BATCH; k <= SECOND; k++) {
        for (uint32_t i = 0; i < g[k].count; i++, rank++) {
            da[rank] = k == SECOND ? 1 : e->lengths[g[k].names[i]];
            db[rank] = k == FIRST ? 1 : e->lengths[g[k].names[i]];
        }
    }
    TRY(reshaped(host, call, a->t, rank, da, &a->t));
    TRY(reshaped(host, call, b->t, rank, db, &b->t));
    return apply2(host, call, "Mul", NULL, a->t, b->t, out);
}

/* A matrix product, of each element of the batch. */
static int multiply_matrices(const aval_host *host, aval_call *call, const operand *from_a, const operand *from_b, const group *g,
                             tensor *out)
{
    operand a = *from_a, b = *from_b;
    /* without a batch a product takes an operand that begins with its last factor as it is */
    int a_turned = g[BATCH].count == 0 && a.rank > 0 && g[SUMMED].count > 0 && a.names[0] == g[SUMMED].names[0];
    int b_turned = g[BATCH].count == 0 && b.rank > 0 && g[SECOND].count > 0 && b.names[0] == g[SECOND].names[0];
    TRY(arrange(host, call, &a, &g[BATCH], &g[a_turned ? SUMMED : FIRST], &g[a_turned ? FIRST : SUMMED]));
    TRY(arrange(host, call, &b, &g[BATCH], &g[b_turned ? SECOND : SUMMED], &g[b_turned ? SUMMED : SECOND]));
    const int64_t da[] = { g[BATCH].size, g[a_turned ? SUMMED : FIRST].size, g[a_turned ? FIRST : SUMMED].size };
    const int64_t db[] = { g[BATCH].size, g[b_turned ? SECOND : SUMMED].size, g[b_turned ? SUMMED : SECOND].size };
    uint32_t skip = g[BATCH].count == 0; /* of the axis for the batch */
    text attrs = { 0 };
    TRY(reshaped(host, call, a.t, 3 - skip, da + skip, &a.t));
    TRY(reshaped(host, call, b.t, 3 - skip, db + skip, &b.t));
    if (!skip) return apply2(host, call, "MatMul", NULL, a.t, b.t, out);
    text_int(&attrs, "transA", a_turned);
    text_int(&attrs, "transB", b_turned);
    return apply2(host, call, "aval::MatrixProduct", attrs.at, a.t, b.t, out);
}

/* `a` becomes the product of a and b, summed over the names that nothing from `next` on needs. */
static int multiply(const aval_host *host, aval_call *call, const equation *e, operand *a, operand *b, size_t next)
{
    group g[GROUPS];
    for (int k = 0; k < GROUPS; k++) g[k] = (group){ .count = 0, .size = 1 };
    for (uint32_t i = 0; i < a->rank; i++) {
        int name = a->names[i], shared = place_of(b, name) >= 0;
        add_name(&g[!shared ? FIRST : is_needed(e, next, name) ? BATCH : SUMMED], name, e->lengths[name]);
    }
    for (uint32_t i = 0; i < b->rank; i++)
        if (place_of(a, b->names[i]) < 0) add_name(&g[SECOND], b->names[i], e->lengths[b->names[i]]);
    operand result = { .rank = 0 };
    int64_t dims[AVAL_MAX_RANK];
    if (g[BATCH].count + g[FIRST].count + g[SECOND].count > AVAL_MAX_RANK)
        return host->fail(call, AVAL_PLUGIN_UNSUPPORTED, "a product of two inputs would have more than %d axes", AVAL_MAX_RANK);
    for (int k = BATCH; k <= SECOND; k++) {
        for (uint32_t i = 0; i < g[k].count; i++) {
            dims[result.rank] = e->lengths[g[k].names[i]];
            result.names[result.rank++] = g[k].names[i];
        }
    }
    if (g[SUMMED].count == 0) {
        TRY(multiply_each(host, call, e, a, b, g, &result.t));
    } else {
        TRY(multiply_matrices(host, call, a, b, g, &result.t));
        TRY(reshaped(host, call, result.t, result.rank, dims, &result.t));
    }
    *a = result;
    return 0;
}

static int einsum_body(const aval_host *host, aval_call *call)
{
    equation e;
    int64_t perm[AVAL_MAX_RANK];
    TRY(read_equation(host, call, &e));
    for (size_t i = 0; i < e.count; i++) {
        TRY(take_diagonals(host, call, &e.operands[i]));
        TRY(drop_ones(host, call, &e, &e.operands[i]));
    }
    operand product_so_far = e.operands[0];
    for (size_t k = 1; k < e.count; k++) {
        TRY(sum_out(host, call, &e, &product_so_far, &e.operands[k], k + 1));
        TRY(sum_out(host, call, &e, &e.operands[k], &product_so_far, k + 1));
        TRY(multiply(host, call, &e, &product_so_far, &e.operands[k], k + 1));
    }
    TRY(sum_out(host, call, &e, &product_so_far, NULL, e.count));
    for (uint32_t i = 0; i < e.output_rank; i++) perm[i] = place_of(&product_so_far, e.output[i]);
    TRY(permute(host, call, &product_so_far, perm));
    if (product_so_far.t == host->input(call, 0)) TRY(host->apply(call, "Identity", NULL, 1, &product_so_far.t, 1, &product_so_far.t));
    return host->yield(call, 0, product_so_far.t);
}

static const aval_op einsum = {
    .size = sizeof(aval_op),
    .name = "Einsum",
    .since = 12,
    .deterministic = 1,
    .doc = "Products and sums of tensors whose axes the equation names: those that its right side lacks are summed over.",
    .inputs = AVAL_PORTS({ .name = "Inputs", .flags = AVAL_VARIADIC }),
    .outputs = AVAL_PORTS({ .name = "Output" }),
    .attrs = AVAL_ATTRS({ .name = "equation", .type = AVAL_ATTR_STRING, .required = 1, .doc = "such as 'ij,jk->ik' or '...ij->...ji'" }),
    .infer = einsum_infer,
    .body = einsum_body,
    .samples = AVAL_SAMPLES(
        { .inputs = "[2,3] [3,4]", .attrs = "equation='ij,jk->ik'" }, { .inputs = "[3,2] [4,3]", .attrs = "equation='ji,kj'" },
        { .inputs = "[5,2,3] [5,3,4]", .attrs = "equation='bij, bjk -> bik'" }, { .inputs = "[3,4]", .attrs = "equation='ij->ji'" },
        { .inputs = "[3,4]", .attrs = "equation='ij->i'" }, { .inputs = "[3,4]", .attrs = "equation='ij->'" },
        { .inputs = "[3,4]", .attrs = "equation='ij->ij'", .why = "nothing to do" },
        { .inputs = "[2,3,3]", .attrs = "equation='...ii->...i'" }, { .inputs = "[3,3]", .attrs = "equation='ii'", .why = "the trace" },
        { .inputs = "[3] [4]", .attrs = "equation='i,j->ij'" }, { .inputs = "[3] [3]", .attrs = "equation='i,i'" },
        { .inputs = "[2,3,4] [4,3,2] [3]", .attrs = "equation='abc,cbd,b->ad'" },
        { .inputs = "[2,1,3,4] [5,4,2]", .attrs = "equation='...ij,...jk->...ik'", .why = "ellipses broadcast" },
        { .inputs = "[2,3,4] [2,5,4] [5]", .attrs = "equation='bqd,bkd,k->bqk'" },
        { .inputs = "[0,3] [3,2]", .attrs = "equation='ij,jk->ik'" },
        { .inputs = "[2,3,5,4] [2,3,6,4]", .attrs = "equation='bhqd,bhkd->bhqk'", .why = "the scores of attention" },
        { .inputs = "[] [3]", .attrs = "equation=',i->i'" }),
};

AVAL_PLUGIN("einsum", "0.1.0", NULL, &einsum)
