/* The planted faults: number, base operator (see faults.c), what is wrong, where the name must stand, and the name.  The plugin makes an operator
 * aval::Fault<number> of each row, healthy twins are the numbers below 10; run.c checks them all.
 *   LIKELY   the mistake that most diagnosed failures name      PATTERN  what the failing cases have in common
 *   MESSAGE  the message of some failure, or what was compared  GRIND    the log of oclgrind, in a process of its own */
#ifndef AVAL_TEST_FAULTS_H
#define AVAL_TEST_FAULTS_H

#define FAULTS(F) \
    F(1, SQUARE, "none", NONE, "") \
    F(2, BIAS, "none", NONE, "") \
    F(3, PRODUCT, "none", NONE, "") \
    F(4, MATRIX, "none", NONE, "") \
    F(5, RMS, "none", NONE, "") \
    F(6, SUM, "none", NONE, "") \
    F(7, LIMIT, "none", NONE, "") \
    F(8, COUNT, "none", NONE, "") \
    F(9, LOCAL, "none", NONE, "") \
    F(10, SQUARE, "wrong sign of the gradient", LIKELY, "wrong sign") \
    F(11, SQUARE, "a factor of 2 is missing in the gradient", LIKELY, "a constant factor of 0.5") \
    F(12, SQUARE, "a factor of 1.0001 in the gradient", LIKELY, "a constant factor of 1.0001") \
    F(13, SQUARE, "forward adds a constant", LIKELY, "a constant offset of 0.25") \
    F(14, SQUARE, "the gradient is never written", MESSAGE, "gradient 0 was not written") \
    F(15, SQUARE, "the gradient is written as zeros", LIKELY, "it is zero") \
    F(16, SQUARE, "NaN at one element", LIKELY, "only element") \
    F(17, SQUARE, "backward ignores the upstream gradient", LIKELY, "upstream gradient is ignored") \
    F(18, SQUARE, "backward adds to the gradient where it should write", LIKELY, "accumulates") \
    F(19, SQUARE, "forward writes one element past the end", MESSAGE, "guard band after") \
    F(20, SQUARE, "forward writes one element before the beginning", MESSAGE, "guard band before") \
    F(21, SQUARE, "the last element reads past its input", LIKELY, "only the last element: depends on memory that nobody wrote") \
    F(22, SQUARE, "the last element is left out", LIKELY, "only the last element: never written") \
    F(23, SQUARE, "wrong only past the last full group of 64", LIKELY, "left over after full groups of 64") \
    F(24, SQUARE, "one work-item of each group of 64 is wrong", LIKELY, "only every 64th element") \
    F(25, SQUARE, "wrong above 2^16 elements", LIKELY, "above 2^16") \
    F(26, SQUARE, "wrong above 2^16 elements in the gradient only", LIKELY, "above 2^16") \
    F(27, SQUARE, "wrong only with batch 1", PATTERN, "batch 1") \
    F(28, SQUARE, "wrong only in fp16 storage", PATTERN, "type float16") \
    F(29, SQUARE, "wrong only in double", PATTERN, "type double") \
    F(30, SQUARE, "wrong for rank 0", PATTERN, "rank 0") \
    F(31, SQUARE, "wrong for the highest rank", PATTERN, "the highest rank") \
    F(32, SQUARE, "wrong in the second run: reads what the first has left", MESSAGE, "the first and the second") \
    F(33, SQUARE, "backward reads an input that keeps does not name", MESSAGE, "keeps") \
    F(34, SQUARE, "forward changes its input", MESSAGE, "was changed by a kernel") \
    F(35, SQUARE, "elements are shifted by one", LIKELY, "off by one: shifted") \
    F(36, SQUARE, "elements are in reversed order", LIKELY, "reversed") \
    F(37, SQUARE, "a term is missing in the gradient", LIKELY, "a term is missing") \
    F(38, BIAS, "the sum over the broadcast axis is missing", LIKELY, "missing sum over axis 0") \
    F(39, BIAS, "the mean instead of the sum over the broadcast axis", LIKELY, "1 / the length of axis 0") \
    F(40, PRODUCT, "the inputs' gradients are swapped", LIKELY, "swapped") \
    F(41, PRODUCT, "the inputs are swapped in forward", LIKELY, "swapped inputs") \
    F(42, MATRIX, "the gradient of the weights is transposed", LIKELY, "transposed") \
    F(43, MATRIX, "the gradient of the weights leaves out the last row", LIKELY, "left out of the sum") \
    F(44, RMS, "epsilon is left out", LIKELY, "epsilon is left out") \
    F(45, SQUARE, "infinity at the first element", LIKELY, "only the first element") \
    F(46, SUM, "sums along the wrong axis", LIKELY, "attribute axis is ") \
    F(47, SUM, "ignores its attribute `scale`", LIKELY, "attribute scale is ignored") \
    F(48, SUM, "the last element of each row is left out of the sum", LIKELY, "off by one: the last element along axis") \
    F(49, SUM, "an empty axis is not summed to zero", PATTERN, "an empty input") \
    F(50, LIMIT, "at ties the gradient is 2", PATTERN, "ties") \
    F(51, COUNT, "32-bit sums of 64-bit integers", LIKELY, "2^32") \
    F(52, SQUARE, "two runs differ: the order of work-groups decides", MESSAGE, "two equal runs gave different bits") \
    F(53, SQUARE, "the launch lacks an argument", MESSAGE, "the kernel has 8 parameters") \
    F(54, SQUARE, "the kernel does not compile", MESSAGE, "faults.cl:") \
    F(55, SQUARE, "infer refuses a valid shape", MESSAGE, "input X has 2 axes, expected 1") \
    F(56, LOCAL, "a race: the barrier is missing", GRIND, "data race") \
    F(57, LOCAL, "local memory is read before it is written", GRIND, "Uninitialized value") \
    F(58, LOCAL, "a variable is read before it is set", GRIND, "Uninitialized value") \
    F(59, LOCAL, "reads outside its buffer", GRIND, "Invalid read") \
    F(60, LOCAL, "two groups write one element", GRIND, "data race") \
    F(61, LIMIT_UNMARKED, "the sample lies at a kink and does not say so", LIKELY, "the sample lies at a kink") \
    F(62, FLOOR, "the sample lies at a jump, where rounding decides", LIKELY, "the sample lies at a jump")

#endif
