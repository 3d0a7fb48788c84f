/* Known answers at first use: right devices pass, wrong ones are refused for what they are wrong at, and it is remembered. */
#include "exec/known.h"
#include "exec/rig.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[64];

static void begin(void)
{
    snprintf(folder, sizeof folder, "/tmp/aval-known-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
}

static void end(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", folder);
    cr_expect_eq(system(command), 0);
}

TestSuite(known, .init = begin, .fini = end, .timeout = 300);

/* A context that asks, with a cache of its own. */
static void open_asking(rig *r, const char *devices)
{
    rig_environment(NULL);
    setenv("AVAL_CACHE_DIR", folder, 1);
    setenv("AVAL_INSIST", "0", 1);
    if (devices) setenv("AVAL_DEVICE", devices, 1);
    RIG_OK(aval_context_create(&r->context));
    r->graph = aval_graph_create(r->context);
    RIG_OK(aval_store_create(r->context, &r->store));
    RIG_OK(aval_session_create(r->context, r->graph, r->store, &r->session));
}

static bool prove(rig *r, const aval__opdef *def, int type)
{
    const aval_node node = { .def = def };
    aval_node *const nodes[] = { (aval_node *)&node };
    const aval__plan_unit unit = { .nodes = nodes, .n_nodes = 1, .type = type };
    aval__known k;
    bool exists;
    int status = aval__known_make(r->context, 0, &unit, 0, &k, &exists);
    cr_expect_eq(status, AVAL_OK, "%s %s: %s", def->name, aval_type_name(type), aval_error());
    if (status == AVAL_OK && exists) {
        status = aval__known_run(&k);
        cr_expect(status == AVAL_OK || status == AVAL_E_GRADIENT, "%s%s %s: %s", def->name, def->kind == AVAL__BACKWARD ? " backward" : "",
                  aval_type_name(type), aval_error());
    }
    aval__known_release(&k);
    return status == AVAL_OK && exists;
}

static const aval__opdef *registry_find(aval__registry *registry, const aval_op *op)
{
    char name[128];
    snprintf(name, sizeof name, "%s%s%s", op->domain ? op->domain : "", op->domain ? "::" : "", op->name);
    return aval__registry_find(registry, name, 0);
}

/* No false alarm: every operator with kernels, forward and backward, in each type that its samples have. */
Test(known, every_operator_with_kernels_passes_on_a_right_device)
{
    static const int types[] = { AVAL_FLOAT, AVAL_DOUBLE, AVAL_FLOAT16 };
    rig r;
    size_t tried = 0;
    open_asking(&r, NULL);
    RIG_OK(aval__context_ready(r.context));
    aval__registry *registry = aval__context_registry(r.context);
    for (size_t i = 0; i < aval_op_count(r.context); i++) {
        const aval_op *op = aval_op_at(r.context, i);
        const aval__opdef *def = registry_find(registry, op), *backward = NULL;
        if (!def || !op->forward) continue;
        if (op->backward) backward = aval__opdef_backward(registry, def);
        for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
            tried += prove(&r, def, types[t]);
            if (backward) tried += prove(&r, backward, types[t]);
        }
    }
    cr_expect_geq(tried, 100, "only %zu were tried", tried);
    rig_close(&r);
}

/* y = softmax(tanh(x)), of which the compiler of the second half of PoCL gets the exponentials wrong. */
static aval_value *build(rig *r, aval_value **in)
{
    *in = rig_input(r, "x", 4);
    return aval_apply(r->graph, "Softmax", NULL, aval_apply(r->graph, "Tanh", NULL, *in));
}

static void lie(void)
{
    setenv("AVAL_LAYER_SPLIT", "1", 1);
    setenv("AVAL_LAYER_LIAR", "1", 1);
    setenv("AVAL_LAYER_MISCOMPILE", "+ r + 1.0f=>+ 0.5f * r + 1.0f", 1);
}

