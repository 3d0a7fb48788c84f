/* The children that run cases.  A child that dies is told of, and the next case gets a new one; an op whose cases crash one
 * after the other is left, as is one in which a child is silent for too long.
 *
 * A device may have several, one an element type, so that a machine with several cores builds and runs the cases to come while one is waited for:
 * programs differ by element type, so no child builds what another has. */
#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MOST_CHILDREN 3 /* of a device */
#define MOST_TURNS 9
#define LEAST_WORK 0.02 /* of the time: a driver that waits for what never comes has less */

typedef struct child {
    pid_t pid; /* 0: none */
    int to, from; /* pipes; -1: closed */
    char *pending; /* the line that it works on, or whose answer nobody has read; NULL: none */
    double waited; /* seconds of this op, or of its turn where it got more than one */
    int turns; /* that this op got beyond the first */
    double worked_at_start, worked_at_turn; /* processor time when the op and its last turn began */
    char *text; /* what was read and is not yet a line */
    size_t length, room;
} child;

/* A device, and who runs its cases. */
typedef struct seat {
    size_t device;
    child children[MOST_CHILDREN];
    child *asked; /* has the case under way; NULL: none could be asked */
    char op[128]; /* under way */
    unsigned crashes; /* cases of this op in a row that ended a child */
    bool left; /* the op's further cases are not run */
    bool sources; /* what is under way is no case, but its sources */
    /* of the last outcome */
    json_t *line;
    void *results;
    char message[2048];
} seat;

struct check_crew {
    aval_context *ctx;
    char **argv; /* of a child; the device's place is argv[device_place] */
    size_t device_place;
    check_limits limits;
    seat *seats;
    size_t n_children; /* of a device, at most */
    aval_check_runner runner;
    json_t *model; /* what a model runner's requests are about */
};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- Starting and ending -------------------------------------------------------------------------------------------------- */

/* After fork: nothing here may allocate.  Never returns. */
static void become_worker(const check_crew *crew, int in, int out, char *const *argv)
{
    if (crew->limits.memory_bytes > 0) {
        const struct rlimit limit = { crew->limits.memory_bytes, crew->limits.memory_bytes };
        setrlimit(RLIMIT_AS, &limit);
    }
    const struct rlimit no_core = { 0, 0 };
    setrlimit(RLIMIT_CORE, &no_core);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGPIPE, SIG_DFL);
    if (dup2(in, STDIN_FILENO) >= 0 && dup2(out, STDOUT_FILENO) >= 0) execv("/proc/self/exe", argv);
    _exit(127);
}

static bool start(check_crew *crew, const seat *s, child *c)
{
    int request[2], answer[2];
    char number[32];
    snprintf(number, sizeof number, "%zu", s->device);
    crew->argv[crew->device_place] = number;
    if (pipe2(request, O_CLOEXEC) != 0) return false;
    if (pipe2(answer, O_CLOEXEC) != 0) {
        close(request[0]);
        close(request[1]);
        return false;
    }
    c->pid = fork();
    if (c->pid == 0) become_worker(crew, request[0], answer[1], crew->argv);
    close(request[0]);
    close(answer[1]);
    c->to = request[1];
    c->from = answer[0];
    c->length = 0;
    c->worked_at_start = c->worked_at_turn = 0;
    if (c->pid > 0) return true;
    c->pid = 0;
    close(c->to);
    close(c->from);
    return false;
}

/* How it ended, when it had already; else it is ended. */
static int stop(child *c)
{
    int status = 0;
    free(c->pending);
    c->pending = NULL;
    if (c->pid == 0) return 0;
    close(c->to);
    close(c->from);
    kill(c->pid, SIGKILL);
    while (waitpid(c->pid, &status, 0) < 0 && errno == EINTR) continue;
    c->pid = 0;
    return status;
}

/* ---- Asking ------------------------------------------------------------------------------------------------------------------ */

