/* Tuning through the public API: plans of later contexts say what was chosen, and are the same each time. */
#include "aval/aval.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[64];

static void begin(void)
{
    snprintf(folder, sizeof folder, "/tmp/aval-test-tuning-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
    setenv("AVAL_CACHE_DIR", folder, 1);
    setenv("AVAL_PLUGIN_PATH", AVAL_TEST_PLUGINS, 1);
    unsetenv("AVAL_GEMM");
    unsetenv("AVAL_TUNED");
}

static void end(void)
{
    char command[192];
    snprintf(command, sizeof command, "rm -r %s", folder);
    cr_assert_eq(system(command), 0);
}

TestSuite(tuning, .init = begin, .fini = end, .timeout = 300);

enum { M = 48, N = 40, K = 56 };

typedef struct rig {
    aval_context *ctx;
    aval_graph *g;
    aval_session *s;
    aval_value *x, *w, *y;
} rig;

static void open_rig(rig *r, int ignore)
{
    float x[M * K], w[K * N];
    for (size_t i = 0; i < sizeof x / sizeof *x; i++) x[i] = (float)(i % 17) * 0.37f - 2;
    for (size_t i = 0; i < sizeof w / sizeof *w; i++) w[i] = (float)(i % 13) * 0.29f - 1;
    cr_assert_eq(aval_context_create(&r->ctx), 0, "%s", aval_error());
    if (ignore) cr_assert_eq(aval_context_ignore_tuned(r->ctx), 0, "%s", aval_error());
    r->g = aval_graph_create(r->ctx);
    r->x = aval_graph_input(r->g, "x", AVAL_FLOAT, AVAL_SHAPE(M, K));
    r->w = aval_graph_input(r->g, "w", AVAL_FLOAT, AVAL_SHAPE(K, N));
    r->y = aval_apply(r->g, "MatMul", NULL, r->x, r->w);
    cr_assert_eq(aval_session_create(r->ctx, r->g, NULL, &r->s), 0, "%s", aval_error());
    cr_assert_eq(aval_session_feed(r->s, r->x, x, sizeof x, NULL), 0, "%s", aval_error());
    cr_assert_eq(aval_session_feed(r->s, r->w, w, sizeof w, NULL), 0, "%s", aval_error());
}

static void close_rig(rig *r)
{
    aval_session_release(r->s);
    aval_graph_release(r->g);
    aval_context_release(r->ctx);
}

static void run(rig *r, float y[M * N])
{
    cr_assert_eq(aval_session_run(r->s, AVAL_VALUES(r->y)), 0, "%s", aval_error());
    cr_assert_eq(aval_session_read(r->s, r->y, y, sizeof(float) * M * N), 0, "%s", aval_error());
}

static char *plan_of(rig *r)
{
    char *text;
    cr_assert_eq(aval_session_plan_text(r->s, AVAL_VALUES(r->y), &text), 0, "%s", aval_error());
    return text;
}

typedef struct told {
    size_t rows, chosen, classes;
    char variant[160];
} told;

static void take(void *user, const aval_tune_row *row)
{
    told *t = user;
    t->rows++;
    t->classes += row->untuned != 0;
    if (!row->chosen) return;
    t->chosen++;
    cr_expect(row->right);
    snprintf(t->variant, sizeof t->variant, "%s", row->variant);
}

Test(tuning, what_was_chosen_is_in_all_later_plans_which_are_the_same)
{
    rig r;
    told t = { 0 }, again = { 0 }, kept = { 0 };
    size_t left = 99;
    float first[M * N], second[M * N], untuned[M * N];
    const aval_tune_options o = { .size = sizeof o, .seconds = 10 };
    open_rig(&r, 0);
    run(&r, untuned); /* with a plan that is not to be taken afterwards */
    cr_assert_eq(aval_session_tune(r.s, AVAL_VALUES(r.y), &o, take, &t, &left), 0, "%s", aval_error());
    cr_expect_eq(t.classes, 1);
    cr_expect_eq(t.chosen, 1);
    cr_expect_eq(left, 0);
    cr_assert_eq(aval_session_tune(r.s, AVAL_VALUES(r.y), &o, take, &again, NULL), 0, "%s", aval_error());
    cr_expect_eq(again.rows, 0, "it is known");
    char line[200], *now = plan_of(&r);
    snprintf(line, sizeof line, "tuned: %s\n", t.variant);
    cr_expect_not_null(strstr(now, line), "%s in\n%s", line, now);
    run(&r, first);
    close_rig(&r);

    open_rig(&r, 0);
    char *later = plan_of(&r);
    cr_expect_str_eq(now, later);
    run(&r, second);
    cr_expect_eq(memcmp(first, second, sizeof first), 0, "equal plans give equal bits");
    cr_assert_eq(aval_context_tuned(r.ctx, take, &kept), 0, "%s", aval_error());
    cr_expect_eq(kept.rows, 1);
    cr_expect_str_eq(kept.variant, t.variant);
    close_rig(&r);
    aval_free(now);
    aval_free(later);

    open_rig(&r, 1);
    char *without = plan_of(&r);
    cr_expect_null(strstr(without, "tuned:"));
    aval_free(without);
    run(&r, second);
    cr_expect_eq(memcmp(untuned, second, sizeof second), 0, "as if nothing had been tuned");
    close_rig(&r);

    open_rig(&r, 0);
    cr_assert_eq(aval_context_forget_tuned(r.ctx), 0, "%s", aval_error());
    close_rig(&r);
    open_rig(&r, 0);
    kept.rows = 0;
    cr_assert_eq(aval_context_tuned(r.ctx, take, &kept), 0, "%s", aval_error());
    cr_expect_eq(kept.rows, 0);
    close_rig(&r);
}
