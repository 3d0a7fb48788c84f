/* The progress bar of aval train on a terminal. */
#include "program.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

TestSuite(bar, .init = program_begin, .fini = program_end);

/* All that a training writes to a terminal of so many columns, NUL at its end. */
static void train_on_terminal(unsigned short columns, char *text, size_t bytes)
{
    int terminal = posix_openpt(O_RDWR | O_NOCTTY);
    cr_assert(terminal >= 0 && grantpt(terminal) == 0 && unlockpt(terminal) == 0);
    int end = open(ptsname(terminal), O_RDWR | O_NOCTTY);
    cr_assert_geq(end, 0);
    cr_assert_eq(ioctl(end, TIOCSWINSZ, &(struct winsize){ .ws_row = 24, .ws_col = columns }), 0);
    pid_t child = fork();
    if (child == 0) {
        dup2(open("/dev/null", O_WRONLY), STDOUT_FILENO);
        dup2(end, STDERR_FILENO);
        close(terminal);
        execl(AVAL_PROGRAM, "aval", "train", "lenet", "--epochs", "2", (char *)NULL);
        _exit(127);
    }
    close(end);
    size_t length = 0;
    for (ssize_t got; length + 1 < bytes && (got = read(terminal, text + length, bytes - 1 - length)) > 0;) length += (size_t)got;
    text[length] = 0;
    int status;
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    close(terminal);
}

static void expect_bars_within(unsigned short columns)
{
    static char text[1 << 20];
    size_t bars = 0;
    train_on_terminal(columns, text, sizeof text);
    for (char *line = strtok(text, "\r\n"); line != NULL; line = strtok(NULL, "\r\n")) {
        char *cleared = strstr(line, "\033[K");
        if (cleared == NULL || strncmp(line, "epoch", 5) != 0) continue;
        bars++;
        cr_expect_lt(cleared - line, columns, "%s", line);
    }
    cr_expect_gt(bars, 0);
}

Test(bar, fits_the_terminal)
{
    expect_bars_within(20);
    expect_bars_within(40);
    expect_bars_within(200);
}
