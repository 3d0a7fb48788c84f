/* aval bench start: how long a user waits for the first step. */
#include "bench.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

enum { STARTS = 7 };

extern char **environ;

/* The program itself, in a process of its own; the device and the plugins are those that the environment names. */
static int train_one_step(void)
{
    static char *arguments[] = { "aval", "train", "mlp", "--stop-after", "1", "--quiet", NULL };
    posix_spawn_file_actions_t actions;
    pid_t child = 0;
    int state = 0;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    int error = posix_spawn(&child, "/proc/self/exe", &actions, NULL, arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (error == 0 && waitpid(child, &state, 0) == child && state == 0) return 0;
    cli_fail(CLI_DEVICE, "a training step in a process of its own failed");
    return AVAL_E_DEVICE;
}

/* The first start fills the caches. */
int bench_start(bench *b)
{
    double ms[STARTS];
    bench_row row = { .name = "start", .shape = "one step of mlp, warm caches" };
    int status = train_one_step();
    for (size_t i = 0; status == 0 && i < STARTS; i++) {
        const double from = cli_seconds();
        status = train_one_step();
        ms[i] = 1e3 * (cli_seconds() - from);
    }
    if (status < 0) return status;
    bench_times(&row, ms, STARTS);
    return bench_report(b, &row);
}
