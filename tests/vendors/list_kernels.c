/* Lists the kernels that aval gives a GPU, without any GPU:  list_kernels PLUGINS OUT
 *
 * Plans each operator's samples, forward and backward, and whole training graphs for a GPU that exists as numbers only, with matrix products
 * by aval's own kernels.  Writes to OUT each source text once, and `kernels.tsv`: file, name, options, needs fp64 (0 or 1), and the kernels
 * that are launched (commas between).  Generated kernels, which are one function a text, are put together, so that a compiler starts once. */
#include "device/private.h"
#include "exec/exec.h"
#include "nets.h"
#include "samples.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GENERATED_IN_A_FILE 48
#define USUAL_UNITS 32
#define HEADS 3 /* of a kernel file with the same options; each is a build of all of the file */
#define GROUP 256 /* what runtime/device/info.c chooses on a GPU that allows it */

typedef struct listed {
    const char *name, *text, *options; /* in the arena */
    aval__hash hash; /* of the text */
    AVAL__VEC(const char *) kernels;
} listed;

typedef struct lister {
    aval_context *ctx;
    const char *folder;
    aval_device_info info;
    aval__arena arena;
    AVAL__VEC(listed) sources;
    size_t n_plans, n_skipped;
} lister;

/* ---- The device ---------------------------------------------------------------------------------------------------------------- */

/* What of aval's own computes it: providers that enqueue by themselves have none. */
static int gemm_choose(void *user, uint32_t device, const aval_gemm *gemm, int type, aval__gemm_choice *choice)
{
    (void)device;
    const lister *l = user;
    for (size_t i = 0; i < aval__gemm_provider_count(); i++) {
        const aval__gemm_provider *provider = aval__gemm_provider_at(i);
        if (provider->record == NULL || provider->supports(&l->info, gemm, type) < 0) continue;
        *choice = (aval__gemm_choice){ .provider = (uint32_t)i,
                                       .name = provider->name,
                                       .scratch_bytes = provider->scratch_bytes(&l->info, gemm, type, 0),
                                       .records = true };
        return AVAL_OK;
    }
    return AVAL_E_UNSUPPORTED;
}

static int gemm_record(void *user, uint32_t device, const aval_gemm *gemm, int type, const aval__gemm_choice *choice,
                       const aval_tensor *scratch, aval_call *call, const aval_kernel_source **source)
{
    (void)device;
    const lister *l = user;
    const aval__gemm_provider *provider = aval__gemm_provider_at(choice->provider);
    *source = provider->source;
    return provider->record(&l->info, gemm, type, scratch, choice->packed, choice->with_tail, call);
}

static aval_device_info make_gpu(void)
{
    return (aval_device_info){
        .size = sizeof(aval_device_info),
        .platform = "none",
        .name = "a GPU in numbers",
        .vendor = "",
        .driver = "",
        .version = "OpenCL 1.2",
        .kind = AVAL_DEVICE_GPU,
        .compute_units = USUAL_UNITS,
        .address_bits = 64,
        .fp64 = 1,
        .float_vector_width = 1,
        .group = GROUP,
        .max_group = GROUP,
        .alignment_bytes = 128,
        .local_bytes = 32 << 10,
        .memory_bytes = (uint64_t)8 << 30,
        .largest_allocation_bytes = (uint64_t)2 << 30,
        .cache_bytes = 4 << 20,
    };
}

/* ---- From plans to sources ------------------------------------------------------------------------------------------------------ */

static bool same(aval__hash a, aval__hash b)
{
    return a.low == b.low && a.high == b.high;
}

static bool is_generated(const char *name)
{
    return strcmp(name, "fused") == 0;
}

/* A kernel file behind the text of a cluster that its kernels make. */
static bool has_head(const char *name, const char *text)
{
    return !is_generated(name) && strstr(text, "What generated kernels of expressions") != NULL;
}

