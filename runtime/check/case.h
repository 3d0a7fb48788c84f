/* A case: one sample of one operator in one element type, as a graph of one node with its contents; its run on a device; and what the
 * referee says about it.  Private to check. */
#ifndef AVAL_CHECK_CASE_H
#define AVAL_CHECK_CASE_H

#include "check/results.h"

/* d(upstream . output) / d(input).  `output` n_outputs: of all outputs together, so that a backward is also run with every upstream
   gradient there at once. */
typedef struct aval__case_gradient {
    size_t output, input;
    aval_value *value; /* the request in the graph */
} aval__case_gradient;

typedef struct aval__case {
    aval_context *ctx;
    const aval__opdef *def;
    const aval_sample *sample;
    int type; /* under test */
    uint64_t seed;
    int repeats;
    bool kinked; /* the sample lies at kinks or ties: gradients are held between the one-sided derivatives */

    aval_graph *graph;
    aval_store *store;
    aval_node *node;
    size_t n_inputs;
    aval_value **values; /* NULL: absent */
    aval__host_tensor *inputs; /* contents, rounded to their storage type, so that device and referee see the same numbers */
    size_t n_outputs;
    const char **output_names; /* [n_outputs], those of a variadic port numbered */
    aval_value **outputs;
    aval_value *
        *upstream_values; /* [n_outputs + 1], the last of all outputs together; NULL: that output is no float, or a state's content */
    aval__host_tensor *upstreams; /* [n_outputs + 1] */
    double **joint; /* [n_outputs]: what the last upstream means for each output; NULL: there is no such gradient */
    size_t n_gradients;
    aval__case_gradient *gradients;
    aval__arena arena;
} aval__case;

/* *skip says why this sample does not exist in this type; NULL: it does, and *c is made (for aval__case_release, on failure too).
   Opens no device. */
int aval__case_make(aval_context *ctx, const aval_check_case *what, aval__case *c, const char **skip);
void aval__case_release(aval__case *c);
/* AVAL_E_UNKNOWN, with the name that may have been meant. */
int aval__check_fail_unknown(const aval__registry *registry, const char *op);
/* "dY/dX": what a gradient is called. */
void aval__case_gradient_name(aval__text *text, const aval__case *c, const aval__case_gradient *gradient);

/* The content of input i as the sample (or a folder) has it. */
int aval__case_fill_input(aval__case *c, size_t i, const aval__sample_input *from, const char *folder);
/* Random upstream gradient number o. */
int aval__case_fill_upstream(aval__case *c, size_t o, const char *folder);
/* What a tensor is in such a file: its shape, and its type, or the host's (double, int64) for types that NumPy has no name for. */
aval_tensor aval__case_file_shape(const aval__host_tensor *t);
/* A number in [0, 1) that depends on nothing but its arguments. */
double aval__check_random(uint64_t seed, uint64_t stream, uint64_t index);

/* Feeds an input with a content of the host. */
int aval__case_feed(aval_session *s, const aval_value *value, const aval__host_tensor *content);
/* Runs the case on the context's first device in guarded mode, twice where the op is deterministic. */
int aval__case_run(aval__case *c, aval__results *results);
/* Plans it only, and gives the kernel sources. */
int aval__case_sources(aval__case *c, aval__results *results);

/* ---- The referee ---- */

typedef struct aval__referee aval__referee;

/* The case's graph made ready for the host; the case must outlive it. */
int aval__referee_create(const aval__case *c, aval__referee **out);
void aval__referee_release(aval__referee *r);
/* The outputs for these inputs in double; made here, the caller's. */
int aval__referee_forward(aval__referee *r, const aval__host_tensor *inputs, aval__host_tensor *outputs);
/* Per element, how far an output moves when the inputs' elements move by a relative unit with random signs: what sums of large terms that
   cancel are measured by.  At a jump it is 0: that is no rounding.  `scales` has one array an output, of its size. */
int aval__referee_scales(aval__referee *r, const aval__host_tensor *outputs, double *const *scales);

/* The outputs for inputs whose elements are each moved by `unit` of themselves up or down at random; made here, the caller's. */
int aval__referee_move(aval__referee *r, double unit, uint64_t draw, aval__host_tensor *outputs);

/* Derivatives by centred differences of the referee, for all outputs at once: element by element where that is cheap enough, else along
   random signs within blocks of at most AVAL__BLOCK elements, and for the first and the last element alone. */
#define AVAL__BLOCK 4096
typedef struct aval__differences {
    size_t input;
    size_t elements; /* of the input */
    size_t block; /* elements in a direction; 1: direction k is element k */
    size_t n_blocks;
    size_t count; /* directions: the blocks, then with block > 1 the first and the last element */
    double step;
    double **by_output; /* [n_outputs + 1][count]; NULL where there is no upstream */
    double **low, **high; /* kinked cases: the smaller and the larger of both one-sided derivatives; else NULL */
    double *signs; /* [elements] when block > 1, else NULL */
} aval__differences;
int aval__referee_differences(aval__referee *r, size_t input, aval__differences *d);
/* Takes a derivative once more with a step smaller by `divisor`: a direction of many elements may cross a kink by chance. */
int aval__referee_refine(aval__referee *r, aval__differences *d, size_t direction, double divisor);
/* Derivative of every output (as by_output) by a single element. */
int aval__referee_element(aval__referee *r, const aval__differences *d, size_t element, double *by_output);
/* The smaller and the larger of both one-sided derivatives. */
int aval__referee_sides(aval__referee *r, const aval__differences *d, size_t element, double *low, double *high);
/* What a device found, along the directions. */
void aval__differences_project(const aval__differences *d, const double *found, double *along);
void aval__differences_release(aval__differences *d, size_t n_outputs);

#endif
