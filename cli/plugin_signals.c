/* Crashes and endless loops in a plugin's C code: which operator's, and in which of its functions, before the program ends. */
#include "cli.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#define TURN 1 /* seconds of processor time between two looks at what runs */

static int answer = -1; /* where a check's child says it; -1: nobody waits for that */
static double limit; /* seconds of processor time that one call may take; 0: until a signal asks */
static uint64_t watched; /* the call that ran at the last look */
static double watched_for;

static const struct {
    int number;
    const char *name;
} faults[] = { { SIGSEGV, "signal 11 (Segmentation fault)" },
               { SIGBUS, "signal 7 (Bus error)" },
               { SIGFPE, "signal 8 (Arithmetic exception)" },
               { SIGILL, "signal 4 (Illegal instruction)" },
               { SIGABRT, "signal 6 (Aborted)" } };

static void say(int to, const char *text)
{
    size_t length = strlen(text);
    while (length > 0) {
        ssize_t n = write(to, text, length);
        if (n <= 0) return;
        text += n;
        length -= (size_t)n;
    }
}

/* Names of operators and shapes have nothing that JSON would have otherwise. */
static void tell(const char *what, const char *call)
{
    char text[1024];
    if (answer >= 0)
        snprintf(text, sizeof text, "{\"status\":%d,\"lost\":1,\"message\":\"%s in the plugin's C code of %s\"}\n", AVAL_E_PLUGIN, what,
                 call);
    else snprintf(text, sizeof text, "aval: %s in the plugin's C code of %s\n", what, call);
    say(answer >= 0 ? answer : STDERR_FILENO, text);
}

static void on_fault(int number)
{
    char call[512];
    const char *name = "a signal";
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
        if (faults[i].number == number) name = faults[i].name;
    if (aval_plugin_call(call, sizeof call) > 0) tell(name, call);
    signal(number, SIG_DFL);
    raise(number); /* as it returns from here */
}

static void on_turn(int number)
{
    char call[512], what[96];
    uint64_t now = aval_plugin_call(call, sizeof call);
    (void)number;
    watched_for = now != 0 && now == watched ? watched_for + TURN : 0;
    watched = now;
    if (watched_for < limit) return;
    snprintf(what, sizeof what, limit > 0 ? "no end within %g seconds (--timeout)" : "no end within the time there is (--timeout)", limit);
    if (now != 0) tell(what, call);
    _exit(CLI_DEVICE);
}

static void take(int number, void (*handler)(int), int flags)
{
    struct sigaction action = { .sa_handler = handler, .sa_flags = flags }, before;
    sigemptyset(&action.sa_mask);
    /* a sanitizer's stays */
    if (sigaction(number, NULL, &before) == 0 && before.sa_handler == SIG_DFL) sigaction(number, &action, NULL);
}

void cli_watch_plugins(int answer_to, double seconds)
{
    static char stack[65536]; /* of a thread whose own is used up */
    const stack_t other = { .ss_sp = stack, .ss_size = sizeof stack };
    const struct itimerval turns = { { TURN, 0 }, { TURN, 0 } };
    answer = answer_to;
    limit = seconds;
    if (sigaltstack(&other, NULL) == 0)
        for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) take(faults[i].number, on_fault, SA_ONSTACK);
    if (answer < 0 && seconds <= 0) return;
    take(SIGVTALRM, on_turn, SA_RESTART | SA_ONSTACK);
    if (seconds > 0) setitimer(ITIMER_VIRTUAL, &turns, NULL);
}
