/* Fuzz target: Lua texts as people save them, whole and broken. A text is refused with a line and a message, or read:
 * then every extent lies in the text, every list ends, and each function is found again by what the debug interface
 * would tell of it. Built by run.sh: with libFuzzer, or with replay.c over a folder of files. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "syntax/syntax.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) abort();                                                                                     \
    } while (0)

static void check_expr(const struct ls_syntax *syntax, const struct ls_syntax_expr *expr)
{
    for (; expr; expr = expr->next)
        CHECK(expr->start <= expr->end && expr->end <= syntax->len && expr->line > 0 && expr->hash);
}

static void check_block(const struct ls_syntax *syntax, const struct ls_syntax_stat *stat)
{
    for (uint32_t at = 0; stat; stat = stat->next) {
        CHECK(stat->start >= at && stat->start < syntax->len && stat->line > 0);
        at = stat->start + 1;
        check_expr(syntax, stat->targets);
        check_expr(syntax, stat->list);
        for (const struct ls_syntax_stat *branch = stat; branch; branch = branch->orelse)
            check_block(syntax, branch->body);
        for (const struct ls_syntax_variable *variable = stat->variables; variable; variable = variable->next)
            CHECK(strlen(variable->name.text) == variable->name.len && variable->stat == stat);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ls_syntax_error error = {.line = -1};
    struct ls_syntax *syntax = ls_syntax_parse((const char *)data, size, &error);
    if (!syntax) {
        CHECK(error.line > 0 && *error.message && strlen(error.message) < sizeof error.message);
        return 0;
    }
    CHECK(error.line == -1 && syntax->function_count > 0 && syntax->len == size);
    for (unsigned i = 0; i < syntax->function_count; i++) {
        const struct ls_syntax_function *function = syntax->functions[i], *found;
        const char *names[256];
        CHECK(function->number == (int)i && function->upvalue_count <= 255);
        CHECK(function->first_line <= function->last_line || i == 0);
        for (unsigned k = 0; k < function->upvalue_count; k++)
            names[k] = function->upvalues[k].name.text;
        found = ls_syntax_function(syntax, function->first_line, function->last_line, function->upvalue_count, names);
        for (unsigned k = 0; found && k < found->upvalue_count; k++)
            CHECK(found->upvalues[k].main == function->upvalues[k].main);
        check_block(syntax, function->body);
    }
    uint32_t at = 0;
    for (unsigned i = 0; i < syntax->mention_count; i++) {
        CHECK(syntax->mentions[i].expr->end >= at);
        at = syntax->mentions[i].expr->end;
    }
    ls_syntax_free(syntax);
    return 0;
}
