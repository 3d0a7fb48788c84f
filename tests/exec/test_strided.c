/* Transpositions that products take as they lie: nothing is launched for them, and results are those of written ones.  Retained plans write every value. */
#include "exec/rig.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 4096 };

typedef struct operand {
    size_t rank;
    int64_t dims[5];
    const char *perm; /* NULL: as it is */
} operand;

typedef struct pair {
    operand a, b;
    int written; /* transpositions that are launches */
} pair;

typedef aval_value *(*builder)(rig *r, const pair *p);

static aval_value *filled(rig *r, const char *name, const operand *o)
{
    float data[MOST];
    int64_t count = 1;
    for (size_t i = 0; i < o->rank; i++) count *= o->dims[i];
    cr_assert_leq(count, MOST);
    for (int64_t i = 0; i < count; i++) data[i] = (float)((i * 7919 + name[0]) % 211) / 105.5f - 1;
    aval_value *v = aval_graph_input(r->graph, name, AVAL_FLOAT, o->rank, o->dims);
    rig_feed(r, v, data, (size_t)count);
    return v;
}

static aval_value *turned(rig *r, const char *name, const operand *o)
{
    return o->perm == NULL ? filled(r, name, o) : aval_apply(r->graph, "Transpose", o->perm, filled(r, name, o));
}

static aval_value *product(rig *r, const pair *p)
{
    return aval_apply(r->graph, "MatMul", NULL, turned(r, "a", &p->a), turned(r, "b", &p->b));
}

/* Runs in a context of its own; how many launches transpose. */
static int run(builder build, const pair *p, aval_memory_mode mode, float *out, size_t *count)
{
    rig r;
    char *plan;
    int launches = 0;
    rig_open(&r);
    RIG_OK(aval_session_set_memory(r.session, (int)mode));
    aval_value *y = build(&r, p);
    RIG_OK(aval_graph_status(r.graph));
    for (int turn = 0; turn < 2; turn++) rig_run(&r, &y, 1);
    *count = aval__tensor_bytes(&y->tensor) / sizeof *out;
    cr_assert_leq(*count, MOST);
    RIG_OK(aval_session_read(r.session, y, out, *count * sizeof *out));
    RIG_OK(aval_session_plan_text(r.session, AVAL_VALUES(y), &plan));
    for (const char *at = plan; (at = strstr(at, "(Transpose)")) != NULL; at++) launches++;
    aval_free(plan);
    rig_close(&r);
    return launches;
}

static void check(builder build, const pair *p, int written)
{
    float whole[MOST], strided[MOST];
    size_t n, same;
    cr_assert_gt(run(build, p, AVAL_MEMORY_RETAINED, whole, &n), 0);
    const int found = run(build, p, AVAL_MEMORY_ARENA, strided, &same);
    cr_expect_eq(found, written, "%d written instead of %d: %s and %s", found, written, p->a.perm, p->b.perm);
    cr_assert_eq(n, same);
    for (size_t i = 0; i < n; i++) cr_assert_float_eq(whole[i], strided[i], 1e-4, "element %zu of %s and %s", i, p->a.perm, p->b.perm);
}

static const pair pairs[] = {
    { { 4, { 1, 9, 3, 20 }, "perm=[0,2,1,3]" }, { 4, { 1, 11, 3, 20 }, "perm=[0,2,3,1]" }, 0 }, /* scores of attention */
    { { 4, { 1, 3, 9, 11 }, NULL }, { 4, { 1, 11, 3, 40 }, "perm=[0,2,1,3]" }, 0 }, /* and what they mix */
    { { 2, { 33, 7 }, "perm=[1,0]" }, { 2, { 33, 9 }, NULL }, 0 },
    { { 2, { 7, 33 }, NULL }, { 2, { 9, 33 }, "perm=[1,0]" }, 0 },
    { { 2, { 3, 40 }, NULL }, { 2, { 70, 40 }, "perm=[1,0]" }, 0 },
    { { 2, { 40, 30 }, "perm=[1,0]" }, { 2, { 5, 40 }, "perm=[1,0]" }, 0 },
    { { 3, { 5, 2, 8 }, "perm=[1,0,2]" }, { 2, { 8, 6 }, NULL }, 0 }, /* rows that are not those of one matrix */
    { { 3, { 5, 2, 8 }, "perm=[1,0,2]" }, { 4, { 3, 2, 8, 4 }, NULL }, 0 }, /* broadcast */
    { { 4, { 2, 6, 3, 8 }, "perm=[0,2,1,3]" }, { 4, { 2, 3, 8, 4 }, NULL }, 1 }, /* matrices do not lie evenly */
    { { 3, { 4, 3, 5 }, "perm=[1,2,0]" }, { 2, { 4, 3 }, NULL }, 0 },
    { { 3, { 4, 3, 5 }, "perm=[2,1,0]" }, { 2, { 4, 3 }, NULL }, 1 }, /* neighbours in the batch */
};

static void check_all(void)
{
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) check(product, &pairs[i], pairs[i].written);
}

Test(strided, operands_of_products_are_read_as_they_lie)
{
    check_all();
}

Test(strided, on_devices_with_work_groups)
{
    setenv("AVAL_GROUP", "64", 1);
    check_all();
    setenv("AVAL_GEMM", "tiles", 1);
    check_all();
    setenv("AVAL_GEMM", "clblast", 1);
    check(product, &pairs[0], 0);
    check(product, &pairs[1], 0);
}

