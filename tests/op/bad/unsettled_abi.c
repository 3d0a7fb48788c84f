/* Built when the ABI was not settled: nothing says how its structs lie. */
#define PROBE_ABI 0
#include "probe.h"
