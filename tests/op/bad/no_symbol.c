/* Exports nothing that a plugin must. */
#define PROBE_NO_SYMBOL
#include "probe.h"
