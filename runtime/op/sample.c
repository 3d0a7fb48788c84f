/* The texts of samples: "[2,3] i64[2]{1,0} f[3]{0.1..1} - []", one tensor an input. */
#include "op/op.h"

#include <ctype.h>
#include <string.h>

static const struct type_letters {
    const char *letters;
    int type; /* AVAL_NONE: the type under test */
} type_letters[] = {
    { "f32", AVAL_FLOAT },
    { "f64", AVAL_DOUBLE },
    { "f16", AVAL_FLOAT16 },
    { "bf16", AVAL_BFLOAT16 },
    { "f8e4m3fn", AVAL_FLOAT8E4M3FN },
    { "f8e4m3fnuz", AVAL_FLOAT8E4M3FNUZ },
    { "f8e5m2", AVAL_FLOAT8E5M2 },
    { "f8e5m2fnuz", AVAL_FLOAT8E5M2FNUZ },
    { "i4", AVAL_INT4 },
    { "i8", AVAL_INT8 },
    { "i16", AVAL_INT16 },
    { "i32", AVAL_INT32 },
    { "i64", AVAL_INT64 },
    { "u4", AVAL_UINT4 },
    { "u8", AVAL_UINT8 },
    { "u16", AVAL_UINT16 },
    { "u32", AVAL_UINT32 },
    { "u64", AVAL_UINT64 },
    { "b", AVAL_BOOL },
    { "f", AVAL_NONE },
};

const char *aval__sample_letters(int type)
{
    for (size_t i = 0; i < sizeof type_letters / sizeof *type_letters; i++) {
        if (type_letters[i].type == type) return type_letters[i].letters;
    }
    return "";
}

/* Where a text is read; `text` is the whole, for messages. */
typedef struct reader {
    aval__arena *arena;
    const char *text, *at;
} reader;

static int fail_at(const reader *r, const char *expected)
{
    return aval__fail(AVAL_E_ARGUMENT, "expected %s at %zu, found '%.20s' in '%s'", expected, (size_t)(r->at - r->text), r->at, r->text);
}

static void skip_space(reader *r)
{
    while (isspace((unsigned char)*r->at)) r->at++;
}

static bool take(reader *r, char c)
{
    skip_space(r);
    if (*r->at != c) return false;
    r->at++;
    skip_space(r);
    return true;
}

static int read_type(reader *r, int *type, bool *follows)
{
    *type = AVAL_NONE;
    *follows = true;
    if (*r->at == '[') return AVAL_OK;
    for (size_t i = 0; i < sizeof type_letters / sizeof *type_letters; i++) {
        size_t length = strlen(type_letters[i].letters);
        if (strncmp(r->at, type_letters[i].letters, length) != 0 || r->at[length] != '[') continue;
        r->at += length;
        *type = type_letters[i].type;
        *follows = *type == AVAL_NONE;
        return AVAL_OK;
    }
    return fail_at(r, "- or one of f f32 f64 f16 bf16 f8e4m3fn ... i4 i8 i16 i32 i64 u4 u8 u16 u32 u64 b and a shape in brackets");
}

static int read_shape(reader *r, aval__sample_input *input, int type)
{
    int64_t dims[AVAL_MAX_RANK];
    size_t rank = 0;
    take(r, '[');
    while (!take(r, ']')) {
        if (rank && !take(r, ',')) return fail_at(r, "',' or ']'");
        if (rank == AVAL_MAX_RANK) return fail_at(r, "at most 8 axes");
        const char *end;
        if (!aval__parse_int(r->at, &end, &dims[rank]) || dims[rank] < 0) return fail_at(r, "a size of 0 or more");
        r->at = end;
        rank++;
    }
    AVAL__TRY(aval__tensor_set(&input->tensor, input->follows ? AVAL_DOUBLE : type, rank, dims));
    input->tensor.type = (int32_t)type;
    return AVAL_OK;
}

/* {low..high}.  The two dots come first, since "-2..5" starts with the number "-2.". */
static int read_range(reader *r, aval__sample_input *input, const char *dots)
{
    char low[40];
    const char *end;
    size_t length = (size_t)(dots - r->at);
    if (length >= sizeof low) return fail_at(r, "a number");
    memcpy(low, r->at, length);
    low[length] = 0;
    if (!aval__parse_real(low, &end, &input->low) || end[strspn(end, " ")]) return fail_at(r, "a number before ..");
    r->at = dots + 2;
    if (!aval__parse_real(r->at, &end, &input->high)) return fail_at(r, "a number after ..");
    if (!(input->low <= input->high)) return fail_at(r, "a number not below the one before ..");
    r->at = end;
    input->has_range = true;
    return take(r, '}') ? AVAL_OK : fail_at(r, "'}'");
}

static int read_values(reader *r, aval__sample_input *input, const char *close)
{
    size_t room = 1, count = 0, wanted = (size_t)aval__tensor_count(&input->tensor);
    for (const char *c = r->at; c < close; c++) room += *c == ',';
    input->values = aval__arena_alloc(r->arena, room * sizeof *input->values);
    if (!input->values) return AVAL_E_MEMORY;
    while (!take(r, '}')) {
        const char *end;
        if (count && !take(r, ',')) return fail_at(r, "',' or '}'");
        if (!aval__parse_real(r->at, &end, &input->values[count])) return fail_at(r, "a number");
        r->at = end;
        count++;
    }
    if (count != wanted) {
        return aval__fail(AVAL_E_ARGUMENT, "expected %zu values for the shape before them, found %zu in '%s'", wanted, count, r->text);
    }
    input->has_values = true;
    input->n_values = count;
    return AVAL_OK;
}

static int read_input(reader *r, aval__sample_input *input)
{
    int type;
    if (take(r, '-')) {
        input->absent = true;
        return AVAL_OK;
    }
    AVAL__TRY(read_type(r, &type, &input->follows));
    AVAL__TRY(read_shape(r, input, type));
    if (!take(r, '{')) return AVAL_OK;
    const char *close = strchr(r->at, '}');
    if (!close) return fail_at(r, "values and '}'");
    const char *dots = strstr(r->at, "..");
    return dots && dots < close ? read_range(r, input, dots) : read_values(r, input, close);
}

int aval__sample_parse(aval__arena *arena, const char *text, aval__sample_input **inputs, size_t *count)
{
    /* Each input takes at least one character and a space. */
    size_t room = strlen(text) / 2 + 1, n = 0;
    aval__sample_input *list = aval__arena_alloc(arena, room * sizeof *list);
    if (!list) return AVAL_E_MEMORY;
    reader r = { .arena = arena, .text = text, .at = text };
    skip_space(&r);
    while (*r.at) {
        if (n && !isspace((unsigned char)r.at[-1])) return fail_at(&r, "a space before the next input");
        AVAL__TRY(read_input(&r, &list[n++]));
    }
    *inputs = list;
    *count = n;
    return AVAL_OK;
}
