/* Channels in blocks: nets whose plans lay them so give what they give otherwise, whatever reads and makes the blocks. */
#include "exec/rig.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 40000, IMAGES = 2, CHANNELS = 32, ROWS = 10, COLUMNS = 9 };

static rig here;

static void fill(float *data, int64_t count, const char *name)
{
    for (int64_t i = 0; i < count; i++) data[i] = (float)((i * 7919 + (int64_t)strlen(name) * 31) % 2003) / 1001.5f - 1;
}

static int64_t count_of(size_t rank, const int64_t *dims)
{
    int64_t count = 1;
    for (size_t i = 0; i < rank; i++) count *= dims[i];
    cr_assert_leq(count, MOST);
    return count;
}

static aval_value *input(const char *name, size_t rank, const int64_t *dims)
{
    static float data[MOST];
    const int64_t count = count_of(rank, dims);
    aval_value *v = aval_graph_input(here.graph, name, AVAL_FLOAT, rank, dims);
    fill(data, count, name);
    rig_feed(&here, v, data, (size_t)count);
    return v;
}

static aval_value *state(const char *name, size_t rank, const int64_t *dims)
{
    static float data[MOST];
    fill(data, count_of(rank, dims), name);
    RIG_OK(aval_store_set(here.store, name, AVAL_FLOAT, rank, dims, data));
    return aval_graph_state(here.graph, name, AVAL_FLOAT, rank, dims);
}

static aval_value *one(const char *op, aval_value *x)
{
    return aval_apply(here.graph, op, NULL, x);
}

static aval_value *two(const char *op, aval_value *x, aval_value *y)
{
    return aval_apply(here.graph, op, NULL, x, y);
}

static aval_value *convolution(aval_value *x, const char *name, int64_t maps, int64_t channels, int64_t side, const char *attrs)
{
    char bias[32];
    snprintf(bias, sizeof bias, "%s_bias", name);
    return aval_apply(here.graph, "Conv", attrs, x, state(name, AVAL_SHAPE(maps, channels, side, side)), state(bias, AVAL_SHAPE(maps)));
}

static aval_value *images(void)
{
    return input("x", AVAL_SHAPE(IMAGES, 3, 2 * ROWS, 2 * COLUMNS));
}

/* [IMAGES, CHANNELS, ROWS, COLUMNS], in blocks if anything is. */
static aval_value *stem(void)
{
    aval_value *y = convolution(images(), "stem", CHANNELS, 3, 3, "strides=[2,2] pads=[1,1,1,1]");
    y = convolution(one("Relu", y), "each", CHANNELS, 1, 3, "group=32 pads=[1,1,1,1]");
    return one("HardSwish", y);
}

static aval_value *pointwise(aval_value *x, const char *name)
{
    return convolution(x, name, CHANNELS, CHANNELS, 1, NULL);
}

typedef struct made {
    aval_value *wanted[4];
    size_t n_wanted;
} made;

typedef made (*builder)(void);

static made residual(void)
{
    aval_value *x = stem(), *y = two("Add", x, pointwise(x, "one"));
    return (made){ { convolution(one("Relu", y), "last", 10, CHANNELS, 1, NULL) }, 1 };
}

/* The pooling takes channels as they are. */
static made pooled(void)
{
    aval_value *x = stem(), *y = aval_apply(here.graph, "MaxPool", "kernel_shape=[2,2]", x);
    return (made){ { y, pointwise(x, "one") }, 2 };
}

/* Numbers of each channel, of each image's channels, of places, of channels and places, and one. */
static made broadcasts(void)
{
    aval_value *x = stem();
    x = two("Mul", x, state("channels", AVAL_SHAPE(CHANNELS, 1, 1)));
    x = two("Mul", x, one("Sigmoid", pointwise(one("GlobalAveragePool", x), "squeezed")));
    x = two("Add", x, state("places", AVAL_SHAPE(ROWS, COLUMNS)));
    x = two("Add", x, state("rows", AVAL_SHAPE(IMAGES, 1, ROWS, 1)));
    x = two("Add", x, state("all", AVAL_SHAPE(1, CHANNELS, ROWS, COLUMNS)));
    x = two("Mul", x, aval_graph_number(here.graph, AVAL_FLOAT, 0.5));
    return (made){ { pointwise(x, "one") }, 1 };
}