static void forget_outcome(seat *s)
{
    json_decref(s->line);
    free(s->results);
    s->line = NULL;
    s->results = NULL;
    s->message[0] = 0;
}

/* A line as text with its end, for free; takes the line over. */
static char *take_line(json_t *line)
{
    char *text = line == NULL ? NULL : json_dumps(line, JSON_COMPACT);
    size_t length = text == NULL ? 0 : strlen(text);
    char *ended = text == NULL ? NULL : realloc(text, length + 2);
    json_decref(line);
    if (ended == NULL) free(text);
    else memcpy(ended + length, "\n", 2);
    return ended;
}

/* Where it fails the child has ended, which finish finds out. */
static void send_line(const child *c, const char *text)
{
    size_t length = strlen(text), done = 0;
    while (done < length) {
        ssize_t n = write(c->to, text + done, length - done);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) break;
        done += (size_t)n;
    }
}

/* Seconds of processor time that the child and its threads have had; negative: unknown. */
static double worked(pid_t pid)
{
    clockid_t clock;
    struct timespec t;
    if (pid == 0 || clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &t) != 0) return -1;
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* An op, or a model's step, begins. */
static void begin_turns(child *c)
{
    double work = worked(c->pid);
    c->waited = 0;
    c->turns = 0;
    c->worked_at_start = c->worked_at_turn = work < 0 ? 0 : work;
}

/* Is it only that the machine has other work?  A child that was silent for its whole limit gets as long again, MOST_TURNS in all, while it still
   works and has not had the limit in processor time. */
static bool deserves_another_turn(const check_crew *crew, child *c)
{
    double work = worked(c->pid), during_turn = work - c->worked_at_turn;
    if (work < 0 || c->turns >= MOST_TURNS || work - c->worked_at_start >= crew->limits.seconds) return false;
    if (during_turn < LEAST_WORK * crew->limits.seconds) return false;
    c->worked_at_turn = work;
    c->turns++;
    c->waited = 0;
    return true;
}

/* Reads until there is an answer; NULL: the child has ended (*hung: or is silent for too long).  json_null: no JSON. */
static json_t *read_line(check_crew *crew, child *c, bool *hung)
{
    char *end = NULL;
    size_t seen = 0; /* bytes without an end of line: megabytes come in pieces, and each is searched once */
    *hung = false;
    while ((end = c->length == seen ? NULL : memchr(c->text + seen, '\n', c->length - seen)) == NULL) {
        seen = c->length;
        double started = now(), left = crew->limits.seconds - c->waited;
        struct pollfd wait = { .fd = c->from, .events = POLLIN };
        int ready = left <= 0 ? 0 : poll(&wait, 1, (int)(left * 1000) + 1);
        c->waited += now() - started;
        if (ready < 0 && errno == EINTR) continue;
        if (ready == 0 && deserves_another_turn(crew, c)) continue;
        *hung = ready == 0;
        if (ready <= 0) return NULL;
        if (c->room < c->length + 65536) {
            char *grown = realloc(c->text, 2 * c->room + 131072);
            if (grown == NULL) return NULL;
            c->text = grown;
            c->room = 2 * c->room + 131072;
        }
        ssize_t n = read(c->from, c->text + c->length, c->room - c->length);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return NULL;
        c->length += (size_t)n;
    }
    size_t used = (size_t)(end - c->text) + 1;
    json_t *line = json_loadb(c->text, used - 1, 0, NULL);
    memmove(c->text, c->text + used, c->length - used);
    c->length -= used;
    free(c->pending);
    c->pending = NULL;
    return line != NULL ? line : json_null();
}

/* What the child was given in advance and nobody wants any more must not be taken for another answer. */
static void settle(check_crew *crew, child *c)
{
    bool hung;
    json_t *line = c->pending == NULL ? NULL : read_line(crew, c, &hung);
    if (line == NULL && c->pending != NULL) stop(c);
    json_decref(line);
}

