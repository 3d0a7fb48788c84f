/* Makes bindings: buffers, kernels and their arguments, staging memory. */
#include "exec/binding.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* In every byte; NaN as a float and -1 as an integer, or 0.747 as a float and 4.77e-4 as a double. */
#define POISON_NAN 0xff
#define POISON_FINITE 0x3f

cl_command_queue aval__binding_queue(const aval__binding *b, uint32_t device)
{
    return aval__device_queue(b->devices[device].device);
}

static const char *device_name(const aval__binding *b, uint32_t device)
{
    return b->plan->devices[device]->name;
}

const char *aval__binding_where(const aval__binding *b, const aval__step *step)
{
    static _Thread_local char text[320];
    if (step->kind == AVAL__STEP_LAUNCH)
        snprintf(text, sizeof text, "kernel %s, local %" PRIu64 ", device %" PRIu32 " '%s', %s", step->kernel, step->local[0],
                 aval__binding_number(b, step->device), device_name(b, step->device), step->node ? step->node : "?");
    else
        snprintf(text, sizeof text, "device %" PRIu32 " '%s', %s", aval__binding_number(b, step->device), device_name(b, step->device),
                 step->node ? step->node : "?");
    return text;
}

/* ---- Memory ---------------------------------------------------------------------------------------------------------------- */

static const char *const slot_kinds[] = { "intermediates", "inputs", "states", "constants" };

/* The largest value in a slot, which is what a user can do something about. */
static const aval__located *largest_in(const aval__plan *plan, uint32_t slot)
{
    const aval__located *largest = NULL;
    for (size_t i = 0; i < plan->n_written; i++) {
        const aval__located *v = &plan->written[i];
        if (v->place.slot == slot && (!largest || aval__tensor_bytes(v->tensor) > aval__tensor_bytes(largest->tensor))) largest = v;
    }
    return largest;
}

int aval__binding_explain_memory(const aval__binding *b, int code, uint32_t device)
{
    uint64_t bytes[sizeof slot_kinds / sizeof slot_kinds[0]] = { 0 };
    if (code != AVAL_E_DEVICE_MEMORY) return code;
    for (size_t i = 0; i < b->plan->n_slots; i++) {
        const aval__slot *slot = &b->plan->slots[i];
        if (slot->device == device) bytes[slot->kind] += slot->bytes * (slot->kind == AVAL__SLOT_INPUT ? 2 : 1);
    }
    return aval__fail_in(code,
                         "out of memory on device %" PRIu32 " '%s' of %" PRIu64 " bytes, where this run needs %" PRIu64 " for %s, %" PRIu64
                         " for %s, %" PRIu64 " for %s, %" PRIu64 " for %s (a smaller batch needs less)",
                         aval__binding_number(b, device), device_name(b, device), b->plan->devices[device]->memory_bytes, bytes[0],
                         slot_kinds[0], bytes[1], slot_kinds[1], bytes[2], slot_kinds[2], bytes[3], slot_kinds[3]);
}

static int make_buffer(aval__binding *b, uint32_t index, cl_mem *buffer)
{
    const aval__slot *slot = &b->plan->slots[index];
    const aval_device_info *info = b->plan->devices[slot->device];
    const aval__located *largest = slot->name ? NULL : largest_in(b->plan, index);
    const char *name = slot->name ? slot->name : largest && largest->name ? largest->name : slot_kinds[slot->kind];
    uint64_t largest_bytes = largest ? aval__tensor_bytes(largest->tensor) : slot->bytes;
    cl_int code;
    int status;
    if (slot->bytes > info->largest_allocation_bytes)
        status = aval__fail(AVAL_E_DEVICE_MEMORY,
                            "'%s' needs %" PRIu64 " bytes (in a buffer of %" PRIu64 "), the device allows allocations of at most %" PRIu64,
                            name, largest_bytes, slot->bytes, info->largest_allocation_bytes);
    else {
        *buffer =
            clCreateBuffer(aval__device_context(b->devices[slot->device].device), CL_MEM_READ_WRITE, (size_t)slot->bytes, NULL, &code);
        status = aval__cl_check(code, "clCreateBuffer", "%" PRIu64 " bytes of %s, the largest '%s' with %" PRIu64, slot->bytes,
                                slot_kinds[slot->kind], name, largest_bytes);
    }
    return aval__binding_explain_memory(b, status, slot->device);
}

