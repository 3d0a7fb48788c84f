/* The training loop: shuffled mini-batches, evaluation after each epoch, checkpoints.
 *
 * Bitwise reproducible for one seed on one device: the order of examples follows from (seed, epoch), all else is in the store. What depends on
 * the clock (how often the loss is read for the progress bar) only reads. */
#include "train/train.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define EVALUATION_BATCH 512
#define SECONDS_BETWEEN_READS 0.1 /* of the loss, for `progress` */

typedef struct trainer {
    aval_context *ctx;
    const aval__recipe *recipe;
    aval_store *store;
    aval__runner train, test;
    float *scores; /* [EVALUATION_BATCH, classes] */
    uint32_t *order; /* of the training examples in this epoch */
    size_t batch, steps; /* steps of an epoch */
    aval__position position;
    uint64_t steps_here; /* done in this call */
    aval_train_function progress;
    void *user;
    double started, read_at; /* seconds */
    double timed_from;
    uint64_t timed_examples; /* since timed_from */
    bool ran_full, ran_rest; /* a step of a full batch, and one of the epoch's smaller last batch */
    AVAL__VEC(double) rates; /* examples a second of each epoch */
    aval_read *reading; /* of the loss, behind a step that may not be done yet; NULL: none */
    float read_sum;
    size_t read_examples; /* that it is the loss of */
    double loss, test_loss, test_accuracy, first_step;
    bool stop;
    bool interrupted; /* stopped by `progress` */
} trainer;

/* ---- Evaluation --------------------------------------------------------------------------------------------------------------- */

/* The first largest score is the answer; a NaN is never one. */
static size_t count_correct(const float *scores, const uint32_t *labels, size_t n, size_t classes)
{
    size_t correct = 0;
    for (size_t i = 0; i < n; i++) {
        size_t best = classes;
        for (size_t c = 0; c < classes; c++) {
            float score = scores[i * classes + c];
            if (!isnan(score) && (best == classes || score > scores[i * classes + best])) best = c;
        }
        correct += best == labels[i];
    }
    return correct;
}

static int evaluate(trainer *t)
{
    aval__runner *r = &t->test;
    const aval_dataset *data = r->data;
    size_t classes = r->network.classes, correct = 0;
    double loss = 0;
    for (size_t first = 0; first < data->count; first += EVALUATION_BATCH) {
        size_t n = data->count - first < EVALUATION_BATCH ? data->count - first : EVALUATION_BATCH;
        float batch_loss;
        AVAL__TRY(aval__runner_feed(r, NULL, first, n));
        AVAL__TRY(aval_session_run(r->session, r->network.wanted, r->network.n_wanted));
        AVAL__TRY(aval_session_read(r->session, r->network.scores, t->scores, n * classes * sizeof(float)));
        AVAL__TRY(aval_session_read(r->session, r->network.loss, &batch_loss, sizeof batch_loss));
        correct += count_correct(t->scores, data->labels + first, n, classes);
        loss += (double)batch_loss * (double)n;
    }
    t->test_accuracy = (double)correct / (double)data->count;
    t->test_loss = loss / (double)data->count;
    return AVAL_OK;
}

/* ---- Progress ------------------------------------------------------------------------------------------------------------------- */

static size_t examples_done(const trainer *t)
{
    size_t done = (size_t)t->position.steps * t->batch;
    return done < t->train.data->count ? done : t->train.data->count;
}

/* Says what may have made the loss NaN or infinite. */
static int diverged(const trainer *t)
{
    const aval_train_options *o = &t->recipe->options;
    const char *loss = isnan(t->loss) ? "not a number" : "infinite";
    unsigned long long epoch = (unsigned long long)t->position.epochs + 1;
    if (o->weight_decay * o->lr >= 1)
        return aval__fail(AVAL_E_ANOMALY,
                          "the loss is %s in epoch %llu: a weight decay of %g at a learning rate of %g makes weights grow; "
                          "their product was expected below 1",
                          loss, epoch, o->weight_decay, o->lr);
    return aval__fail(AVAL_E_ANOMALY,
                      "the loss is %s in epoch %llu: the training diverged; try a learning rate below %g, or let anomaly mode "
                      "(--anomaly) name the first node that did so",
                      loss, epoch, o->lr);
}

