/* Builds one small program as a process would that has just started, to see where it comes from. */
#ifndef AVAL_TEST_BUILDING_H
#define AVAL_TEST_BUILDING_H

#include "harness.h"

extern const char building_source[];
/* What the device's platform is said to be: not all programs of PoCL are kept, those of most platforms are. */
extern const char *building_platform;

/* Builds the source on a newly opened device (with this driver version, unless NULL), runs it, and gives what the device counted.
   With -DMORE it has a second kernel.  `options` end in "=NUMBER", which the program must give back. */
aval__program_counters build_once(const char *options, const char *driver);
/* Path of the only entry in the cache. */
void find_entry(const char *folder, char *path, size_t bytes);

#endif
