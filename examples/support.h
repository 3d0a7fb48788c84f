/* What the programs of the course (docs/course.md) share: a lab, which is a context with one graph, store and session; calls that end the
 * program with aval's message when they fail; and statements that must hold.  All numbers are double here and float (or the lab's
 * type) on the device. */
#ifndef AVAL_EXAMPLES_SUPPORT_H
#define AVAL_EXAMPLES_SUPPORT_H

#include <aval/aval.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* ---- What must hold ------------------------------------------------------------------------------------------------------------- */

static inline void must(int status)
{
    if (status >= 0) return;
    fprintf(stderr, "%s: %s\n", aval_status_name(status), aval_error());
    exit(1);
}

static inline void expect_at(int holds, const char *statement, const char *file, int line)
{
    if (holds) return;
    fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, statement);
    exit(1);
}
#define expect(statement) expect_at((statement), #statement, __FILE__, __LINE__)

static inline void expect_near_at(double found, double expected, double tolerance, const char *what, const char *file, int line)
{
    if (fabs(found - expected) <= tolerance) return;
    fprintf(stderr, "%s:%d: %s is %.9g, expected %.9g within %.3g\n", file, line, what, found, expected, tolerance);
    exit(1);
}
#define expect_near(found, expected, tolerance) expect_near_at((found), (expected), (tolerance), #found, __FILE__, __LINE__)

/* ---- The lab ---------------------------------------------------------------------------------------------------------------------- */

typedef struct lab {
    aval_context *ctx;
    aval_graph *g;
    aval_store *store;
    aval_session *s;
    int type; /* of inputs and weights: AVAL_FLOAT, or AVAL_DOUBLE where the device computes with doubles */
} lab;

static inline lab lab_open(void)
{
    lab l = { .type = AVAL_FLOAT };
    must(aval_context_create(&l.ctx));
    l.g = aval_graph_create(l.ctx);
    must(aval_store_create(l.ctx, &l.store));
    must(aval_session_create(l.ctx, l.g, l.store, &l.s));
    return l;
}

static inline void lab_close(lab *l)
{
    aval_session_release(l->s);
    aval_store_release(l->store);
    aval_graph_release(l->g);
    aval_context_release(l->ctx);
}

/* From here on in doubles, where the device has them; 0 where it has not. */
static inline int lab_use_doubles(lab *l)
{
    int64_t device = aval_selected_device(l->ctx, 0);
    must((int)device);
    if (aval_device_info_at(l->ctx, (size_t)device)->fp64 == 0) return 0;
    l->type = AVAL_DOUBLE;
    return 1;
}

/* `data` in the lab's type; to be freed. */
static inline void *in_type(const lab *l, const double *data, size_t count)
{
    double *copy = malloc(count * sizeof *copy + 1);
    if (copy == NULL) exit(1);
    for (size_t i = 0; i < count; i++) {
        if (l->type == AVAL_DOUBLE) copy[i] = data[i];
        else ((float *)(void *)copy)[i] = (float)data[i];
    }
    return copy;
}

static inline size_t count_of(size_t rank, const int64_t *dims)
{
    size_t count = 1;
    for (size_t i = 0; i < rank; i++) count *= (size_t)dims[i];
    return count;
}

static inline void feed(lab *l, aval_value *input, size_t rank, const int64_t *dims, const double *data)
{
    size_t count = count_of(rank, dims);
    void *copy = in_type(l, data, count);
    must(aval_session_feed(l->s, input, copy, count * aval_type_bytes(l->type), dims));
    free(copy);
}

/* An input that is fed at once: given(&l, "x", AVAL_SHAPE(2, 3), data). */
static inline aval_value *given(lab *l, const char *name, size_t rank, const int64_t *dims, const double *data)
{
    aval_value *input = aval_graph_input(l->g, name, l->type, rank, dims);
    must(aval_graph_status(l->g));
    feed(l, input, rank, dims, data);
    return input;
}

/* A scalar input. */
static inline aval_value *given_number(lab *l, const char *name, double number)
{
    return given(l, name, AVAL_SCALAR, &number);
}

static inline aval_value *labels(lab *l, size_t rank, const int64_t *dims, const int64_t *data)
{
    return aval_graph_constant(l->g, AVAL_INT64, rank, dims, data);
}

/* A state that holds `data`. */
static inline aval_value *weight(lab *l, const char *name, size_t rank, const int64_t *dims, const double *data)
{
    void *copy = in_type(l, data, count_of(rank, dims));
    must(aval_store_set(l->store, name, l->type, rank, dims, copy));
    free(copy);
    return aval_graph_state(l->g, name, l->type, rank, dims);
}

/* A state drawn from (seed, name). */
static inline aval_value *random_weight(lab *l, const char *name, size_t rank, const int64_t *dims, int initializer, double scale,
                                        uint64_t seed)
{
    must(aval_store_random(l->store, name, l->type, rank, dims, initializer, scale, seed));
    return aval_graph_state(l->g, name, l->type, rank, dims);
}

