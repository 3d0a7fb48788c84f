/* Arguments of kernels: those of a launch set in order, and what an author is told whose launch and kernel do not fit together. */
#include "exec/binding.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* ---- What does not fit ----------------------------------------------------------------------------------------------------- */

/* What a launch gives, by aval_arg_kind. */
static const struct given_row {
    const char *word, *type;
} given_rows[] = {
    [AVAL_ARG_READ] = { "a tensor", "__global pointer" },
    [AVAL_ARG_INT] = { "AVAL_I32", "int" },
    [AVAL_ARG_LONG] = { "AVAL_I64", "long" },
    [AVAL_ARG_FLOAT] = { "AVAL_F32", "float" },
    [AVAL_ARG_REAL] = { "AVAL_REAL", "float" },
    [AVAL_ARG_LOCAL] = { "AVAL_LOCAL", "__local pointer" },
};

static struct given_row given_by(const aval__arg *arg)
{
    if (arg->kind == AVAL__ARG_TENSOR) return given_rows[AVAL_ARG_READ];
    if (arg->kind == AVAL__ARG_LOCAL) return given_rows[AVAL_ARG_LOCAL];
    struct given_row row = given_rows[arg->given];
    if (arg->given == AVAL_ARG_REAL && arg->bytes == sizeof(double)) row.type = "double";
    return row;
}

/* What a launch gives to a parameter that is declared so; NULL: nothing does. */
static const char *fitting(const char *type, cl_kernel_arg_address_qualifier address)
{
    static const struct {
        const char *type, *word;
    } rows[] = { { "int", "AVAL_I32" },
                 { "uint", "AVAL_I32" },
                 { "long", "AVAL_I64" },
                 { "ulong", "AVAL_I64" },
                 { "float", "AVAL_F32 or AVAL_REAL" },
                 { "double", "AVAL_REAL" } };
    if (address == CL_KERNEL_ARG_ADDRESS_LOCAL) return "AVAL_LOCAL";
    if (strchr(type, '*')) return "AVAL_READ, AVAL_WRITE or AVAL_UPDATE";
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strcmp(rows[i].type, type) == 0) return rows[i].word;
    return NULL;
}

/* What a kernel says of one of its parameters. */
typedef struct parameter {
    char type[128], name[128];
    cl_kernel_arg_address_qualifier address;
    cl_kernel_arg_type_qualifier qualifier;
} parameter;

/* False: the driver does not tell, or not without being asked when the program is built. */
static bool ask(cl_kernel kernel, cl_uint index, parameter *p)
{
    *p = (parameter){ 0 };
    return clGetKernelArgInfo(kernel, index, CL_KERNEL_ARG_TYPE_NAME, sizeof p->type, p->type, NULL) == CL_SUCCESS &&
           clGetKernelArgInfo(kernel, index, CL_KERNEL_ARG_NAME, sizeof p->name, p->name, NULL) == CL_SUCCESS &&
           clGetKernelArgInfo(kernel, index, CL_KERNEL_ARG_ADDRESS_QUALIFIER, sizeof p->address, &p->address, NULL) == CL_SUCCESS &&
           clGetKernelArgInfo(kernel, index, CL_KERNEL_ARG_TYPE_QUALIFIER, sizeof p->qualifier, &p->qualifier, NULL) == CL_SUCCESS;
}

/* The step's kernel built so that it tells of its parameters; NULL where that fails. */
static cl_kernel build_telling(const aval__binding *b, const aval__step *step)
{
    const aval__source *source = step->source;
    aval__text options = { 0 };
    cl_program program = NULL;
    aval__text_add(&options, "%s -cl-kernel-arg-info", source->options);
    bool built = !options.failed && aval__device_program(b->devices[step->device].device, source->name, source->text, source->hash,
                                                         options.at, &program) == AVAL_OK;
    aval__text_release(&options);
    return built ? clCreateKernel(program, step->kernel, NULL) : NULL;
}

