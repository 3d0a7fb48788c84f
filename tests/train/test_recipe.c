/* Options of a training: defaults, what is refused, and what a resumed checkpoint decides. */
#include "train/train.h"

#include <criterion/criterion.h>
#include <string.h>

static void expect_refused(aval_train_options o, const char *saved, const char *part)
{
    aval__recipe recipe;
    o.size = sizeof o;
    cr_expect_eq(aval__recipe_make(&o, saved, &recipe), AVAL_E_ARGUMENT);
    cr_expect_not_null(strstr(aval_error(), part), "'%s' is not in: %s", part, aval_error());
}

Test(recipe, defaults_are_filled_in)
{
    aval__recipe r;
    cr_assert_eq(aval__recipe_make(&(aval_train_options){ .size = sizeof(aval_train_options) }, NULL, &r), 0);
    cr_expect_str_eq(r.net->name, "mlp");
    cr_expect_eq(r.n_layers, 2);
    cr_expect_eq(r.layers[1], 128);
    cr_expect_eq(r.options.lr, 0.1);
    cr_expect_eq(r.options.momentum, 0.9);
    cr_expect_eq(r.options.batch, 32);
    aval__recipe_release(&r);
}

Test(recipe, unknown_names_list_what_there_is)
{
    expect_refused((aval_train_options){ .net = "mpl" }, NULL, "unknown net 'mpl': there are linear, mlp, lenet");
    expect_refused((aval_train_options){ .activation = "x" }, NULL, "relu, leaky_relu, tanh, sigmoid");
    expect_refused((aval_train_options){ .loss = "x" }, NULL, "cross_entropy, mse");
    expect_refused((aval_train_options){ .optimizer = "x" }, NULL, "there are sgd");
}

Test(recipe, bad_numbers_are_refused)
{
    expect_refused((aval_train_options){ .lr = -1 }, NULL, "learning rate");
    expect_refused((aval_train_options){ .momentum = 1 }, NULL, "momentum");
    expect_refused((aval_train_options){ .dropout = 1 }, NULL, "dropout");
    expect_refused((aval_train_options){ .layers = "12,x" }, NULL, "12,x");
    expect_refused((aval_train_options){ .layers = "12,,3" }, NULL, "12,,3");
    expect_refused((aval_train_options){ .layers = "0" }, NULL, "widths of 1");
    expect_refused((aval_train_options){ .layers = "" }, NULL, "widths of 1");
    expect_refused((aval_train_options){ .net = "linear", .layers = "3" }, NULL, "linear has no hidden layers");
    expect_refused((aval_train_options){ .momentum = -1, .nesterov = 1 }, NULL, "Nesterov");
}

Test(recipe, a_printed_recipe_reads_back_the_same)
{
    aval_train_options o = {
        .size = sizeof o, .net = "lenet", .layers = "30,20", .lr = 0.3, .momentum = -1, .dropout = 0.1, .seed = 7, .epochs = 3
    };
    aval__recipe first, second;
    aval__text text = { 0 }, again = { 0 };
    cr_assert_eq(aval__recipe_make(&o, NULL, &first), 0);
    aval__recipe_print(&text, &first);
    cr_assert_eq(aval__recipe_make(&(aval_train_options){ .size = sizeof o }, text.at, &second), 0, "%s", aval_error());
    aval__recipe_print(&again, &second);
    cr_expect_str_eq(text.at, again.at);
    cr_expect_eq(second.options.momentum, 0);
    cr_expect_eq(second.n_layers, 2);
    aval__text_release(&text);
    aval__text_release(&again);
    aval__recipe_release(&first);
    aval__recipe_release(&second);
}

Test(recipe, what_shapes_the_net_must_be_as_in_the_checkpoint)
{
    expect_refused((aval_train_options){ .layers = "64" }, "net=mlp\nlayers=128\n", "layers 128");
    expect_refused((aval_train_options){ .seed = 2 }, "seed=1\n", "seed 1");
    aval__recipe r;
    aval_train_options o = { .size = sizeof o, .epochs = 20, .lr = 0.01 };
    cr_assert_eq(aval__recipe_make(&o, "epochs=10\nlr=0.1\nbatch=16\n", &r), 0);
    cr_expect_eq(r.options.epochs, 20);
    cr_expect_eq(r.options.lr, 0.01);
    cr_expect_eq(r.options.batch, 16);
    aval__recipe_release(&r);
}

Test(recipe, a_zero_that_is_given_is_zero_whatever_the_checkpoint_or_the_default_says)
{
    const char *saved = "lr=0.1\nmomentum=0.9\nnesterov=1\nweight_decay=0.5\ndropout=0.2\n";
    aval_train_options o = { .size = sizeof o,
                             .given = AVAL_GIVEN_MOMENTUM | AVAL_GIVEN_NESTEROV | AVAL_GIVEN_WEIGHT_DECAY | AVAL_GIVEN_DROPOUT };
    aval__recipe r;
    for (int resumed = 0; resumed < 2; resumed++) {
        cr_assert_eq(aval__recipe_make(&o, resumed ? saved : NULL, &r), 0, "%s", aval_error());
        cr_expect_eq(r.options.momentum, 0);
        cr_expect_eq(r.options.nesterov, 0);
        cr_expect_eq(r.options.weight_decay, 0);
        cr_expect_eq(r.options.dropout, 0);
        aval__recipe_release(&r);
    }
    expect_refused((aval_train_options){ .given = AVAL_GIVEN_LR }, NULL, "learning rate 0");
    expect_refused((aval_train_options){ .given = AVAL_GIVEN_SEED }, "seed=1\n", "seed 1");
    expect_refused((aval_train_options){ .given = AVAL_GIVEN_MOMENTUM }, saved, "Nesterov");
}

Test(recipe, the_largest_seed_is_printed_and_read_back)
{
    aval_train_options o = { .size = sizeof o, .seed = UINT64_MAX };
    aval__recipe r;
    aval__text text = { 0 };
    cr_assert_eq(aval__recipe_make(&o, NULL, &r), 0);
    aval__recipe_print(&text, &r);
    aval__recipe_release(&r);
    o.seed = 0;
    cr_assert_eq(aval__recipe_make(&o, text.at, &r), 0, "%s", aval_error());
    cr_expect_eq(r.options.seed, UINT64_MAX);
    aval__recipe_release(&r);
    aval__text_release(&text);
}
