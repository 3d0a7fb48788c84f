/* Commands under the device's roof, drawn by gnuplot, which is a program of its own so that aval need not link it. */
#include "bench_profile.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define NAMED 6 /* commands that lose most are called by name */

extern char **environ;

/* gnuplot with its output in `file`; its script goes into the returned stream. */
static FILE *start_gnuplot(const char *file, pid_t *child)
{
    int ends[2], error;
    char *const arguments[] = { "gnuplot", NULL };
    posix_spawn_file_actions_t actions;
    if (pipe2(ends, O_CLOEXEC) < 0) return NULL;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[0], STDIN_FILENO);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, file, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    error = posix_spawnp(child, arguments[0], &actions, NULL, arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[0]);
    FILE *script = error == 0 ? fdopen(ends[1], "w") : NULL;
    if (script == NULL) close(ends[1]);
    errno = error;
    return script;
}

static bool is_shown(const bench_launch_row *row, bool computes)
{
    return row->median_us > 0 && row->bytes > 0 && (row->flops > 0) == computes;
}

/* x, y, share of the time, name.  Commands that compute: flops a byte and GFLOP/s; those that only move: bytes and GB/s. */
static void write_points(FILE *to, const char *name, const bench_launch_row *rows, size_t n, bool computes, double total_us)
{
    fprintf(to, "$%s << END\n0 0 0 \"\"\n", name); /* a first point out of sight, since gnuplot refuses to draw none */
    for (size_t i = 0; i < n; i++) {
        const bench_launch_row *row = &rows[i];
        if (!is_shown(row, computes)) continue;
        double x = computes ? row->flops / row->bytes : row->bytes, y = 1e-3 * (computes ? row->flops : row->bytes) / row->median_us;
        fprintf(to, "%.6g %.6g %.6g \"%s\"\n", x, y, row->median_us / total_us, i < NAMED ? row->command : "");
    }
    fputs("END\n", to);
}

static void write_script(FILE *to, const char *title, const bench_launch_row *rows, size_t n, const bench_peaks *peaks)
{
    double total_us = 0;
    for (size_t i = 0; i < n; i++) total_us += rows[i].median_us;
    write_points(to, "computing", rows, n, true, total_us);
    write_points(to, "moving", rows, n, false, total_us);
    fprintf(to,
            "set terminal svg size 1100,460 noenhanced font 'sans,11'\n"
            "memory = %.6g\narithmetic = %.6g\n"
            "roof(x) = memory * x < arithmetic ? memory * x : arithmetic\n"
            "set multiplot layout 1,2 title '%s: a circle a command, as large as its share of the time'\n"
            "set logscale xy\nset grid\nset key bottom right\nset style fill transparent solid 0.4 noborder\n"
            "set xlabel 'FLOP a byte'\nset ylabel 'GFLOP/s'\nset xrange [0.05:2000]\nset yrange [1:arithmetic * 2]\n"
            "plot roof(x) with lines lw 2 lc rgb '#c0392b' title 'roof', \\\n"
            "  $computing using 1:2:(0.6 + 5 * sqrt($3)) with points pt 7 ps variable lc rgb '#1b6ca8' title 'products', \\\n"
            "  '' using 1:2:4 with labels left offset 1,0 font ',9' notitle\n"
            "set xlabel 'bytes moved'\nset ylabel 'GB/s'\nset xrange [64:1e9]\nset yrange [0.1:memory * 10]\nset format x '%%.0s %%cB'\n"
            "plot memory with lines lw 2 lc rgb '#c0392b' title 'memory (above: from caches)', \\\n"
            "  $moving using 1:2:(0.6 + 5 * sqrt($3)) with points pt 7 ps variable lc rgb '#2e8b57' title 'what only moves', \\\n"
            "  '' using 1:2:4 with labels left offset 1,0 font ',9' notitle\n",
            peaks->gbytes_per_s, peaks->gflops, title);
}

int bench_plot(const char *file, const char *title, const bench_launch_row *rows, size_t n, const bench_peaks *peaks)
{
    pid_t child;
    int status = 0;
    FILE *script = start_gnuplot(file, &child);
    if (script == NULL)
        return cli_fail(CLI_DEVICE, "--plot needs the program gnuplot (on Debian: apt install gnuplot-nox): %s", strerror(errno));
    write_script(script, title, rows, n, peaks);
    fclose(script);
    if (waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0) return CLI_OK;
    return cli_fail(CLI_DEVICE, "gnuplot could not draw %s", file);
}
