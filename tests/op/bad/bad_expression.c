/* Has an expression that does not parse. */
#define PROBE_EXPRESSION "alpha * (x"
#define PROBE_NAME "Unclosed"
#include "probe.h"
