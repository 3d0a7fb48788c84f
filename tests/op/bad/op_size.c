/* Says that its op is smaller than this ABI's. */
#define PROBE_OP_SIZE (sizeof(aval_op) - 8)
#define PROBE_NAME "OpSize"
#include "probe.h"