/* *out NULL: as many heads before the same kernels are listed as are compiled. */
static int find_or_add(lister *l, const aval__source *source, listed **out)
{
    size_t n_heads = 0;
    for (size_t i = 0; i < l->sources.count; i++) {
        *out = &l->sources.at[i];
        if (strcmp((*out)->options, source->options) != 0) continue;
        if (same((*out)->hash, source->hash)) return AVAL_OK;
        n_heads += strcmp((*out)->name, source->name) == 0 && has_head((*out)->name, (*out)->text);
    }
    *out = NULL;
    if (n_heads >= HEADS && has_head(source->name, source->text)) return AVAL_OK;
    listed made = { .name = aval__arena_text(&l->arena, source->name),
                    .text = aval__arena_text(&l->arena, source->text),
                    .options = aval__arena_text(&l->arena, source->options),
                    .hash = source->hash };
    if (made.name == NULL || made.text == NULL || made.options == NULL) return AVAL_E_MEMORY;
    AVAL__TRY(aval__vec_push(&l->sources, made));
    *out = &l->sources.at[l->sources.count - 1];
    return AVAL_OK;
}

static int add_launch(lister *l, const aval__step *step)
{
    listed *source;
    AVAL__TRY(find_or_add(l, step->source, &source));
    if (source == NULL) return AVAL_OK;
    for (size_t i = 0; i < source->kernels.count; i++) {
        if (strcmp(source->kernels.at[i], step->kernel) == 0) return AVAL_OK;
    }
    const char *kernel = aval__arena_text(&l->arena, step->kernel);
    return kernel == NULL ? AVAL_E_MEMORY : aval__vec_push(&source->kernels, kernel);
}

/* Each node and cluster by launches of its own, or heads and joints wherever they can be, on a GPU of so few compute units that products are made in
   large tiles. */
static int add_plan_of(lister *l, const aval_graph *g, aval_value *const *wanted, size_t n_wanted, bool together)
{
    const aval_device_info *device = &l->info;
    const aval__plan_hooks hooks = { .user = l, .gemm_choose = gemm_choose, .gemm_record = gemm_record };
    const aval__plan_request request = {
        .graph = g,
        .wanted = wanted,
        .n_wanted = n_wanted,
        .devices = &device,
        .n_devices = 1,
        .hooks = &hooks,
        .least_head = together,
        .joins = together ? AVAL__JOINS_ALL : AVAL__JOINS_NONE,
    };
    aval__plan *plan = NULL;
    l->info.compute_units = together ? 1 : USUAL_UNITS;
    int status = aval__plan_make(&request, &plan);
    for (size_t i = 0; status == AVAL_OK && i < plan->n_steps; i++) {
        if (plan->steps[i].kind == AVAL__STEP_LAUNCH) status = add_launch(l, &plan->steps[i]);
    }
    l->n_plans++;
    aval__plan_release(plan);
    return status;
}

static int add_plan(lister *l, const aval_graph *g, aval_value *const *wanted, size_t n_wanted)
{
    AVAL__TRY(add_plan_of(l, g, wanted, n_wanted, false));
    return add_plan_of(l, g, wanted, n_wanted, true);
}

/* ---- What is planned ------------------------------------------------------------------------------------------------------------- */

static int add_sample(lister *l, const aval__opdef *def, const aval_sample *sample, int type, bool heads)
{
    sample_graph s;
    bool exists;
    int status = sample_graph_make(l->ctx, def, sample, type, heads, &exists, &s);
    if (status == AVAL_OK && exists) status = add_plan(l, s.g, s.wanted.at, s.wanted.count);
    sample_graph_release(&s);
    return status;
}

static const int types[] = { AVAL_FLOAT, AVAL_FLOAT16, AVAL_DOUBLE };
#define N_TYPES (sizeof types / sizeof types[0])

static int add_samples(lister *l)
{
    const aval__registry *registry = aval__context_registry(l->ctx);
    for (size_t i = 0; i < aval__registry_count(registry); i++) {
        const aval__opdef *def = aval__registry_at(registry, i);
        for (const aval_sample *sample = def->op->samples; sample != NULL && sample->inputs != NULL; sample++) {
            for (size_t t = 0; t < N_TYPES; t++) {
                int status = add_sample(l, def, sample, types[t], false);
                if (status == AVAL_OK && def->takes_head) status = add_sample(l, def, sample, types[t], true);
                if (status == AVAL_E_UNSUPPORTED || status == AVAL_E_TYPE) l->n_skipped++;
                else if (status < 0)
                    return aval__fail_in(status, "%s, sample '%s', %s", def->name, sample->inputs, aval_type_name(types[t]));
            }
        }
    }
    return AVAL_OK;
}

