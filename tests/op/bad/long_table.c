/* Says that its table is larger than the object that holds it. */
#define PROBE_SIZE 4096
#include "probe.h"
