/* Functions of one number: exponential, trigonometric, hyperbolic and their inverses, the error function, and roundings.  A table, one row
 * each. */
#include "elementwise.h"

#define FUNCTION(variable, op_name, op_version, text, low, high, summary) \
    UNARY(variable, op_name, op_version, "input", "output", text, summary, .samples = AVAL_SAMPLES(UNARY_SHAPES(low, high)))
#define FUNCTION_BY_OUTPUT(variable, op_name, op_version, text, derivative, low, high, summary) \
    UNARY(variable, op_name, op_version, "input", "output", text, summary, DERIVATIVES(derivative), \
          .samples = AVAL_SAMPLES(UNARY_SHAPES(low, high)))

FUNCTION_BY_OUTPUT(exponential, "Exp", 1, "exp(input)", "output", -3, 3, "e to the power of the input.");
FUNCTION(logarithm, "Log", 1, "log(input)", 0.5, 3, "The natural logarithm.");
FUNCTION_BY_OUTPUT(square_root, "Sqrt", 1, "sqrt(input)", "0.5 / output", 0.5, 3, "The square root.");
FUNCTION(sine, "Sin", 7, "sin(input)", -3, 3, "The sine.");
FUNCTION(cosine, "Cos", 7, "cos(input)", -3, 3, "The cosine.");
FUNCTION_BY_OUTPUT(tangent, "Tan", 7, "tan(input)", "1 + output * output", -1.2, 1.2, "The tangent.");
FUNCTION(arcsine, "Asin", 7, "asin(input)", -0.9, 0.9, "The angle from -pi/2 to pi/2 whose sine is the input.");
FUNCTION(arccosine, "Acos", 7, "acos(input)", -0.9, 0.9, "The angle from 0 to pi whose cosine is the input.");
FUNCTION(arctangent, "Atan", 7, "atan(input)", -3, 3, "The angle from -pi/2 to pi/2 whose tangent is the input.");
FUNCTION(hyperbolic_sine, "Sinh", 9, "sinh(input)", -3, 3, "The hyperbolic sine.");
FUNCTION(hyperbolic_cosine, "Cosh", 9, "cosh(input)", -3, 3, "The hyperbolic cosine.");
FUNCTION_BY_OUTPUT(hyperbolic_tangent, "Tanh", 1, "tanh(input)", "1 - output * output", -3, 3, "The hyperbolic tangent.");
FUNCTION(area_sine, "Asinh", 9, "asinh(input)", -3, 3, "The number whose hyperbolic sine is the input.");
FUNCTION(area_cosine, "Acosh", 9, "acosh(input)", 1.2, 4, "The number of 0 or more whose hyperbolic cosine is the input.");
FUNCTION(area_tangent, "Atanh", 9, "atanh(input)", -0.9, 0.9, "The number whose hyperbolic tangent is the input.");
FUNCTION(error_function, "Erf", 9, "erf(input)", -2, 2,
         "The error function, 2/sqrt(pi) times the integral of exp(-t^2) from 0 to the input.");

/* ---- Roundings: the derivative is 0 wherever there is one, so that a gradient through them is exactly 0 and no error ------------ */

#define STEPWISE(variable, op_name, op_version, its_types, text, rule, summary, ...) \
    static const aval_op variable = { \
        ELEMENTWISE(op_name, op_version, text), \
        .doc = summary, \
        .inputs = AVAL_PORTS(PORT("X", its_types)), \
        .outputs = AVAL_PORTS(PORT("Y", its_types)), \
        .zero_gradient = 1, \
        .subgradient = rule, \
        .samples = AVAL_SAMPLES({ .inputs = "[2,3]", .low = -3, .high = 3 }, { .inputs = "[]" }, { .inputs = "[0,3]" }, \
                                { .inputs = "[9]{-2.5,-1.5,-1,-0.5,0,0.5,1,1.5,2.5}", .why = "where it jumps" }, \
                                { .inputs = "[257,259]", .low = -9, .high = 9, .size_class = AVAL_LARGE }, __VA_ARGS__), \
    }
#define FLOATS(text) \
    { \
        .inputs = text, .why = "infinities stay" \
    }
STEPWISE(ceiling, "Ceil", 1, AVAL_FLOATS, "ceil(X)", "0 everywhere, at integers too", "The least integer that is not below X.",
         FLOATS("[2]{inf,-inf}"));
STEPWISE(floored, "Floor", 1, AVAL_FLOATS, "floor(X)", "0 everywhere, at integers too", "The largest integer that is not above X.",
         FLOATS("[2]{inf,-inf}"));
STEPWISE(rounded, "Round", 11, AVAL_FLOATS, "round(X)", "0 everywhere, at halves too", "The nearest integer, of two the even one.",
         FLOATS("[2]{inf,-inf}"));
STEPWISE(sign, "Sign", 9, AVAL_NUMBERS, "X > 0 ? 1 : X < 0 ? -1 : X", "0 everywhere, at X = 0 too", "-1, 0 or 1; NaN stays.",
         INTEGERS("i8[3]{-128,0,5}"), INTEGERS("u64[2]{0,18446744073709549568}"));

AVAL_PLUGIN("functions", "0.1.0", NULL, &exponential, &logarithm, &square_root, &sine, &cosine, &tangent, &arcsine, &arccosine, &arctangent,
            &hyperbolic_sine, &hyperbolic_cosine, &hyperbolic_tangent, &area_sine, &area_cosine, &area_tangent, &error_function, &ceiling,
            &floored, &rounded, &sign)
