/* What the tests of planning share: operators that record without any kernel text, devices that exist as numbers only, and a simulator
 * that runs plans on tags instead of numbers. */
#ifndef AVAL_TEST_PLAN_HARNESS_H
#define AVAL_TEST_PLAN_HARNESS_H

#include "plan/plan.h"

typedef struct fixture {
    aval__registry *registry;
    aval_graph *g;
    aval_device_info infos[2];
    const aval_device_info *devices[2];
    aval__plan_hooks hooks;
    aval__gemm_choice choice; /* that the fake hook gives */
    size_t n_chosen; /* how often it was asked */
    aval__plan_request request; /* of one device; tests change it */
} fixture;

void fixture_open(fixture *f);
void fixture_close(fixture *f);
aval__plan *fixture_plan(fixture *f, aval_value *const *wanted, size_t n_wanted); /* asserts success */
int fixture_plan_status(fixture *f, aval_value *const *wanted, size_t n_wanted); /* the plan is released */

aval_value *make_input(fixture *f, const char *name, int64_t rows, int64_t columns);
aval_value *make_state(fixture *f, const char *name, int64_t rows, int64_t columns);

typedef struct simulated {
    size_t computed, made; /* values that launches computed as they read them, and that they made in memory before they read them */
    size_t twice; /* nodes of expressions that two launches computed */
    size_t with_others; /* of both: so many that gave others beside */
    size_t joints; /* launches of several clusters */
} simulated;

/* Runs the plan symbolically: each 4 bytes remember which value's which element was written there last; every read must find what the graph
   says, and so must the located values at the end.  Asserts. */
simulated simulate(fixture *f, const aval__plan *plan, aval_value *const *wanted, size_t n_wanted);

#endif
