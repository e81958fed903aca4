/* Faults: the texts of section 23 of tracker.md. Thread: any; holds no state. Rules: T98, T99, P98. */
#include "tracker/fault.h"

#include <stdarg.h>
#include <stdio.h>

static const struct {
    const char *text, *code;
} kinds[] = {
#define LS_X(kind, text, code) [LS_FAULT_##kind] = {text, code},
    LS_FAULTS(LS_X)
#undef LS_X
};

int ls_fault_set(struct ls_fault *fault, enum ls_fault_kind kind, const char *format, ...)
{
    if (!fault) return -1;
    fault->kind = kind;
    va_list args;
    va_start(args, format);
    int len = vsnprintf(fault->text, sizeof fault->text, format, args);
    va_end(args);
    if (len < 0) fault->text[0] = '\0';
    return -1;
}

const char *ls_fault_kind_text(enum ls_fault_kind kind)
{
    return (size_t)kind < sizeof kinds / sizeof *kinds ? kinds[kind].text : "internal";
}

const char *ls_fault_code(enum ls_fault_kind kind)
{
    return (size_t)kind < sizeof kinds / sizeof *kinds ? kinds[kind].code : "internal";
}
