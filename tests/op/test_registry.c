/* Loading plugins: each planted mistake is refused by name, and the good plugin beside them loads. */
#include "fail_alloc.h"
#include "op/op.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define BAD AVAL_TEST_BINARY_DIR "/bad_plugins/"

static aval__registry *make_registry(void)
{
    aval__registry *r = NULL;
    cr_assert_eq(aval__registry_create(NULL, &r), AVAL_OK);
    return r;
}

static void assert_contains(const char *message, const char *part)
{
    cr_assert(strstr(message, part), "expected '%s' in '%s'", part, message);
}

/* ---- Planted mistakes ------------------------------------------------------------------------------------------------------------ */

static const struct planted {
    const char *file;
    const char *parts[4]; /* that the message must have: op, field, expected, found */
} planted[] = {
    { "no_symbol.so", { "expected the symbol aval_plugin_entry", "found none" } },
    { "newer_abi.so", { "abi", "expected 1", "found 1000", "use a newer aval" } },
    { "unsettled_abi.so", { "abi", "expected 1", "found 0", "before the ABI was settled; build it again" } },
    { "table_size.so", { "size", "expected at least 48", "found 40" } },
    { "long_table.so", { "size", "expected at most the object's", "found 4096" } },
    { "op_size.so", { "op 0", "size", "expected at least 200", "found 192" } },
    { "duplicate_op.so", { "op 'Twice'", "name", "expected one definition", "found another in" } },
    { "derivative_count.so", { "op 'Derived'", "derivatives", "expected 1 (one an input)", "found 2" } },
    { "null_name.so", { "op '?'", "name", "expected a name", "found NULL" } },
    { "null_samples.so", { "op 'Unsampled'", "samples", "expected at least 1", "found NULL" } },
    { "bad_expression.so", { "op 'Unclosed'", "expressions", "expected", "alpha * (x" } },
};

Test(registry, each_bad_plugin_is_refused_with_file_op_field_expected_and_found)
{
    aval__registry *r = make_registry();
    for (size_t i = 0; i < sizeof planted / sizeof *planted; i++) {
        char file[4096];
        snprintf(file, sizeof file, "%s%s", BAD, planted[i].file);
        cr_assert_eq(aval__registry_load(r, file), AVAL_E_PLUGIN, "%s was not refused", file);
        assert_contains(aval_error(), file);
        for (size_t j = 0; j < 4 && planted[i].parts[j]; j++) assert_contains(aval_error(), planted[i].parts[j]);
        cr_assert_eq(aval__registry_count(r), 0);
    }
    aval__registry_release(r);
}

typedef struct collected {
    aval__text text;
    size_t count;
} collected;

static void collect(void *user, int level, const char *message)
{
    collected *c = user;
    cr_assert_eq(level, AVAL_LOG_WARNING);
    aval__text_add(&c->text, "%s\n", message);
    c->count++;
}

Test(registry, a_folder_loads_its_good_plugin_and_names_each_of_the_others)
{
    collected c = { 0 };
    aval__log log = { .function = collect, .user = &c };
    aval__registry *r;
    size_t refused;
    cr_assert_eq(aval__registry_create(&log, &r), AVAL_OK);
    cr_assert_eq(aval__registry_load_folder(r, AVAL_TEST_BINARY_DIR "/bad_plugins", &refused), AVAL_OK);
    size_t expected = sizeof planted / sizeof *planted + 1; /* and second_good.so, which repeats good.so's op */
    cr_assert_eq(refused, expected);
    cr_assert_eq(c.count, expected);
    for (size_t i = 0; i < expected - 1; i++) assert_contains(c.text.at, planted[i].file);
    assert_contains(c.text.at, "second_good.so");
    cr_assert_eq(aval__registry_count(r), 1);
    const aval__opdef *def = aval__registry_find(r, "test::Probe", 0);
    cr_assert_not_null(def);
    assert_contains(aval__plugin_file(def->plugin), "/good.so");
    cr_assert_str_eq(aval__plugin_name(def->plugin), "probe");
    aval__text_release(&c.text);
    aval__registry_release(r);
}