static aval_value *read_by_others(rig *r, const pair *p)
{
    aval_value *a = turned(r, "a", &p->a), *b = turned(r, "b", &p->b);
    return aval_apply(r->graph, "Add", NULL, aval_apply(r->graph, "MatMul", NULL, a, b),
                      aval_apply(r->graph, "ReduceSum", NULL, aval_apply(r->graph, "Exp", NULL, b)));
}

/* An expression adds the operand to the product, as its tail. */
static aval_value *read_by_the_tail(rig *r, const pair *p)
{
    aval_value *a = turned(r, "a", &p->a);
    return aval_apply(r->graph, "Add", NULL, aval_apply(r->graph, "MatMul", NULL, a, turned(r, "b", &p->b)), a);
}

static aval_value *gradient(rig *r, const pair *p)
{
    aval_value *a = filled(r, "a", &p->a), *b = turned(r, "b", &p->b);
    aval_value *y = aval_apply(r->graph, "MatMul", NULL, aval_apply(r->graph, "Transpose", p->a.perm, a), b);
    return aval_graph_gradient(r->graph, y, a, filled(r, "c", &(const operand){ 2, { 12, 12 }, NULL }));
}

Test(strided, who_else_reads_a_transposition_finds_it_written)
{
    static const pair square = { { 2, { 12, 12 }, "perm=[1,0]" }, { 2, { 12, 12 }, "perm=[1,0]" }, 0 };
    setenv("AVAL_TAILS", "1", 1);
    check(read_by_others, &square, 1);
    check(read_by_the_tail, &square, 1);
    check(gradient, &square, 3); /* of a and b, which backward keeps, and of the gradient */
}

/* It lies packed from the first run on, until it is set. */
Test(strided, a_weight_that_is_transposed)
{
    enum { N = 24 };
    rig r;
    float found[N * N], w_data[N * N], x_data[N * N];
    rig_open(&r);
    for (int i = 0; i < N * N; i++) x_data[i] = (float)(i % 7);
    aval_value *x = aval_graph_input(r.graph, "x", AVAL_FLOAT, AVAL_SHAPE(N, N));
    aval_value *w = aval_graph_state(r.graph, "w", AVAL_FLOAT, AVAL_SHAPE(N, N));
    aval_value *y = aval_apply(r.graph, "MatMul", NULL, x, aval_apply(r.graph, "Transpose", NULL, w));
    rig_feed(&r, x, x_data, N * N);
    for (int turn = 0; turn < 4; turn++) {
        for (int i = 0; i < N * N; i++) w_data[i] = (float)(i % (turn < 2 ? 13 : 5));
        if (turn % 2 == 0) RIG_OK(aval_store_set(r.store, "w", AVAL_FLOAT, AVAL_SHAPE(N, N), w_data));
        rig_run(&r, &y, 1);
        RIG_OK(aval_session_read(r.session, y, found, sizeof found));
        for (int i = 0; i < N * N; i++) {
            float sum = 0;
            for (int p = 0; p < N; p++) sum += x_data[i / N * N + p] * w_data[i % N * N + p];
            cr_assert_float_eq(found[i], sum, 1e-2, "run %d, element %d", turn, i);
        }
    }
    rig_close(&r);
}

/* Its update comes after the products that read it as it lies. */
Test(strided, a_state_that_is_transposed_and_updated)
{
    enum { N = 12 };
    rig r;
    float found[N * N], ones[N * N];
    rig_open(&r);
    for (int i = 0; i < N * N; i++) ones[i] = 1;
    aval_value *x = aval_graph_input(r.graph, "x", AVAL_FLOAT, AVAL_SHAPE(N, N));
    RIG_OK(aval_store_fill(r.store, "w", AVAL_FLOAT, AVAL_SHAPE(N, N), 3));
    RIG_OK(aval_store_fill(r.store, "v", AVAL_FLOAT, AVAL_SHAPE(N, N), 0));
    RIG_OK(aval_store_fill(r.store, "lr", AVAL_FLOAT, AVAL_SCALAR, 0.5));
    aval_value *w = aval_graph_state(r.graph, "w", AVAL_FLOAT, AVAL_SHAPE(N, N));
    aval_value *v = aval_graph_state(r.graph, "v", AVAL_FLOAT, AVAL_SHAPE(N, N));
    aval_value *lr = aval_graph_state(r.graph, "lr", AVAL_FLOAT, AVAL_SCALAR);
    aval_value *step = aval_apply(r.graph, "aval::Sgd", NULL, w, x, v, lr); /* w - 0.5 x, at first */
    aval_value *old = aval_apply(r.graph, "MatMul", NULL, x, aval_apply(r.graph, "Transpose", NULL, w));
    aval_value *turned_new = aval_apply(r.graph, "MatMul", NULL, x, aval_apply(r.graph, "Transpose", NULL, step));
    rig_feed(&r, x, ones, N * N);
    rig_run(&r, (aval_value *[]){ old, turned_new }, 2);
    RIG_OK(aval_session_read(r.session, old, found, sizeof found));
    for (int i = 0; i < N * N; i++) cr_assert_float_eq(found[i], 3 * N, 1e-4, "%d", i);
    RIG_OK(aval_session_read(r.session, turned_new, found, sizeof found));
    for (int i = 0; i < N * N; i++) cr_assert_float_eq(found[i], 2.5f * N, 1e-4, "%d", i);
    rig_close(&r);
}