static inline aval_value *constant_weight(lab *l, const char *name, size_t rank, const int64_t *dims, double value)
{
    must(aval_store_fill(l->store, name, l->type, rank, dims, value));
    return aval_graph_state(l->g, name, l->type, rank, dims);
}

/* ---- Results ---------------------------------------------------------------------------------------------------------------------- */

/* What the last run left of a value, as doubles. */
static inline void read_numbers(lab *l, const aval_value *value, double *out, size_t count)
{
    size_t bytes = count * aval_type_bytes(l->type); /* not the value's: it is unknown while a dimension is free */
    float *raw = malloc(bytes + 1);
    if (raw == NULL) exit(1);
    must(aval_session_read(l->s, value, raw, bytes));
    for (size_t i = 0; i < count; i++) out[i] = l->type == AVAL_DOUBLE ? ((double *)(void *)raw)[i] : (double)raw[i];
    free(raw);
}

/* Computes a value and all that it needs, and nothing else. */
static inline void numbers(lab *l, aval_value *value, double *out, size_t count)
{
    must(aval_session_run(l->s, &value, 1));
    read_numbers(l, value, out, count);
}

static inline double number(lab *l, aval_value *value)
{
    double result;
    numbers(l, value, &result, 1);
    return result;
}

/* Content of a state. */
static inline void stored(lab *l, const char *name, double *out, size_t count)
{
    float *raw = malloc(count * sizeof(double) + 1);
    if (raw == NULL) exit(1);
    must(aval_store_get(l->store, name, raw, count * aval_type_bytes(l->type)));
    for (size_t i = 0; i < count; i++) out[i] = l->type == AVAL_DOUBLE ? ((double *)(void *)raw)[i] : (double)raw[i];
    free(raw);
}

/* Numbers in rows, each as `format` says.  What would be printed as -0 is 0. */
static inline void print_rows(const char *name, const double *x, size_t rows, size_t columns, int decimals)
{
    for (size_t i = 0; i < rows * columns; i++) {
        double shown = fabs(x[i]) < 0.5 * pow(10, -decimals) ? 0 : x[i];
        if (i % columns == 0) printf("%-*s", 24, i == 0 ? name : "");
        printf(" %*.*f%s", decimals + 4, decimals, shown, i % columns == columns - 1 ? "\n" : "");
    }
}

/* ---- Gradient descent ------------------------------------------------------------------------------------------------------------- */

#define LARGEST_DESCENT 48

typedef struct descent {
    aval_value
        *wanted[LARGEST_DESCENT]; /* the loss, then the new content of weights and velocities: a state is updated when that is wanted */
    size_t n;
} descent;

/* One step of SGD on these states as part of the graph. */
static inline descent descend(lab *l, aval_value *loss, aval_value *const *weights, size_t n, double rate, double momentum)
{
    descent d = { .wanted = { loss }, .n = 1 };
    char name[64], attrs[64];
    snprintf(attrs, sizeof attrs, "momentum=%g", momentum);
    aval_value *lr = aval_graph_number(l->g, l->type, rate);
    for (size_t i = 0; i < n && d.n + 2 <= LARGEST_DESCENT; i++) {
        snprintf(name, sizeof name, "%s.velocity", aval_value_name(weights[i]));
        aval_value *velocity = constant_weight(l, name, (size_t)aval_value_rank(weights[i]), aval_value_dims(weights[i]), 0);
        aval_value *gradient = aval_graph_gradient(l->g, loss, weights[i], NULL);
        aval_node *update = aval_graph_node(l->g, "aval::Sgd", attrs, AVAL_VALUES(weights[i], gradient, velocity, lr));
        d.wanted[d.n++] = aval_node_output(update, 0);
        if (momentum != 0) d.wanted[d.n++] = aval_node_output(update, 1);
    }
    must(aval_graph_status(l->g));
    return d;
}

/* One step; the loss before it is only read where it is asked for, since reading waits for the device. */
static inline void step(lab *l, const descent *d)
{
    must(aval_session_run(l->s, d->wanted, d->n));
}

/* So many steps; the loss before the last. */
static inline double steps(lab *l, const descent *d, int count)
{
    double loss;
    for (int i = 0; i < count; i++) step(l, d);
    read_numbers(l, d->wanted[0], &loss, 1);
    return loss;
}

/* activation(x w + b); `activation` NULL: none. */
static inline aval_value *dense(lab *l, aval_value *x, aval_value *w, aval_value *b, const char *activation)
{
    aval_value *y = aval_apply(l->g, "Add", NULL, aval_apply(l->g, "MatMul", NULL, x, w), b);
    return activation == NULL ? y : aval_apply(l->g, activation, NULL, y);
}

#endif
