/* Comparing two tensors' elements. */
#include "check/check.h"

#include <float.h>
#include <math.h>

static double element_error(double found, double expected, double allowed)
{
    if (isnan(found) || isnan(expected)) return isnan(found) && isnan(expected) ? 0 : INFINITY;
    if (isinf(found) || isinf(expected)) return found == expected ? 0 : INFINITY;
    double off = fabs(found - expected);
    /* with a tolerance of 0 (integers) any difference counts */
    return off == 0 ? 0 : allowed > 0 ? off / allowed : INFINITY;
}

bool aval__check_compare(const double *found, const double *expected, size_t count, const aval__tolerance *tolerance,
                         aval__difference *difference)
{
    *difference = (aval__difference){ .compared = count };
    for (size_t i = 0; i < count; i++) {
        double scale = fmax(fabs(expected[i]), tolerance->least_scale);
        if (tolerance->scales != NULL) scale = fmax(scale, tolerance->scales[i]);
        double error = element_error(found[i], expected[i], tolerance->atol + tolerance->rtol * scale);
        if (i == 0 || error > difference->error) {
            difference->error = error;
            difference->worst = i;
        }
    }
    return difference->error <= 1;
}

double aval__check_unit(double x, int type)
{
    /* type, binary digits of its fraction, exponent of its smallest normal number */
    static const struct {
        int type, digits, least;
    } formats[] = { { AVAL_FLOAT, 23, -126 }, { AVAL_DOUBLE, 52, -1022 }, { AVAL_FLOAT16, 10, -14 } };
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        if (formats[i].type != type || !isfinite(x)) continue;
        int exponent = x == 0 ? formats[i].least : ilogb(x);
        return ldexp(1, (exponent < formats[i].least ? formats[i].least : exponent) - formats[i].digits);
    }
    return 0;
}

double aval__check_ulps(double found, double expected, int type)
{
    if (found == expected || (isnan(found) && isnan(expected))) return 0;
    if (!isfinite(found) || !isfinite(expected)) return INFINITY;
    double unit = aval__check_unit(expected, type);
    return fabs(found - expected) / (unit > 0 ? unit : 1);
}
