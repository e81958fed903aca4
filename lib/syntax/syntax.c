/* A whole text: the parser is recursive descent in the shape of Lua's own (lparser.c), so that scopes, upvalues, lines
 * and limits come out the same. And what is asked of the result. */
#include "syntax/syntax_internal.h"

#include <string.h>

#include "base/alloc.h"
#include "base/text.h"

/* What a caller has, and what is behind it. */
struct whole {
    struct ls_syntax syntax;
    struct ls__pool pool;
    unsigned *index; /* owned; by what the debug interface tells of a function: its number + 1; open addressing */
    unsigned index_mask;
};

static uint64_t closure_hash(int first_line, int last_line, unsigned upvalues)
{
    return ls__mix(ls__mix((uint64_t)first_line << 32 | (unsigned)last_line, upvalues), 4);
}

static bool same_names(const struct ls_syntax_function *a, const struct ls_syntax_function *b)
{
    for (unsigned i = 0; i < a->upvalue_count; i++) {
        const struct ls_syntax_string *x = &a->upvalues[i].name, *y = &b->upvalues[i].name;
        if (x->len != y->len || memcmp(x->text, y->text, x->len) != 0) return false;
    }
    return true;
}

/* Functions that look the same share the entry of the first, which says so. */
static void index_function(struct whole *whole, struct ls_syntax_function *function)
{
    uint64_t hash = closure_hash(function->first_line, function->last_line, function->upvalue_count);
    for (unsigned i = 0; i < function->upvalue_count; i++)
        hash = ls__mix(hash, ls_hash(function->upvalues[i].name.text, function->upvalues[i].name.len));
    for (;; hash++) {
        unsigned *slot = &whole->index[hash & whole->index_mask];
        if (*slot == 0) {
            *slot = (unsigned)function->number + 1;
            return;
        }
        struct ls_syntax_function *other = whole->syntax.functions[*slot - 1];
        if (other->first_line != function->first_line || other->last_line != function->last_line ||
            other->upvalue_count != function->upvalue_count || !same_names(other, function))
            continue;
        if (other->hash != function->hash) other->hash = 0;
        for (unsigned i = 0; i < function->upvalue_count; i++)
            other->ambiguous |= other->upvalues[i].main != function->upvalues[i].main;
        return;
    }
}

static void parse_main(struct ls__parser *p, struct whole *whole, const struct ls__rename *renames, unsigned count)
{
    struct ls__body body;
    struct ls__region outer;
    struct ls_syntax *syntax = &whole->syntax;
    ls__lexer_init(&p->lex, syntax->text, syntax->len);
    syntax->text = p->lex.text;
    p->env = ls__lex_word(&p->lex, "_ENV", 4);
    p->self = ls__lex_word(&p->lex, "self", 4);
    for (unsigned i = 0; i < count; i++)
        ls__lex_word(&p->lex, renames[i].from.text, renames[i].from.len)->meant =
            ls__lex_word(&p->lex, renames[i].to.text, renames[i].to.len);
    p->body = NULL;
    ls__body_open(p, &body, &outer);
    struct ls_syntax_function *function = body.function;
    function->vararg = true;
    body.upvalues = ls__lex_take(&p->lex, 1, sizeof(struct ls__word *));
    function->upvalues = ls__lex_take(&p->lex, 1, sizeof *function->upvalues);
    body.upvalues[0] = p->env;
    function->upvalues[0] = (struct ls_syntax_upvalue){p->env->string, NULL, -1};
    function->upvalue_count = 1;
    body.upvalue_cap = 1;
    function->body = ls__statements(p, &function->hash);
    if (ls__token(p) != TK_EOF) ls__want(p, TK_EOF);
    ls__body_close(p);
    function->end = (uint32_t)syntax->len;
    syntax->hash = function->hash |= 1;
    for (unsigned i = 0; i < syntax->variable_count; i++)
        syntax->variables[i]->once = ((struct ls__scoped *)syntax->variables[i])->word->mains == 1;
    unsigned size = 4;
    while (size < 2 * syntax->function_count)
        size *= 2;
    whole->index = ls_array(size, sizeof *whole->index);
    if (!whole->index) ls__lex_no_memory(&p->lex);
    whole->index_mask = size - 1;
    for (unsigned i = 0; i < syntax->function_count; i++)
        index_function(whole, syntax->functions[i]);
}

