/* Fusion: which nodes share a launch, and the texts of their kernels. */
#include "graph/graph.h"
#include "plan/fuse.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const aval_sample samples[] = { { .inputs = "[2] [2]" }, { .inputs = NULL } };
static const aval_op sum_op = { .size = sizeof(aval_op),
                                .name = "TestSum",
                                .domain = "aval",
                                .since = 1,
                                .doc = "a + b",
                                .inputs = AVAL_PORTS({ .name = "a" }, { .name = "b" }),
                                .outputs = AVAL_PORTS({ .name = "c" }),
                                .expressions = AVAL_TEXTS("a + b"),
                                .samples = samples,
                                .deterministic = 1 };
static const aval_sample one[] = { { .inputs = "[2]" }, { .inputs = NULL } };
static const aval_op scale_op = { .size = sizeof(aval_op),
                                  .name = "TestScale",
                                  .domain = "aval",
                                  .since = 1,
                                  .doc = "alpha x",
                                  .inputs = AVAL_PORTS({ .name = "x" }),
                                  .outputs = AVAL_PORTS({ .name = "y" }),
                                  .attrs = AVAL_ATTRS({ .name = "alpha", .type = AVAL_ATTR_FLOAT, .initial = "2" }),
                                  .expressions = AVAL_TEXTS("alpha * x"),
                                  .samples = one,
                                  .deterministic = 1 };
static const aval_op update_op = { .size = sizeof(aval_op),
                                   .name = "TestUpdate",
                                   .domain = "aval",
                                   .since = 1,
                                   .doc = "s + x",
                                   .inputs = AVAL_PORTS({ .name = "s" }, { .name = "x" }),
                                   .outputs = AVAL_PORTS({ .name = "next", .updates = AVAL_UPDATES(0) }),
                                   .expressions = AVAL_TEXTS("s + x"),
                                   .samples = samples,
                                   .deterministic = 1 };
static const aval_plugin plugin = { .abi = AVAL_PLUGIN_ABI,
                                    .size = sizeof(aval_plugin),
                                    .name = "test",
                                    .version = "1",
                                    .ops = (const aval_op *const[]){ &sum_op, &scale_op, &update_op, NULL } };

struct fixture {
    aval__registry *registry;
    aval_graph *g;
    aval__arena arena;
    uint32_t *device_of, *cluster_of, *stage;
    bool *needed;
    aval__cluster *clusters;
    size_t n_clusters;
};

static void set_up(struct fixture *f)
{
    *f = (struct fixture){ 0 };
    cr_assert_eq(aval__registry_create(NULL, &f->registry), AVAL_OK, "%s", aval_error());
    cr_assert_eq(aval__registry_add(f->registry, &plugin, "test"), AVAL_OK, "%s", aval_error());
    f->g = aval__graph_create(f->registry, NULL);
    cr_assert_not_null(f->g);
}

static void tear_down(struct fixture *f)
{
    free(f->device_of);
    free(f->cluster_of);
    free(f->stage);
    free(f->needed);
    aval__arena_release(&f->arena);
    aval_graph_release(f->g);
    aval__registry_release(f->registry);
}

static aval_value *input(struct fixture *f, aval__value_kind kind, const char *name, int64_t n)
{
    aval_tensor t;
    aval_value *v = NULL;
    cr_assert_eq(aval__tensor_set(&t, AVAL_FLOAT, 1, &n), AVAL_OK);
    cr_assert_eq(aval__graph_add_value(f->g, kind, &t, name, &v), AVAL_OK, "%s", aval_error());
    return v;
}

static aval_value *apply(struct fixture *f, const char *op, const char *attrs, aval_value *a, aval_value *b)
{
    const aval__opdef *def = aval__registry_find(f->registry, op, 0);
    aval_value *inputs[2] = { a, b };
    aval_node *node = NULL;
    aval__attrs parsed;
    cr_assert_not_null(def);
    cr_assert_eq(aval__attrs_parse(&f->arena, def->op->attrs, attrs, &parsed), AVAL_OK, "%s", aval_error());
    cr_assert_eq(aval__graph_add_node(f->g, def, &parsed, inputs, b == NULL ? 1 : 2, 1, &node), AVAL_OK, "%s", aval_error());
    return node->outputs[0];
}

/* Nodes in the order in which they were made; every `wanted` value is needed. */
static void fuse(struct fixture *f, aval_value *const *wanted, size_t n_wanted)
{
    size_t nodes = f->g->nodes.count;
    if (f->device_of == NULL) f->device_of = calloc(nodes, sizeof *f->device_of);
    f->cluster_of = calloc(nodes, sizeof *f->cluster_of);
    f->needed = calloc(f->g->values.count, sizeof *f->needed);
    f->stage = calloc(nodes, sizeof *f->stage);
    for (size_t i = 0; i < n_wanted; i++) f->needed[wanted[i]->id] = true;
    cr_assert_eq(aval__fuse_clusters(&f->arena, f->g, f->g->nodes.at, nodes, f->device_of, f->needed, &f->clusters, &f->n_clusters,
                                     f->cluster_of, f->stage),
                 AVAL_OK, "%s", aval_error());
}