static int fill(const aval__binding *b, uint32_t device, cl_mem buffer, uint64_t offset, uint64_t bytes, unsigned char poison)
{
    return aval__cl_check(
        clEnqueueFillBuffer(aval__binding_queue(b, device), buffer, &poison, 1, (size_t)offset, (size_t)bytes, 0, NULL, NULL),
        "clEnqueueFillBuffer", "device %" PRIu32 " '%s'", aval__binding_number(b, device), device_name(b, device));
}

/* Those of an input or constant, whose content stays. */
static int fill_bands(const aval__binding *b, const aval__slot *slot, const aval__bound_slot *bound)
{
    const size_t guard = (size_t)slot->guard_bytes;
    for (size_t k = 0; k < 2; k++) {
        if (bound->buffers[k] == NULL) continue;
        AVAL__TRY(fill(b, slot->device, bound->buffers[k], 0, guard, bound->poison));
        AVAL__TRY(fill(b, slot->device, bound->buffers[k], slot->bytes - guard, guard, bound->poison));
    }
    return AVAL_OK;
}

int aval__binding_poison(aval__binding *b)
{
    uint64_t turn = b->runs++ % 3;
    for (size_t i = 0; turn != 1 && i < b->plan->n_slots; i++) {
        const aval__slot *slot = &b->plan->slots[i];
        if (slot->kind == AVAL__SLOT_STATE || slot->guard_bytes == 0) continue;
        unsigned char poison = turn == 0 ? POISON_NAN : POISON_FINITE, other = turn == 0 ? POISON_FINITE : POISON_NAN;
        if (slot->kind != AVAL__SLOT_ARENA) {
            b->slots[i].poison = poison;
            AVAL__TRY(fill_bands(b, slot, &b->slots[i]));
            continue;
        }
        uint64_t content = slot->bytes - 2 * slot->guard_bytes;
        b->slots[i].poison = other;
        AVAL__TRY(fill(b, slot->device, b->slots[i].buffer, 0, slot->bytes, other));
        if (content > 0) AVAL__TRY(fill(b, slot->device, b->slots[i].buffer, slot->guard_bytes, content, poison));
    }
    return AVAL_OK;
}

static int write_constant(aval__binding *b, const aval__slot *slot, aval__bound_slot *bound)
{
    size_t bytes = aval__tensor_bytes(&slot->tensor);
    cl_mem buffer = bound->buffer;
    if (bytes == 0) return AVAL_OK;
    if (slot->guard_bytes > 0) bound->content = aval__hash64(slot->data, bytes, 0);
    return aval__cl_check(
        clEnqueueWriteBuffer(aval__binding_queue(b, slot->device), buffer, CL_TRUE, slot->guard_bytes, bytes, slot->data, 0, NULL, NULL),
        "clEnqueueWriteBuffer", "constant of %zu bytes, device %" PRIu32 " '%s'", bytes, aval__binding_number(b, slot->device),
        device_name(b, slot->device));
}

static int make_buffers(aval__binding *b, uint32_t i, size_t count)
{
    const aval__slot *slot = &b->plan->slots[i];
    aval__bound_slot *bound = &b->slots[i];
    bound->poison = POISON_NAN;
    for (size_t k = 0; k < count; k++) {
        if (bound->buffers[k]) continue;
        AVAL__TRY(make_buffer(b, i, &bound->buffers[k]));
        if (slot->guard_bytes > 0) AVAL__TRY(fill(b, slot->device, bound->buffers[k], 0, slot->bytes, POISON_NAN));
    }
    if (slot->guard_bytes > 0) b->guarded = true;
    return AVAL_OK;
}

int aval__binding_make_input(aval__binding *b, uint32_t i)
{
    const aval__slot *slot = &b->plan->slots[i];
    if (b->slots[i].buffers[1]) return AVAL_OK;
    AVAL__TRY(make_buffers(b, i, 2));
    /* inputs are fed on a queue of their own, which must find the bands in place */
    if (slot->guard_bytes == 0) return AVAL_OK;
    return aval__queue_wait(aval__binding_queue(b, slot->device), device_name(b, slot->device));
}

