/* What `aval train` shows meanwhile: a line an epoch on stdout, a bar on stderr when that is a terminal. */
#include "train.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

void train_clear_bar(const train_display *d)
{
    if (d->bar) fputs("\r\033[K", stderr);
}

/* Printed with the first step: what is wrong with the options is found before. */
static void print_start(train_display *d)
{
    const aval_train_options *o = d->options;
    size_t height, width;
    if (d->started) return;
    d->started = true;
    train_clear_bar(d);
    if (!d->lines) return;
    aval_dataset_shape(d->training, &height, &width);
    if (o->resume != NULL) printf("going on from %s", o->resume);
    else printf("training %s", o->model ? o->model : o->net ? o->net : "mlp");
    printf(" on %s: %zu examples of %zu x %zu pixels in %zu classes, %zu to test\n", d->device, aval_dataset_count(d->training), height,
           width, aval_dataset_classes(d->training), aval_dataset_count(d->test));
    if (fflush(stdout) != 0) d->broken = true;
}

/* 0 is not known yet: so far there were only steps that built kernels. */
static void print_rate(char *text, size_t bytes, double examples_per_second)
{
    text[0] = 0;
    if (examples_per_second > 0) snprintf(text, bytes, "  %.0f examples/s", examples_per_second);
}

/* The bar has what room the terminal's width leaves; a line that wrapped could not be drawn over. */
static void draw_bar(const aval_train_progress *p)
{
    enum { WIDEST = 30, NARROWEST = 5, BRACKETS = 3 };
    char epoch[64], numbers[128], rate[64], bar[WIDEST + BRACKETS + 1] = "";
    struct winsize window = { 0 };
    int columns = ioctl(STDERR_FILENO, TIOCGWINSZ, &window) == 0 && window.ws_col > 1 ? window.ws_col - 1 : 79;
    snprintf(epoch, sizeof epoch, "epoch %3llu/%llu ", (unsigned long long)p->epoch, (unsigned long long)p->epochs);
    snprintf(numbers, sizeof numbers, "loss %.4f", p->loss);
    print_rate(rate, sizeof rate, p->examples_per_second);
    if ((int)(strlen(epoch) + strlen(numbers) + strlen(rate)) <= columns) strcat(numbers, rate);
    int room = columns - (int)strlen(epoch) - (int)strlen(numbers) - BRACKETS;
    if (room >= NARROWEST) {
        size_t width = room < WIDEST ? (size_t)room : WIDEST, filled = p->steps > 0 ? (size_t)(width * p->step / p->steps) : 0;
        bar[0] = '[';
        for (size_t i = 0; i < width; i++) bar[1 + i] = i < filled ? '#' : '.';
        memcpy(bar + 1 + width, "] ", sizeof "] ");
    }
    char line[sizeof epoch + sizeof bar + sizeof numbers];
    snprintf(line, sizeof line, "%s%s%s", epoch, bar, numbers);
    fprintf(stderr, "\r%.*s\033[K", columns, line);
}

static void print_epoch(train_display *d, const aval_train_progress *p)
{
    char rate[64];
    print_rate(rate, sizeof rate, p->examples_per_second);
    printf("epoch %3llu/%llu  loss %.4f  test accuracy %.2f %%%s\n", (unsigned long long)p->epoch, (unsigned long long)p->epochs, p->loss,
           100 * p->test_accuracy, rate);
    if (fflush(stdout) != 0) d->broken = true;
}

int train_show_progress(void *display, const aval_train_progress *p)
{
    train_display *d = display;
    print_start(d);
    if (!p->epoch_done) {
        double now = cli_seconds();
        if (d->bar && now - d->drawn_at > 0.1) {
            draw_bar(p);
            d->drawn_at = now;
        }
        return train_asked_to_end() || d->broken;
    }
    train_clear_bar(d);
    if (d->lines) print_epoch(d, p);
    if (d->epochs != NULL)
        json_array_append_new(d->epochs,
                              json_pack("{s:I, s:f, s:f, s:f, s:f}", "epoch", (json_int_t)p->epoch, "loss", p->loss, "test_loss",
                                        p->test_loss, "test_accuracy", p->test_accuracy, "examples_per_second", p->examples_per_second));
    return train_asked_to_end() || d->broken;
}
