/* ONNX files that are damaged, or made to do harm: each gives one message. */
#include "onnx_fixture.h"

#include "fail_alloc.h"

static const float two[2] = { 0.5f, 2 };

/* x[?,2] * w through a function and back, with most kinds of things in it. */
static void make_some(onnx_test *t)
{
    int64_t shape[2] = { -1, 1 };
    onnx_start(t, 13);
    maker_input(&t->m, "x", DIMS(2));
    maker_initializer(&t->m, "w", AVAL_FLOAT, DIMS(2), two, sizeof two);
    maker_initializer(&t->m, "shape", AVAL_INT64, DIMS(2), shape, sizeof shape);
    Aval__Onnx__Function *f = maker_function(&t->m, "F", "in", "out", 1);
    f->node[0] = maker_loose_node(&t->m, "Scale", "in", "out");
    maker_attr(&t->m, f->node[0], "by", 1)->ref_attr_name = (char *)(uintptr_t) "factor";
    maker_node(&t->m, "Mul", "x w", "h");
    maker_float(&t->m, maker_local(&t->m, maker_node(&t->m, "F", "h", "k")), "factor", 3);
    maker_node(&t->m, "Reshape", "k shape", "y");
    maker_output(&t->m, "y");
}

Test(onnx_hostile, whatever_byte_a_file_ends_at_or_has_wrong_there_is_no_harm)
{
    onnx_test t;
    unsigned char *bytes;
    make_some(&t);
    onnx_read_good(&t);
    size_t count = maker_pack(&t.m, &bytes), refused = 0;
    for (size_t i = 0; i < 4 * count; i++) {
        static const unsigned char wrong[] = { 0xff, 0x80, 0x01 };
        aval__onnx_release(&t.read);
        aval_graph_release(t.f.g);
        t.f.g = aval__graph_create(t.f.registry, NULL);
        unsigned char kept = bytes[i % count];
        if (i >= count) bytes[i % count] ^= wrong[i / count - 1];
        maker_write_bytes(t.file, bytes, i < count ? i : count);
        bytes[i % count] = kept;
        int status = aval__onnx_read(t.file, t.f.g, &t.read);
        refused += status < 0;
        cr_assert(status == AVAL_OK || strlen(aval_error()) > 20, "byte %zu: %d %s", i, status, aval_error());
        cr_assert_neq(status, AVAL_E_INTERNAL, "byte %zu: %s", i, aval_error());
    }
    cr_expect_gt(refused, count);
    aval__free(bytes);
    onnx_finish(&t);
}

Test(onnx_hostile, each_failing_allocation_is_an_error_without_a_leak)
{
    onnx_test t;
    make_some(&t);
    maker_write(&t.m, t.file);
    for (size_t n = 1;; n++) {
        fail_alloc_at(n);
        aval_graph *g = aval__graph_create(t.f.registry, NULL);
        int status = g ? aval__onnx_read(t.file, g, &t.read) : AVAL_E_MEMORY;
        if (status == AVAL_OK) aval__onnx_release(&t.read);
        aval_graph_release(g);
        size_t outstanding = fail_alloc_outstanding(), allocations = fail_alloc_count();
        fail_alloc_off();
        cr_assert(status == AVAL_OK || status == AVAL_E_MEMORY, "allocation %zu: %d, %s", n, status, aval_error());
        cr_assert_eq(outstanding, 0, "allocation %zu: %zu were not given back", n, outstanding);
        if (allocations < n) break;
        cr_assert_eq(status, AVAL_E_MEMORY, "allocation %zu", n);
    }
    onnx_finish(&t);
}

