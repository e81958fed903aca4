/* Expressions, with functions in them. Depth is limited as in Lua; chains (`a.b.c`, `a + b + c`) and lists are loops. A
 * node's hash is made of its kind and the hashes of its parts. */
#include "syntax/syntax_internal.h"

#include <string.h>

#include "base/text.h"

static const struct ls__known not_known = {.kind = LS__NOT_KNOWN};

struct ls_syntax_expr *ls__expr_new(struct ls__parser *p, enum ls_syntax_expr_kind kind, uint64_t part)
{
    struct ls_syntax_expr *expr = ls__lex_take(&p->lex, 1, sizeof *expr);
    expr->kind = (uint8_t)kind;
    expr->start = p->lex.now.start;
    expr->end = p->lex.now.end;
    expr->line = p->lex.now.line;
    expr->hash = ls__mix(UINT64_C(0x4558) + kind, part);
    return expr;
}

/* One that begins where `first` does and ends with the token before. */
struct ls_syntax_expr *ls__expr_around(struct ls__parser *p, enum ls_syntax_expr_kind kind, uint64_t part,
                                       struct ls_syntax_expr *first, struct ls_syntax_expr *right)
{
    struct ls_syntax_expr *expr = ls__expr_new(p, kind, part);
    if (first) {
        expr->start = first->start;
        expr->line = first->line;
        expr->hash = ls__mix(expr->hash, first->hash);
    }
    expr->end = p->lex.last_end;
    expr->left = first;
    expr->right = right;
    if (right) expr->hash = ls__mix(expr->hash, right->hash);
    return expr;
}

static struct ls_syntax_expr *string_new(struct ls__parser *p, struct ls_syntax_string string)
{
    struct ls_syntax_expr *expr = ls__expr_new(p, LS_EXPR_STRING, ls_hash(string.text, string.len));
    expr->string = string;
    return expr;
}

uint64_t ls__list_hash(uint64_t hash, const struct ls_syntax_expr *list)
{
    for (; list; list = list->next)
        hash = ls__mix(hash, list->hash);
    return ls__mix(hash, 1);
}

/* A name that is used, at the token before. */
struct ls_syntax_expr *ls__name_expr(struct ls__parser *p, struct ls__word *word)
{
    const uint32_t start = p->lex.last_end - word->string.len;
    if (word->meant) word = word->meant;
    struct ls__scoped *scoped = ls__resolve(p, word);
    struct ls_syntax_expr *expr = ls__expr_new(p, LS_EXPR_NAME, word->hash);
    expr->start = start;
    expr->end = p->lex.last_end;
    expr->line = p->lex.last_line;
    expr->string = word->string;
    expr->variable = scoped ? &scoped->variable : NULL;
    if (scoped || word == p->env) return expr;
    struct ls__scoped *env = ls__resolve(p, p->env);
    if (!env) return expr;
    struct ls_syntax_expr *index = ls__lex_take(&p->lex, 1, sizeof *index),
                          *left = ls__lex_take(&p->lex, 1, sizeof *left);
    *index = *left = *expr;
    index->kind = LS_EXPR_INDEX;
    index->left = left;
    index->right = expr;
    left->string = env->word->string;
    left->variable = &env->variable;
    expr->kind = LS_EXPR_STRING;
    expr->variable = NULL;
    return index;
}

static struct ls_syntax_expr *subexpression(struct ls__parser *p, int limit, struct ls__known *known);

struct ls_syntax_expr *ls__expression_list(struct ls__parser *p, struct ls__known *last)
{
    struct ls_syntax_expr *first, *at;
    first = at = subexpression(p, 0, last);
    while (ls__take(p, ','))
        at = at->next = subexpression(p, 0, last);
    return first;
}

void ls__mention(struct ls__parser *p, struct ls_syntax_expr *expr)
{
    LS__PUSH(p, p->syntax->mentions, p->syntax->mention_count, p->mention_cap,
             (struct ls_syntax_mention){.expr = expr, .function = p->body->function->number});
}

