/* Says that its op is smaller than that of the first version of this ABI. */
#define PROBE_OP_SIZE offsetof(aval_op, products)
#define PROBE_NAME "OpSize"
#include "probe.h"
