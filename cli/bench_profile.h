/* Where the time of a network's step goes: the times of its commands over several steps, each against what memory and arithmetic would take. */
#ifndef AVAL_CLI_BENCH_PROFILE_H
#define AVAL_CLI_BENCH_PROFILE_H

#include "bench.h"

#define BENCH_PROFILED_STEPS 15

typedef struct bench_launch_row {
    char node[96], command[48];
    double us[BENCH_PROFILED_STEPS], bytes, flops; /* sorted times of the steps */
    double start_us, end_us; /* in the last step */
    size_t device;
    double median_us, least_us; /* of this device: what its memory and arithmetic would take */
} bench_launch_row;

typedef struct bench_profile bench_profile;

int bench_profile_create(bench_profile **out);
void bench_profile_release(bench_profile *p); /* NULL is ignored */
/* Adds the step that session `s` has run last; at most BENCH_PROFILED_STEPS of them, of the same plan. */
int bench_profile_read(bench_profile *p, aval_session *s);
/* Measures the device's peaks, then prints the commands, the worst first, and writes the files that `b` names. */
int bench_profile_show(bench_profile *p, bench *b, const net *n);

/* Draws the commands under the device's roof into the SVG file `file`, by gnuplot; returns a CLI exit code, with the message out. */
int bench_plot(const char *file, const char *title, const bench_launch_row *rows, size_t n, const bench_peaks *peaks);

#endif
