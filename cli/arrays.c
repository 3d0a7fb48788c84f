/* Results of a run as arrays, and whether two arrays agree. */
#include "arrays.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* As in ONNX's own runner (onnx/backend/test/loader). */
#define ABSOLUTE 1e-7
#define RELATIVE 1e-3

int cli_array_of(aval_session *s, const aval_value *value, aval_array *array)
{
    *array = (aval_array){ .size = sizeof *array };
    int status = aval_session_shape(s, value, &array->rank, array->dims);
    if (status < 0) return status;
    array->type = aval_session_type(s, value);
    array->bytes = aval_type_bytes(array->type);
    for (size_t i = 0; i < array->rank; i++) array->bytes *= (size_t)array->dims[i];
    array->data = malloc(array->bytes + 1);
    if (array->data == NULL) return AVAL_E_MEMORY;
    return aval_session_read(s, value, array->data, array->bytes);
}

static bool is_archive(const char *file)
{
    size_t length = strlen(file);
    return length > 4 && strcmp(file + length - 4, ".npz") == 0;
}

int cli_array_read(const char *file, const char *name, aval_array *array)
{
    aval_archive *archive = NULL;
    if (!is_archive(file)) return aval_array_read(file, array);
    int status = aval_archive_open(file, &archive);
    /* of a single array the name does not matter */
    if (status == AVAL_OK)
        status = aval_archive_read(archive, aval_archive_count(archive) == 1 ? aval_archive_name(archive, 0) : name, array);
    aval_archive_release(archive);
    return status;
}

static void print_shape(const aval_array *a, char *text, size_t bytes)
{
    size_t length = (size_t)snprintf(text, bytes, "%s[", aval_type_name(a->type));
    for (size_t i = 0; i < a->rank; i++)
        length += (size_t)snprintf(text + length, bytes - length, "%s%lld", i > 0 ? "," : "", (long long)a->dims[i]);
    snprintf(text + length, bytes - length, "]");
}

bool cli_types_agree(int type, int file_type)
{
    return type == file_type || (type == AVAL_BFLOAT16 && file_type == AVAL_UINT16);
}

static bool same_shape(const aval_array *a, const aval_array *b)
{
    return cli_types_agree(a->type, b->type) && a->rank == b->rank && memcmp(a->dims, b->dims, a->rank * sizeof a->dims[0]) == 0;
}

static bool near(double found, double expected)
{
    if (isnan(found) || isnan(expected)) return isnan(found) && isnan(expected);
    if (isinf(found) || isinf(expected)) return found == expected;
    return fabs(found - expected) <= ABSOLUTE + RELATIVE * fabs(expected);
}

static bool floats_agree(const aval_array *found, const aval_array *expected, const char *what, char *why, size_t bytes)
{
    size_t count = found->bytes / aval_type_bytes(found->type), wrong = 0, worst = 0;
    double *a = malloc((count + 1) * sizeof *a), *b = malloc((count + 1) * sizeof *b), largest = -1;
    bool agree = a != NULL && b != NULL;
    if (!agree) snprintf(why, bytes, "out of memory");
    if (agree) aval_convert(a, AVAL_DOUBLE, found->data, found->type, count);
    if (agree) aval_convert(b, AVAL_DOUBLE, expected->data, expected->type, count);
    for (size_t i = 0; agree && i < count; i++) {
        if (near(a[i], b[i])) continue;
        double error = isfinite(a[i]) && isfinite(b[i]) ? fabs(a[i] - b[i]) : INFINITY;
        if (wrong++ == 0 || error > largest) worst = i, largest = error;
    }
    if (wrong > 0)
        snprintf(why, bytes, "%s: %zu of %zu elements differ, most at %zu: %.9g, expected %.9g", what, wrong, count, worst, a[worst],
                 b[worst]);
    free(a);
    free(b);
    return agree && wrong == 0;
}

static bool bytes_agree(const aval_array *found, const aval_array *expected, const char *what, char *why, size_t bytes)
{
    size_t size = aval_type_bytes(found->type), count = found->bytes / size, wrong = 0, first = 0;
    for (size_t i = 0; i < count; i++) {
        if (memcmp((const char *)found->data + i * size, (const char *)expected->data + i * size, size) == 0) continue;
        if (wrong++ == 0) first = i;
    }
    if (wrong == 0) return true;
    double a = NAN, b = NAN; /* where the type has no numbers */
    aval_convert(&a, AVAL_DOUBLE, (const char *)found->data + first * size, found->type, 1);
    aval_convert(&b, AVAL_DOUBLE, (const char *)expected->data + first * size, expected->type, 1);
    snprintf(why, bytes, "%s: %zu of %zu elements differ, first %zu: %.17g, expected %.17g", what, wrong, count, first, a, b);
    return false;
}

/* bfloat16 in a file of uint16.  ONNX's own results are cut off instead of rounded, so its runner too compares the bits as numbers. */
static bool as_bits(const aval_array *found, const aval_array *expected, const char *what, char *why, size_t bytes)
{
    aval_array bits = *found;
    bits.type = expected->type;
    return floats_agree(&bits, expected, what, why, bytes);
}

bool cli_arrays_agree(const aval_array *found, const aval_array *expected, const char *what, char *why, size_t bytes)
{
    if (!same_shape(found, expected)) {
        char a[300], b[300];
        print_shape(found, a, sizeof a);
        print_shape(expected, b, sizeof b);
        snprintf(why, bytes, "%s is %s, expected %s", what, a, b);
        return false;
    }
    if (found->type != expected->type) return as_bits(found, expected, what, why, bytes);
    bool is_float = (AVAL_FLOATS & AVAL_TYPE_SET(found->type)) != 0;
    return (is_float ? floats_agree : bytes_agree)(found, expected, what, why, bytes);
}
