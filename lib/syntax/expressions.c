/* Expressions, with functions in them, and the tokens that the parser wants. Depth is limited as in Lua; chains
 * (`a.b.c`, `a + b + c`) and lists are loops. A node's hash is made of its kind and the hashes of its parts. */
#include "syntax/syntax_internal.h"

#include <stdio.h>

#include "base/text.h"

enum { MAX_DEPTH = 200, UNARY_PRIORITY = 12 }; /* Lua's LUAI_MAXCCALLS */

/* By token: the binary operator with its priorities (none = 0), and the unary one (none = 0). */
/* clang-format off */
static const struct op {
    uint8_t op, left, right, unary;
} ops[TK_COUNT] = {
    ['+'] = {LS_OP_ADD, 10, 10, 0}, ['-'] = {LS_OP_SUB, 10, 10, LS_OP_MINUS}, ['*'] = {LS_OP_MUL, 11, 11, 0},
    ['/'] = {LS_OP_DIV, 11, 11, 0}, [TK_IDIV] = {LS_OP_IDIV, 11, 11, 0}, ['%'] = {LS_OP_MOD, 11, 11, 0},
    ['^'] = {LS_OP_POW, 14, 13, 0}, [TK_CONCAT] = {LS_OP_CONCAT, 9, 8, 0}, [TK_SHL] = {LS_OP_SHL, 7, 7, 0},
    [TK_SHR] = {LS_OP_SHR, 7, 7, 0}, ['&'] = {LS_OP_BAND, 6, 6, 0}, ['~'] = {LS_OP_BXOR, 5, 5, LS_OP_BNOT},
    ['|'] = {LS_OP_BOR, 4, 4, 0}, [TK_EQ] = {LS_OP_EQ, 3, 3, 0}, [TK_NE] = {LS_OP_NE, 3, 3, 0},
    ['<'] = {LS_OP_LT, 3, 3, 0}, [TK_LE] = {LS_OP_LE, 3, 3, 0}, ['>'] = {LS_OP_GT, 3, 3, 0},
    [TK_GE] = {LS_OP_GE, 3, 3, 0}, [TK_AND] = {LS_OP_AND, 2, 2, 0}, [TK_OR] = {LS_OP_OR, 1, 1, 0},
    [TK_NOT] = {.unary = LS_OP_NOT}, ['#'] = {.unary = LS_OP_LEN},
};
/* clang-format on */

/* --- tokens that are wanted --- */

void ls__expected(struct ls__parser *p, int kind)
{
    char brief[2], message[64];
    snprintf(message, sizeof message, kind < TK_INTEGER ? "'%s' expected" : "%s expected", ls__token_name(kind, brief));
    ls__lex_fail_near(&p->lex, message);
}

void ls__want(struct ls__parser *p, int kind)
{
    if (!ls__take(p, kind)) ls__expected(p, kind);
}

void ls__want_close(struct ls__parser *p, int kind, int opener, int line)
{
    if (ls__take(p, kind)) return;
    if (line == p->lex.now.last_line) ls__expected(p, kind);
    char one[2], two[2], message[96];
    snprintf(message, sizeof message, "'%s' expected (to close '%s' at line %d)", ls__token_name(kind, one),
             ls__token_name(opener, two), line);
    ls__lex_fail_near(&p->lex, message);
}

struct ls__word *ls__name(struct ls__parser *p)
{
    if (ls__token(p) != TK_NAME) ls__expected(p, TK_NAME);
    struct ls__word *word = p->lex.now.word;
    ls__next(p);
    return word;
}

void ls__deeper(struct ls__parser *p)
{
    if (++p->depth >= MAX_DEPTH) ls__lex_fail(&p->lex, p->lex.line, "C stack overflow");
}

/* --- nodes --- */