static int add_nets(lister *l)
{
    for (size_t i = 0; i < n_net_cases; i++) {
        for (size_t t = 0; t < N_TYPES; t++) {
            net n = { .g = aval_graph_create(l->ctx) };
            if (n.g == NULL) return AVAL_E_MEMORY;
            net_cases[i].build(&n, types[t]);
            int status = aval_graph_status(n.g);
            if (status == AVAL_OK) status = add_plan(l, n.g, n.wanted, n.n_wanted);
            aval_graph_release(n.g);
            if (status < 0) return aval__fail_in(status, "net %s, %s", net_cases[i].name, aval_type_name(types[t]));
        }
    }
    return AVAL_OK;
}

/* The built-in nets as `aval train` plans them, with what its options can add. */
static int add_trainings(lister *l)
{
    static const aval_train_options cases[] = {
        { .size = sizeof(aval_train_options), .net = "linear", .loss = "mse" },
        { .size = sizeof(aval_train_options), .net = "mlp", .activation = "tanh", .dropout = 0.5, .weight_decay = 1e-4, .nesterov = 1 },
        { .size = sizeof(aval_train_options), .net = "mlp", .activation = "sigmoid" },
        { .size = sizeof(aval_train_options), .net = "lenet" },
        { .size = sizeof(aval_train_options), .net = "lenet", .activation = "leaky_relu", .dropout = 0.2 },
    };
    aval_dataset *digits = NULL;
    AVAL__TRY(aval_dataset_open_digits(1, &digits));
    int status = AVAL_OK;
    for (size_t i = 0; status == AVAL_OK && i < sizeof cases / sizeof cases[0]; i++) {
        aval_graph *g = NULL;
        aval_store *store = NULL;
        aval_value **wanted = NULL;
        size_t n_wanted = 0;
        status = aval_train_graph(l->ctx, &cases[i], digits, 32, &g, &store, &wanted, &n_wanted);
        if (status == AVAL_OK) status = add_plan(l, g, wanted, n_wanted);
        aval_free(wanted);
        aval_store_release(store);
        aval_graph_release(g);
    }
    aval_dataset_release(digits);
    return status;
}

/* ---- Files ------------------------------------------------------------------------------------------------------------------------ */

static bool needs_fp64(const listed *source)
{
    static const char doubles[] = "#pragma OPENCL EXTENSION cl_khr_fp64"; /* a generated text that computes with them begins so */
    return strncmp(source->text, doubles, sizeof doubles - 1) == 0 || strstr(source->options, "_TYPE=11") != NULL;
}

static FILE *create(const lister *l, const char *name)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", l->folder, name);
    FILE *file = fopen(path, "w");
    if (file == NULL) aval__fail(AVAL_E_IO, "%s: %s", path, strerror(errno));
    return file;
}

static int close_file(FILE *file)
{
    bool failed = ferror(file) != 0;
    return fclose(file) != 0 || failed ? aval__fail(AVAL_E_IO, "a file could not be written: %s", strerror(errno)) : AVAL_OK;
}

/* Kernel files: one text for all its variants, and one for each head. */
static int write_plugin_sources(const lister *l, FILE *index)
{
    for (size_t i = 0; i < l->sources.count; i++) {
        const listed *source = &l->sources.at[i];
        if (is_generated(source->name)) continue;
        char name[128];
        if (has_head(source->name, source->text)) snprintf(name, sizeof name, "head%zu_%s", i, source->name);
        else snprintf(name, sizeof name, "%s", source->name);
        FILE *file = create(l, name);
        if (file == NULL) return AVAL_E_IO;
        fputs(source->text, file);
        AVAL__TRY(close_file(file));
        fprintf(index, "%s\t%s%s\t%s\t%d\t", name, source->name, has_head(source->name, source->text) ? " with a head" : "",
                source->options, needs_fp64(source));
        for (size_t k = 0; k < source->kernels.count; k++) fprintf(index, "%s%s", k > 0 ? "," : "", source->kernels.at[k]);
        fputc('\n', index);
    }
    return AVAL_OK;
}