/* The mean loss of the epoch up to where a read was begun. */
static int end_reading(trainer *t)
{
    aval_read *reading = t->reading;
    t->reading = NULL;
    AVAL__TRY(aval_read_wait(reading));
    if (t->read_examples == 0) return AVAL_OK; /* none was under way */
    t->loss = (double)t->read_sum / (double)t->read_examples;
    t->read_examples = 0;
    return isfinite(t->loss) ? AVAL_OK : diverged(t);
}

/* Reads the loss behind the steps so far. */
static int begin_reading(trainer *t)
{
    AVAL__TRY(end_reading(t));
    AVAL__TRY(aval_store_get_later(t->store, AVAL__STATE_LOSS, &t->read_sum, sizeof t->read_sum, &t->reading));
    t->read_examples = examples_done(t);
    t->read_at = aval__seconds();
    return AVAL_OK;
}

/* The mean loss of the epoch so far; waits for the device. */
static int read_loss(trainer *t)
{
    AVAL__TRY(begin_reading(t));
    return end_reading(t);
}

static double rate(const trainer *t)
{
    double seconds = aval__seconds() - t->timed_from;
    return t->timed_examples > 0 && seconds > 0 ? (double)t->timed_examples / seconds : 0;
}

static void report_progress(trainer *t, bool epoch_done, double examples_per_second)
{
    if (t->progress == NULL) return;
    const aval_train_progress p = {
        .size = sizeof p,
        .epoch = t->position.epochs + 1,
        .epochs = t->recipe->options.epochs,
        .step = t->position.steps,
        .steps = t->steps,
        .epoch_done = epoch_done,
        .loss = t->loss,
        .test_accuracy = epoch_done ? t->test_accuracy : NAN,
        .test_loss = epoch_done ? t->test_loss : NAN,
        .examples_per_second = examples_per_second,
        .seconds_to_first_step = t->first_step,
    };
    if (t->progress(t->user, &p) != 0) t->stop = t->interrupted = true;
}

/* ---- Steps and epochs ------------------------------------------------------------------------------------------------------------ */

static int run_step(trainer *t, size_t first, size_t n)
{
    AVAL__TRY(aval__runner_feed(&t->train, t->order, first, n));
    return aval_session_run(t->train.session, t->train.network.wanted, t->train.network.n_wanted);
}

/* The first step of a batch size plans and builds: its time is left out of the rate. */
static int run_untimed_step(trainer *t, size_t first, size_t n)
{
    AVAL__TRY(aval_session_wait(t->train.session));
    double began = aval__seconds();
    AVAL__TRY(run_step(t, first, n));
    AVAL__TRY(aval_session_wait(t->train.session));
    t->timed_from += aval__seconds() - began;
    return AVAL_OK;
}

static int step(trainer *t)
{
    size_t first = (size_t)t->position.steps * t->batch, count = t->train.data->count;
    size_t n = count - first < t->batch ? count - first : t->batch;
    bool *ran = n == t->batch ? &t->ran_full : &t->ran_rest;
    if (*ran) {
        AVAL__TRY(run_step(t, first, n));
        t->timed_examples += n;
    } else {
        AVAL__TRY(run_untimed_step(t, first, n));
        *ran = true;
    }
    t->position.steps++;
    if (t->steps_here++ == 0) t->first_step = aval__seconds() - t->started;
    AVAL__TRY(end_reading(t)); /* of the step before, which this one is behind: the device does not stand still */
    if (t->progress != NULL && aval__seconds() - t->read_at > SECONDS_BETWEEN_READS)
        AVAL__TRY(t->position.steps == 1 ? read_loss(t) : begin_reading(t)); /* at first there is none to show meanwhile */
    if (t->position.steps < t->steps) report_progress(t, false, rate(t));
    if (t->recipe->options.stop_after_steps > 0 && t->steps_here >= t->recipe->options.stop_after_steps) t->stop = true;
    return AVAL_OK;
}

