/* Names an op twice. */
#define PROBE_OPS &probe, &probe, NULL
#define PROBE_NAME "Twice"
#include "probe.h"