Test(fuse, a_diamond_is_one_cluster_with_one_input_and_one_output)
{
    struct fixture f;
    set_up(&f);
    aval_value *x = input(&f, AVAL__INPUT, "x", 5), *a = apply(&f, "TestScale", "", x, NULL);
    aval_value *y = apply(&f, "TestSum", "", apply(&f, "TestScale", "alpha=3", a, NULL), apply(&f, "TestScale", "alpha=4", a, NULL));
    fuse(&f, &y, 1);
    cr_expect_eq(f.n_clusters, 1);
    cr_expect_eq(f.clusters[0].n_nodes, 4);
    cr_expect_eq(f.clusters[0].n_inputs, 1);
    cr_expect_eq(f.clusters[0].n_outputs, 1);
    cr_expect_eq(f.clusters[0].outputs[0], y);
    tear_down(&f);
}

Test(fuse, a_path_through_another_device_keeps_its_ends_apart)
{
    struct fixture f;
    set_up(&f);
    aval_value *x = input(&f, AVAL__INPUT, "x", 5), *a = apply(&f, "TestScale", "", x, NULL), *b = apply(&f, "TestScale", "", a, NULL);
    aval_value *y = apply(&f, "TestSum", "", a, b);
    f.device_of = calloc(3, sizeof *f.device_of);
    f.device_of[b->producer->id] = 1;
    fuse(&f, &y, 1);
    cr_expect_eq(f.n_clusters, 3);
    tear_down(&f);
}

Test(fuse, clusters_keep_to_the_limits_on_nodes_and_tensors)
{
    struct fixture f;
    set_up(&f);
    aval_value *chain = input(&f, AVAL__INPUT, "x", 5), *all = chain, *wanted[2];
    for (int i = 0; i < 200; i++) chain = apply(&f, "TestScale", "", chain, NULL);
    for (int i = 0; i < 100; i++) {
        char name[8];
        snprintf(name, sizeof name, "i%d", i);
        all = apply(&f, "TestSum", "", all, input(&f, AVAL__INPUT, name, 5));
    }
    wanted[0] = chain;
    wanted[1] = all;
    fuse(&f, wanted, 2);
    cr_expect_leq(f.n_clusters, 10, "%zu clusters", f.n_clusters);
    for (size_t i = 0; i < f.n_clusters; i++) {
        cr_expect_leq(f.clusters[i].n_nodes, 64);
        cr_expect_leq(f.clusters[i].n_inputs + f.clusters[i].n_outputs, 24);
    }
    tear_down(&f);
}

/* Kahn's algorithm on the clusters (and readers of a state before its updater): all must be reached. */
static bool is_acyclic(const struct fixture *f)
{
    size_t n = f->n_clusters, nodes = f->g->nodes.count, done = 0;
    bool *edge = calloc(n * n, 1), *gone = calloc(n, 1);
    for (size_t i = 0; i < nodes; i++) {
        const aval_node *node = f->g->nodes.at[i];
        for (uint32_t k = 0; k < node->n_inputs; k++) {
            const aval_value *v = node->inputs[k];
            if (v->producer != NULL) edge[f->cluster_of[v->producer->id] * n + f->cluster_of[node->id]] = true;
            for (size_t u = 0; v->kind == AVAL__STATE && u < nodes; u++) {
                if (aval__node_updates(f->g->nodes.at[u], 0) == v) edge[f->cluster_of[node->id] * n + f->cluster_of[u]] = true;
            }
        }
    }
    for (bool more = true; more;) {
        more = false;
        for (size_t i = 0; i < n; i++) {
            bool ready = !gone[i];
            for (size_t k = 0; k < n && ready; k++) ready = gone[k] || k == i || !edge[k * n + i];
            if (!ready) continue;
            gone[i] = more = true;
            done++;
        }
    }
    free(edge);
    free(gone);
    return done == n;
}

Test(fuse, clusters_of_1000_random_graphs_are_acyclic)
{
    size_t nodes = 0, clusters = 0;
    srand(1);
    for (int graph = 0; graph < 1000; graph++) {
        struct fixture f;
        aval_value *values[64];
        set_up(&f);
        aval_value *state = values[0] = input(&f, AVAL__STATE, "s", 5);
        size_t n = 2, count = 10 + (size_t)rand() % 40;
        values[1] = input(&f, AVAL__INPUT, "x", 5);
        for (; n < count; n++) values[n] = apply(&f, "TestSum", "", values[(size_t)rand() % n], values[(size_t)rand() % n]);
        /* the updater of the state comes last, reading a value from anywhere */
        values[n] = apply(&f, "TestUpdate", "", state, values[1 + (size_t)rand() % (n - 1)]);
        n++;
        f.device_of = calloc(f.g->nodes.count, sizeof *f.device_of);
        for (size_t i = 0; i < f.g->nodes.count; i++) f.device_of[i] = rand() % 5 == 0;
        fuse(&f, values, n);
        cr_assert(is_acyclic(&f), "graph %d", graph);
        nodes += f.g->nodes.count;
        clusters += f.n_clusters;
        tear_down(&f);
    }
    cr_expect_lt(clusters * 2, nodes, "something was fused: %zu nodes, %zu clusters", nodes, clusters);
}

