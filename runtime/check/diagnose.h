/* Which mistake does a failed comparison show?  evidence.c gathers what was found and expected, element by element; diagnose.c asks which of a
 * table of mistakes would give what was found; suspects.c has the mistakes that only the referee can tell the results of.  pattern.c looks
 * at an operator's cases together.  Private to check. */
#ifndef AVAL_CHECK_DIAGNOSE_H
#define AVAL_CHECK_DIAGNOSE_H

#include "check/judge.h"

#include <math.h>

/* Printed, a NaN's sign would tell the reader nothing. */
static inline double aval__check_shown(double x)
{
    return isnan(x) ? (double)NAN : x;
}

/* A tensor's elements that are looked at: all of them, or a choice where the referee would have to be asked for each. */
typedef struct aval__evidence {
    aval__judge *j;
    const aval__question *q;
    size_t device;
    size_t n;
    bool whole; /* all elements, in order */
    size_t *at; /* their numbers, ascending */
    double *found, *expected, *allowed; /* by how much they may differ */
    double *again; /* what the third run found, with other poison in memory; NULL: the same */
    bool *bad; /* differs by more */
    size_t n_bad;
} aval__evidence;

/* `worst`: the element or direction that failed by most. */
int aval__evidence_gather(aval__judge *j, const aval__question *q, size_t device, const double *found, size_t worst, aval__evidence *e);
void aval__evidence_release(aval__evidence *e);
/* The worst elements, a line each. */
void aval__evidence_print(const aval__evidence *e, aval__text *text);

/* Supposes a mistake: *any says whether there is a variant of this number, `p` [n] is what it would give at the evidence's elements (NaN: says
   nothing of this one), `says` names it. */
typedef int (*aval__suspicion)(const aval__evidence *e, size_t variant, double *p, aval__text *says, bool *any);

/* Mistakes whose results the referee is asked for. */
int aval__suspect_upstream(const aval__evidence *e, size_t variant, double *p, aval__text *says, bool *any);
int aval__suspect_other_input(const aval__evidence *e, size_t variant, double *p, aval__text *says, bool *any);
int aval__suspect_exchange(const aval__evidence *e, size_t variant, double *p, aval__text *says, bool *any);
int aval__suspect_attribute(const aval__evidence *e, size_t variant, double *p, aval__text *says, bool *any);
int aval__suspect_left_out(const aval__evidence *e, size_t variant, double *p, aval__text *says, bool *any);
/* No mistake of the operator's: its sample lies where there is no derivative, or where rounding decides between two values. */
int aval__suspect_sample(const aval__evidence *e, size_t variant, double *p, aval__text *says, bool *any);

/* Names the mistake that fits best, and how well; leaves the text empty when none does. */
int aval__diagnose(const aval__evidence *e, aval__text *likely);

#endif