/* A generated text is a prelude, equal in many with the words before the name, and one function, which gets its number for a name. */
static const char words[] = "\n__kernel ", head[] = "void fused(";

static bool same_prelude(const listed *a, const listed *b)
{
    const char *end_of_a = strstr(a->text, head), *end_of_b = strstr(b->text, head);
    if (end_of_a == NULL || end_of_b == NULL) return false;
    size_t bytes = (size_t)(end_of_a - a->text);
    return bytes == (size_t)(end_of_b - b->text) && memcmp(a->text, b->text, bytes) == 0;
}

static int write_group(const lister *l, FILE *index, const listed *const *group, size_t count, size_t number)
{
    char name[64];
    snprintf(name, sizeof name, "fused%zu.cl", number);
    FILE *file = create(l, name);
    if (file == NULL) return AVAL_E_IO;
    fprintf(index, "%s\tfused\t%s\t%d\t", name, group[0]->options, needs_fp64(group[0]));
    for (size_t i = 0; i < count; i++) {
        const char *text = group[i]->text, *kernel = strstr(text, words), *at = strstr(text, head);
        if (kernel == NULL || at == NULL) {
            fclose(file);
            return aval__fail(AVAL_E_INTERNAL, "a generated kernel does not begin with '%s...%s'", words + 1, head);
        }
        if (i == 0) fwrite(text, 1, (size_t)(kernel - text), file);
        fwrite(kernel, 1, (size_t)(at - kernel), file);
        fprintf(file, "void fused_%zu(%s\n", i, at + sizeof head - 1);
        fprintf(index, "%sfused_%zu", i > 0 ? "," : "", i);
    }
    fputc('\n', index);
    return close_file(file);
}

static int write_generated_sources(const lister *l, FILE *index)
{
    size_t number = 0, left = 0;
    bool *written = aval__alloc_array(l->sources.count, sizeof *written);
    const listed *group[GENERATED_IN_A_FILE];
    if (written == NULL) return AVAL_E_MEMORY;
    for (size_t i = 0; i < l->sources.count; i++) left += is_generated(l->sources.at[i].name);
    int status = AVAL_OK;
    while (left > 0 && status == AVAL_OK) {
        size_t count = 0;
        for (size_t i = 0; i < l->sources.count && count < GENERATED_IN_A_FILE; i++) {
            const listed *source = &l->sources.at[i];
            if (written[i] || !is_generated(source->name)) continue;
            if (count > 0 && (strcmp(source->options, group[0]->options) != 0 || !same_prelude(source, group[0]))) continue;
            group[count++] = source;
            written[i] = true;
        }
        status = write_group(l, index, group, count, number++);
        left -= count;
    }
    aval__free(written);
    return status;
}

static int list_all(lister *l)
{
    l->info = make_gpu();
    AVAL__TRY(add_samples(l));
    AVAL__TRY(add_nets(l));
    AVAL__TRY(add_trainings(l));
    FILE *index = create(l, "kernels.tsv");
    if (index == NULL) return AVAL_E_IO;
    int status = write_plugin_sources(l, index);
    if (status == AVAL_OK) status = write_generated_sources(l, index);
    int closed = close_file(index);
    return status < 0 ? status : closed;
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: list_kernels PLUGINS OUT\n");
        return 2;
    }
    lister l = { .folder = argv[2] };
    size_t refused = 0;
    int status = aval_context_create(&l.ctx);
    if (status == AVAL_OK) status = aval_context_load_plugins(l.ctx, argv[1], &refused);
    if (status == AVAL_OK && refused > 0) status = aval__fail(AVAL_E_PLUGIN, "%zu plugins of %s were refused", refused, argv[1]);
    if (status == AVAL_OK) status = list_all(&l);
    if (status < 0) fprintf(stderr, "list_kernels: %s\n", aval_error());
    else printf("%zu sources from %zu plans, %zu samples not possible\n", l.sources.count, l.n_plans, l.n_skipped);
    for (size_t i = 0; i < l.sources.count; i++) aval__vec_release(&l.sources.at[i].kernels);
    aval__vec_release(&l.sources);
    aval__arena_release(&l.arena);
    aval_context_release(l.ctx);
    return status < 0;
}