static int end_epoch(trainer *t)
{
    AVAL__TRY(read_loss(t));
    double examples_per_second = rate(t);
    if (examples_per_second > 0) AVAL__TRY(aval__vec_push(&t->rates, examples_per_second));
    AVAL__TRY(evaluate(t));
    report_progress(t, true, examples_per_second);
    t->position = (aval__position){ .epochs = t->position.epochs + 1 };
    return AVAL_OK;
}

static int epoch(trainer *t)
{
    if (t->position.steps == 0) AVAL__TRY(aval_store_fill(t->store, AVAL__STATE_LOSS, AVAL_FLOAT, AVAL_SCALAR, 0));
    aval__shuffle(t->order, t->train.data->count, t->recipe->options.seed, t->position.epochs);
    t->timed_from = aval__seconds();
    t->timed_examples = 0;
    t->read_at = 0; /* what was read last is of the epoch before */
    while (t->position.steps < t->steps && !t->stop) AVAL__TRY(step(t));
    return t->position.steps == t->steps ? end_epoch(t) : AVAL_OK;
}

static int save(trainer *t, const char *file)
{
    return file == NULL ? AVAL_OK : aval__checkpoint_save(t->store, t->recipe, t->position, t->train.data, file);
}

static int all_epochs(trainer *t)
{
    const aval_train_options *o = &t->recipe->options;
    if (t->position.epochs >= o->epochs) { /* a finished training was resumed */
        AVAL__TRY(evaluate(t));
        return save(t, o->save);
    }
    while (t->position.epochs < o->epochs && !t->stop) {
        AVAL__TRY(epoch(t));
        if (!t->stop) AVAL__TRY(save(t, o->save));
    }
    if (!t->stop) return AVAL_OK;
    bool unfinished = t->position.epochs < o->epochs;
    return save(t, unfinished && t->interrupted && o->save_interrupted != NULL ? o->save_interrupted : o->save);
}

/* ---- Start and end ------------------------------------------------------------------------------------------------------------------ */

static int check_data(const aval_dataset *train, const aval_dataset *test)
{
    if (train->count == 0 || test->count == 0 || train->height * train->width == 0)
        return aval__fail(AVAL_E_ARGUMENT, "expected examples to train and to test on, found %zu and %zu of %zu x %zu pixels", train->count,
                          test->count, train->height, train->width);
    if (train->channels != test->channels || train->height != test->height || train->width != test->width || train->type != test->type)
        return aval__fail(AVAL_E_SHAPE,
                          "the training images are %s of %zu x %zu x %zu, the test images %s of %zu x %zu x %zu: expected the same",
                          aval_type_name(train->type), train->channels, train->height, train->width, aval_type_name(test->type),
                          test->channels, test->height, test->width);
    if (test->classes > train->classes)
        return aval__fail(AVAL_E_ARGUMENT, "the test labels go to %zu, the training labels only to %zu", test->classes - 1,
                          train->classes - 1);
    return AVAL_OK;
}