Test(registry, a_file_named_twice_is_loaded_once)
{
    aval__registry *r = make_registry();
    cr_assert_eq(aval__registry_load(r, BAD "good.so"), AVAL_OK);
    cr_assert_eq(aval__registry_load(r, BAD "../bad_plugins/good.so"), AVAL_OK);
    cr_assert_eq(aval__registry_plugin_count(r), 1);
    aval__registry_release(r);
}

/* ---- Files that somebody else may have written -------------------------------------------------------------------------------------- */

/* A new folder of our own, as /tmp/aval-test-XXXXXX, with a copy of good.so in it. */
static void make_folder(char folder[64], char file[128])
{
    char command[8192];
    strcpy(folder, "/tmp/aval-test-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
    cr_assert_eq(chmod(folder, 0755), 0);
    snprintf(file, 128, "%s/copy.so", folder);
    snprintf(command, sizeof command, "cp '%sgood.so' '%s'", BAD, file);
    cr_assert_eq(system(command), 0);
    cr_assert_eq(chmod(file, 0644), 0);
}

static void remove_folder(const char *folder, const char *file)
{
    unlink(file);
    rmdir(folder);
}

static void assert_refused(const char *file, const char *part)
{
    aval__registry *r = make_registry();
    cr_assert_eq(aval__registry_load(r, file), AVAL_E_PLUGIN);
    assert_contains(aval_error(), part);
    aval__registry_release(r);
}

Test(registry, a_file_writable_by_everyone_is_refused)
{
    char folder[64], file[128];
    make_folder(folder, file);
    cr_assert_eq(chmod(file, 0646), 0);
    assert_refused(file, "permissions of the file: expected not writable by everyone, found mode 0646");
    remove_folder(folder, file);
}

Test(registry, a_folder_writable_by_everyone_is_refused_even_for_one_file_in_it)
{
    char folder[64], file[128];
    make_folder(folder, file);
    cr_assert_eq(chmod(folder, 0757), 0);
    assert_refused(file, "permissions of the folder");
    aval__registry *r = make_registry();
    size_t refused;
    cr_assert_eq(aval__registry_load_folder(r, folder, &refused), AVAL_E_PLUGIN);
    assert_contains(aval_error(), "found mode 0757");
    aval__registry_release(r);
    remove_folder(folder, file);
}

Test(registry, a_file_owned_by_a_stranger_is_refused)
{
    if (geteuid() != 0) cr_skip_test("only root can give a file away");
    char folder[64], file[128];
    make_folder(folder, file);
    cr_assert_eq(chown(file, 65534, 65534), 0);
    assert_refused(file, "owner of the file: expected root or user 0, found user 65534");
    remove_folder(folder, file);
}

Test(registry, an_unreadable_file_is_refused_with_the_reason)
{
    char folder[64], file[128];
    make_folder(folder, file);
    cr_assert_eq(chmod(file, geteuid() == 0 ? 0600 : 0), 0);
    pid_t child = fork(); /* root reads everything, so another user must try */
    if (child == 0) {
        if (geteuid() == 0 && setuid(65534) != 0) _exit(2);
        aval__registry *r = NULL;
        int status = aval__registry_create(NULL, &r);
        if (status == AVAL_OK) status = aval__registry_load(r, file);
        _exit(status == AVAL_E_PLUGIN && strstr(aval_error(), "Permission denied") && strstr(aval_error(), file) ? 0 : 1);
    }
    int result;
    cr_assert_eq(waitpid(child, &result, 0), child);
    cr_assert(WIFEXITED(result) && WEXITSTATUS(result) == 0, "the child found %d", result);
    remove_folder(folder, file);
}

Test(registry, a_text_an_empty_file_a_folder_and_a_damaged_file_are_refused)
{
    char folder[64], file[128];
    make_folder(folder, file);
    FILE *f = fopen(file, "w");
    fputs("#!/bin/sh\n", f);
    fclose(f);
    assert_refused(file, "expected a shared object (an ELF file), found a file that starts with '#!/b'");
    f = fopen(file, "w");
    fclose(f);
    assert_refused(file, "found an empty file");
    f = fopen(file, "w");
    fputs("\177ELF and nothing else", f);
    fclose(f);
    assert_refused(file, "the dynamic linker refuses it");
    assert_refused(folder, "expected a file, found a folder");
    remove_folder(folder, file);
    assert_refused(file, "No such file");
}

/* ---- Rules about one op --------------------------------------------------------------------------------------------------------------- */

static int do_nothing(const aval_host *host, aval_call *call)
{
    (void)host;
    (void)call;
    return 0;
}

/* A recorder that is right in every field; each row below plants one mistake. */
static const aval_op right = {
    .size = sizeof(aval_op),
    .name = "Right",
    .since = 1,
    .doc = "Does nothing.",
    .inputs = AVAL_PORTS({ .name = "x" }, { .name = "w", .flags = AVAL_OPTIONAL }),
    .outputs = AVAL_PORTS({ .name = "y" }),
    .attrs = AVAL_ATTRS({ .name = "axis", .type = AVAL_ATTR_INT, .initial = "1" }),
    .forward = do_nothing,
    .backward = do_nothing,
    .reference = do_nothing,
    .samples = AVAL_SAMPLES({ .inputs = "[2] -", .attrs = "axis=0" }),
};

static const aval_port *const same_ports_list = AVAL_PORTS({ .name = "x" }, { .name = "x" });
static const aval_port *const early_variadic_list = AVAL_PORTS({ .name = "x", .flags = AVAL_VARIADIC }, { .name = "w" });
static const aval_port *const like_nothing_list = AVAL_PORTS({ .name = "y", .like = AVAL_LIKE(2) });
static const aval_port *const updates_nothing_list = AVAL_PORTS({ .name = "y", .updates = AVAL_UPDATES(2) });
static const aval_attr *const bad_default_list = AVAL_ATTRS({ .name = "axis", .type = AVAL_ATTR_INT, .initial = "one" });
static const aval_attr *const bad_attr_type_list = AVAL_ATTRS({ .name = "axis", .type = 9 });
static const aval_sample *const bad_sample_list = AVAL_SAMPLES({ .inputs = "[2" });
static const aval_sample *const bad_sample_attr_list = AVAL_SAMPLES({ .inputs = "[2]", .attrs = "axes=1" });
static const aval_sample *const many_inputs_list = AVAL_SAMPLES({ .inputs = "[2] [2] [2]" });
static const aval_sample *const loose_list = AVAL_SAMPLES({ .inputs = "[2]", .atol = 0.1 });
static const char *const *const two_texts = AVAL_TEXTS("1", "1");

static const aval_sample *const bad_gives_list = AVAL_SAMPLES({ .inputs = "[2]", AVAL_GIVES("[2") });
static const aval_sample *const many_gives_list = AVAL_SAMPLES({ .inputs = "[2]", AVAL_GIVES("[2] [2]") });
static const aval_sample_more unknown_more = { .size = 1000 };
static const aval_sample *const unknown_more_list = AVAL_SAMPLES({ .inputs = "[2]", .more = &unknown_more });

static void no_doc(aval_op *op)
{
    op->doc = NULL;
}
static void spaced_name(aval_op *op)
{
    op->name = "a b";
}
static void no_since(aval_op *op)
{
    op->since = 0;
}
static void unknown_role(aval_op *op)
{
    op->role = 99;
}
static void blocks_of_nothing(aval_op *op)
{
    static const aval_blocks blocks = { .size = sizeof blocks, .op = "Other" };
    op->blocks = &blocks;
}
static void no_outputs(aval_op *op)
{
    op->outputs = NULL;
}
static void no_reference(aval_op *op)
{
    op->reference = NULL;
}
static void no_form(aval_op *op)
{
    op->forward = NULL;
}
static void two_forms(aval_op *op)
{
    op->body = do_nothing;
}
static void two_backwards(aval_op *op)
{
    op->backward_body = do_nothing;
}
static void derivatives_of_recorder(aval_op *op)
{
    op->backward = NULL;
    op->n_derivatives = 2;
    op->derivatives = two_texts;
}
static const char *const *const one_text = AVAL_TEXTS("x");
static const char *const *const capital_text = AVAL_TEXTS("X");
static const char *const *const expo_text = AVAL_TEXTS("expo(x)");

/* As an expression, with derivatives but not their number, and the other way round. */
static void uncounted_derivatives(aval_op *op)
{
    op->forward = op->backward = op->reference = NULL;
    op->expressions = one_text;
    op->derivatives = two_texts;
}
static void counted_no_derivatives(aval_op *op)
{
    op->forward = op->backward = op->reference = NULL;
    op->expressions = one_text;
    op->n_derivatives = 2;
}
static void unknown_word(aval_op *op)
{
    op->forward = op->backward = op->reference = NULL;
    op->expressions = capital_text;
}
static void unknown_function(aval_op *op)
{
    op->forward = op->backward = op->reference = NULL;
    op->expressions = expo_text;
}
static void same_ports(aval_op *op)
{
    op->inputs = same_ports_list;
}
static void early_variadic(aval_op *op)
{
    op->inputs = early_variadic_list;
}
static void like_nothing(aval_op *op)
{
    op->outputs = like_nothing_list;
}
static void updates_nothing(aval_op *op)
{
    op->outputs = updates_nothing_list;
}
static void bad_default(aval_op *op)
{
    op->attrs = bad_default_list;
}
static void bad_attr_type(aval_op *op)
{
    op->attrs = bad_attr_type_list;
}
static void keeps_nothing(aval_op *op)
{
    op->keeps = AVAL_KEEP_OUTPUT(1);
}
static void unknown_kernels(aval_op *op)
{
    op->kernels = "none.cl";
}
static void bad_sample(aval_op *op)
{
    op->samples = bad_sample_list;
}
static void bad_sample_attr(aval_op *op)
{
    op->samples = bad_sample_attr_list;
}
static void many_inputs(aval_op *op)
{
    op->samples = many_inputs_list;
}
static void bad_gives(aval_op *op)
{
    op->samples = bad_gives_list;
}
static void many_gives(aval_op *op)
{
    op->samples = many_gives_list;
}
static void unknown_gives(aval_op *op)
{
    op->samples = unknown_more_list;
}
static void loose(aval_op *op)
{
    op->samples = loose_list;
}

static const struct rule {
    void (*plant)(aval_op *op);
    const char *part;
} rules[] = {
    { no_doc, "op 'Right': doc: expected a line of text, found NULL" },
    { spaced_name, "name: expected letters, digits and _" },
    { no_since, "since: expected a version from 1 on, found 0" },
    { unknown_role, "role: expected at most 6, found 99" },
    { blocks_of_nothing, "blocks: expected an op's name and a function" },
    { no_outputs, "outputs: expected at least 1, found NULL" },
    { no_reference, "reference: expected a function beside forward, found NULL" },
    { no_form, "expected exactly one of expressions, forward and body, found 0" },
    { two_forms, "expected exactly one of expressions, forward and body, found 2" },
    { two_backwards, "expected at most one of derivatives, backward and backward_body, found 2" },
    { derivatives_of_recorder, "derivatives: expected none without expressions, found 2" },
    { uncounted_derivatives, "n_derivatives: expected 2 (one an input) beside .derivatives, found 0: say .n_derivatives = 2" },
    { counted_no_derivatives, "derivatives: expected 2 texts, since n_derivatives is 2, found NULL" },
    { unknown_word, "the name of an input or a numeric attribute (there are x, w, axis) at 1 in 'X'" },
    { unknown_function, "expected a function (there are pow, abs, " },
    { same_ports, "inputs: expected different names, found 'x' twice" },
    { early_variadic, "'x': expected only the last to be variadic, found 1 after it" },
    { like_nothing, "outputs: 'y': like: expected at most 2 (the number of inputs), found 3" },
    { updates_nothing, "outputs: 'y': updates: expected at most 2 (the number of inputs), found 3" },
    { bad_default, "attribute axis: expected an integer, e.g. 1, found 'one'" },
    { bad_attr_type, "attrs: 'axis': type: expected 1 to 5, found 9" },
    { keeps_nothing, "keeps: expected bits for 1 outputs, found 0x2" },
    { unknown_kernels, "kernels: expected the name of one of the plugin's sources, found 'none.cl'" },
    { bad_sample, "samples: inputs of sample 0" },
    { bad_sample_attr, "samples: attributes of sample 0: no attribute 'axes'; there is axis" },
    { many_inputs, "expected 1 to 2 inputs, found 3" },
    { bad_gives, "samples: AVAL_GIVES of sample 0" },
    { many_gives, "sample 0: AVAL_GIVES(\"[2] [2]\"): expected at most 1 outputs, found 2" },
    { unknown_gives, "sample 0: more: size: expected 16, found 1000: use a newer aval" },
    { loose, "why: expected the reason" },
};

static int add_ops(aval__registry *r, const aval_op *const *ops, const char *file)
{
    aval_plugin table = { .abi = AVAL_PLUGIN_ABI, .size = sizeof table, .name = "t", .version = "1", .ops = ops };
    static aval_plugin kept[8]; /* a table must live as long as its registry */
    static size_t n;
    aval_plugin *slot = &kept[n++ % 8];
    *slot = table;
    return aval__registry_add(r, slot, file);
}

Test(registry, each_rule_about_an_op_refuses_what_breaks_it)
{
    aval__registry *r = make_registry();
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        aval_op op = right;
        rules[i].plant(&op);
        const aval_op *const ops[] = { &op, NULL };
        cr_assert_eq(add_ops(r, ops, "memory"), AVAL_E_PLUGIN, "rule %zu (%s) accepts it", i, rules[i].part);
        assert_contains(aval_error(), rules[i].part);
    }
    const aval_op *const ops[] = { &right, NULL };
    cr_assert_eq(add_ops(r, ops, "memory"), AVAL_OK, "%s", aval_error());
    aval__registry_release(r);
}

