/* Brings an op that good.so brings too. */
#include "probe.h"
