/* aval warm: builds all kernels ahead of time, so that the first run of a program finds them on disk. */
#include "cli.h"

#include <stdio.h>

int cli_warm(int argc, const char **argv)
{
    const struct poptOption own[] = { POPT_TABLEEND };
    cli_options options;
    aval_context *ctx = NULL;
    size_t built = 0;
    char device[512];
    int code;
    if (!cli_options_parse(&options, cli_command_find("warm"), own, 0, 0, argc, argv, &code)) return code;
    int status = cli_context_create(&options, &ctx);
    if (status == AVAL_OK) status = cli_device_name(ctx, device, sizeof device);
    if (status == AVAL_OK) status = aval_warm(ctx, &built);
    if (status < 0) code = cli_fail_status(status);
    else if (options.common.json) code = cli_print_json(json_pack("{s:s, s:I}", "device", device, "built", (json_int_t)built));
    else printf("%zu programs are ready for %s\n", built, device);
    aval_context_release(ctx);
    cli_options_release(&options);
    return code;
}
