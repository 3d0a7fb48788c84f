/* Built for an ABI that this runtime does not know. */
#define PROBE_ABI 1000
#include "probe.h"
