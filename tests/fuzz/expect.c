/* What every loader promises of every file. */
#include "fuzz.h"

#include "aval/aval.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void fuzz_expect_message(int status)
{
    if (status == AVAL_OK) return;
    if (status < 0 && status != AVAL_E_INTERNAL && strlen(aval_error()) > 5) return;
    fprintf(stderr, "status %d (%s), message '%s'\n", status, aval_status_name(status), aval_error());
    abort();
}
