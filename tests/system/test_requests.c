/* What happens when a training is asked to end, and when output cannot be written: the checkpoint is never lost. */
#include "program.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

TestSuite(requests, .init = program_begin, .fini = program_end);

typedef struct training {
    pid_t pid;
    FILE *out; /* its stdout */
} training;

/* An endless training that saves to c.safetensors; returns when its first epoch was reported. */
static training start(void)
{
    int ends[2];
    cr_assert_eq(pipe(ends), 0);
    training t = { .pid = fork() };
    if (t.pid == 0) {
        dup2(ends[1], STDOUT_FILENO);
        close(ends[0]);
        close(ends[1]);
        cr_assert_not_null(freopen("stderr.txt", "w", stderr));
        execl(AVAL_PROGRAM, "aval", "train", "linear", "--epochs", "1000000", "--save", "c.safetensors", (char *)NULL);
        _exit(127);
    }
    close(ends[1]);
    t.out = fdopen(ends[0], "r");
    char line[512] = "";
    while (fgets(line, sizeof line, t.out) != NULL && strncmp(line, "epoch", 5) != 0) continue;
    cr_assert_eq(strncmp(line, "epoch", 5), 0);
    return t;
}

static void expect_saved(training t, int exit_code)
{
    char line[512];
    int status;
    while (t.out != NULL && fgets(line, sizeof line, t.out) != NULL) continue;
    if (t.out != NULL) fclose(t.out);
    cr_assert_eq(waitpid(t.pid, &status, 0), t.pid);
    cr_expect(WIFEXITED(status), "killed by signal %d", WTERMSIG(status));
    cr_expect_eq(WEXITSTATUS(status), exit_code, "%d", WEXITSTATUS(status));
    program_expect_ok("train --quiet --epochs 1 --resume c.safetensors");
}

Test(requests, ctrl_c_saves_and_ends_with_130)
{
    training t = start();
    cr_assert_eq(kill(t.pid, SIGINT), 0);
    expect_saved(t, 130);
}

Test(requests, two_signals_at_once_are_one_request)
{
    training t = start();
    cr_assert_eq(kill(t.pid, SIGTERM), 0);
    cr_assert_eq(kill(t.pid, SIGINT), 0);
    expect_saved(t, 130);
}

Test(requests, a_terminal_that_goes_away_is_a_request)
{
    training t = start();
    cr_assert_eq(kill(t.pid, SIGHUP), 0);
    expect_saved(t, 130);
}

Test(requests, a_pipe_that_is_closed_ends_the_training_saved)
{
    training t = start();
    fclose(t.out);
    t.out = NULL;
    expect_saved(t, 3);
}

Test(requests, output_that_cannot_be_written_ends_with_3)
{
    const char *const commands[] = { "ops", "ops --json", "help", "--version", "graph mlp", "devices", "train linear --epochs 1" };
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        char arguments[128];
        snprintf(arguments, sizeof arguments, "%s >/dev/full", commands[i]);
        program_expect_refused(arguments, 3, "cannot be written");
    }
}