/* Gives the child a line to work on, which is its from then on; false: it cannot be started. */
static bool give(check_crew *crew, const seat *s, child *c, char *line)
{
    settle(crew, c);
    if (c->pid == 0 && !start(crew, s, c)) {
        free(line);
        return false;
    }
    c->pending = line;
    send_line(c, line);
    return true;
}

/* The child that runs cases of this element type. */
static child *child_for(const check_crew *crew, seat *s, int type)
{
    size_t place = type == AVAL_DOUBLE ? 1 : type == AVAL_FLOAT16 ? 2 : 0;
    return &s->children[place % crew->n_children];
}

/* Has the child work on a line, if none has been given it in advance.  `op` is what it belongs to: one that was left stays so until another one comes. */
static void ask(check_crew *crew, seat *s, const char *op, child *c, json_t *json)
{
    char *line = take_line(json);
    forget_outcome(s);
    if (strcmp(s->op, op) != 0) {
        snprintf(s->op, sizeof s->op, "%s", op);
        s->left = false;
        s->crashes = 0;
        for (size_t i = 0; i < crew->n_children; i++) begin_turns(&s->children[i]);
    }
    s->asked = NULL;
    for (size_t i = 0; line != NULL && i < crew->n_children; i++) {
        if (s->children[i].pending != NULL && strcmp(s->children[i].pending, line) == 0) s->asked = &s->children[i];
    }
    if (crew->limits.goes_on) begin_turns(c); /* the limit is for a case, then */
    if (line == NULL || s->left || s->asked != NULL) free(line);
    else if (give(crew, s, c, line)) s->asked = c;
}

static void begin(void *user, size_t device, const aval_check_case *what)
{
    check_crew *crew = user;
    seat *s = &crew->seats[device];
    s->sources = what->sources != 0;
    ask(crew, s, what->op, child_for(crew, s, what->type), check_case_to_json(what));
}

/* Begins a case to come, where a child has nothing to do. */
static void expect(void *user, size_t device, const aval_check_case *what)
{
    check_crew *crew = user;
    seat *s = &crew->seats[device];
    child *c = child_for(crew, s, what->type);
    char *line = s->left || c->pending != NULL ? NULL : take_line(check_case_to_json(what));
    if (line != NULL) give(crew, s, c, line);
}

/* What a seat works on, in place of an operator. */
static const char of_model[] = "a model";

static void begin_model(void *user, size_t device, const void *request, size_t bytes)
{
    check_crew *crew = user;
    seat *s = &crew->seats[device];
    s->sources = false;
    begin_turns(&s->children[0]); /* the limit is for a step */
    ask(crew, s, of_model, &s->children[0], json_pack("{s:O, s:o}", "model", crew->model, "request", check_bytes_to_json(request, bytes)));
}

/* A driver that cannot run an op at all would end a child a case.  What else was begun of an op that is left would only be in the way. */
static void leave_op_if_hopeless(const check_crew *crew, seat *s, bool hung)
{
    if (!s->sources) s->crashes++;
    s->left = (hung && !crew->limits.goes_on) || s->crashes >= crew->limits.crashes;
    for (size_t i = 0; s->left && i < crew->n_children; i++) {
        if (s->children[i].pending != NULL) stop(&s->children[i]);
    }
}