static int make_slot(aval__binding *b, uint32_t i)
{
    const aval__slot *slot = &b->plan->slots[i];
    b->devices[slot->device].used = true;
    if (slot->kind == AVAL__SLOT_STATE) return AVAL_OK; /* the store has its buffer */
    if (slot->kind == AVAL__SLOT_INPUT) return AVAL_OK; /* fed or bound before the first run */
    AVAL__TRY(make_buffers(b, i, 1));
    b->slots[i].buffer = b->slots[i].buffers[0];
    return slot->kind == AVAL__SLOT_CONSTANT ? write_constant(b, slot, &b->slots[i]) : AVAL_OK;
}

static int make_devices(aval__binding *b)
{
    for (uint32_t i = 0; i < b->plan->n_slots; i++) {
        const aval__slot *slot = &b->plan->slots[i];
        aval__bound_device *d = &b->devices[slot->device];
        cl_int code;
        if (slot->kind != AVAL__SLOT_INPUT || d->transfers) continue;
        d->transfers = clCreateCommandQueue(aval__device_context(d->device), aval__device_id(d->device), 0, &code);
        AVAL__TRY(aval__cl_check(code, "clCreateCommandQueue", "device %" PRIu32 " '%s'", aval__binding_number(b, slot->device),
                                 device_name(b, slot->device)));
    }
    return AVAL_OK;
}

static int need_nothing(aval__binding *b, uint32_t device)
{
    aval__bound_device *d = &b->devices[device];
    cl_int code;
    if (d->nothing) return AVAL_OK;
    d->nothing = clCreateBuffer(aval__device_context(d->device), CL_MEM_READ_WRITE, sizeof(cl_long16), NULL, &code);
    return aval__cl_check(code, "clCreateBuffer", "device %" PRIu32 " '%s'", aval__binding_number(b, device), device_name(b, device));
}

/* ---- Slots that are pointed elsewhere --------------------------------------------------------------------------------------- */

static uint64_t hash_pointing(uint32_t slot, cl_mem buffer)
{
    const uint64_t pair[] = { slot, (uintptr_t)buffer };
    return aval__hash64(pair, sizeof pair, 0);
}

int aval__binding_point(aval__binding *b, uint32_t slot, cl_mem buffer)
{
    const aval__bound_slot *bound = &b->slots[slot];
    for (uint32_t i = 0; i < bound->n_uses; i++) {
        const aval__slot_use *use = &b->uses[bound->first_use + i];
        AVAL__TRY(aval__binding_set_buffer(b, &b->plan->steps[use->step], b->steps[use->step].kernel, use->arg, buffer));
    }
    b->pointed ^= hash_pointing(slot, bound->buffer) ^ hash_pointing(slot, buffer);
    b->slots[slot].buffer = buffer;
    return AVAL_OK;
}

/* Calls `visit` for each kernel argument that is the buffer of a slot which can be re-pointed, in kernels that keep their arguments. */
static void each_use(aval__binding *b, void (*visit)(aval__binding *b, uint32_t slot, aval__slot_use use))
{
    for (uint32_t s = 0; s < b->plan->n_steps; s++) {
        const aval__step *step = &b->plan->steps[s];
        uint32_t index = 0;
        if (step->kind != AVAL__STEP_LAUNCH || b->steps[s].shared || b->steps[s].idle) continue;
        for (uint32_t i = 0; i < step->n_args; i++) {
            const aval__arg *arg = &step->args[i];
            bool tensor = arg->kind == AVAL__ARG_TENSOR;
            if (tensor && !arg->absent) {
                aval__slot_kind kind = b->plan->slots[arg->slot].kind;
                if (kind == AVAL__SLOT_INPUT || kind == AVAL__SLOT_STATE) visit(b, arg->slot, (aval__slot_use){ .step = s, .arg = index });
            }
            index += tensor ? 2 : 1;
        }
    }
}

static void count_use(aval__binding *b, uint32_t slot, aval__slot_use use)
{
    (void)use;
    b->slots[slot].n_uses++;
}