/* The gradient of a loss, whose one upstream gradient a case must not make 0. */
Test(known, a_device_whose_gradient_of_a_loss_is_wrong_is_refused)
{
    rig r;
    const int64_t label = 1;
    const float x[4] = { -1, 0, 0.5f, 2 };
    setenv("AVAL_LAYER_SPLIT", "1", 1);
    setenv("AVAL_LAYER_LIAR", "1", 1);
    setenv("AVAL_LAYER_MISCOMPILE", "* inverse;=>* 0.5f * inverse;", 1);
    open_asking(&r, "1");
    if (aval_device_count(r.context) < 2) cr_skip("PoCL has one core and cannot be split");
    aval_value *scores = aval_graph_input(r.graph, "x", AVAL_FLOAT, AVAL_SHAPE(1, 4));
    aval_value *labels = aval_graph_constant(r.graph, AVAL_INT64, AVAL_SHAPE(1), &label);
    aval_value *loss = aval_apply(r.graph, "SoftmaxCrossEntropyLoss", NULL, scores, labels);
    aval_value *gradient = aval_graph_gradient(r.graph, loss, scores, NULL);
    RIG_OK(aval_session_feed(r.session, scores, x, sizeof x, NULL));
    cr_expect_eq(aval_session_run(r.session, AVAL_VALUES(gradient)), AVAL_E_CHECK);
    cr_expect(strstr(aval_error(), "gives a wrong answer to a known question about SoftmaxCrossEntropyLoss"), "%s", aval_error());
    rig_close(&r);
}

Test(known, a_wrong_device_is_refused_for_that_operator_alone_and_the_next_takes_it)
{
    rig r;
    aval_value *in;
    char *text;
    const float x[4] = { -1, 0, 0.5f, 2 };
    float found[4], sum = 0;
    lie();
    open_asking(&r, "1,0");
    if (aval_device_count(r.context) < 2) cr_skip("PoCL has one core and cannot be split");
    aval_value *y = build(&r, &in);
    rig_feed(&r, in, x, 4);
    rig_run(&r, AVAL_VALUES(y));
    RIG_OK(aval_session_read(r.session, y, found, sizeof found));
    for (int i = 0; i < 4; i++) sum += found[i];
    cr_expect_float_eq(found[3], 0.4619f, 1e-3, "found %g", found[3]);
    cr_expect_float_eq(sum, 1, 1e-5);
    RIG_OK(aval_session_plan_text(r.session, AVAL_VALUES(y), &text));
    cr_expect(strstr(text, "(Softmax) runs on device 0"), "%s", text);
    cr_expect(strstr(text, "gives a wrong answer to a known question about Softmax"), "%s", text);
    cr_expect_null(strstr(text, "(Tanh) runs on"), "Tanh stays on the first: %s", text);
    aval_free(text);
    rig_close(&r);
}

Test(known, a_wrong_device_alone_is_an_error_with_the_reason_unless_the_user_insists)
{
    rig r;
    aval_value *in;
    const float x[4] = { 0 };
    float found[4];
    lie();
    open_asking(&r, "1");
    if (aval_device_count(r.context) < 2) cr_skip("PoCL has one core and cannot be split");
    aval_value *y = build(&r, &in);
    rig_feed(&r, in, x, 4);
    for (int i = 0; i < 2; i++) {
        cr_expect_eq(aval_session_run(r.session, AVAL_VALUES(y)), AVAL_E_CHECK, "%s", aval_error());
        cr_expect(strstr(aval_error(), "about Softmax") && strstr(aval_error(), "expected") && strstr(aval_error(), "AVAL_INSIST"), "%s",
                  aval_error());
    }
    RIG_OK(aval_context_insist(r.context, 1));
    rig_run(&r, AVAL_VALUES(y));
    RIG_OK(aval_session_read(r.session, y, found, sizeof found));
    rig_close(&r);
}

/* The first process tries, the second reads: it launches no more than one that insists. */
Test(known, verdicts_are_remembered)
{
    unsigned long launches[3];
    setenv("OPENCL_LAYERS", AVAL_TEST_LAYER, 1);
    for (int i = 0; i < 3; i++) {
        rig r;
        aval_value *in;
        const float x[4] = { 1, 2, 3, 4 };
        open_asking(&r, NULL);
        if (i == 2) RIG_OK(aval_context_insist(r.context, 1));
        aval_value *y = build(&r, &in);
        cr_assert_gt(aval_device_count(r.context), 0); /* brings the layer */
        rig_layer()->reset();
        rig_feed(&r, in, x, 4);
        rig_run(&r, AVAL_VALUES(y));
        rig_first(&r, y, 4);
        launches[i] = rig_layer()->count(AVAL_LAYER_LAUNCHES);
        rig_close(&r);
    }
    cr_expect_gt(launches[0], launches[2], "nothing was tried");
    cr_expect_eq(launches[1], launches[2], "it was tried again");
}
