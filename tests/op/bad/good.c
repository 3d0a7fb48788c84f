/* The one plugin of this folder that loads. */
#include "probe.h"