static void note_use(aval__binding *b, uint32_t slot, aval__slot_use use)
{
    aval__bound_slot *bound = &b->slots[slot];
    b->uses[bound->first_use + bound->n_uses++] = use;
}

static int list_uses(aval__binding *b)
{
    uint32_t total = 0;
    each_use(b, count_use);
    for (size_t i = 0; i < b->plan->n_slots; i++) {
        b->slots[i].first_use = total;
        total += b->slots[i].n_uses;
        b->slots[i].n_uses = 0;
    }
    b->uses = aval__alloc_array(total, sizeof *b->uses);
    if (!b->uses) return AVAL_E_MEMORY;
    each_use(b, note_use);
    return AVAL_OK;
}

/* ---- Steps ----------------------------------------------------------------------------------------------------------------- */

static int fail_kernel_name(const aval__binding *b, const aval__step *step, cl_program program)
{
    char names[1024] = "";
    if (clGetProgramInfo(program, CL_PROGRAM_KERNEL_NAMES, sizeof names, names, NULL) != CL_SUCCESS) snprintf(names, sizeof names, "many");
    return aval__fail(AVAL_E_PLUGIN, "%s: %s has no kernel of this name, only: %s", aval__binding_where(b, step), step->source->name,
                      names);
}

static int create_kernel(aval__binding *b, const aval__step *step, cl_program program, cl_kernel *kernel)
{
    cl_int code;
    *kernel = clCreateKernel(program, step->kernel, &code);
    if (code == CL_INVALID_KERNEL_NAME) return fail_kernel_name(b, step, program);
    AVAL__TRY(aval__cl_check(code, "clCreateKernel", "%s in %s", aval__binding_where(b, step), step->source->name));
    AVAL__TRY(aval__binding_check_parameters(b, step, *kernel));
    return aval__binding_check_types(b, step, *kernel);
}

/* One kernel for all launches of a function that come after the first AVAL__MOST_KERNELS. */
static int share_kernel(aval__binding *b, const aval__step *step, cl_program program, cl_kernel *kernel)
{
    aval__shared_kernel *shared = aval__alloc(sizeof *shared), *there = NULL;
    int status = shared ? AVAL_OK : AVAL_E_MEMORY;
    if (status < 0) return status;
    shared->key.program = program;
    snprintf(shared->key.name, sizeof shared->key.name, "%s", step->kernel);
    HASH_FIND(hh, b->shared, &shared->key, sizeof shared->key, there);
    if (there) {
        aval__free(shared);
        *kernel = there->kernel;
        return AVAL_OK;
    }
    status = create_kernel(b, step, program, &shared->kernel);
    if (status == AVAL_OK) {
        HASH_ADD(hh, b->shared, key, sizeof shared->key, shared);
        if (!shared->hh.tbl) status = AVAL_E_MEMORY;
    }
    if (status == AVAL_OK) {
        *kernel = shared->kernel;
        return AVAL_OK;
    }
    if (shared->kernel) clReleaseKernel(shared->kernel);
    aval__free(shared);
    return status;
}

/* What a work-item is taken to do, in multiplications and additions, where a launch does not tell: it moves some hundred bytes. */
#define ITEM_WORK 1024.0

static double work_of(const aval__plan *plan, const aval__step *step, uint64_t items)
{
    const uint32_t number = (uint32_t)(step - plan->steps);
    double told = 0;
    size_t first = 0, end = plan->n_products; /* sorted by step */
    while (first < end) {
        const size_t middle = first + (end - first) / 2;
        if (plan->products[middle].step < number) first = middle + 1;
        else end = middle;
    }
    for (; first < plan->n_products && plan->products[first].step == number; first++) told += plan->products[first].flops;
    return told > 0 ? told : ITEM_WORK * (double)items;
}

/* Parts see the same global ids as the whole; of groups and of the whole size they see their own. */
static bool can_be_split(const char *text)
{
    static const char *const words[] = { "get_group_id", "get_num_groups", "get_global_size" };
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strstr(text, words[i])) return false;
    return true;
}