/* A node of the token looked at; its hash is of the kind and `part`. */
static struct ls_syntax_expr *node(struct ls__parser *p, enum ls_syntax_expr_kind kind, uint64_t part)
{
    struct ls_syntax_expr *expr = ls__lex_take(&p->lex, 1, sizeof *expr);
    expr->kind = (uint8_t)kind;
    expr->start = p->lex.now.start;
    expr->end = p->lex.now.end;
    expr->line = p->lex.now.line;
    expr->hash = ls__mix(ls__mix(UINT64_C(0x4558), kind), part); /* else `true` and the number 1 would count alike */
    return expr;
}

/* A node of others: from where `left` begins to the end of the token before. */
static struct ls_syntax_expr *node_of(struct ls__parser *p, enum ls_syntax_expr_kind kind, uint64_t part,
                                      struct ls_syntax_expr *left, struct ls_syntax_expr *right)
{
    struct ls_syntax_expr *expr = node(p, kind, part);
    expr->start = left->start;
    expr->line = left->line;
    expr->end = p->lex.last_end;
    expr->left = left;
    expr->right = right;
    expr->hash = ls__mix(expr->hash, left->hash);
    if (right) expr->hash = ls__mix(expr->hash, right->hash);
    return expr;
}

uint64_t ls__list_hash(uint64_t hash, const struct ls_syntax_expr *list)
{
    for (; list; list = list->next)
        hash = ls__mix(hash, list->hash);
    return ls__mix(hash, 1);
}

static struct ls_syntax_expr *string(struct ls__parser *p)
{
    const struct ls_syntax_string value = p->lex.now.string;
    struct ls_syntax_expr *expr = node(p, LS_EXPR_STRING, ls_hash(value.text, value.len));
    expr->string = value;
    ls__next(p);
    return expr;
}

/* A name that is a key, as the string that it is. */
static struct ls_syntax_expr *key_name(struct ls__parser *p)
{
    if (ls__token(p) != TK_NAME) ls__expected(p, TK_NAME);
    struct ls_syntax_expr *expr = node(p, LS_EXPR_STRING, p->lex.now.word->hash);
    expr->string = p->lex.now.word->string;
    ls__next(p);
    return expr;
}

struct ls_syntax_expr *ls__field(struct ls__parser *p, struct ls_syntax_expr *left)
{
    struct ls_syntax_expr *key = key_name(p);
    return node_of(p, LS_EXPR_INDEX, 0, left, key);
}

struct ls_syntax_expr *ls__variable(struct ls__parser *p)
{
    if (ls__token(p) != TK_NAME) ls__expected(p, TK_NAME);
    struct ls__word *word = p->lex.now.word->meant ? p->lex.now.word->meant : p->lex.now.word;
    struct ls_syntax_expr *expr = node(p, LS_EXPR_NAME, word->hash);
    ls__next(p);
    struct ls__scoped *scoped = ls__resolve(p, word), *env;
    expr->string = word->string;
    expr->variable = scoped ? &scoped->variable : NULL;
    if (scoped || word == p->env || !(env = ls__resolve(p, p->env))) return expr;
    struct ls_syntax_expr *index = ls__lex_take(&p->lex, 1, sizeof *index), /* `_ENV` is a local variable here */
        *left = ls__lex_take(&p->lex, 1, sizeof *left);
    *index = *left = *expr;
    index->kind = LS_EXPR_INDEX;
    index->left = left;
    index->right = expr;
    left->string = env->word->string;
    left->variable = &env->variable;
    expr->kind = LS_EXPR_STRING;
    return index;
}

void ls__mention(struct ls__parser *p, struct ls_syntax_expr *expr)
{
    LS__PUSH(p, p->syntax->mentions, p->syntax->mention_count, p->mention_cap,
             (struct ls_syntax_mention){.expr = expr, .function = p->body->function->number});
}

/* --- the grammar --- */

static struct ls_syntax_expr *subexpression(struct ls__parser *p, int limit);

struct ls_syntax_expr *ls__expression(struct ls__parser *p)
{
    return subexpression(p, 0);
}