/* What a signal most likely means to the author of an operator, and the command that shows where it happens. */
static void propose_cause(const check_crew *crew, const seat *s, int signal_number, char *text, size_t bytes)
{
    static const struct {
        int number;
        const char *cause;
    } causes[] = {
        { SIGSEGV, "reads or writes outside its tensors: is there an `if (i >= n) return;`, is each tensor's offset added, do the launch's "
                   "arguments "
                   "stand in the order of the kernel's parameters?" },
        { SIGFPE, "divides an integer by 0: is there a length of 0?" },
        { SIGILL, "does what its compiler takes to be impossible, such as falling off a function that has a result" },
    };
    const char *cause = causes[0].cause; /* SIGBUS and, by the allocator that finds its lists overwritten, SIGABRT too */
    for (size_t i = 0; i < sizeof causes / sizeof *causes; i++)
        if (causes[i].number == signal_number) cause = causes[i].cause;
    int told = snprintf(text, bytes,
                        ".  Most likely a kernel %s  oclgrind (Debian's package) names its line: oclgrind --build-options -cl-opt-disable "
                        "aval check --in-process --quick",
                        cause);
    for (size_t i = crew->device_place + 1; crew->argv[i] != NULL && told > 0 && (size_t)told < bytes; i++)
        told += snprintf(text + told, bytes - (size_t)told, " %s", crew->argv[i]);
    const char *net = strcmp(s->op, of_model) == 0 ? json_string_value(json_object_get(crew->model, "net")) : NULL;
    if (told > 0 && (size_t)told < bytes) snprintf(text + told, bytes - (size_t)told, " %s", net == NULL ? s->op : net);
}

/* A plugin's C code, which the child runs, ended it with a last word. */
static bool is_last_word(const json_t *line)
{
    return json_integer_value(json_object_get(line, "lost")) != 0;
}

/* Does a plugin's C code keep the silent child from answering?  Then s->message is what it says of that. */
static bool ask_what_runs(check_crew *crew, seat *s)
{
    const char *message;
    bool hung;
    child *c = s->asked;
    if (c->pid == 0 || kill(c->pid, SIGVTALRM) != 0) return false;
    c->turns = MOST_TURNS;
    c->waited = crew->limits.seconds - 1; /* a second more */
    json_t *line = read_line(crew, c, &hung);
    bool told = line != NULL && is_last_word(line) && json_unpack(line, "{s:s}", "message", &message) == 0;
    if (told) snprintf(s->message, sizeof s->message, "%s", message);
    json_decref(line);
    return told;
}

/* Says in `message` how the child was lost; returns the word for it. */
static const char *describe_end(check_crew *crew, seat *s, bool hung)
{
    bool named = hung && ask_what_runs(crew, s);
    int status = stop(s->asked);
    if (hung) {
        if (!named)
            snprintf(s->message, sizeof s->message, "no answer within %g seconds an operator or step (--timeout); its process was ended",
                     crew->limits.seconds);
        begin_turns(s->asked);
        return "hung";
    }
    if (WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL) {
        int told = snprintf(s->message, sizeof s->message, "its process was ended by signal %d (%s)", WTERMSIG(status),
                            strsignal(WTERMSIG(status)));
        propose_cause(crew, s, WTERMSIG(status), s->message + told, sizeof s->message - (size_t)told);
    } else if (WIFEXITED(status)) {
        snprintf(s->message, sizeof s->message, "its process ended by itself with exit code %d", WEXITSTATUS(status));
    } else {
        snprintf(s->message, sizeof s->message, "its process was killed%s", crew->limits.memory_bytes > 0 ? " (see --memory)" : "");
    }
    return "crashed";
}

static void finish(void *user, size_t device, aval_check_outcome *outcome)
{
    check_crew *crew = user;
    seat *s = &crew->seats[device];
    bool hung = false;
    outcome->status = AVAL_E_DEVICE;
    outcome->fate = "error";
    outcome->message = s->message;
    outcome->skip = s->left;
    if (s->left) return;
    if (s->asked == NULL) {
        snprintf(s->message, sizeof s->message, "its process cannot be started: %s", strerror(errno));
        return;
    }
    s->line = read_line(crew, s->asked, &hung);
    if (s->line == NULL) {
        outcome->fate = describe_end(crew, s, hung);
        leave_op_if_hopeless(crew, s, hung);
        return;
    }
    if (is_last_word(s->line)) {
        stop(s->asked);
        outcome->fate = "crashed";
        leave_op_if_hopeless(crew, s, false);
    } else if (!s->sources) {
        s->crashes = 0;
    }
    if (!check_results_from_json(s->line, &outcome->status, &outcome->message, &s->results, &outcome->bytes)) {
        outcome->status = AVAL_E_FORMAT;
        outcome->message = "its process gave an answer that is none";
    }
    outcome->results = s->results;
}

