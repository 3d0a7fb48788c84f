/* Requests to end a training.  They end it after the step under way, with the checkpoint saved. */
#include "train.h"

#include <signal.h>
#include <time.h>

static volatile sig_atomic_t asked;
static volatile sig_atomic_t asked_at; /* seconds; they wrap at the same time as those it is compared with */

static sig_atomic_t whole_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (sig_atomic_t)t.tv_sec;
}

/* timeout signals its child and then the child's group: two signals at once are one request, and only Ctrl-C, pressed again by somebody
   who does not want to wait, ends the program without saving. */
static void on_signal(int number)
{
    sig_atomic_t now = whole_seconds();
    if (!asked) {
        asked_at = now;
        asked = 1;
    } else if (number == SIGINT && now - asked_at > 1) {
        signal(number, SIG_DFL);
        raise(number);
    }
}

void train_catch_signals(void)
{
    const int requests[] = { SIGINT, SIGTERM, SIGHUP };
    struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
        struct sigaction before;
        /* what nohup, or a shell for its background jobs, has turned off stays so */
        if (sigaction(requests[i], NULL, &before) == 0 && before.sa_handler != SIG_IGN) sigaction(requests[i], &action, NULL);
    }
    signal(SIGPIPE, SIG_IGN);
}

bool train_asked_to_end(void)
{
    return asked != 0;
}