/* ---- Finding ---------------------------------------------------------------------------------------------------------------------------- */

Test(registry, the_newest_version_not_above_the_wanted_one_is_found)
{
    aval_op one = right, seven = right, other = right;
    seven.since = 7;
    other.domain = "aval";
    const aval_op *const ops[] = { &seven, &other, &one, NULL };
    aval__registry *r = make_registry();
    cr_assert_eq(add_ops(r, ops, "memory"), AVAL_OK, "%s", aval_error());
    cr_assert_eq(aval__registry_find(r, "Right", 0)->op, &seven);
    cr_assert_eq(aval__registry_find(r, "Right", 6)->op, &one);
    cr_assert_eq(aval__registry_find(r, "Right", 100)->op, &seven);
    cr_assert_eq(aval__registry_find(r, "aval::Right", 0)->op, &other);
    cr_assert_eq(aval__registry_find(r, "ai.onnx::Right", 0)->op, &seven);
    cr_assert_eq(aval__registry_find(r, "Right@6", 0)->op, &one);
    cr_assert_eq(aval__registry_find(r, "ai.onnx::Right@7", 3)->op, &seven, "the version in the name counts");
    cr_assert_null(aval__registry_find(r, "Right@0", 0));
    cr_assert_null(aval__registry_find(r, "Right@7x", 0));
    cr_assert_null(aval__registry_find(r, "Left", 0));
    cr_assert_null(aval__registry_find(r, "nowhere::Right", 0));
    cr_assert_eq(aval__registry_count(r), 2); /* the older version is not listed */
    cr_assert_eq(aval__registry_at(r, 0)->op, &seven);
    cr_assert_eq(aval__registry_at(r, 1)->op, &other);
    cr_assert_null(aval__registry_at(r, 2));
    aval__registry_release(r);
}