struct ls_syntax_expr *ls__expression_list(struct ls__parser *p)
{
    struct ls_syntax_expr *first = ls__expression(p), *at = first;
    while (ls__take(p, ','))
        at = at->next = ls__expression(p);
    return first;
}

static struct ls_syntax_expr *constructor(struct ls__parser *p)
{
    struct ls_syntax_expr *table = node(p, LS_EXPR_TABLE, 0), **at = &table->list;
    int line = p->lex.now.line;
    ls__next(p);
    while (ls__token(p) != '}') {
        struct ls_syntax_expr *key = NULL;
        if (ls__token(p) == TK_NAME && ls__lex_ahead(&p->lex) == '=') {
            key = key_name(p);
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
    int line = p->lex.now.line;
    if (ls__token(p) == TK_STRING) {
        list = string(p);
    } else if (ls__token(p) == '{') {
        list = constructor(p);
    } else if (ls__take(p, '(')) {
        if (ls__token(p) != ')') list = ls__expression_list(p);
        ls__want_close(p, ')', '(', line);
    } else {
        ls__lex_fail_near(&p->lex, "function arguments expected");
    }
    struct ls_syntax_expr *call = node_of(p, LS_EXPR_CALL, method ? method->hash : 0, callee, NULL);
    call->right = method;
    call->list = list;
    call->hash = ls__list_hash(call->hash, list);
    if (callee->kind == LS_EXPR_PAREN && callee->right->kind == LS_EXPR_FUNCTION && p->body->function->number == 0)
        callee->right->function->immediate = !method;
    return call;
}

static struct ls_syntax_expr *parenthesis(struct ls__parser *p)
{
    struct ls_syntax_expr *paren = node(p, LS_EXPR_PAREN, 0);
    int line = p->lex.now.line;
    if (!ls__take(p, '(')) ls__lex_fail_near(&p->lex, "unexpected symbol");
    paren->right = ls__expression(p);
    ls__want_close(p, ')', '(', line);
    paren->end = p->lex.last_end;
    paren->hash = ls__mix(paren->hash, paren->right->hash);
    return paren;
}

/* primaryexp and suffixedexp of Lua's grammar. */
struct ls_syntax_expr *ls__suffixed(struct ls__parser *p)
{
    bool chain = ls__token(p) == TK_NAME; /* a name with constant keys, which is mentioned where it ends */
    struct ls_syntax_expr *expr = chain ? ls__variable(p) : parenthesis(p), *key;
    unsigned mention = 0; /* 1 + its number, where it may be called */
    for (;;) {
        const int kind = ls__token(p);
        if (kind == '.') {
            ls__next(p);
            expr = ls__field(p, expr);
            continue;
        }
        if (chain) {
            ls__mention(p, expr);
            mention = p->syntax->mention_count;
        }
        if (kind == '[') {
            ls__next(p);
            key = ls__expression(p);
            ls__want(p, ']');
            expr = node_of(p, LS_EXPR_INDEX, 0, expr, key);
            chain = chain && key->kind >= LS_EXPR_FALSE && key->kind <= LS_EXPR_STRING;
            if (chain) p->syntax->mention_count--; /* it goes on */
            continue;
        }
        if (kind != ':' && kind != '(' && kind != '{' && kind != TK_STRING) return expr;
        if (!chain || kind == ':') mention = 0;
        chain = false;
        key = ls__take(p, ':') ? key_name(p) : NULL;
        expr = arguments(p, expr, key);
        if (mention > 0) p->syntax->mentions[mention - 1].call = expr;
    }
}

static struct ls_syntax_expr *simple(struct ls__parser *p)
{
    struct ls_syntax_expr *expr;
    uint32_t start = p->lex.now.start;
    switch (ls__token(p)) {
    case TK_NIL: expr = node(p, LS_EXPR_NIL, 0); break;
    case TK_FALSE: expr = node(p, LS_EXPR_FALSE, 0); break;
    case TK_TRUE: expr = node(p, LS_EXPR_TRUE, 0); break;
    case TK_INTEGER:
    case TK_FLOAT:
        expr = node(p, ls__token(p) == TK_FLOAT ? LS_EXPR_FLOAT : LS_EXPR_INTEGER, (uint64_t)p->lex.now.integer);
        expr->integer = p->lex.now.integer; /* the bits of either */
        break;
    case TK_DOTS:
        if (!p->body->function->vararg) ls__lex_fail_near(&p->lex, "cannot use '...' outside a vararg function");
        expr = node(p, LS_EXPR_VARARG, 0);
        break;
    case TK_STRING: return string(p);
    case '{': return constructor(p);
    case TK_FUNCTION: ls__next(p); return ls__function(p, start, p->lex.now.last_line, false);
    default: return ls__suffixed(p);
    }
    ls__next(p);
    return expr;
}

/* An expression of operators that bind more than `limit`. */
static struct ls_syntax_expr *subexpression(struct ls__parser *p, int limit)
{
    struct ls_syntax_expr *expr;
    const int unary = ops[ls__token(p)].unary;
    ls__deeper(p);
    if (unary) {
        expr = node(p, LS_EXPR_UNARY, (uint64_t)unary);
        ls__next(p);
        expr->op = (uint8_t)unary;
        expr->right = subexpression(p, UNARY_PRIORITY);
        expr->end = p->lex.last_end;
        expr->hash = ls__mix(expr->hash, expr->right->hash);
        ls__fold(p, expr);
    } else {
        expr = simple(p);
    }
    for (const struct op *op; (op = &ops[ls__token(p)])->left > limit;) {
        ls__next(p);
        struct ls_syntax_expr *right = subexpression(p, op->right);
        expr = node_of(p, LS_EXPR_BINARY, op->op, expr, right);
        expr->op = op->op;
        ls__fold(p, expr);
    }
    p->depth--;
    return expr;
}

/* @return with the hash of all parameters */
static uint64_t parameters(struct ls__parser *p, struct ls_syntax_function *function, uint64_t hash)
{
    struct ls_syntax_variable **at = &function->parameters;
    if (function->method) {
        *at = &ls__variable_new(p, p->self)->variable;
        (*at)->start = 0;
        at = &(*at)->next;
        hash = ls__mix(hash, p->self->hash);
    }
    ls__want(p, '(');
    for (bool more = ls__token(p) != ')'; more; more = ls__take(p, ',')) {
        if (ls__take(p, TK_DOTS)) {
            function->vararg = true;
            hash = ls__mix(hash, 2);
            break;
        }
        struct ls__scoped *scoped = ls__variable_new(p, ls__name(p));
        *at = &scoped->variable;
        at = &scoped->variable.next;
        hash = ls__mix(hash, scoped->word->hash);
    }
    ls__want(p, ')');
    ls__activate(p, function->parameters);
    return hash;
}

struct ls_syntax_expr *ls__function(struct ls__parser *p, uint32_t start, int line, bool method)
{
    struct ls__body body;
    struct ls__region outer;
    struct ls_syntax_expr *expr = node(p, LS_EXPR_FUNCTION, 0);
    ls__body_open(p, &body, &outer);
    struct ls_syntax_function *function = body.function;
    function->method = method;
    uint64_t hash = parameters(p, function, LS_EXPR_FUNCTION);
    function->body = ls__statements(p, &hash);
    function->hash = hash | 1; /* 0 has a meaning of its own */
    function->first_line = line;
    function->last_line = p->lex.now.last_line;
    ls__want_close(p, TK_END, TK_FUNCTION, line);
    ls__body_close(p);
    expr->start = start;
    expr->end = p->lex.last_end;
    expr->function = function;
    expr->hash = function->hash;
    return expr;
}