static struct ls_syntax_expr *constructor(struct ls__parser *p)
{
    struct ls_syntax_expr *table = ls__expr_new(p, LS_EXPR_TABLE, 0), **at = &table->list;
    int line = p->lex.now.line;
    ls__want(p, '{');
    while (ls__token(p) != '}') {
        struct ls_syntax_expr *key = NULL;
        if (ls__token(p) == TK_NAME && ls__lex_ahead(&p->lex) == '=') {
            key = ls__expr_new(p, LS_EXPR_STRING, p->lex.now.word->hash);
            key->string = p->lex.now.word->string;
            ls__next(p);
            ls__next(p);
        } else if (ls__take(p, '[')) {
            key = ls__expression(p);
            ls__want(p, ']');
            ls__want(p, '=');
        }
        *at = ls__expression(p);
        (*at)->key = key;
        table->hash = ls__mix(ls__mix(table->hash, key ? key->hash : 1), (*at)->hash);
        at = &(*at)->next;
        if (!ls__take(p, ',') && !ls__take(p, ';')) break;
    }
    ls__want_close(p, '}', '{', line);
    table->end = p->lex.last_end;
    return table;
}

/* What stands behind a call's name. */
static struct ls_syntax_expr *arguments(struct ls__parser *p, struct ls_syntax_expr *callee,
                                        struct ls_syntax_expr *method)
{
    struct ls_syntax_expr *list = NULL;
    if (ls__token(p) == TK_STRING) {
        list = string_new(p, p->lex.now.string);
        ls__next(p);
    } else if (ls__token(p) == '{') {
        list = constructor(p);
    } else {
        int line = p->lex.now.line;
        struct ls__known known;
        if (ls__token(p) != '(') ls__lex_fail_near(&p->lex, "function arguments expected");
        ls__next(p);
        if (ls__token(p) != ')') list = ls__expression_list(p, &known);
        ls__want_close(p, ')', '(', line);
    }
    struct ls_syntax_expr *call = ls__expr_around(p, LS_EXPR_CALL, method ? method->hash : 0, callee, NULL);
    call->key = method;
    call->list = list;
    call->hash = ls__list_hash(call->hash, list);
    if (callee->kind == LS_EXPR_PAREN && callee->right->kind == LS_EXPR_FUNCTION && p->body->function->number == 0)
        callee->right->function->immediate = !method;
    return call;
}

/* Is all there is before the closing bracket a constant? */
static bool at_constant(struct ls__parser *p)
{
    int kind = ls__token(p);
    return (kind == TK_STRING || kind == TK_INTEGER || kind == TK_FLOAT || kind == TK_TRUE || kind == TK_FALSE) &&
           ls__lex_ahead(&p->lex) == ']';
}

/* primaryexp and suffixedexp of Lua's grammar. */
struct ls_syntax_expr *ls__suffixed(struct ls__parser *p, struct ls__known *known)
{
    struct ls_syntax_expr *expr, *key;
    bool chain = ls__token(p) == TK_NAME;
    *known = not_known;
    if (chain) {
        struct ls__word *word = p->lex.now.word;
        ls__next(p);
        if (word->variable && word->variable->variable.folded) *known = word->variable->known;
        expr = ls__name_expr(p, word);
    } else if (ls__token(p) == '(') {
        int line = p->lex.now.line;
        struct ls_syntax_expr *paren = ls__expr_new(p, LS_EXPR_PAREN, 0);
        ls__next(p);
        paren->right = subexpression(p, 0, known);
        ls__want_close(p, ')', '(', line);
        paren->end = p->lex.last_end;
        paren->hash = ls__mix(paren->hash, paren->right->hash);
        expr = paren;
    } else {
        ls__lex_fail_near(&p->lex, "unexpected symbol");
    }
    for (;; *known = not_known) {
        int kind = ls__token(p);
        if (kind == '.' || kind == '[') {
            ls__next(p);
            if (kind == '.') {
                if (ls__token(p) != TK_NAME) ls__want(p, TK_NAME);
                key = ls__expr_new(p, LS_EXPR_STRING, p->lex.now.word->hash);
                key->string = p->lex.now.word->string;
                ls__next(p);
            } else {
                if (chain && !at_constant(p)) {
                    ls__mention(p, expr);
                    chain = false;
                }
                key = ls__expression(p);
                ls__want(p, ']');
            }
            expr = ls__expr_around(p, LS_EXPR_INDEX, 0, expr, key);
        } else if (kind == ':' || kind == '(' || kind == '{' || kind == TK_STRING) {
            if (chain) ls__mention(p, expr);
            unsigned mention = chain && kind != ':' ? p->syntax->mention_count : 0; /* arguments bring further ones */
            chain = false;
            key = NULL;
            if (kind == ':') {
                ls__next(p);
                if (ls__token(p) != TK_NAME) ls__want(p, TK_NAME);
                key = ls__expr_new(p, LS_EXPR_STRING, p->lex.now.word->hash);
                key->string = p->lex.now.word->string;
                ls__next(p);
            }
            expr = arguments(p, expr, key);
            if (mention > 0) p->syntax->mentions[mention - 1].call = expr;
        } else {
            if (chain) ls__mention(p, expr);
            return expr;
        }
    }
}

