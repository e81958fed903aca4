/* A whole text: the parser is recursive descent in the shape of Lua's own (lparser.c), so that scopes, upvalues, lines
 * and limits come out the same. And what is asked of the result. */
#include "syntax/syntax_internal.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/buf.h"

/* What a caller has, and what is behind it. */
struct whole {
    struct ls_syntax syntax;
    struct ls__pool pool;
    struct ls_syntax_function **by_looks; /* sorted, one of those that look the same */
    size_t look_count;
};

/* In an order of what the debug interface tells of a function. */
static int compare_looks(const void *one, const void *other)
{
    const struct ls_syntax_function *a = *(struct ls_syntax_function *const *)one,
                                    *b = *(struct ls_syntax_function *const *)other;
    if (a->first_line != b->first_line) return a->first_line < b->first_line ? -1 : 1;
    if (a->last_line != b->last_line) return a->last_line < b->last_line ? -1 : 1;
    if (a->upvalue_count != b->upvalue_count) return a->upvalue_count < b->upvalue_count ? -1 : 1;
    int order = 0;
    for (unsigned i = 0; i < a->upvalue_count && order == 0; i++)
        order = strcmp(a->upvalues[i].name.text, b->upvalues[i].name.text);
    return order;
}

static void index_functions(struct ls__parser *p, struct whole *whole)
{
    const size_t count = whole->syntax.function_count;
    struct ls_syntax_function **sorted = ls__lex_take(&p->lex, count, sizeof(struct ls_syntax_function *)),
                              **last = sorted;
    memcpy(sorted, whole->syntax.functions, count * sizeof(struct ls_syntax_function *));
    qsort(sorted, count, sizeof(struct ls_syntax_function *), compare_looks);
    for (size_t i = 1; i < count; i++) {
        if (compare_looks(last, &sorted[i]) != 0) {
            *++last = sorted[i];
            continue;
        }
        if ((*last)->hash != sorted[i]->hash) (*last)->hash = 0;
        for (unsigned k = 0; k < (*last)->upvalue_count; k++)
            (*last)->ambiguous |= (*last)->upvalues[k].main != sorted[i]->upvalues[k].main;
    }
    whole->by_looks = sorted;
    whole->look_count = (size_t)(last - sorted) + 1;
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
    ls__body_open(p, &body, &outer);
    struct ls_syntax_function *function = body.function;
    function->vararg = true;
    function->upvalues = ls__lex_take(&p->lex, 1, sizeof *function->upvalues);
    function->upvalues[0] = (struct ls_syntax_upvalue){p->env->string, NULL, -1};
    function->upvalue_count = 1;
    function->body = ls__statements(p, &function->hash);
    if (ls__token(p) != TK_EOF) ls__expected(p, TK_EOF);
    ls__body_close(p);
    syntax->hash = function->hash |= 1;
    for (unsigned i = 0; i < syntax->variable_count; i++)
        syntax->variables[i]->once = ((struct ls__scoped *)syntax->variables[i])->word->mains == 1;
    index_functions(p, whole);
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
    ls_free(whole);
}

const struct ls_syntax_function *ls_syntax_function(const struct ls_syntax *syntax, int first_line, int last_line,
                                                    unsigned upvalues, const char *const names[])
{
    const struct whole *whole = (const struct whole *)syntax;
    struct ls_syntax_upvalue wanted[256];
    if (upvalues > 255) return NULL;
    for (unsigned i = 0; i < upvalues; i++)
        wanted[i].name.text = names[i];
    const struct ls_syntax_function *key = &(struct ls_syntax_function){
        .first_line = first_line, .last_line = last_line, .upvalue_count = upvalues, .upvalues = wanted};
    struct ls_syntax_function **found =
        bsearch(&key, whole->by_looks, whole->look_count, sizeof(struct ls_syntax_function *), compare_looks);
    return found && !(*found)->ambiguous ? *found : NULL;
}

const struct ls_syntax_variable *ls_syntax_variable(const struct ls_syntax *syntax, const char *name, size_t len)
{
    for (unsigned i = 0; i < syntax->variable_count; i++) {
        const struct ls_syntax_variable *variable = syntax->variables[i];
        if (variable->once && ls__same_string(variable->name, (struct ls_syntax_string){name, (uint32_t)len}))
            return variable;
    }
    return NULL;
}
