/* Running the program in a folder of the test's own. */
#ifndef AVAL_TEST_CHECK_COMMAND_H
#define AVAL_TEST_CHECK_COMMAND_H

#include <jansson.h>

typedef struct command_outcome {
    int exit_code;
    char *out, *err; /* until the next command */
} command_outcome;

void command_begin(void);
void command_end(void);
const command_outcome *command_run(const char *arguments);
/* A file of the folder, ended by 0; for free. */
char *command_read(const char *file);
/* The first entry of a sub-folder; "" when it is empty or not there.  Until the next call. */
const char *command_first_entry(const char *folder);

#endif