/* Argument i of the launch does not fit parameter `index` of the kernel, of which `p` is known (NULL: nothing): a mistake of the plugin. */
static int fail_argument(const aval__binding *b, const aval__step *step, uint32_t i, cl_uint index, const parameter *p, const char *how)
{
    const struct given_row given = given_by(&step->args[i]);
    const char *fits = p ? fitting(p->type, p->address) : NULL;
    aval__text text = { 0 };
    aval__text_add(&text, "parameter %" PRIu32, index + 1);
    if (p) aval__text_add(&text, ", `%s%s %s`,", p->qualifier & CL_KERNEL_ARG_TYPE_CONST ? "const " : "", p->type, p->name);
    aval__text_add(&text, " of the kernel does not take argument %" PRIu32 " of the launch, which is %s (%s): ", i + 1, given.word,
                   given.type);
    if (fits) aval__text_add(&text, "give %s, or declare it %s", fits, given.type);
    else aval__text_add(&text, "declare it %s, or give what it is declared as", given.type);
    int status =
        text.failed ? AVAL_E_MEMORY : aval__fail(AVAL_E_PLUGIN, "%s: %s (counted from 1; %s)", aval__binding_where(b, step), text.at, how);
    aval__text_release(&text);
    return status;
}

/* ---- Asked before a launch ------------------------------------------------------------------------------------------------- */

#define IN_ORDER "a launch gives its arguments in the kernel's order"

/* A value's type, where it is one that launches know: what is behind a typedef is not told. */
static bool takes_value(const parameter *p, const struct given_row *given)
{
    const char *word = fitting(p->type, p->address);
    if (p->address != CL_KERNEL_ARG_ADDRESS_PRIVATE) return false;
    return !word || strstr(word, given->word) != NULL || strcmp(p->type, given->type) == 0;
}

static bool takes(const parameter *p, const aval__arg *arg)
{
    const struct given_row given = given_by(arg);
    if (arg->kind == AVAL__ARG_LOCAL) return p->address == CL_KERNEL_ARG_ADDRESS_LOCAL;
    if (arg->kind == AVAL__ARG_TENSOR) return p->address == CL_KERNEL_ARG_ADDRESS_GLOBAL || p->address == CL_KERNEL_ARG_ADDRESS_CONSTANT;
    return takes_value(p, &given);
}

/* Behind a tensor's pointer comes where it begins. */
static int check_offset(const aval__binding *b, const aval__step *step, uint32_t i, cl_uint index, const parameter *p)
{
    static const struct given_row offset = { "AVAL_I64", "long" };
    if (takes_value(p, &offset)) return AVAL_OK;
    return aval__fail(AVAL_E_PLUGIN,
                      "%s: parameter %" PRIu32 ", `%s %s`, of the kernel is given where the tensor of argument %" PRIu32
                      " of the launch begins, in elements: a tensor gives two parameters, a pointer and a long (counted from 1; " IN_ORDER
                      ")",
                      aval__binding_where(b, step), index + 1, p->type, p->name, i + 1);
}

static int check_written(const aval__binding *b, const aval__step *step, uint32_t i, cl_uint index, const parameter *p)
{
    if (!step->args[i].written || !(p->qualifier & CL_KERNEL_ARG_TYPE_CONST)) return AVAL_OK;
    return aval__fail(AVAL_E_PLUGIN,
                      "%s: argument %" PRIu32 " of the launch is AVAL_WRITE or AVAL_UPDATE, but the kernel may only read its parameter "
                      "%" PRIu32 ", `const %s %s` (counted from 1; " IN_ORDER ")",
                      aval__binding_where(b, step), i + 1, index + 1, p->type, p->name);
}

static int check_each(const aval__binding *b, const aval__step *step, cl_kernel telling)
{
    cl_uint index = 0;
    for (uint32_t i = 0; i < step->n_args; i++, index++) {
        const aval__arg *arg = &step->args[i];
        parameter p;
        if (!ask(telling, index, &p)) return AVAL_OK;
        if (!takes(&p, arg)) return fail_argument(b, step, i, index, &p, IN_ORDER);
        if (arg->kind != AVAL__ARG_TENSOR) continue;
        AVAL__TRY(check_written(b, step, i, index, &p));
        if (!ask(telling, ++index, &p)) return AVAL_OK;
        AVAL__TRY(check_offset(b, step, i, index, &p));
    }
    return AVAL_OK;
}