/* @param scope  in: empty; out: what is in scope where a text fails; may be NULL */
static struct ls_syntax *parse(const char *text, size_t len, const struct ls__rename *renames, unsigned count,
                               struct ls_syntax_error *error, struct ls_names *scope)
{
    struct whole *whole = ls_zalloc(sizeof *whole);
    struct ls__parser *p = ls_zalloc(sizeof *p);
    volatile bool failed = true;
    if (whole && p && len < UINT32_MAX / 2) {
        whole->syntax.text = text;
        whole->syntax.len = len;
        p->syntax = &whole->syntax;
        p->lex.error = error;
        if (setjmp(p->lex.failed) == 0) {
            parse_main(p, whole, renames, count);
            failed = false;
        }
    } else if (error) {
        *error = (struct ls_syntax_error){.message = "not enough memory"};
    }
    if (p) {
        for (size_t i = 0; failed && scope && i < p->scope_count; i++)
            ls_names_add(scope, p->scope[i]->word->string.text);
        if (whole) whole->pool = p->lex.pool;
        p->lex.pool = (struct ls__pool){0};
        ls__lexer_release(&p->lex);
        ls_free(p->scope);
        ls_free(p->labels.items);
        ls_free(p->gotos.items);
        ls_free(p);
    }
    if (!failed) return &whole->syntax;
    ls_syntax_free(whole ? &whole->syntax : NULL);
    return NULL;
}

struct ls_syntax *ls_syntax_parse(const char *text, size_t len, struct ls_syntax_error *error)
{
    return parse(text, len, NULL, 0, error, NULL);
}

bool ls_syntax_scope(const char *text, size_t len, struct ls_names *names)
{
    static const char mark[] = " ?"; /* which no text goes on with */
    struct ls_syntax_error error = {0};
    struct ls_buf marked = LS_BUF_INIT;
    ls_buf_add(&marked, text, len);
    ls_buf_str(&marked, mark);
    if (!ls_buf_failed(&marked)) ls_syntax_free(parse(marked.data, marked.len, NULL, 0, &error, names));
    ls_buf_release(&marked);
    if (error.start == len + 1) return true;
    ls_names_release(names);
    return false;
}

struct ls_syntax *ls__syntax_renamed(const struct ls_syntax *syntax, const struct ls__rename *renames, unsigned count)
{
    return parse(syntax->text, syntax->len, renames, count, NULL, NULL);
}

void ls_syntax_free(struct ls_syntax *syntax)
{
    struct whole *whole = (struct whole *)syntax;
    if (!whole) return;
    ls__pool_release(&whole->pool);
    ls_free(syntax->functions);
    ls_free(syntax->variables);
    ls_free(syntax->mentions);
    ls_free(whole->index);
    ls_free(whole);
}

const struct ls_syntax_function *ls_syntax_function(const struct ls_syntax *syntax, int first_line, int last_line,
                                                    unsigned upvalues, const char *const names[])
{
    const struct whole *whole = (const struct whole *)syntax;
    uint64_t hash = closure_hash(first_line, last_line, upvalues);
    for (unsigned i = 0; i < upvalues; i++)
        hash = ls__mix(hash, ls_hash(names[i], strlen(names[i])));
    for (; whole->index[hash & whole->index_mask]; hash++) {
        const struct ls_syntax_function *function = syntax->functions[whole->index[hash & whole->index_mask] - 1];
        if (function->first_line != first_line || function->last_line != last_line ||
            function->upvalue_count != upvalues)
            continue;
        unsigned i = 0;
        while (i < upvalues && strcmp(names[i], function->upvalues[i].name.text) == 0)
            i++;
        if (i == upvalues) return function->ambiguous ? NULL : function;
    }
    return NULL;
}

const struct ls_syntax_variable *ls_syntax_variable(const struct ls_syntax *syntax, const char *name, size_t len)
{
    for (unsigned i = 0; i < syntax->variable_count; i++) {
        const struct ls_syntax_variable *variable = syntax->variables[i];
        if (variable->once && variable->name.len == len && memcmp(variable->name.text, name, len) == 0) return variable;
    }
    return NULL;
}
