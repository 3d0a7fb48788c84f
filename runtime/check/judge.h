/* Judging what devices gave for a case.  Private to check. */
#ifndef AVAL_CHECK_JUDGE_H
#define AVAL_CHECK_JUDGE_H

#include "check/case.h"

/* What a comparison allows, by element type; a sample may loosen the rows of float and half, with its reason. */
typedef struct aval__type_row {
    int type;
    const char *name;
    double atol, rtol; /* forward */
    double grad_atol, grad_rtol; /* against differences; the scale is at least the largest gradient of the tensor */
} aval__type_row;
extern const aval__type_row aval__type_rows[]; /* ends with a NULL name */

/* What an op's cases have in common that fail on a device: see pattern.c. */
#define AVAL__MOST_TRAITS 96
typedef struct aval__pattern {
    unsigned passed, failed; /* cases */
    unsigned blamed_on_device; /* failed cases, some failure of which is said to be the device's */
    struct {
        unsigned passed, failed; /* cases that have the trait */
    } traits[AVAL__MOST_TRAITS];
} aval__pattern;

/* What one device did with the case. */
typedef struct aval__witness {
    bool asked, ran; /* ran: `results` are there and have the right shapes */
    bool failed; /* some comparison of this case */
    bool died; /* in some case of the op under way */
    bool lost; /* the op's further cases are not run there */
    bool compared; /* anything of the op */
    bool told_doubles; /* that the op's samples in doubles are skipped */
    aval__verdict verdict; /* of the op under way */
    aval__verdicts *remembered; /* NULL: not wanted, or nothing is kept */
    aval__results results;
    aval__text log; /* messages of failures */
    aval__text trouble; /* why the case could not run; empty: it could */
    char fate[16]; /* with it: "error", "crashed" ... */
    bool blamed; /* some failure of this case is said to be the device's */
    aval__pattern pattern; /* of the op under way */
} aval__witness;

typedef struct aval__judge {
    aval_context *ctx;
    const aval_check_options *options;
    const aval_check_runner *runner;
    aval_check_runner *own_runner; /* the one of this process; NULL: the options brought one */
    aval_check_function report;
    void *user;
    size_t passed, failed, skipped;
    /* of the op under way: inputs (by port) whose gradients were compared, and were not all zero */
    uint32_t compared_ports, moved_ports;
    bool forward_failed; /* of the op: wrong results, or bytes outside them */
    unsigned diagnosed; /* failures whose mistake was looked for */
    const aval_check_case *coming; /* the op's cases behind the one under way */
    size_t n_coming;
    /* of the case under way */
    const aval_check_case *what;
    aval__case *c;
    const aval__type_row *row;
    aval__referee *referee;
    aval__host_tensor *expected; /* by output */
    double **scales; /* by output; NULL until some comparison needs them */
    aval__differences *differences; /* by input; empty where there is no gradient */
    size_t n_witnesses;
    aval__witness *witnesses; /* by the runner's device */
} aval__judge;

/* One tensor that the devices found, and what the referee says about it: element by element, or (`along` not NULL) along directions. */
typedef struct aval__question aval__question;
struct aval__question {
    const char *name; /* "forward Y" */
    size_t tensor; /* in the results */
    const aval_tensor *shape;
    aval__tolerance tolerance;
    const double *expected, *low, *high; /* low and high: not NULL at kinks, where all between them is right */
    size_t count;
    const aval__differences *along;
    size_t output; /* of the gradient; with `along` only */
    /* Looks closer at where `difference` says that a device is off; *changed: the question is another now.  NULL: there is no closer look. */
    int (*refine)(aval__judge *j, aval__question *q, const double *found, const aval__difference *difference, bool *changed);
    unsigned refined;
};

/* Compares the witnesses with the referee and with each other, and reports a result for each. */
int aval__judge_question(aval__judge *j, aval__question *q);
/* Has the referee take all differences, while the devices still run. */
int aval__judge_prepare(aval__judge *j);
/* All outputs and gradients of the case, and its repetition. */
int aval__judge_case(aval__judge *j);

/* Reports one result; `message` may be NULL. */
void aval__judge_tell(aval__judge *j, size_t device, const aval_check_result *result);

/* What is found of operators from now on is remembered (aval_op_verdicts), which ends with the judge. */
int aval__judge_remember(aval__judge *j);
/* The op that was checked last is done. */
int aval__judge_note_op(aval__judge *j, const aval__opdef *def);

/* Counts the judged case, and tells at the op's end what the failing ones have in common. */
void aval__pattern_note(aval__judge *j);
void aval__pattern_tell(aval__judge *j, const aval__opdef *def);

/* Holds the case's outputs against what its sample says of their shapes, where it does. */
int aval__judge_declared(aval__judge *j);
/* ONNX's own operators and aval's are held by tests beside the samples; those of others by their samples alone. */
bool aval__op_is_held(const aval__opdef *def);
/* At an op's end: that no sample says so, where nothing else holds its infer. */
void aval__judge_tell_undeclared(aval__judge *j, const aval__opdef *def);
/* NULL: the sample says nothing of them. */
const char *aval__sample_outputs(const aval_sample *sample);

/* A folder with all that is needed to see the witness's failure again. */
int aval__failure_write(aval__judge *j, size_t device);
/* Its name, for aval__free; NULL: no memory. */
char *aval__failure_folder(const aval__judge *j, size_t device);

/* Makes a case in `row`'s type, has it run and judges it.  AVAL_E_MEMORY ends a check; all other failures are results. */
int aval__check_case(aval__judge *j, const aval_check_case *what, const aval__type_row *row);
int aval__judge_open(aval__judge *j, aval_context *ctx, const aval_check_options *options, aval_check_function report, void *user);
void aval__judge_close(aval__judge *j);
/* The code of a finished check, with its message. */
int aval__judge_verdict(const aval__judge *j);

/* A failure's folder read back: the case in it, which belongs to the arena. */
int aval__failure_read(aval__arena *arena, const char *folder, aval_check_case *what, const aval__type_row **row);

/* "[1,2]" for an element of a tensor. */
void aval__check_put_element(aval__text *text, const aval_tensor *t, size_t element);
/* Elements as doubles: integers are exact below 2^53, and a difference above stays one.  For aval__free. */
double *aval__check_reals(const aval__host_tensor *t);

#endif
