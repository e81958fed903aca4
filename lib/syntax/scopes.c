/* Which variable a name means: blocks, functions and their upvalues, as Lua's own parser keeps them (lparser.c), so
 * that upvalues come in its order. And the tokens that it wants. */
#include "syntax/syntax_internal.h"

#include <stdio.h>
#include <string.h>

enum { MAX_DEPTH = 200, MAX_LOCALS = 200, MAX_UPVALUES = 255 }; /* Lua's LUAI_MAXCCALLS, MAXVARS, MAXUPVAL */

static const char *token_name(int kind, char brief[2])
{
    static const char *const names[] = {
        "<eof>", "and",   "break", "do",        "else",     "elseif", "end",     "false",  "for",    "function",
        "goto",  "if",    "in",    "local",     "nil",      "not",    "or",      "repeat", "return", "then",
        "true",  "until", "while", "//",        "..",       "...",    "==",      ">=",     "<=",     "~=",
        "<<",    ">>",    "::",    "<integer>", "<number>", "<name>", "<string>"};
    if (kind >= TK_EOF) return names[kind - TK_EOF];
    brief[0] = (char)kind;
    brief[1] = '\0';
    return brief;
}

void ls__want(struct ls__parser *p, int kind)
{
    if (ls__take(p, kind)) return;
    char brief[2], message[64];
    snprintf(message, sizeof message, "'%s' expected", token_name(kind, brief));
    ls__lex_fail_near(&p->lex, kind == TK_NAME ? "<name> expected" : message);
}

/* `what` closes what `opener` opened in that line. */
void ls__want_close(struct ls__parser *p, int what, int opener, int line)
{
    if (ls__take(p, what)) return;
    if (line == p->lex.now.last_line) ls__want(p, what);
    char one[2], two[2], message[96];
    snprintf(message, sizeof message, "'%s' expected (to close '%s' at line %d)", token_name(what, one),
             token_name(opener, two), line);
    ls__lex_fail_near(&p->lex, message);
}

struct ls__word *ls__name(struct ls__parser *p)
{
    struct ls__word *word = ls__token(p) == TK_NAME ? p->lex.now.word : NULL;
    ls__want(p, TK_NAME);
    return word;
}

void ls__deeper(struct ls__parser *p)
{
    if (++p->depth >= MAX_DEPTH) ls__lex_fail(&p->lex, p->lex.line, "C stack overflow");
}

/* --- scopes --- */

struct ls__scoped *ls__variable_new(struct ls__parser *p, struct ls__word *word)
{
    struct ls__scoped *scoped = ls__lex_take(&p->lex, 1, sizeof *scoped);
    scoped->variable.start = p->lex.last_end - word->string.len;
    if (word->meant) word = word->meant;
    scoped->word = word;
    scoped->known.kind = LS__NOT_KNOWN;
    scoped->variable.name = word->string;
    scoped->variable.function = p->body->function->number;
    scoped->variable.main = -1;
    return scoped;
}

/* From here on the name means this variable. */
void ls__activate(struct ls__parser *p, struct ls__scoped *scoped)
{
    struct ls__body *body = p->body;
    if (++body->active > MAX_LOCALS) ls__lex_fail_near(&p->lex, "too many local variables");
    scoped->hidden = scoped->word->variable;
    scoped->word->variable = scoped;
    LS__PUSH(p, p->scope, p->scope_count, p->scope_cap, scoped);
    if (!body->around && !body->block->around) {
        scoped->variable.main = (int)p->syntax->variable_count;
        scoped->word->mains++;
        LS__PUSH(p, p->syntax->variables, p->syntax->variable_count, p->variable_cap, &scoped->variable);
    }
}

void ls__activate_list(struct ls__parser *p, struct ls_syntax_variable *list)
{
    for (; list; list = list->next)
        ls__activate(p, (struct ls__scoped *)list);
}

