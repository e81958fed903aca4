/* Which variable a name means: blocks, functions and their upvalues, labels, as Lua's own parser keeps them
 * (lparser.c), so that upvalues come in its order. */
#include "syntax/syntax_internal.h"

enum { MAX_LOCALS = 200, MAX_UPVALUES = 255 }; /* Lua's MAXVARS, MAXUPVAL */

struct ls__scoped *ls__variable_new(struct ls__parser *p, struct ls__word *word)
{
    struct ls__scoped *scoped = ls__lex_take(&p->lex, 1, sizeof *scoped);
    scoped->variable.start = p->lex.last_end - word->string.len;
    scoped->word = word->meant ? word->meant : word;
    scoped->variable.name = scoped->word->string;
    scoped->variable.function = p->body->function->number;
    scoped->variable.number = p->syntax->declared++;
    scoped->variable.main = -1;
    return scoped;
}

void ls__hide(struct ls__parser *p, unsigned count)
{
    p->body->active += count;
    if (p->body->active > MAX_LOCALS) ls__lex_fail_near(&p->lex, "too many local variables");
}

void ls__activate(struct ls__parser *p, struct ls_syntax_variable *list)
{
    for (; list; list = list->next) {
        struct ls__scoped *scoped = (struct ls__scoped *)list;
        ls__hide(p, 1);
        scoped->hidden = scoped->word->variable;
        scoped->word->variable = scoped;
        LS__PUSH(p, p->scope, p->scope_count, p->scope_cap, scoped);
        if (p->body->around || p->body->block->around) continue;
        list->main = (int)p->syntax->variable_count;
        scoped->word->mains++;
        LS__PUSH(p, p->syntax->variables, p->syntax->variable_count, p->variable_cap, list);
    }
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
    for (size_t i = block->gotos; i < p->gotos.count; i++) {
        struct ls__jump *jump = &p->gotos.items[i];
        jump->active = block->active;
        if (block->around) continue;
        ls__lex_fail(&p->lex, jump->line, "no visible label '%.40s' for goto at line %d", jump->word->string.text,
                     jump->line);
    }
}

/* The function has this upvalue from now on, and those around it up to the variable's own.
 * @param scoped  NULL = `_ENV` of the main function */
static void upvalue(struct ls__parser *p, struct ls__body *body, struct ls__word *word, struct ls__scoped *scoped)
{
    struct ls_syntax_function *function = body->function;
    const unsigned count = function->upvalue_count;
    for (unsigned i = 0; i < count; i++)
        if (function->upvalues[i].name.text == word->string.text) return;
    if (!scoped || scoped->variable.function != body->around->function->number) upvalue(p, body->around, word, scoped);
    if (count == MAX_UPVALUES) ls__lex_fail_near(&p->lex, "too many upvalues");
    if ((count & (count - 1)) == 0) { /* there is room up to the next power of two */
        struct ls_syntax_upvalue *more = ls__lex_take(&p->lex, count ? count * 2 : 1, sizeof *more);
        if (count) memcpy(more, function->upvalues, count * sizeof *more);
        function->upvalues = more;
    }
    struct ls_syntax_variable *variable = scoped ? &scoped->variable : NULL;
    function->upvalues[function->upvalue_count++] =
        (struct ls_syntax_upvalue){word->string, variable, variable ? variable->main : -1};
}

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

/* --- jumps --- */

static struct ls__jump *label_of(struct ls__parser *p, const struct ls__word *word)
{
    for (size_t i = p->labels.count; i > p->body->labels; i--)
        if (p->labels.items[i - 1].word == word) return &p->labels.items[i - 1];
    return NULL;
}

void ls__goto(struct ls__parser *p, struct ls__word *word, int line)
{
    if (!label_of(p, word))
        LS__PUSH(p, p->gotos.items, p->gotos.count, p->gotos.cap, (struct ls__jump){word, line, p->body->active});
}

void ls__label(struct ls__parser *p, struct ls__word *word, int line, bool last)
{
    const unsigned active = last ? p->body->block->active : p->body->active;
    size_t kept = p->body->block->gotos; /* jumps of this block that wait for other labels */
    struct ls__jump *old = label_of(p, word);
    if (old)
        ls__lex_fail(&p->lex, p->lex.line, "label '%.40s' already defined on line %d", word->string.text, old->line);
    LS__PUSH(p, p->labels.items, p->labels.count, p->labels.cap, (struct ls__jump){word, line, active});
    for (size_t i = kept; i < p->gotos.count; i++) {
        struct ls__jump *jump = &p->gotos.items[i];
        if (jump->word != word)
            p->gotos.items[kept++] = *jump;
        else if (jump->active < active)
            ls__lex_fail(&p->lex, p->lex.line, "<goto %.40s> at line %d jumps into the scope of a local variable",
                         word->string.text, jump->line);
    }
    p->gotos.count = kept;
}
