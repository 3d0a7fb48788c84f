/* The judge of a model check: compares what the workers answer, and looks for the launch that is to blame.  Private to check. */
#ifndef AVAL_CHECK_MODEL_JUDGE_H
#define AVAL_CHECK_MODEL_JUDGE_H

#include "check/check.h"
#include "check/graph_referee.h"
#include "check/model.h"

typedef struct aval__model_witness {
    bool alive; /* still takes part: it was not lost, and not found wrong */
    bool ran; /* `answer` is there */
    aval__bundle answer; /* of the step under way */
    aval__bundle trace; /* of the step under way, once it was looked at launch by launch */
} aval__model_witness;

/* A result of the model over all steps. */
typedef struct aval__model_line {
    char *name;
    double *error; /* by device: the largest, in units of the tolerance; negative: not compared */
    uint64_t *step; /* by device: where that was */
    bool *amplified; /* by device: more than the tolerance, but no launch is to blame */
} aval__model_line;

typedef struct aval__model_judge {
    aval_context *ctx;
    const aval_check_model *model;
    const aval_check_steps_options *options;
    const aval_model_runner *runner;
    aval_check_function report;
    void *user;
    size_t n;
    aval__model_witness *witnesses;
    size_t leader; /* whose states all take over; the others are compared with it */
    uint64_t step;
    aval__bundle states; /* before the step under way */
    aval_session *host; /* fed, and never run: what the referee reads */
    aval__model_values refereed;
    aval__graph_referee *referees; /* as `refereed`, of the step under way */
    aval__interpretation *expected; /* as `refereed`; empty where there is no referee */
    AVAL__VEC(aval__model_line) lines;
    size_t passed, failed;
} aval__model_judge;

/* |found - expected| <= rtol |expected| + noise (largest |expected|) + reach: what rounding in one launch, or in one step, can do. */
bool aval__model_compare(const aval__piece *found, const aval__piece *expected, double reach, aval__difference *difference);
/* The referee's value as a piece's element type has it: the same with `loose` times the tolerance, since its inputs are exact. */
bool aval__model_compare_referee(const aval__piece *found, const aval__host_tensor *expected, double loose, aval__difference *difference);

/* Sends the request to the devices for which `asked` is true, and hears all answers (into `trace` or `answer`).  A device that fails is told of,
   and takes no more part. */
int aval__model_ask(aval__model_judge *j, const aval__bundle *request, const bool *asked);
/* Tells one result and counts it; `message` may be NULL. */
void aval__model_tell(aval__model_judge *j, size_t device, const char *what, const aval_check_result *result);
/* What a failed launch found, and what another device, or the referee, has instead; each may be NULL. */
typedef struct aval__model_evidence {
    const aval__piece *found, *other;
    size_t other_device; /* with `other` */
    const aval__host_tensor *right;
} aval__model_evidence;
/* Tells of a failure, and leaves a folder of it where the options say so (model_failure.c).  `evidence` may be NULL. */
int aval__model_fail(aval__model_judge *j, size_t device, const char *what, const aval_check_result *result,
                     const aval__model_evidence *evidence);
/* Adds "0 (PoCL)". */
void aval__model_put_device(const aval__model_judge *j, size_t device, aval__text *text);

/* Device `device` differs from the leader in the step under way: its launches are compared on equal inputs.  *found: a launch is to blame, and
   the device that is wrong (either of the two, or both while nobody can say which) is told of and takes no more part. */
int aval__model_bisect(aval__model_judge *j, size_t device, bool *found);
/* The same against the referee, for values before any gradient. */
int aval__model_bisect_referee(aval__model_judge *j, size_t device, const char *what, const aval__difference *difference);
/* And against itself, for a step whose second run gave other bits. */
int aval__model_bisect_repeat(aval__model_judge *j, size_t device);

/* A worker of this process, on the first selected device. */
typedef struct aval__model_here aval__model_here;
int aval__model_here_create(aval_context *ctx, const aval_check_model *model, aval__model_here **out);
const aval_model_runner *aval__model_here_runner(const aval__model_here *h);
void aval__model_here_release(aval__model_here *h);

#endif
