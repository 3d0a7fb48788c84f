/* Has an op without samples. */
#define PROBE_SAMPLES NULL
#define PROBE_NAME "Unsampled"
#include "probe.h"
