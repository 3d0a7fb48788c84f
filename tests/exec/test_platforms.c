/* One graph on two platforms that share nothing, in one process: PoCL and rusticl over llvmpipe. */
#include "exec/rig.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RUSTICL "/etc/OpenCL/vendors/rusticl.icd"

static void open_both(rig *r)
{
    setenv("RUSTICL_ENABLE", "llvmpipe", 1); /* before anything of OpenCL is loaded */
    rig_environment("/etc/OpenCL/vendors");
    RIG_OK(aval_context_create(&r->context));
    RIG_OK(aval_context_select_device(r->context, "Portable Computing Language"));
    RIG_OK(aval_context_select_device(r->context, "rusticl"));
    r->graph = aval_graph_create(r->context);
    RIG_OK(aval_store_create(r->context, &r->store));
    RIG_OK(aval_session_create(r->context, r->graph, r->store, &r->session));
}

/* y = (w x)^2: the product on PoCL, the square on rusticl; dw through both, and the update. */
Test(platforms, forward_backward_and_update_go_through_both, .timeout = 120)
{
    rig r;
    float x[4] = { 1, 2, 3, 4 }, w[4];
    if (access(RUSTICL, R_OK) != 0) cr_skip("rusticl is not installed");
    open_both(&r);
    aval_value *in = rig_input(&r, "x", 4), *weight = rig_state(&r, "w", 4, 1), *v = rig_state(&r, "v", 4, 0);
    aval_value *lr = rig_scalar_state(&r, "lr", 0.0625f);
    aval_value *product = aval_apply(r.graph, "Mul", NULL, weight, in), *square = aval_apply(r.graph, "Mul", NULL, product, product);
    aval_node_place(product->producer, 0);
    aval_node_place(square->producer, 1);
    aval_value *dw = aval_graph_gradient(r.graph, square, weight, NULL);
    aval_value *updated = aval_apply(r.graph, "aval::Sgd", NULL, weight, dw, v, lr);
    aval_node_place(updated->producer, 0);
    rig_feed(&r, in, x, 4);
    double expected[4] = { 1, 1, 1, 1 };
    for (int step = 0; step < 3; step++) {
        float y[4];
        rig_run(&r, AVAL_VALUES(square, updated));
        RIG_OK(aval_session_read(r.session, square, y, sizeof y));
        for (int i = 0; i < 4; i++) {
            cr_expect_float_eq(y[i], expected[i] * x[i] * expected[i] * x[i], 1e-4, "step %d element %d", step, i);
            expected[i] -= 0.0625 * 2 * expected[i] * x[i] * x[i];
        }
    }
    RIG_OK(aval_store_get(r.store, "w", w, sizeof w));
    for (int i = 0; i < 4; i++) cr_expect_float_eq(w[i], expected[i], 1e-4);
    cr_expect_gt(rig_counters(&r).copies, 0, "the devices share nothing, so something was copied");
    rig_close(&r);
}

Test(platforms, a_state_moves_to_the_device_that_updates_it, .timeout = 120)
{
    rig r;
    float x[2] = { 1, 2 }, total[2];
    if (access(RUSTICL, R_OK) != 0) cr_skip("rusticl is not installed");
    open_both(&r);
    aval_value *in = rig_input(&r, "x", 2), *sum = rig_state(&r, "sum", 2, 0);
    aval_value *updated[2];
    for (int i = 0; i < 2; i++) {
        updated[i] = aval_apply(r.graph, "aval::Accumulate", NULL, sum, in);
        aval_node_place(updated[i]->producer, i);
    }
    rig_feed(&r, in, x, 2);
    for (int i = 0; i < 6; i++) rig_run(&r, &updated[i % 2], 1); /* back and forth */
    RIG_OK(aval_store_get(r.store, "sum", total, sizeof total));
    cr_expect_eq(total[0], 6);
    cr_expect_eq(total[1], 12);
    rig_close(&r);
}