static struct ls_syntax_expr *simple(struct ls__parser *p, struct ls__known *known)
{
    struct ls_syntax_expr *expr;
    uint64_t bits;
    *known = not_known;
    switch (ls__token(p)) {
    case TK_NIL: expr = ls__expr_new(p, LS_EXPR_NIL, 0); break;
    case TK_FALSE: expr = ls__expr_new(p, LS_EXPR_FALSE, 0); break;
    case TK_TRUE: expr = ls__expr_new(p, LS_EXPR_TRUE, 0); break;
    case TK_STRING: expr = string_new(p, p->lex.now.string); break;
    case TK_INTEGER:
        expr = ls__expr_new(p, LS_EXPR_INTEGER, (uint64_t)p->lex.now.integer);
        known->integer = expr->integer = p->lex.now.integer;
        break;
    case TK_FLOAT:
        memcpy(&bits, &p->lex.now.number, sizeof bits);
        expr = ls__expr_new(p, LS_EXPR_FLOAT, bits);
        known->number = expr->number = p->lex.now.number;
        break;
    case TK_DOTS:
        if (!p->body->function->vararg) ls__lex_fail_near(&p->lex, "cannot use '...' outside a vararg function");
        expr = ls__expr_new(p, LS_EXPR_VARARG, 0);
        ls__next(p);
        return expr;
    case '{': return constructor(p);
    case TK_FUNCTION: {
        uint32_t start = p->lex.now.start;
        ls__next(p);
        return ls__function_expr(p, start, p->lex.now.last_line, false);
    }
    default: return ls__suffixed(p, known);
    }
    known->kind = expr->kind;
    ls__next(p);
    return expr;
}

static const struct operator
{
    uint8_t left, right; /* priorities */
}
operators[] = {
    [LS_OP_ADD] = {10, 10},  [LS_OP_SUB] = {10, 10}, [LS_OP_MUL] = {11, 11},  [LS_OP_MOD] = {11, 11},
    [LS_OP_POW] = {14, 13},  [LS_OP_DIV] = {11, 11}, [LS_OP_IDIV] = {11, 11}, [LS_OP_BAND] = {6, 6},
    [LS_OP_BOR] = {4, 4},    [LS_OP_BXOR] = {5, 5},  [LS_OP_SHL] = {7, 7},    [LS_OP_SHR] = {7, 7},
    [LS_OP_CONCAT] = {9, 8}, [LS_OP_EQ] = {3, 3},    [LS_OP_LT] = {3, 3},     [LS_OP_LE] = {3, 3},
    [LS_OP_NE] = {3, 3},     [LS_OP_GT] = {3, 3},    [LS_OP_GE] = {3, 3},     [LS_OP_AND] = {2, 2},
    [LS_OP_OR] = {1, 1},
};
enum { UNARY_PRIORITY = 12 };

static int binary_operator(int kind)
{
    switch (kind) {
    case '+': return LS_OP_ADD;
    case '-': return LS_OP_SUB;
    case '*': return LS_OP_MUL;
    case '%': return LS_OP_MOD;
    case '^': return LS_OP_POW;
    case '/': return LS_OP_DIV;
    case TK_IDIV: return LS_OP_IDIV;
    case '&': return LS_OP_BAND;
    case '|': return LS_OP_BOR;
    case '~': return LS_OP_BXOR;
    case TK_SHL: return LS_OP_SHL;
    case TK_SHR: return LS_OP_SHR;
    case TK_CONCAT: return LS_OP_CONCAT;
    case TK_EQ: return LS_OP_EQ;
    case '<': return LS_OP_LT;
    case TK_LE: return LS_OP_LE;
    case TK_NE: return LS_OP_NE;
    case '>': return LS_OP_GT;
    case TK_GE: return LS_OP_GE;
    case TK_AND: return LS_OP_AND;
    case TK_OR: return LS_OP_OR;
    default: return -1;
    }
}

