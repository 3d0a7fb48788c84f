/* What tests of reading ONNX files share: a registry with made-up operators, a folder, a file. */
#ifndef AVAL_TEST_ONNX_FIXTURE_H
#define AVAL_TEST_ONNX_FIXTURE_H

#include "../graph/fake_ops.h"
#include "model/model.h"
#include "onnx_maker.h"

#include <sys/stat.h>
#include <unistd.h>

/* Two forms of one operator, and one whose input is an attribute in files. */
static const aval_op old_form = { .size = sizeof(aval_op),
                                  .doc = "A test op.",
                                  .name = "Formed",
                                  .inputs = UNARY,
                                  .outputs = RESULT,
                                  .since = 7,
                                  .attrs = AVAL_ATTRS({ .name = "old", .type = AVAL_ATTR_FLOAT, .initial = "1" }),
                                  .expressions = AVAL_TEXTS("old * x"),
                                  .samples = SAMPLE("[2]") };
static const aval_op new_form = { .size = sizeof(aval_op),
                                  .doc = "A test op.",
                                  .name = "Formed",
                                  .inputs = UNARY,
                                  .outputs = RESULT,
                                  .since = 13,
                                  .attrs = AVAL_ATTRS({ .name = "fresh", .type = AVAL_ATTR_FLOAT, .initial = "2" }),
                                  .expressions = AVAL_TEXTS("fresh * x"),
                                  .samples = SAMPLE("[2]") };
OP(with_value, .name = "WithValue", .inputs = AVAL_PORTS({ .name = "x" }, { .name = "value", .flags = AVAL_OPTIONAL }), .outputs = RESULT,
   .expressions = AVAL_TEXTS("x + value"), .samples = SAMPLE("[2] [2]"));

static const aval_plugin onnx_plugin = {
    .abi = AVAL_PLUGIN_ABI,
    .size = sizeof(aval_plugin),
    .name = "onnx",
    .version = "1",
    .ops = (const aval_op *const[]){ &old_form, &new_form, &with_value, NULL },
};

typedef struct onnx_test {
    fixture f;
    maker m;
    aval__onnx_model read;
    char folder[40], file[64];
} onnx_test;

static inline void onnx_start(onnx_test *t, int64_t version)
{
    memset(t, 0, sizeof *t);
    start(&t->f);
    cr_assert_eq(aval__registry_add(t->f.registry, &onnx_plugin, "onnx"), 0, "%s", aval_error());
    maker_start(&t->m, version);
    strcpy(t->folder, "/tmp/aval-onnx-XXXXXX");
    cr_assert_not_null(mkdtemp(t->folder));
    snprintf(t->file, sizeof t->file, "%s/a.onnx", t->folder);
}

static inline int onnx_try(onnx_test *t)
{
    maker_write(&t->m, t->file);
    return aval__onnx_read(t->file, t->f.g, &t->read);
}

static inline void onnx_read_good(onnx_test *t)
{
    cr_assert_eq(onnx_try(t), AVAL_OK, "%s", aval_error());
}

static inline void onnx_expect(onnx_test *t, int code, const char *part)
{
    int status = onnx_try(t);
    cr_assert_eq(status, code, "found %d, expected %d: %s", status, code, aval_error());
    expect_message(part);
}

static inline void onnx_finish(onnx_test *t)
{
    aval__onnx_release(&t->read);
    maker_end(&t->m);
    finish(&t->f);
    unlink(t->file);
    cr_expect_eq(rmdir(t->folder), 0);
}

#define DIMS(...) \
    sizeof((const int64_t[]){ __VA_ARGS__ }) / sizeof(int64_t), (const int64_t[]) \
    { \
        __VA_ARGS__ \
    }

#endif