/* Parts of at most the device's most_work, along the outermost axis that has enough work-groups, else along that with most. */
static void split_launch(const aval__binding *b, const aval__step *step, aval__bound_step *bound, uint64_t items)
{
    const double most = aval__device_most_work(b->devices[step->device].device);
    bound->split_items = bound->global[0];
    if (most <= 0) return;
    const double parts = work_of(b->plan, step, items) / most;
    if (parts <= 1 || !can_be_split(step->source->text)) return;
    size_t best = 0;
    for (uint32_t i = step->dims; i-- > 0 && (double)best < parts;) {
        const size_t group = bound->set_local ? bound->local[i] : 1, groups = bound->global[i] / group;
        if (groups <= best) continue;
        const double each = (double)groups / parts;
        best = groups;
        bound->split_axis = i;
        bound->split_items = (each > 1 ? (size_t)each : 1) * group;
    }
}

static int bind_launch(aval__binding *b, const aval__step *step, aval__bound_step *bound)
{
    const aval__source *source = step->source;
    aval__device *device = b->devices[step->device].device;
    cl_program program;
    uint64_t items = 1;
    for (uint32_t i = 0; i < step->dims; i++) {
        bound->global[i] = (size_t)step->global[i];
        bound->local[i] = (size_t)step->local[i];
        items *= step->global[i];
    }
    bound->set_local = step->local[0] > 0;
    bound->idle = items == 0;
    if (bound->idle) return AVAL_OK;
    split_launch(b, step, bound, items);
    int status = aval__device_program(device, source->name, source->text, source->hash, source->options, &program);
    if (status < 0) return aval__fail_in(status, "%s", step->node ? step->node : source->name);
    for (uint32_t i = 0; i < step->n_args; i++)
        if (step->args[i].kind == AVAL__ARG_TENSOR && step->args[i].absent) AVAL__TRY(need_nothing(b, step->device));
    bound->shared = b->n_kernels >= AVAL__MOST_KERNELS || strlen(step->kernel) >= sizeof b->shared->key.name;
    if (bound->shared) return share_kernel(b, step, program, &bound->kernel);
    AVAL__TRY(create_kernel(b, step, program, &bound->kernel));
    b->n_kernels++;
    return aval__binding_set_args(b, step, bound->kernel);
}

/* Providers take their scratch memory as a buffer: that of the step is a part of an arena's. */
static int bind_gemm(aval__binding *b, const aval__step *step, aval__bound_step *bound)
{
    cl_int code;
    bound->scratch_bytes = step->bytes;
    if (bound->scratch_bytes == 0) return AVAL_OK;
    cl_buffer_region part = { .origin = (size_t)step->scratch.offset, .size = (size_t)bound->scratch_bytes };
    bound->scratch = clCreateSubBuffer(b->slots[step->scratch.slot].buffer, CL_MEM_READ_WRITE, CL_BUFFER_CREATE_TYPE_REGION, &part, &code);
    return aval__cl_check(code, "clCreateSubBuffer", "%zu bytes at %zu, %s", part.size, part.origin, aval__binding_where(b, step));
}

static int bind_step(aval__binding *b, size_t i)
{
    const aval__step *step = &b->plan->steps[i];
    aval__bound_step *bound = &b->steps[i];
    b->devices[step->device].used = true;
    if (step->kind == AVAL__STEP_LAUNCH) return bind_launch(b, step, bound);
    if (step->kind == AVAL__STEP_GEMM) return bind_gemm(b, step, bound);
    bound->idle = step->bytes == 0;
    if (step->kind == AVAL__STEP_FILL || step->from_device == step->device || bound->idle) return AVAL_OK;
    b->devices[step->from_device].used = true;
    b->crosses = true;
    bound->staging = aval__alloc((size_t)step->bytes);
    return bound->staging ? AVAL_OK : AVAL_E_MEMORY;
}

static bool is_state(const aval__plan *plan, uint32_t slot)
{
    return plan->slots[slot].kind == AVAL__SLOT_STATE;
}

static bool updates_state(const aval__plan *plan, const aval__step *step)
{
    if (step->kind == AVAL__STEP_GEMM) return is_state(plan, step->c.slot);
    if (step->kind != AVAL__STEP_LAUNCH) return is_state(plan, step->to.slot);
    for (uint32_t i = 0; i < step->n_args; i++) {
        const aval__arg *arg = &step->args[i];
        if (arg->kind == AVAL__ARG_TENSOR && arg->written && !arg->absent && is_state(plan, arg->slot)) return true;
    }
    return false;
}

