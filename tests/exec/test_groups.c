/* Work-groups of ops chosen by measuring: what is remembered reaches exactly the nodes of its class, gives right results that repeat, and is asked its known
 * answer first. */
#include "device/tuning.h"
#include "device/verdicts.h"
#include "exec/context.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[64];

static void begin(void)
{
    snprintf(folder, sizeof folder, "/tmp/aval-test-groups-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
    setenv("AVAL_CACHE_DIR", folder, 1);
    setenv("AVAL_PLUGIN_PATH", AVAL_TEST_PLUGINS, 1);
    unsetenv("AVAL_TUNED");
    unsetenv("AVAL_GROUP");
}

static void end(void)
{
    char command[192];
    snprintf(command, sizeof command, "rm -r %s", folder);
    cr_assert_eq(system(command), 0);
}

TestSuite(groups, .init = begin, .fini = end, .timeout = 300);

enum { ROWS = 48, COLUMNS = 200, COUNT = ROWS * COLUMNS };

typedef struct rig {
    aval_context *ctx;
    aval_graph *g;
    aval_session *s;
    aval_value *x, *y, *dx, *most;
} rig;

/* y = softmax(x) with its gradient, and the largest of each row. */
static void open_rig(rig *r)
{
    float x[COUNT];
    const int64_t last = -1;
    for (int i = 0; i < COUNT; i++) x[i] = (float)(i * 37 % 101) * 0.05f - 2;
    cr_assert_eq(aval_context_create(&r->ctx), 0, "%s", aval_error());
    r->g = aval_graph_create(r->ctx);
    r->x = aval_graph_input(r->g, "x", AVAL_FLOAT, AVAL_SHAPE(ROWS, COLUMNS));
    r->y = aval_apply(r->g, "Softmax", NULL, r->x);
    r->dx = aval_graph_gradient(r->g, r->y, r->x, r->x);
    r->most = aval_apply(r->g, "ReduceMax", "keepdims=0", r->x, aval_graph_constant(r->g, AVAL_INT64, AVAL_SHAPE(1), &last));
    cr_assert_eq(aval_session_create(r->ctx, r->g, NULL, &r->s), 0, "%s", aval_error());
    cr_assert_eq(aval_session_feed(r->s, r->x, x, sizeof x, NULL), 0, "%s", aval_error());
}

static void close_rig(rig *r)
{
    aval_session_release(r->s);
    aval_graph_release(r->g);
    aval_context_release(r->ctx);
}

typedef struct results {
    float y[COUNT], dx[COUNT], most[ROWS];
} results;

static void run(rig *r, results *out)
{
    cr_assert_eq(aval_session_run(r->s, AVAL_VALUES(r->y, r->dx, r->most)), 0, "%s", aval_error());
    cr_assert_eq(aval_session_read(r->s, r->y, out->y, sizeof out->y), 0, "%s", aval_error());
    cr_assert_eq(aval_session_read(r->s, r->dx, out->dx, sizeof out->dx), 0, "%s", aval_error());
    cr_assert_eq(aval_session_read(r->s, r->most, out->most, sizeof out->most), 0, "%s", aval_error());
}

/* How many lines of the plan have both texts. */
static int count_lines(rig *r, const char *kernel, const char *with)
{
    char *text, *rest = NULL;
    int n = 0;
    cr_assert_eq(aval_session_plan_text(r->s, AVAL_VALUES(r->y, r->dx, r->most), &text), 0, "%s", aval_error());
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
        n += strstr(line, kernel) != NULL && strstr(line, with) != NULL;
    aval_free(text);
    return n;
}

typedef struct told {
    size_t rows, untuned, chosen, wrong;
    char softmax[200]; /* class of the forward node */
} told;

static void take(void *user, const aval_tune_row *row)
{
    told *t = user;
    t->rows++;
    t->untuned += row->untuned != 0;
    t->chosen += row->chosen != 0;
    t->wrong += !row->right;
    cr_expect(row->gbytes_per_s > 0 || !row->right, "%s: %s", row->product, row->variant);
    if (strncmp(row->product, "Softmax 13 float", 16) == 0) snprintf(t->softmax, sizeof t->softmax, "%s", row->product);
}

static told tune(rig *r)
{
    const aval_tune_options o = { .size = sizeof o, .seconds = 20 };
    told t = { 0 };
    cr_assert_eq(aval_session_tune(r->s, AVAL_VALUES(r->y, r->dx, r->most), &o, take, &t, NULL), 0, "%s", aval_error());
    return t;
}

Test(groups, of_each_op_are_tried_and_right_and_known_afterwards)
{
    rig r;
    open_rig(&r);
    told t = tune(&r);
    cr_expect_eq(t.untuned, 3, "softmax, its backward and the reduction; found %zu", t.untuned);
    cr_expect_eq(t.chosen, 3);
    cr_expect_eq(t.wrong, 0);
    cr_expect(t.rows >= 9, "each was tried with several sizes; found %zu rows", t.rows);
    told again = tune(&r);
    cr_expect_eq(again.rows, 0);
    close_rig(&r);
}

/* Whatever would be measured: the choice is planted. */
Test(groups, that_are_remembered_are_those_of_the_class_alone_and_repeat)
{
    rig r;
    results untuned, first, again;
    const aval__variant by_64 = { .knobs[AVAL__KNOB_GROUP] = 64 };
    open_rig(&r);
    run(&r, &untuned);
    told t = tune(&r);
    cr_assert(t.softmax[0] != 0, "no class of Softmax was told");
    cr_assert_eq(aval_context_forget_tuned(r.ctx), 0, "%s", aval_error());
    cr_assert_eq(aval__tuning_set(r.ctx->opened.at[0], t.softmax, &by_64, true), 0, "%s", aval_error());
    close_rig(&r);

    open_rig(&r);
    cr_expect_eq(count_lines(&r, ":softmax_forward", "-DWG=64"), 1);
    cr_expect_eq(count_lines(&r, ":softmax_forward", " local 64 "), 1);
    cr_expect_eq(count_lines(&r, "softmax_backward", "-DWG=64"), 0, "of another class");
    cr_expect_eq(count_lines(&r, ":reduce", "-DWG=64"), 0, "of another class");
    run(&r, &first);
    for (int i = 0; i < COUNT; i++) cr_assert(fabsf(first.y[i] - untuned.y[i]) < 1e-6f, "element %d", i);
    cr_expect_eq(memcmp(first.most, untuned.most, sizeof first.most), 0, "untouched by it");
    for (int i = 0; i < 10; i++) {
        run(&r, &again);
        cr_assert_eq(memcmp(&first, &again, sizeof first), 0, "repeat %d has other bits", i);
    }
    close_rig(&r);

    setenv("AVAL_TUNED", "0", 1);
    open_rig(&r);
    cr_expect_eq(count_lines(&r, ":softmax_forward", "-DWG=64"), 0);
    run(&r, &again);
    cr_expect_eq(memcmp(&untuned, &again, sizeof again), 0, "as if nothing had been tuned");
    close_rig(&r);
}

static void count_softmax(void *user, const char *subject, const aval__verdict *verdict)
{
    cr_expect_eq(verdict->failed, 0, "%s: %s", subject, verdict->message);
    if (strncmp(subject, "Softmax 13 float ", 17) == 0 && !strstr(subject, "backward")) ++*(int *)user;
}

static int count_questions(void *user, aval__verdicts *verdicts)
{
    aval__verdicts_list(verdicts, "known answer 2", count_softmax, user);
    aval__verdicts_close(verdicts);
    return AVAL_OK;
}

Test(groups, that_are_tried_are_asked_the_known_answer_of_their_kernels)
{
    rig r;
    results out;
    int before = 0, after = 0;
    setenv("AVAL_INSIST", "0", 1);
    open_rig(&r);
    run(&r, &out);
    cr_assert_eq(aval__verdicts_visit(folder, count_questions, &before), AVAL_OK, "%s", aval_error());
    tune(&r);
    close_rig(&r);
    cr_assert_eq(aval__verdicts_visit(folder, count_questions, &after), AVAL_OK, "%s", aval_error());
    cr_expect_eq(before, 1);
    cr_expect(after >= before + 3, "kernels of %d sizes were asked", after - before);
}
