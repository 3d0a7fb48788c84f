/* Says that its table is smaller than this ABI's. */
#define PROBE_SIZE (sizeof(aval_plugin) - 8)
#include "probe.h"