Test(registry, a_role_is_held_by_one_op)
{
    aval_op first = right, second = right;
    first.role = second.role = AVAL_ROLE_ADD;
    second.name = "Second";
    const aval_op *const both[] = { &first, &second, NULL }, *const one[] = { &first, NULL };
    aval__registry *r = make_registry();
    cr_assert_null(aval__registry_role(r, AVAL_ROLE_ADD));
    cr_assert_eq(add_ops(r, both, "both"), AVAL_E_PLUGIN);
    assert_contains(aval_error(), "both: op 'Second': role: expected at most one op with role 1, found it taken by 'Right' of both");
    cr_assert_eq(add_ops(r, one, "one"), AVAL_OK);
    cr_assert_eq(aval__registry_role(r, AVAL_ROLE_ADD)->op, &first);
    cr_assert_null(aval__registry_role(r, AVAL_ROLE_CAST));
    aval__registry_release(r);
}

Test(registry, a_backward_is_derived_once_and_takes_what_is_kept_and_the_upstreams)
{
    aval_op op = right;
    op.keeps = AVAL_KEEP_INPUT(0) | AVAL_KEEP_OUTPUT(0);
    const aval_op *const ops[] = { &op, NULL };
    aval__registry *r = make_registry();
    cr_assert_eq(add_ops(r, ops, "memory"), AVAL_OK);
    const aval__opdef *def = aval__registry_find(r, "Right", 0), *backward = aval__opdef_backward(r, def);
    cr_assert_not_null(backward);
    cr_assert_eq(aval__opdef_backward(r, def), backward);
    cr_assert_eq(backward->kind, AVAL__BACKWARD);
    cr_assert_str_eq(backward->name, "Right'");
    cr_assert_eq(backward->n_inputs, 3);
    cr_assert_eq(backward->n_outputs, 2);
    cr_assert_str_eq(aval_op_forward_kind(&op), "kernels");
    cr_assert_str_eq(aval_op_gradient_kind(&op), "kernels");
    op.backward = NULL;
    cr_assert_str_eq(aval_op_gradient_kind(&op), "none");
    op.zero_gradient = 3;
    cr_assert_str_eq(aval_op_gradient_kind(&op), "zero");
    aval__registry_release(r);
}