/* Variables of which scripts see nothing, as those of a loop's state. */
void ls__hide(struct ls__parser *p, unsigned count)
{
    p->body->active += count;
    if (p->body->active > MAX_LOCALS) ls__lex_fail_near(&p->lex, "too many local variables");
}

void ls__block_open(struct ls__parser *p, struct ls__region *block)
{
    *block = (struct ls__region){p->body->block, p->scope_count, p->body->active, p->labels.count, p->gotos.count};
    p->body->block = block;
}

void ls__block_close(struct ls__parser *p)
{
    struct ls__region *block = p->body->block;
    while (p->scope_count > block->scope) {
        struct ls__scoped *scoped = p->scope[--p->scope_count];
        scoped->word->variable = scoped->hidden;
    }
    p->body->active = block->active;
    p->body->block = block->around;
    p->labels.count = block->labels;
    if (!block->around && p->gotos.count > block->gotos) {
        struct ls__jump *jump = &p->gotos.items[block->gotos];
        ls__lex_fail(&p->lex, jump->line, "no visible label '%.*s' for goto at line %d",
                     jump->word->string.len < 40 ? (int)jump->word->string.len : 40, jump->word->string.text,
                     jump->line);
    }
    for (size_t i = block->gotos; i < p->gotos.count; i++)
        p->gotos.items[i].active = block->active;
}

/* The function has this upvalue from now on, and those around it up to the variable's own.
 * @param scoped  NULL = `_ENV` of the main function */
static void upvalue(struct ls__parser *p, struct ls__body *body, struct ls__word *word, struct ls__scoped *scoped)
{
    struct ls_syntax_function *function = body->function;
    for (unsigned i = 0; i < function->upvalue_count; i++)
        if (body->upvalues[i] == word) return;
    if (!scoped || scoped->variable.function != body->around->function->number) upvalue(p, body->around, word, scoped);
    if (function->upvalue_count == MAX_UPVALUES) ls__lex_fail_near(&p->lex, "too many upvalues");
    struct ls_syntax_variable *variable = scoped ? &scoped->variable : NULL;
    size_t cap = body->upvalue_cap; /* of both arrays */
    if (function->upvalue_count == cap) {
        size_t more = cap ? cap * 2 : 4;
        struct ls__word **words = ls__lex_take(&p->lex, more, sizeof(struct ls__word *));
        struct ls_syntax_upvalue *upvalues = ls__lex_take(&p->lex, more, sizeof *upvalues);
        if (cap) {
            memcpy(words, body->upvalues, cap * sizeof(struct ls__word *));
            memcpy(upvalues, function->upvalues, cap * sizeof *upvalues);
        }
        body->upvalues = words;
        function->upvalues = upvalues;
        body->upvalue_cap = more;
    }
    body->upvalues[function->upvalue_count] = word;
    function->upvalues[function->upvalue_count++] =
        (struct ls_syntax_upvalue){word->string, variable, variable ? variable->main : -1};
    if (variable) variable->captured = true;
}

/* What a name means here: an upvalue where it is another function's. */
struct ls__scoped *ls__resolve(struct ls__parser *p, struct ls__word *word)
{
    struct ls__scoped *scoped = word->variable;
    if (scoped ? scoped->variable.function != p->body->function->number && !scoped->variable.folded : word == p->env)
        upvalue(p, p->body, word, scoped);
    return scoped;
}

void ls__body_open(struct ls__parser *p, struct ls__body *body, struct ls__region *block)
{
    struct ls_syntax *syntax = p->syntax;
    struct ls_syntax_function *function = ls__lex_take(&p->lex, 1, sizeof *function);
    function->number = (int)syntax->function_count;
    function->parent = p->body ? p->body->function->number : -1;
    LS__PUSH(p, syntax->functions, syntax->function_count, p->function_cap, function);
    *body = (struct ls__body){.around = p->body, .function = function, .labels = p->labels.count};
    p->body = body;
    ls__block_open(p, block);
}

void ls__body_close(struct ls__parser *p)
{
    ls__block_close(p);
    p->body = p->body->around;
}
