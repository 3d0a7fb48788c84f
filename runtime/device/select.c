/* Which device a user means: by index, kind or part of "PLATFORM/DEVICE"; and which one is taken when he says nothing. */
#include "device/private.h"

#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    uint32_t kind;
} kinds[] = { { "cpu", AVAL_DEVICE_CPU }, { "gpu", AVAL_DEVICE_GPU } };

static const char *kind_name(uint32_t kind)
{
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (kinds[i].kind == kind) return kinds[i].name;
    }
    return "other";
}

void aval__listed_print(aval__text *text, const aval__devices *devices, size_t i)
{
    const aval__listed *l = &devices->list.at[i];
    aval__text_add(text, "%zu (%s, %s/%s)", i, kind_name(l->info.kind), l->platform_name, l->name);
}

static bool matches(const aval__listed *l, const char *selector)
{
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (strcasecmp(selector, kinds[i].name) == 0) return l->info.kind == kinds[i].kind;
    }
    char label[512];
    snprintf(label, sizeof label, "%s/%s", l->platform_name, l->name);
    return strcasestr(label, selector) != NULL;
}

/* "0 (cpu, A/B); 1 (gpu, C/D)" of the devices that match `selector` (NULL: of all). */
static void print_devices(aval__text *text, const aval__devices *devices, const char *selector)
{
    const char *between = "";
    for (size_t i = 0; i < devices->list.count; i++) {
        const aval__listed *l = &devices->list.at[i];
        if (selector != NULL && (l->refusal != NULL || !matches(l, selector))) continue;
        aval__text_add(text, "%s", between);
        aval__listed_print(text, devices, i);
        if (l->refusal != NULL) aval__text_add(text, " which cannot be used: %s", l->refusal);
        between = "; ";
    }
}

static int fail_with_list(int code, const aval__devices *devices, const char *selector, const char *matching, const char *what)
{
    aval__text text = { 0 };
    if (devices->list.count == 0) {
        int none = aval__devices_fail_none(devices);
        return selector[0] ? aval__fail_in(none, "device '%s'", selector) : none;
    }
    print_devices(&text, devices, matching);
    code = text.failed ? AVAL_E_MEMORY : aval__fail(code, "device '%s': %s: %s", selector, what, text.at);
    aval__text_release(&text);
    return code;
}

/* An index, if the selector is one. */
static bool parse_index(const char *selector, int64_t *index)
{
    const char *end;
    return aval__parse_int(selector, &end, index) && *end == 0;
}

int aval__devices_find(const aval__devices *devices, const char *selector, size_t *index)
{
    size_t found = 0, refused = 0, usable_at = 0, refused_at = 0;
    int64_t number;
    if (selector[0] == 0) return fail_with_list(AVAL_E_ARGUMENT, devices, selector, NULL, "the selector is empty; there is");
    if (parse_index(selector, &number)) {
        if (number < 0 || (uint64_t)number >= devices->list.count) {
            return fail_with_list(AVAL_E_UNKNOWN, devices, selector, NULL, "no device has this number; there is");
        }
        if (devices->list.at[number].refusal == NULL) found = 1, usable_at = (size_t)number;
        else refused = 1, refused_at = (size_t)number;
    } else {
        for (size_t i = 0; i < devices->list.count; i++) {
            if (!matches(&devices->list.at[i], selector)) continue;
            if (devices->list.at[i].refusal == NULL) found++, usable_at = i;
            else refused++, refused_at = i;
        }
    }
    if (found > 1) return fail_with_list(AVAL_E_ARGUMENT, devices, selector, selector, "several devices match, name one by its number");
    if (found == 0 && refused > 0) {
        const aval__listed *l = &devices->list.at[refused_at];
        return aval__fail(AVAL_E_UNSUPPORTED, "device '%s': device %zu '%s' cannot be used: %s", selector, refused_at, l->name, l->refusal);
    }
    if (found == 0) return fail_with_list(AVAL_E_UNKNOWN, devices, selector, NULL, "no device matches; there is");
    *index = usable_at;
    return AVAL_OK;
}

/* Rasterisers that compute on the CPU whatever kind they report, far slower than a CPU driver does. */
static bool is_software_renderer(const aval__listed *l)
{
    static const char *const names[] = { "llvmpipe", "softpipe", "swrast", "lavapipe" };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcasestr(l->name, names[i]) != NULL) return true;
    }
    return false;
}

/* Hardware before software renderers, GPUs before others before CPUs, then more compute units. */
static uint64_t merit(const aval__listed *l)
{
    uint64_t kind = l->info.kind == AVAL_DEVICE_GPU ? 2 : l->info.kind == AVAL_DEVICE_CPU ? 0 : 1;
    return (is_software_renderer(l) ? 0 : (uint64_t)1 << 40) | kind << 36 | l->info.compute_units;
}

int aval__devices_best(const aval__devices *devices, size_t *index)
{
    const aval__listed *best = NULL;
    for (size_t i = 0; i < devices->list.count; i++) {
        const aval__listed *l = &devices->list.at[i];
        if (l->refusal == NULL && (best == NULL || merit(l) > merit(best))) best = l;
    }
    if (best == NULL) return fail_with_list(AVAL_E_UNKNOWN, devices, "", NULL, "no usable OpenCL device; there is");
    *index = (size_t)(best - devices->list.at);
    return AVAL_OK;
}