int aval__binding_check_types(const aval__binding *b, const aval__step *step, cl_kernel kernel)
{
    parameter first;
    if (!b->guarded || step->n_args == 0) return AVAL_OK;
    if (ask(kernel, 0, &first)) return check_each(b, step, kernel);
    cl_kernel telling = b->asks ? build_telling(b, step) : NULL;
    int status = telling ? check_each(b, step, telling) : AVAL_OK;
    if (telling) clReleaseKernel(telling);
    return status;
}

/* Counted as the recorder counts: a tensor is one argument of the launch and two of the kernel. */
int aval__binding_check_parameters(const aval__binding *b, const aval__step *step, cl_kernel kernel)
{
    cl_uint taken = 0, given = step->n_args;
    for (uint32_t i = 0; i < step->n_args; i++) given += step->args[i].kind == AVAL__ARG_TENSOR;
    AVAL__TRY(aval__cl_check(clGetKernelInfo(kernel, CL_KERNEL_NUM_ARGS, sizeof taken, &taken, NULL), "clGetKernelInfo", "%s",
                             aval__binding_where(b, step)));
    if (taken == given) return AVAL_OK;
    return aval__fail(AVAL_E_PLUGIN,
                      "%s: the kernel has %u parameters, but the launch's %u arguments give it %u (each tensor gives two: a buffer and an "
                      "offset)",
                      aval__binding_where(b, step), (unsigned)taken, (unsigned)step->n_args, (unsigned)given);
}

/* ---- Setting --------------------------------------------------------------------------------------------------------------- */

int aval__binding_set_buffer(const aval__binding *b, const aval__step *step, cl_kernel kernel, uint32_t index, cl_mem buffer)
{
    cl_int code = clSetKernelArg(kernel, index, sizeof buffer, &buffer);
    return code == CL_SUCCESS ? AVAL_OK
                              : aval__cl_check(code, "clSetKernelArg", "argument %" PRIu32 ", %s", index, aval__binding_where(b, step));
}

/* Both parameters of a tensor, or that of a value or of local memory; *index is the next one then. */
static cl_int set_argument(const aval__binding *b, const aval__step *step, cl_kernel kernel, const aval__arg *arg, cl_uint *index)
{
    if (arg->kind != AVAL__ARG_TENSOR) {
        bool local = arg->kind == AVAL__ARG_LOCAL;
        cl_int code = clSetKernelArg(kernel, *index, local ? (size_t)arg->local_bytes : arg->bytes, local ? NULL : arg->data);
        *index += code == CL_SUCCESS;
        return code;
    }
    cl_long offset = arg->absent ? -1 : arg->offset;
    cl_mem buffer = arg->absent ? b->devices[step->device].nothing : b->slots[arg->slot].buffer;
    cl_int code = clSetKernelArg(kernel, *index, sizeof buffer, &buffer);
    *index += code == CL_SUCCESS;
    if (code == CL_SUCCESS) code = clSetKernelArg(kernel, *index, sizeof offset, &offset);
    *index += code == CL_SUCCESS;
    return code;
}

static int fail_setting(const aval__binding *b, const aval__step *step, cl_int code, uint32_t i, cl_uint index)
{
    char how[80];
    parameter p;
    cl_kernel telling = build_telling(b, step);
    bool told = telling && ask(telling, index, &p);
    snprintf(how, sizeof how, "clSetKernelArg: %s", aval__cl_name(code));
    if (telling) clReleaseKernel(telling);
    return fail_argument(b, step, i, index, told ? &p : NULL, how);
}

int aval__binding_set_args(const aval__binding *b, const aval__step *step, cl_kernel kernel)
{
    cl_uint index = 0;
    for (uint32_t i = 0; i < step->n_args; i++) {
        cl_int code = set_argument(b, step, kernel, &step->args[i], &index);
        if (code == CL_INVALID_ARG_SIZE || code == CL_INVALID_ARG_VALUE) return fail_setting(b, step, code, i, index);
        if (code != CL_SUCCESS)
            return aval__cl_check(code, "clSetKernelArg", "argument %" PRIu32 " of the launch, %s", i + 1, aval__binding_where(b, step));
    }
    return AVAL_OK;
}
