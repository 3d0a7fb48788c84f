/* Comparing a device's result with the referee's. */
#include "check/check.h"

#include <math.h>

bool aval__check_compare(const double *found, const double *expected, size_t count, const aval__tolerance *tolerance,
                         aval__difference *difference)
{
    *difference = (aval__difference){ 0 };
    for (size_t i = 0; i < count; i++) {
        double error;
        if (isnan(found[i]) || isnan(expected[i])) {
            error = isnan(found[i]) && isnan(expected[i]) ? 0 : INFINITY;
        } else if (isinf(found[i]) || isinf(expected[i])) {
            error = found[i] == expected[i] ? 0 : INFINITY;
        } else {
            double scale = fmax(fabs(expected[i]), tolerance->least_scale);
            if (tolerance->scales != NULL) scale = fmax(scale, tolerance->scales[i]);
            double allowed = tolerance->atol + tolerance->rtol * scale, off = fabs(found[i] - expected[i]);
            /* with a tolerance of 0 (integers) any difference counts */
            error = off == 0 ? 0 : allowed > 0 ? off / allowed : INFINITY;
        }
        if (i == 0 || error > difference->error) {
            difference->error = error;
            difference->worst = i;
        }
    }
    difference->compared = count;
    return difference->error <= 1;
}