static int prepare(trainer *t, const aval_dataset *train, const aval_dataset *test)
{
    size_t asked = (size_t)t->recipe->options.batch;
    float rate_now = (float)t->recipe->options.lr;
    t->batch = asked < train->count ? asked : train->count;
    t->steps = (train->count + t->batch - 1) / t->batch;
    if (t->position.steps > t->steps)
        return aval__fail(AVAL_E_ARGUMENT,
                          "the checkpoint stands at step %llu of an epoch, but an epoch of this data has %zu: resume on the data "
                          "that it was made with",
                          (unsigned long long)t->position.steps, t->steps);
    t->order = aval__alloc_array(train->count, sizeof *t->order);
    if (t->order == NULL) return AVAL_E_MEMORY;
    AVAL__TRY(aval_store_set(t->store, AVAL__STATE_RATE, AVAL_FLOAT, AVAL_SCALAR, &rate_now));
    AVAL__TRY(aval__runner_create(&t->train, t->ctx, t->store, t->recipe, train, train, true, t->batch));
    AVAL__TRY(aval_session_set_memory_bound(t->train.session, t->recipe->options.memory));
    if (t->recipe->options.anomaly) {
        AVAL__TRY(aval_session_set_memory(t->train.session, AVAL_MEMORY_RETAINED)); /* so that no node is hidden in a fused launch */
        AVAL__TRY(aval_session_set_anomaly(t->train.session, 1));
    }
    AVAL__TRY(aval__runner_create(&t->test, t->ctx, t->store, t->recipe, train, test, false, EVALUATION_BATCH));
    t->scores = aval__alloc_array(EVALUATION_BATCH, t->test.network.classes * sizeof *t->scores);
    return t->scores != NULL ? AVAL_OK : AVAL_E_MEMORY;
}

static void fill_report(trainer *t, aval_train_report *report)
{
    const aval_train_report all = {
        .size = report->size,
        .steps = t->steps_here,
        .parameters = t->train.network.parameters,
        .train_loss = t->loss,
        .test_loss = t->test_loss,
        .test_accuracy = t->test_accuracy,
        .examples_per_second = t->rates.count > 0 ? aval__median(t->rates.at, t->rates.count) : rate(t),
        .seconds = aval__seconds() - t->started,
        .seconds_to_first_step = t->first_step,
        .interrupted = t->position.epochs < t->recipe->options.epochs,
    };
    memcpy(report, &all, report->size < sizeof all ? report->size : sizeof all);
}

AVAL_API int aval_train(aval_context *ctx, const aval_train_options *options, aval_dataset *train, aval_dataset *test,
                        aval_train_function progress, void *user, aval_train_report *report)
{
    AVAL__NEED(ctx, "a context");
    AVAL__NEED(options, "a struct of options");
    AVAL__NEED(train && test, "a data set to train on and one to test on");
    aval__recipe recipe = { 0 };
    char *saved = NULL;
    trainer t = { .ctx = ctx, .recipe = &recipe, .progress = progress, .user = user, .started = aval__seconds() };
    int status = AVAL_OK;
    t.loss = t.test_loss = t.test_accuracy = NAN;
    AVAL__TRY(check_data(train, test));
    AVAL__TRY_DONE(aval_store_create(ctx, &t.store));
    if (options->resume != NULL) AVAL__TRY_DONE(aval__checkpoint_load(t.store, options->resume, &saved, &t.position));
    AVAL__TRY_DONE(aval__recipe_make(options, saved, &recipe));
    AVAL__TRY_DONE(prepare(&t, train, test));
    if (recipe.options.save != NULL) AVAL__TRY_DONE(aval_store_can_save(t.store, recipe.options.save));
    if (recipe.options.save_model != NULL) AVAL__TRY_DONE(aval_store_can_save(t.store, recipe.options.save_model));
    AVAL__TRY_DONE(all_epochs(&t));
    if (recipe.options.save_model != NULL && !t.interrupted)
        AVAL__TRY_DONE(aval__export(ctx, t.store, &recipe, train, recipe.options.save_model));
    if (report != NULL) fill_report(&t, report);
done:
    aval_read_wait(t.reading);
    aval__runner_release(&t.train);
    aval__runner_release(&t.test);
    aval_store_release(t.store);
    aval__recipe_release(&recipe);
    aval__free(saved);
    aval__free(t.order);
    aval__free(t.scores);
    aval__vec_release(&t.rates);
    return status;
}