/* Inputs may be written again after their device's last command, whose event costs less than a marker behind it. */
static void find_ends(aval__binding *b)
{
    for (uint32_t device = 0; device < b->plan->n_devices; device++) {
        size_t last = b->plan->n_steps;
        while (last > 0 && (b->plan->steps[last - 1].device != device || b->steps[last - 1].idle)) last--;
        if (last > 0 && b->devices[device].transfers) b->steps[last - 1].last = b->plan->steps[last - 1].kind == AVAL__STEP_LAUNCH;
    }
}

int aval__binding_create(aval_context *ctx, const aval__plan *plan, bool asks, aval__binding **out)
{
    int status = AVAL_OK;
    *out = NULL;
    aval__binding *b = aval__alloc(sizeof *b);
    if (!b) return AVAL_E_MEMORY;
    b->context = ctx;
    b->plan = plan;
    b->asks = asks;
    b->profiled = aval__context_profiled(ctx);
    b->devices = aval__alloc_array(plan->n_devices, sizeof *b->devices);
    b->slots = aval__alloc_array(plan->n_slots, sizeof *b->slots);
    b->steps = aval__alloc_array(plan->n_steps, sizeof *b->steps);
    if (!b->devices || !b->slots || !b->steps) {
        status = AVAL_E_MEMORY;
        goto done;
    }
    for (size_t i = 0; i < plan->n_devices; i++) b->devices[i].device = aval__context_device(ctx, i);
    AVAL__TRY_DONE(make_devices(b));
    for (uint32_t i = 0; i < plan->n_slots; i++) AVAL__TRY_DONE(make_slot(b, i));
    for (size_t i = 0; i < plan->n_steps; i++) {
        AVAL__TRY_DONE(bind_step(b, i));
        b->updates |= updates_state(plan, &plan->steps[i]);
    }
    AVAL__TRY_DONE(list_uses(b));
    if (b->crosses) AVAL__TRY_DONE(aval__binding_list_actions(b));
    else find_ends(b);
    b->records = aval__binding_can_record(b);
    *out = b;
done:
    if (status < 0) aval__binding_release(b);
    return status;
}

static void release_steps(aval__binding *b)
{
    aval__shared_kernel *shared, *next;
    for (size_t i = 0; b->steps && i < b->plan->n_steps; i++) {
        aval__bound_step *bound = &b->steps[i];
        if (bound->kernel && !bound->shared) clReleaseKernel(bound->kernel);
        if (bound->scratch) clReleaseMemObject(bound->scratch);
        aval__drop_event(&bound->sent);
        aval__drop_event(&bound->written);
        aval__drop_event(&bound->timed);
        aval__free(bound->staging);
    }
    HASH_ITER (hh, b->shared, shared, next) {
        HASH_DEL(b->shared, shared);
        clReleaseKernel(shared->kernel);
        aval__free(shared);
    }
}

void aval__binding_release(aval__binding *b)
{
    if (!b) return;
    if (b->devices) aval__binding_wait(b); /* staging memory may be read until then */
    aval__binding_forget_recordings(b);
    release_steps(b);
    for (size_t i = 0; b->slots && i < b->plan->n_slots; i++)
        for (int k = 0; k < 2; k++) {
            aval__drop_event(&b->slots[i].used[k]);
            if (b->slots[i].buffers[k]) clReleaseMemObject(b->slots[i].buffers[k]);
        }
    for (size_t i = 0; b->slots && i < b->plan->n_slots; i++)
        if (b->slots[i].bound) clReleaseMemObject(b->slots[i].bound);
    for (size_t i = 0; b->devices && i < b->plan->n_devices; i++) {
        aval__drop_event(&b->devices[i].end);
        if (b->devices[i].transfers) clReleaseCommandQueue(b->devices[i].transfers);
        if (b->devices[i].nothing) clReleaseMemObject(b->devices[i].nothing);
        aval__vec_release(&b->devices[i].actions);
    }
    aval__free(b->uses);
    aval__free(b->steps);
    aval__free(b->slots);
    aval__free(b->devices);
    aval__free(b);
}