static int unary_operator(int kind)
{
    return kind == '-'      ? LS_OP_MINUS
           : kind == TK_NOT ? LS_OP_NOT
           : kind == '~'    ? LS_OP_BNOT
           : kind == '#'    ? LS_OP_LEN
                            : -1;
}

/* An expression of operators that bind more than `limit`. */
static struct ls_syntax_expr *subexpression(struct ls__parser *p, int limit, struct ls__known *known)
{
    struct ls_syntax_expr *expr;
    int op = unary_operator(ls__token(p));
    ls__deeper(p);
    if (op >= 0) {
        struct ls_syntax_expr *unary = ls__expr_new(p, LS_EXPR_UNARY, (uint64_t)op);
        ls__next(p);
        unary->op = (uint8_t)op;
        unary->right = subexpression(p, UNARY_PRIORITY, known);
        unary->end = p->lex.last_end;
        unary->hash = ls__mix(unary->hash, unary->right->hash);
        *known = ls__fold_unary(op, known);
        expr = unary;
    } else {
        expr = simple(p, known);
    }
    while ((op = binary_operator(ls__token(p))) >= 0 && operators[op].left > limit) {
        struct ls__known second;
        ls__next(p);
        struct ls_syntax_expr *right = subexpression(p, operators[op].right, &second);
        expr = ls__expr_around(p, LS_EXPR_BINARY, (uint64_t)op, expr, right);
        expr->op = (uint8_t)op;
        *known = ls__fold_binary(op, known, &second);
    }
    p->depth--;
    return expr;
}

struct ls_syntax_expr *ls__expression(struct ls__parser *p)
{
    struct ls__known known;
    return subexpression(p, 0, &known);
}

static void parameters(struct ls__parser *p, struct ls_syntax_variable **at, uint64_t *hash)
{
    ls__want(p, '(');
    while (ls__token(p) != ')') {
        if (ls__take(p, TK_DOTS)) {
            p->body->function->vararg = true;
            *hash = ls__mix(*hash, 2);
            break;
        }
        struct ls__scoped *scoped = ls__variable_new(p, ls__name(p));
        scoped->variable.parameter = true;
        *at = &scoped->variable;
        at = &scoped->variable.next;
        *hash = ls__mix(*hash, scoped->word->hash);
        if (!ls__take(p, ',')) break;
        if (ls__token(p) == ')') ls__want(p, TK_NAME);
    }
    ls__want(p, ')');
}

/* From the parameters on. @param start, line  where it begins; the line is Lua's `linedefined` */
struct ls_syntax_expr *ls__function_expr(struct ls__parser *p, uint32_t start, int line, bool method)
{
    struct ls__body body;
    struct ls__region outer;
    struct ls_syntax_expr *expr = ls__expr_new(p, LS_EXPR_FUNCTION, 0);
    ls__body_open(p, &body, &outer);
    struct ls_syntax_function *function = body.function;
    struct ls_syntax_variable **at = &function->parameters;
    uint64_t hash = LS_EXPR_FUNCTION, inner;
    if (method) {
        struct ls__scoped *self = ls__variable_new(p, p->self);
        self->variable.parameter = true;
        self->variable.start = 0;
        *at = &self->variable;
        at = &self->variable.next;
        hash = ls__mix(hash, p->self->hash);
    }
    parameters(p, at, &hash);
    ls__activate_list(p, function->parameters);
    function->body = ls__statements(p, &inner);
    function->hash = ls__mix(hash, inner) | 1; /* 0 has a meaning of its own */
    function->method = method;
    function->first_line = line;
    function->last_line = p->lex.now.last_line;
    ls__want_close(p, TK_END, TK_FUNCTION, line);
    ls__body_close(p);
    function->start = expr->start = start;
    function->end = expr->end = p->lex.last_end;
    expr->function = function;
    expr->hash = function->hash;
    return expr;
}
