/* Has an op without a name. */
#define PROBE_NAME NULL
#include "probe.h"