static made wanted_inside(void)
{
    aval_value *x = stem(), *y = pointwise(x, "one"), *z = pointwise(one("Relu", y), "two");
    return (made){ { x, y, z }, 3 };
}

static made as_halves(void)
{
    aval_value *x = aval_apply(here.graph, "Cast", "to=1", aval_apply(here.graph, "Cast", "to=10", stem()));
    return (made){ { pointwise(x, "one") }, 1 };
}

/* Backward reads what forward has laid in blocks. */
static made gradients(void)
{
    aval_value *x = images(), *y = convolution(x, "stem", CHANNELS, 3, 3, "strides=[2,2] pads=[1,1,1,1]");
    y = pointwise(one("Relu", convolution(one("Tanh", y), "each", CHANNELS, 1, 3, "group=32 pads=[1,1,1,1]")), "one");
    aval_value *loss = aval_apply(here.graph, "ReduceMean", "keepdims=0", two("Mul", y, y));
    return (made){ { loss, aval_graph_gradient(here.graph, loss, x, NULL) }, 2 };
}

static const builder nets[] = { residual, pooled, broadcasts, wanted_inside, as_halves, gradients };

static size_t run(builder build, const char *blocks, float **results, char **plan)
{
    rig_environment(NULL);
    setenv("AVAL_BLOCKS", blocks, 1);
    setenv("AVAL_TAILS", "1", 1);
    rig_open(&here);
    made m = build();
    return rig_outcome(&here, AVAL_MEMORY_ARENA, m.wanted, m.n_wanted, (unsigned char **)results, plan) / sizeof **results;
}

static size_t count_of_text(const char *text, const char *part)
{
    size_t n = 0;
    for (const char *at = strstr(text, part); at != NULL; at = strstr(at + 1, part)) n++;
    return n;
}

static void compare(size_t net, const char *blocks)
{
    float *expected, *found;
    char *plan, *plan_in_blocks;
    size_t n = run(nets[net], "0", &expected, &plan);
    cr_assert_eq(run(nets[net], blocks, &found, &plan_in_blocks), n);
    cr_expect_eq(strstr(plan, "BlockedConvolution"), NULL, "net %zu\n%s", net, plan);
    if (strcmp(blocks, "1") == 0) cr_expect_gt(count_of_text(plan_in_blocks, "BlockedConvolution"), 1, "net %zu\n%s", net, plan_in_blocks);
    for (size_t i = 0; i < n; i++)
        cr_assert_leq(fabsf(found[i] - expected[i]), 1e-4F + 1e-4F * fabsf(expected[i]), "net %zu, element %zu: %g, in blocks %g\n%s", net,
                      i, expected[i], found[i], plan_in_blocks);
    free(expected);
    free(found);
    aval_free(plan);
    aval_free(plan_in_blocks);
}

Test(blocks, nets_give_the_same_in_blocks)
{
    for (size_t i = 0; i < sizeof nets / sizeof *nets; i++) compare(i, "1");
}

Test(blocks, and_where_they_pay)
{
    for (size_t i = 0; i < sizeof nets / sizeof *nets; i++) compare(i, "");
}

/* Between convolutions nothing is turned, and what follows them is still computed as they are stored. */
Test(blocks, tensors_are_turned_at_borders_alone)
{
    float *results;
    char *plan;
    run(residual, "1", &results, &plan);
    cr_expect_eq(count_of_text(plan, "(Convolution)"), 0, "%s", plan);
    cr_expect_eq(count_of_text(plan, "Transpose"), 0, "%s", plan);
    cr_expect_eq(count_of_text(plan, "fused"), 0, "%s", plan);
    free(results);
    aval_free(plan);
    run(pooled, "1", &results, &plan);
    cr_expect_eq(count_of_text(plan, "Transpose"), 2, "%s", plan);
    free(results);
    aval_free(plan);
}

/* Depthwise convolution gains by blocks, so that they are chosen; where one value is wanted as it is, it costs more than is gained. */
Test(blocks, are_chosen_where_depthwise_convolution_is)
{
    float *results;
    char *plan;
    run(residual, "", &results, &plan);
    cr_expect_neq(strstr(plan, "BlockedConvolution"), NULL, "%s", plan);
    free(results);
    aval_free(plan);
}
