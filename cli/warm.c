/* aval warm: builds all kernels ahead of time, so that the first run of a program finds them on disk.  An operator's own kernels come from its
 * samples; those that are fused from several nodes exist only in a graph, so the built-in nets are trained for an epoch too. */
#include "cli.h"

#include <stdio.h>
#include <stdlib.h>

static int warm_nets(aval_context *ctx)
{
    const char *const nets[] = { "linear", "mlp", "lenet" };
    aval_dataset *training = NULL, *test = NULL;
    int status = aval_dataset_open_digits(1, &training);
    if (status == AVAL_OK) status = aval_dataset_open_digits(0, &test);
    for (size_t i = 0; status == AVAL_OK && i < sizeof nets / sizeof nets[0]; i++) {
        const aval_train_options o = { .size = sizeof o, .net = nets[i], .epochs = 1 };
        status = aval_train(ctx, &o, training, test, NULL, NULL, NULL);
    }
    aval_dataset_release(training);
    aval_dataset_release(test);
    return status;
}

int cli_warm(int argc, const char **argv)
{
    setenv("AVAL_INSIST", "1", 1); /* building is all that is asked for here */
    const struct poptOption own[] = { POPT_TABLEEND };
    cli_options options;
    aval_context *ctx = NULL;
    size_t built = 0, from_disk = 0;
    char device[512];
    int code;
    if (!cli_options_parse(&options, cli_command_find("warm"), own, 0, 0, argc, argv, &code)) return code;
    int status = cli_context_create(&options, &ctx);
    if (status == AVAL_OK) status = cli_device_name(ctx, device, sizeof device);
    if (status == AVAL_OK) aval_context_log(ctx, NULL, NULL); /* samples have gradients without a path, as they are meant to */
    if (status == AVAL_OK) status = aval_warm(ctx, NULL);
    if (status == AVAL_OK) status = warm_nets(ctx);
    if (status == AVAL_OK) status = aval_context_programs(ctx, &built, &from_disk);
    if (status < 0) code = cli_fail_status(status);
    else if (options.common.json)
        code = cli_print_json(json_pack("{s:s, s:I, s:I}", "device", device, "built", (json_int_t)built, "found", (json_int_t)from_disk));
    else
        printf("%zu programs are ready for %s: %zu were there, %zu were built by the driver (or found in its own cache)\n",
               built + from_disk, device, from_disk, built);
    aval_context_release(ctx);
    cli_options_release(&options);
    return code;
}