/* ---- The crew ---------------------------------------------------------------------------------------------------------------- */

static const aval_device_info *device_info(void *user, size_t device)
{
    const check_crew *crew = user;
    return aval_device_info_at(crew->ctx, crew->seats[device].device);
}

static size_t device_number(void *user, size_t device)
{
    const check_crew *crew = user;
    return crew->seats[device].device;
}

static const char *compiler(void *user, size_t device)
{
    return device_info(user, device)->platform;
}

/* aval check --worker --quiet --device N [--plugin FILE]... */
static bool make_arguments(check_crew *crew, const cli_options *options)
{
    static char program[] = "aval", check[] = "check", worker[] = "--worker", quiet[] = "--quiet", device[] = "--device",
                plugin[] = "--plugin";
    size_t n_plugins = 0, n = 0;
    while (options->common.plugins != NULL && options->common.plugins[n_plugins] != NULL) n_plugins++;
    crew->argv = calloc(7 + 2 * n_plugins, sizeof(char *));
    if (crew->argv == NULL) return false;
    crew->argv[n++] = program;
    crew->argv[n++] = check;
    crew->argv[n++] = worker;
    crew->argv[n++] = quiet;
    crew->argv[n++] = device;
    crew->device_place = n++;
    for (size_t i = 0; i < n_plugins; i++) {
        crew->argv[n++] = plugin;
        crew->argv[n++] = options->common.plugins[i];
    }
    return true;
}

check_crew *check_crew_create(aval_context *ctx, const cli_options *options, const size_t *devices, size_t n_devices,
                              const check_limits *limits)
{
    check_crew *crew = calloc(1, sizeof *crew);
    if (crew == NULL) return NULL;
    crew->ctx = ctx;
    crew->limits = *limits;
    crew->n_children = limits->children < MOST_CHILDREN ? limits->children : MOST_CHILDREN;
    crew->seats = calloc(n_devices + 1, sizeof *crew->seats);
    if (crew->seats == NULL || !make_arguments(crew, options)) {
        check_crew_release(crew);
        return NULL;
    }
    for (size_t i = 0; i < n_devices; i++) crew->seats[i].device = devices[i];
    crew->runner = (aval_check_runner){ .size = sizeof crew->runner,
                                        .user = crew,
                                        .n_devices = n_devices,
                                        .device = device_info,
                                        .number = device_number,
                                        .compiler = compiler,
                                        .begin = begin,
                                        .finish = finish,
                                        .expect = crew->n_children > 1 ? expect : NULL };
    signal(SIGPIPE, SIG_IGN); /* a child that has died is noticed by what write returns */
    return crew;
}

const aval_check_runner *check_crew_runner(const check_crew *crew)
{
    return &crew->runner;
}

aval_model_runner check_crew_model_runner(check_crew *crew, json_t *spec)
{
    crew->model = spec;
    for (size_t i = 0; i < crew->runner.n_devices; i++) crew->seats[i].op[0] = 0;
    return (aval_model_runner){ .size = sizeof(aval_model_runner),
                                .user = crew,
                                .n_devices = crew->runner.n_devices,
                                .device = device_info,
                                .number = device_number,
                                .compiler = compiler,
                                .begin = begin_model,
                                .finish = finish };
}

void check_crew_release(check_crew *crew)
{
    if (crew == NULL) return;
    for (size_t i = 0; crew->seats != NULL && i < crew->runner.n_devices; i++) {
        for (size_t k = 0; k < MOST_CHILDREN; k++) {
            stop(&crew->seats[i].children[k]);
            free(crew->seats[i].children[k].text);
        }
        forget_outcome(&crew->seats[i]);
    }
    free(crew->seats);
    free(crew->argv);
    free(crew);
}
