/* ONNX: a file is imported with the operators of the build, then planned for a made-up device, as `aval run` does before it opens a real one.
 * Free dimensions are bound to 2. */
#include "fuzz.h"

#include "model/model.h"
#include "plan/plan.h"

#include <stdio.h>
#include <stdlib.h>

static aval__registry *registry;

static const aval_device_info device = {
    .size = sizeof(aval_device_info),
    .platform = "fuzzer",
    .name = "none",
    .vendor = "none",
    .driver = "1",
    .version = "OpenCL 1.2",
    .kind = AVAL_DEVICE_CPU,
    .compute_units = 1,
    .address_bits = 64,
    .fp64 = 1,
    .float_vector_width = 4,
    .group = 1,
    .max_group = 256,
    .alignment_bytes = 64,
    .local_bytes = 32768,
    .memory_bytes = (uint64_t)1 << 32,
    .largest_allocation_bytes = (uint64_t)1 << 30,
};

static int choose_gemm(void *user, uint32_t index, const aval_gemm *gemm, int type, aval__gemm_choice *choice)
{
    (void)user;
    (void)index;
    (void)gemm;
    (void)type;
    *choice = (aval__gemm_choice){ .name = "none" };
    return AVAL_OK;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    size_t refused = 0;
    const char *folder = getenv("AVAL_FUZZ_PLUGINS");
    if (folder == NULL) folder = AVAL_TEST_PLUGINS;
    if (aval__registry_create(NULL, &registry) < 0 || aval__registry_load_folder(registry, folder, &refused) < 0 || refused > 0) {
        fprintf(stderr, "%zu plugins were refused: %s\n", refused, aval_error());
        exit(1);
    }
    return 0;
}

static int bind_shapes(const aval__onnx_model *model, aval_tensor *bound, const aval_tensor **shapes)
{
    for (size_t i = 0; i < model->inputs.count; i++) {
        const aval_value *input = model->inputs.at[i].value;
        int64_t dims[AVAL_MAX_RANK];
        for (int32_t d = 0; d < input->tensor.rank; d++) dims[d] = input->tensor.dims[d] < 0 ? 2 : input->tensor.dims[d];
        AVAL__TRY(aval__tensor_set(&bound[i], input->tensor.type, (size_t)input->tensor.rank, dims));
        shapes[input->id] = &bound[i];
    }
    return AVAL_OK;
}

static int plan(const aval_graph *g, const aval__onnx_model *model)
{
    static const aval_device_info *const devices[] = { &device };
    static const aval__plan_hooks hooks = { .gemm_choose = choose_gemm };
    int status = AVAL_OK;
    uint32_t missing;
    aval__plan *made = NULL;
    aval_value **wanted = aval__alloc_array(model->outputs.count, sizeof *wanted);
    aval_tensor *bound = aval__alloc_array(model->inputs.count, sizeof *bound);
    const aval_tensor **shapes = aval__alloc_array(g->values.count, sizeof *shapes);
    const void **contents = aval__alloc_array(g->values.count, sizeof *contents);
    if (!wanted || !bound || !shapes || !contents) AVAL__TRY_DONE(AVAL_E_MEMORY);
    for (size_t i = 0; i < model->outputs.count; i++) wanted[i] = model->outputs.at[i].value;
    AVAL__TRY_DONE(bind_shapes(model, bound, shapes));
    const aval__plan_request request = { .graph = g,
                                         .wanted = wanted,
                                         .n_wanted = model->outputs.count,
                                         .shapes = shapes,
                                         .contents = contents,
                                         .missing = &missing,
                                         .devices = devices,
                                         .n_devices = 1,
                                         .hooks = &hooks };
    AVAL__TRY_DONE(aval__plan_make(&request, &made));
    aval__plan_release(made);
done:
    aval__free(wanted);
    aval__free(bound);
    aval__free(shapes);
    aval__free(contents);
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    aval__onnx_model model;
    aval_graph *g = aval__graph_create(registry, NULL);
    if (g == NULL) return 0;
    int status = aval__onnx_parse(bytes, count, NULL, g, &model);
    fuzz_expect_message(status);
    if (status == AVAL_OK) {
        fuzz_expect_message(plan(g, &model));
        aval__onnx_release(&model);
    }
    aval_graph_release(g);
    return 0;
}
