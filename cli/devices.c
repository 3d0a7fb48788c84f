/* aval devices: every OpenCL device of every platform, what it can do, and why one cannot be used. */
#include "cli.h"

#include <inttypes.h>
#include <stdio.h>

static const char *kind_name(uint32_t kind)
{
    return kind == AVAL_DEVICE_CPU ? "cpu" : kind == AVAL_DEVICE_GPU ? "gpu" : "other";
}

static void print_device(size_t i, const aval_device_info *d, const char *refusal, bool taken)
{
    printf("%zu  %s  %s/%s%s\n", i, kind_name(d->kind), d->platform, d->name, taken ? "  (taken)" : "");
    printf("   %s, driver %s\n", d->version, d->driver);
    printf("   %" PRIu32 " compute units, %.1f GB of memory%s, at most %.1f GB in one piece, %" PRIu64
           " KB local, doubles: %s, halves: %s, denormals: %s\n",
           d->compute_units, (double)d->memory_bytes / 1e9, d->unified_memory ? " shared with the host" : "",
           (double)d->largest_allocation_bytes / 1e9, d->local_bytes / 1024, d->fp64 ? "yes" : "no", d->fp16 ? "yes" : "stored only",
           d->denormals ? "kept" : "may become 0");
    if (refusal != NULL) printf("   cannot be used: %s\n", refusal);
}

static json_t *device_json(size_t i, const aval_device_info *d, const char *refusal, bool taken)
{
    return json_pack("{s:I, s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:b, s:b, s:b, s:b, s:I, s:b, s:s?}", "index", (json_int_t)i,
                     "kind", kind_name(d->kind), "platform", d->platform, "name", d->name, "vendor", d->vendor, "driver", d->driver,
                     "version", d->version, "compute_units", (json_int_t)d->compute_units, "memory_bytes", (json_int_t)d->memory_bytes,
                     "largest_allocation_bytes", (json_int_t)d->largest_allocation_bytes, "local_bytes", (json_int_t)d->local_bytes, "fp64",
                     (int)d->fp64, "fp16", (int)d->fp16, "denormals", (int)d->denormals, "unified_memory", (int)d->unified_memory,
                     "max_group", (json_int_t)d->max_group, "taken", (int)taken, "refusal", refusal);
}

static int list(const cli_options *options, aval_context *ctx)
{
    size_t count = aval_device_count(ctx);
    int64_t taken = count > 0 ? aval_selected_device(ctx, 0) : -1;
    json_t *all = options->common.json ? json_array() : NULL;
    for (size_t i = 0; i < count; i++) {
        const aval_device_info *d = aval_device_info_at(ctx, i);
        const char *refusal = aval_device_refusal(ctx, i);
        if (all != NULL) json_array_append_new(all, device_json(i, d, refusal, taken == (int64_t)i));
        else print_device(i, d, refusal, taken == (int64_t)i);
    }
    int code = all != NULL ? cli_print_json(all) : CLI_OK;
    if (count == 0) return cli_fail_status(cli_need_device(ctx));
    return code;
}

int cli_devices(int argc, const char **argv)
{
    const struct poptOption own[] = { POPT_TABLEEND };
    cli_options options;
    aval_context *ctx = NULL;
    int code;
    if (!cli_options_parse(&options, cli_command_find("devices"), own, 0, 0, argc, argv, &code)) return code;
    int status = cli_context_create(&options, &ctx);
    code = status < 0 ? cli_fail_status(status) : list(&options, ctx);
    aval_context_release(ctx);
    cli_options_release(&options);
    return code;
}
