/* Has two derivatives for one input. */
#define PROBE_N_DERIVATIVES 2
#define PROBE_NAME "Derived"
#include "probe.h"
