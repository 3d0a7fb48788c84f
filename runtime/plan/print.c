/* The plan as text, a line a step: what `aval graph --plan` prints. */
#include "plan/plan.h"

static void print_sizes(aval__text *text, const char *title, const uint64_t sizes[3], uint32_t dims)
{
    aval__text_add(text, " %s ", title);
    for (uint32_t i = 0; i < dims; i++) aval__text_add(text, "%s%llu", i > 0 ? "x" : "", (unsigned long long)sizes[i]);
}

static void print_place(aval__text *text, const char *title, aval__place place)
{
    aval__text_add(text, " %s %u+%lld", title, place.slot, (long long)place.offset);
}

static void print_launch(aval__text *text, const aval__step *step)
{
    aval__text_add(text, " %s:%s", step->source->name, step->kernel);
    print_sizes(text, "global", step->global, step->dims);
    if (step->local[0] > 0) print_sizes(text, "local", step->local, step->dims);
    for (uint32_t i = 0; i < step->n_args; i++) {
        const aval__arg *arg = &step->args[i];
        if (arg->kind != AVAL__ARG_TENSOR || arg->absent) continue;
        /* offsets of arguments are elements; here as everywhere else they are bytes */
        print_place(text, arg->written ? "to" : "from", (aval__place){ arg->slot, arg->offset * (int64_t)arg->bytes });
    }
    if (step->source->options[0]) aval__text_add(text, " [%s]", step->source->options);
}

static void print_gemm(aval__text *text, const aval__step *step)
{
    const aval_gemm *g = step->gemm;
    aval__text_add(text, " %lldx%lldx%lld", (long long)g->m, (long long)g->n, (long long)g->k);
    if (g->batch > 1) aval__text_add(text, " batch %lld", (long long)g->batch);
    aval__text_add(text, " %s provider %u", aval_type_name(step->type), step->provider);
    print_place(text, "from", step->a);
    print_place(text, "from", step->b);
    print_place(text, "to", step->c);
    if (step->bytes > 0) aval__text_add(text, " scratch %llu bytes", (unsigned long long)step->bytes);
}

static void print_copy(aval__text *text, const aval__step *step)
{
    aval__text_add(text, " %llu bytes", (unsigned long long)step->bytes);
    print_place(text, "from", step->from);
    print_place(text, "to", step->to);
}

static void print_fill(aval__text *text, const aval__step *step)
{
    aval__text_add(text, " %llu bytes", (unsigned long long)step->bytes);
    print_place(text, "to", step->to);
}

static const struct {
    const char *name;
    void (*print)(aval__text *text, const aval__step *step);
} step_kinds[] = {
    [AVAL__STEP_LAUNCH] = { "launch", print_launch },
    [AVAL__STEP_GEMM] = { "gemm", print_gemm },
    [AVAL__STEP_COPY] = { "copy", print_copy },
    [AVAL__STEP_FILL] = { "fill", print_fill },
};

static const char *const slot_kinds[] = {
    [AVAL__SLOT_ARENA] = "arena", [AVAL__SLOT_INPUT] = "input", [AVAL__SLOT_STATE] = "state", [AVAL__SLOT_CONSTANT] = "constant"
};

/* By what a product was tuned to, as this plan has it. */
static void print_tuned(aval__text *text, const aval__plan *plan, size_t step, size_t *product)
{
    while (*product < plan->n_products && plan->products[*product].step < step) ++*product;
    if (*product == plan->n_products || plan->products[*product].step != step) return;
    if (plan->products[*product].tuned) aval__text_add(text, " tuned: %s", plan->products[*product].tuned);
}

void aval__plan_print(aval__text *text, const aval__plan *plan)
{
    size_t product = 0;
    for (size_t i = 0; i < plan->n_steps; i++) {
        const aval__step *step = &plan->steps[i];
        aval__text_add(text, "%-6s device %u %s:", step_kinds[step->kind].name, aval__device_number(plan->device_numbers, step->device),
                       step->node);
        if (step->kind == AVAL__STEP_COPY && step->from_device != step->device)
            aval__text_add(text, " from device %u,", aval__device_number(plan->device_numbers, step->from_device));
        step_kinds[step->kind].print(text, step);
        if (step->once) aval__text_add(text, " once");
        print_tuned(text, plan, i, &product);
        aval__text_put(text, "\n", 1);
    }
    for (size_t i = 0; i < plan->n_slots; i++) {
        const aval__slot *slot = &plan->slots[i];
        aval__text_add(text, "slot %zu: %s%s%s%s, device %u, %llu bytes\n", i, slot_kinds[slot->kind], slot->name ? " '" : "",
                       slot->name ? slot->name : "", slot->name ? "'" : "", aval__device_number(plan->device_numbers, slot->device),
                       (unsigned long long)slot->bytes);
    }
    for (size_t i = 0; i < plan->n_notes; i++) aval__text_add(text, "note: %s\n", plan->notes[i]);
    const aval__plan_statistics *s = &plan->statistics;
    aval__text_add(text, "moves %llu bytes, at least %llu must be: %.2f times as many\n", (unsigned long long)s->moved_bytes,
                   (unsigned long long)s->least_bytes, s->least_bytes > 0 ? (double)s->moved_bytes / (double)s->least_bytes : 1.0);
    if (s->recomputed > 0)
        aval__text_add(text, "bounded: arena %llu bytes instead of %llu, %llu units run again, predicted to take %.1f %% more time\n",
                       (unsigned long long)s->arena_bytes, (unsigned long long)s->unbounded_arena_bytes, (unsigned long long)s->recomputed,
                       100 * s->recomputed_share);
    aval__text_add(text, "%llu nodes, %llu launches, %llu copies; arena %llu bytes, live %llu bytes\n", (unsigned long long)s->nodes,
                   (unsigned long long)s->launches, (unsigned long long)s->copies, (unsigned long long)s->arena_bytes,
                   (unsigned long long)s->live_bytes);
}