Test(onnx_hostile, tensors_of_impossible_sizes_are_refused_before_memory_is_asked_for)
{
    static const struct {
        int type;
        size_t rank;
        int64_t dims[9];
        int code;
        const char *message;
    } cases[] = {
        { AVAL_FLOAT, 1, { INT64_C(1) << 40 }, AVAL_E_FORMAT, "expected 1099511627776 elements, found 0" },
        { AVAL_FLOAT, 2, { INT64_C(1) << 40, INT64_C(1) << 40 }, AVAL_E_FORMAT, "fewer than 2^63 bytes" },
        { AVAL_FLOAT, 1, { -1 }, AVAL_E_FORMAT, "0 or more, found -1" },
        { AVAL_FLOAT, 9, { 1, 1, 1, 1, 1, 1, 1, 1, 1 }, AVAL_E_UNSUPPORTED, "9 axes" },
        { 99, 0, { 0 }, AVAL_E_FORMAT, "element type, found number 99" },
        { 0, 0, { 0 }, AVAL_E_FORMAT, "element type, found number 0" },
        { AVAL_STRING, 1, { 1 }, AVAL_E_UNSUPPORTED, "elements of type string" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        onnx_test t;
        onnx_start(&t, 13);
        maker_initializer(&t.m, "big", cases[i].type, cases[i].rank, cases[i].dims, NULL, 0);
        maker_output(&t.m, "big");
        onnx_expect(&t, cases[i].code, cases[i].message);
        expect_message("initializer 'big'");
        onnx_finish(&t);
    }
}

Test(onnx_hostile, raw_bytes_of_another_number_are_refused)
{
    onnx_test t;
    onnx_start(&t, 13);
    maker_initializer(&t.m, "w", AVAL_FLOAT, DIMS(3), two, sizeof two);
    maker_output(&t.m, "w");
    onnx_expect(&t, AVAL_E_FORMAT, "expected 12 bytes of elements, found 8");
    onnx_finish(&t);
}

Test(onnx_hostile, cycles_missing_tensors_and_names_given_twice_are_refused)
{
    static const struct {
        const char *inputs, *outputs, *message;
    } cases[] = {
        { "z", "y", "node 'y' (Tanh): its input 'z' is neither" },
        { "y", "y", "or there is a cycle" },
        { "x", "x", "found 'x' given to two" },
        { "x", "u", "nothing gives the output 'y'" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        onnx_test t;
        onnx_start(&t, 13);
        maker_input(&t.m, "x", DIMS(2));
        maker_node(&t.m, "Tanh", cases[i].inputs, cases[i].outputs);
        maker_output(&t.m, "y");
        onnx_expect(&t, AVAL_E_FORMAT, cases[i].message);
        onnx_finish(&t);
    }
}

Test(onnx_hostile, graphs_within_attributes_nest_as_deep_as_they_like_without_being_followed)
{
    enum { DEPTH = 200000, ROOM = DEPTH * 8 };
    onnx_test t;
    onnx_start(&t, 13);
    maker_input(&t.m, "x", DIMS(2));
    Aval__Onnx__Node *branching = maker_node(&t.m, "If", "x", "y");
    Aval__Onnx__Attribute *a = maker_attr(&t.m, branching, "then_branch", 5);
    /* each level is field 1 (a node), then 5 (its attribute), then 6 (the graph), in front of what there is */
    unsigned char *bytes = aval__arena_alloc(&t.m.arena, 3 * ROOM), *at = bytes + 3 * ROOM;
    for (size_t i = 0; i < DEPTH; i++) {
        static const unsigned char tags[] = { 0x32, 0x2a, 0x0a };
        size_t length = (size_t)(bytes + 3 * ROOM - at);
        unsigned char varint[10];
        size_t n = 0;
        for (size_t rest = length; n == 0 || rest; rest >>= 7) varint[n++] = (unsigned char)(rest >> 7 ? (rest & 127) | 128 : rest);
        at -= n;
        memcpy(at, varint, n);
        *--at = tags[i % 3];
    }
    a->g.data = at;
    a->g.len = (size_t)(bytes + 3 * ROOM - at);
    a->has_g = 1;
    maker_output(&t.m, "y");
    *maker_attr(&t.m, branching, "else_branch", 5) = *a;
    branching->attribute[1]->name = (char *)(uintptr_t) "else_branch";
    onnx_expect(&t, AVAL_E_FORMAT, "node 'y' (If)");
    onnx_finish(&t);
}

Test(onnx_hostile, what_is_no_model_is_said_to_be_none)
{
    onnx_test t;
    onnx_start(&t, 13);
    cr_expect_eq(aval__onnx_read(t.file, t.f.g, &t.read), AVAL_E_UNKNOWN);
    maker_write_bytes(t.file, "", 0);
    cr_expect_eq(aval__onnx_read(t.file, t.f.g, &t.read), AVAL_E_FORMAT);
    expect_message("holds no graph");
    maker_write_bytes(t.file, "this is a text", 14);
    cr_expect_eq(aval__onnx_read(t.file, t.f.g, &t.read), AVAL_E_FORMAT);
    cr_expect_eq(aval__onnx_read(t.folder, t.f.g, &t.read), AVAL_E_FORMAT);
    expect_message("regular file");
    onnx_finish(&t);
}

/* ---- Data beside the model ------------------------------------------------------------------------------------------------------------- */

static void add_entry(maker *m, Aval__Onnx__Tensor *t, const char *key, const char *value)
{
    Aval__Onnx__Entry *e = aval__arena_alloc(&m->arena, sizeof *e);
    aval__onnx__entry__init(e);
    e->key = aval__arena_text(&m->arena, key);
    e->value = aval__arena_text(&m->arena, value);
    if (!t->external_data) t->external_data = aval__arena_alloc(&m->arena, MAKER_MOST * sizeof *t->external_data);
    t->external_data[t->n_external_data++] = e;
}

static void start_external(onnx_test *t, const char *location, const char *offset, const char *length)
{
    onnx_start(t, 13);
    Aval__Onnx__Tensor *w = maker_initializer(&t->m, "w", AVAL_FLOAT, DIMS(2), NULL, 0);
    w->data_location = 1;
    w->has_data_location = 1;
    if (location) add_entry(&t->m, w, "location", location);
    if (offset) add_entry(&t->m, w, "offset", offset);
    if (length) add_entry(&t->m, w, "length", length);
    maker_output(&t->m, "w");
}

static void write_data(const onnx_test *t, char file[80])
{
    snprintf(file, 80, "%s/data", t->folder);
    maker_write_bytes(file, "skip\0\0\0\x3f\0\0\0\x40", 12); /* 0.5 and 2 from byte 4 on */
}

Test(onnx_hostile, data_beside_the_model_is_read_from_its_offset_on)
{
    onnx_test t;
    char data[80];
    start_external(&t, "data", "4", "8");
    write_data(&t, data);
    onnx_read_good(&t);
    cr_expect_eq(memcmp(t.read.states.at[0].data, two, sizeof two), 0);
    unlink(data);
    onnx_finish(&t);
}

Test(onnx_hostile, data_outside_the_models_folder_is_refused)
{
    static const struct {
        const char *location, *offset, *length;
        int code;
        const char *message;
    } cases[] = {
        { "/etc/passwd", NULL, NULL, AVAL_E_FORMAT, "within the model's folder, found '/etc/passwd'" },
        { "../data", NULL, NULL, AVAL_E_FORMAT, "within the model's folder" },
        { "link", NULL, NULL, AVAL_E_FORMAT, "a link that leads out" },
        { "pipe", NULL, NULL, AVAL_E_FORMAT, "no regular file" },
        { "absent", NULL, NULL, AVAL_E_IO, "cannot be opened" },
        { "", NULL, NULL, AVAL_E_FORMAT, "within the model's folder" },
        { NULL, NULL, NULL, AVAL_E_FORMAT, "without a location" },
        { "data", "5", NULL, AVAL_E_FORMAT, "expected 8 bytes from byte 5" },
        { "data", "18446744073709551615", NULL, AVAL_E_FORMAT, "offset to be a number" },
        { "data", "-4", NULL, AVAL_E_FORMAT, "offset to be a number" },
        { "data", "9223372036854775807", NULL, AVAL_E_FORMAT, "expected 8 bytes from byte 9223372036854775807" },
        { "data", "4", "12", AVAL_E_FORMAT, "expected 8 bytes, found length 12" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        onnx_test t;
        char data[80], link[80], pipe[80];
        start_external(&t, cases[i].location, cases[i].offset, cases[i].length);
        write_data(&t, data);
        snprintf(link, sizeof link, "%s/link", t.folder);
        snprintf(pipe, sizeof pipe, "%s/pipe", t.folder);
        cr_assert_eq(symlink("/etc/passwd", link), 0);
        cr_assert_eq(mkfifo(pipe, 0600), 0);
        onnx_expect(&t, cases[i].code, cases[i].message);
        unlink(data);
        unlink(link);
        unlink(pipe);
        onnx_finish(&t);
    }
}
