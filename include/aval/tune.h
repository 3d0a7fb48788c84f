/* Tuning: which way of computing matrix products and convolutions, and which work-groups for other ops, are fastest on a device, found by measuring.  Part of
   aval/aval.h. */
#ifndef AVAL_TUNE_H
#define AVAL_TUNE_H

#include "aval/aval.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct aval_tune_options {
    size_t size; /* sizeof(aval_tune_options) */
    double
        seconds; /* for all (with `clblast` for each type and device); 0: 60.  What is begun is ended, so that it may take a second more */
    int32_t again; /* 1: what is remembered already is measured again */
    int32_t dry; /* 1: nothing is taken or remembered */
    int32_t
        clblast; /* 1: instead of the ways of each product, the parameters of CLBlast's kernels, one set for all products of a type and device: the
                        rows' product is "float, parameters of CLBlast", ms that of one of each product (the largest eight).  Wants a process of its own:
                        CLBlast is left with what was tried last, and has what was chosen from the next process on */
} aval_tune_options;

/* One way that was tried for a class of products: equal sizes up to a quarter of a power of two, element type, layouts; or for an op that computes no product,
   of so large inputs and with these attributes. */
typedef struct aval_tune_row {
    size_t size;
    size_t device; /* which of the selected ones */
    const char *
        product; /* the class, "float 128 x 512 x 784" or "Softmax 13 float 512x1024, axis=-1 8f63268d"; valid during the call, as all texts here */
    const char *
        variant; /* "tiles method=panels rows=14": who computes it, and with which parameters; "default group=64 open=8": by how many work-items a
                            result is made, and in groups of how many where the op leaves it open */
    double ms, gflops; /* of one product; 0: not measured, since it was wrong */
    int32_t right; /* 1: its result is that of the host */
    int32_t chosen; /* 1: what later plans take */
    int32_t untuned; /* 1: what is taken without tuning; the first row of a class */
    int32_t complete; /* 0: the time was over before all ways were tried */
    double gbytes_per_s; /* of an op that computes no product, whose gflops are 0 */
} aval_tune_row;
typedef void (*aval_tune_function)(void *user, const aval_tune_row *row);

/* Measures the products and convolutions that these values are computed by, and the work-groups of what else ops' own kernels compute (from inputs of
   4,096 elements on, where these are floating-point or known to the host), on the devices where the plan has them.  Remembers the fastest right way
   of each class in the cache folder, by device, driver and version of aval; all later plans on this device, of any process, take it.  What is
   remembered, and products of float16 and integers, are left as they are.  The report (may be NULL) is called for each way tried.  Plans of the context
   are made anew.  *left (may be NULL) becomes the number of classes for which there was no time. */
AVAL_API int aval_session_tune(aval_session *s, aval_value *const *wanted, size_t n_wanted, const aval_tune_options *options,
                               aval_tune_function report, void *user, size_t *left);
/* What is remembered of the selected devices: rows with product, variant and device. */
AVAL_API int aval_context_tuned(aval_context *ctx, aval_tune_function report, void *user);
/* Forgets it, on disk too. */
AVAL_API int aval_context_forget_tuned(aval_context *ctx);
/* This context takes nothing that was tuned: for comparisons.  Before devices are used; AVAL_TUNED=0 in the environment does the same for all. */
AVAL_API int aval_context_ignore_tuned(aval_context *ctx);

#ifdef __cplusplus
}
#endif

#endif