static aval__fused_kernel kernel_of(struct fixture *f, int64_t n, const char *attrs, uint32_t kind)
{
    const aval_device_info device = { .size = sizeof device, .kind = kind, .compute_units = 2, .max_group = 1024 };
    aval__fused_kernel kernel = { 0 };
    set_up(f);
    aval_value *y =
        apply(f, "TestSum", "", apply(f, "TestScale", attrs, input(f, AVAL__INPUT, "x", n), NULL), input(f, AVAL__INPUT, "bias", 1));
    fuse(f, &y, 1);
    cr_assert_eq(f->n_clusters, 1);
    cr_assert_eq(aval__fuse_kernel(&f->arena, &f->clusters[0], &device, &kernel), AVAL_OK, "%s", aval_error());
    return kernel;
}

Test(fuse, kernels_that_differ_in_sizes_and_attributes_only_have_equal_texts)
{
    static const uint32_t kinds[] = { AVAL_DEVICE_CPU, AVAL_DEVICE_GPU };
    for (size_t i = 0; i < 2; i++) {
        struct fixture a, b;
        aval__fused_kernel ka = kernel_of(&a, 5, "alpha=3", kinds[i]), kb = kernel_of(&b, 70000, "alpha=0.5", kinds[i]);
        cr_expect_str_eq(ka.text, kb.text);
        cr_expect_str_eq(ka.options, kb.options);
        cr_expect_null(strstr(ka.text, "bias"), "no name of the model is in a kernel");
        cr_expect_geq(ka.global, 1);
        tear_down(&a);
        tear_down(&b);
    }
}

Test(fuse, small_tensors_are_few_work_groups)
{
    struct fixture f;
    aval__fused_kernel cpu = kernel_of(&f, 4096, "", AVAL_DEVICE_CPU);
    cr_expect_eq(cpu.global, 1);
    tear_down(&f);
    aval__fused_kernel gpu = kernel_of(&f, 1000, "", AVAL_DEVICE_GPU);
    cr_expect_eq(gpu.local, 256);
    cr_expect_eq(gpu.global, 1024, "rounded up to whole groups");
    tear_down(&f);
}

/* Within one registry, as in a plan: the keys of clusters of one graph. */
Test(fuse, clusters_share_a_kernel_when_they_differ_in_sizes_and_attributes_only)
{
    const aval_device_info cpu = { .size = sizeof cpu, .kind = AVAL_DEVICE_CPU, .compute_units = 2, .max_group = 1024 };
    struct fixture f;
    aval__fuse_words words = { 0 };
    aval__hash keys[4];
    aval_value *wanted[4];
    set_up(&f);
    struct {
        int64_t n, bias;
        const char *attrs;
        bool swapped;
    } cases[4] = { { 5, 1, "alpha=3", false }, { 70000, 1, "alpha=0.5", false }, { 6, 6, "alpha=3", false }, { 7, 1, "alpha=3", true } };
    for (int i = 0; i < 4; i++) {
        aval_value *b = input(&f, AVAL__INPUT, "b", cases[i].bias);
        aval_value *scaled = apply(&f, "TestScale", cases[i].attrs, input(&f, AVAL__INPUT, "x", cases[i].n), NULL);
        wanted[i] = apply(&f, "TestSum", "", cases[i].swapped ? b : scaled, cases[i].swapped ? scaled : b);
    }
    fuse(&f, wanted, 4);
    cr_assert_eq(f.n_clusters, 4);
    words.place = calloc(f.g->values.count, sizeof *words.place);
    for (int i = 0; i < 4; i++) cr_assert_eq(aval__fuse_key(&words, &f.clusters[i], &cpu, &keys[i]), AVAL_OK, "%s", aval_error());
    cr_expect_eq(memcmp(&keys[0], &keys[1], sizeof keys[0]), 0, "sizes and attributes are arguments");
    cr_expect_neq(memcmp(&keys[0], &keys[2], sizeof keys[0]), 0, "nothing is broadcast there");
    cr_expect_neq(memcmp(&keys[0], &keys[3], sizeof keys[0]), 0, "b + s is not s + b");

    aval__fused_kernel kernel = { 0 };
    cr_assert_eq(aval__fuse_kernel(&f.arena, &f.clusters[0], &cpu, &kernel), AVAL_OK, "%s", aval_error());
    cr_assert_eq(aval__fuse_arguments(&f.clusters[1], NULL, &cpu, &kernel), AVAL_OK, "%s", aval_error());
    bool alpha = false, count = false;
    for (size_t i = 0; i < kernel.n_args; i++) {
        alpha |= kernel.args[i].kind == AVAL__FUSED_REAL && kernel.args[i].real == 0.5;
        count |= kernel.args[i].kind == AVAL__FUSED_LONG && kernel.args[i].integer == 70000;
    }
    cr_expect(alpha && count, "the other cluster's attribute and size");
    aval__vec_release(&words.list);
    free(words.place);
    tear_down(&f);
}