/* ---- Threads ------------------------------------------------------------------------------------------------------------------------------- */

static void *derive_backward(void *user)
{
    aval__registry *r = user;
    return (void *)aval__opdef_backward(r, aval__registry_find(r, "Right", 0));
}

Test(registry, threads_that_derive_at_once_get_one_definition)
{
    const aval_op *const ops[] = { &right, NULL };
    aval__registry *r = make_registry();
    cr_assert_eq(add_ops(r, ops, "memory"), AVAL_OK);
    pthread_t threads[8];
    void *made[8];
    for (size_t i = 0; i < 8; i++) cr_assert_eq(pthread_create(&threads[i], NULL, derive_backward, r), 0);
    for (size_t i = 0; i < 8; i++) pthread_join(threads[i], &made[i]);
    for (size_t i = 0; i < 8; i++) cr_assert(made[i] && made[i] == made[0]);
    aval__registry_release(r);
}

/* ---- Memory -------------------------------------------------------------------------------------------------------------------------------- */

Test(registry, any_failed_allocation_is_a_clean_error_without_a_leak)
{
    for (size_t n = 1;; n++) {
        const aval__opdef *derived = NULL;
        aval__registry *r = NULL;
        fail_alloc_at(n);
        int status = aval__registry_create(NULL, &r);
        if (status == AVAL_OK) status = aval__registry_load(r, BAD "good.so");
        if (status == AVAL_OK) status = aval__opdef_derivative(r, aval__registry_find(r, "test::Probe", 0), 0, &derived);
        aval__registry_release(r);
        size_t left = fail_alloc_outstanding(), asked = fail_alloc_count();
        fail_alloc_off();
        cr_assert(status == AVAL_OK || asked >= n);
        cr_assert_eq(left, 0, "%zu blocks are left when allocation %zu fails", left, n);
        if (asked < n) {
            cr_assert_eq(status, AVAL_OK, "%s", aval_error());
            cr_assert_gt(n, 5);
            break;
        }
        cr_assert_lt(status, 0, "allocation %zu failed unnoticed", n);
        assert_contains(aval_error(), "out of memory");
    }
}
