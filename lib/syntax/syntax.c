/* The parser: recursive descent in the shape of Lua's own (lparser.c), so that scopes, upvalues, lines and limits come
 * out the same. Depth is limited as there; chains (`a.b.c`, `a + b + c`) and lists are loops.
 *
 * Hashes are made bottom-up: a node's from its kind and the hashes of its parts. */
#include "syntax/syntax_internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/array.h"
#include "base/text.h"

enum { MAX_DEPTH = 200, MAX_LOCALS = 200, MAX_UPVALUES = 255 }; /* Lua's LUAI_MAXCCALLS, MAXVARS, MAXUPVAL */

/* What the compiler knows of an expression's value: whether a <const> variable needs no upvalue depends on it. */
enum { NOT_KNOWN = 255 };
struct known {
    uint8_t kind; /* NIL, FALSE, TRUE, INTEGER, FLOAT or STRING of enum ls_syntax_expr_kind; else NOT_KNOWN */
    union {
        int64_t integer;
        double number;
    };
};
static const struct known not_known = {.kind = NOT_KNOWN};

/* A variable while the text is read. */
struct ls__scoped {
    struct ls_syntax_variable variable;
    struct ls__word *word;
    struct ls__scoped *hidden; /* the variable of this name around it */
    bool closes;               /* <close> */
    struct known known;        /* of a folded one */
};

struct jump { /* a label, or a goto that waits for one */
    struct ls__word *word;
    int line;
    unsigned active; /* variables of the function in scope there */
};
struct jumps {
    struct jump *items; /* owned */
    size_t count, cap;
};

struct block {
    struct block *around; /* of the same function */
    size_t scope;         /* variables in scope when it began */
    unsigned active;      /* those of the function */
    size_t labels, gotos;
};

/* A function while its body is read. */
struct body {
    struct body *around;
    struct ls_syntax_function *function;
    struct block *block;
    unsigned active;            /* its variables in scope */
    size_t labels;              /* its first label */
    unsigned loops;             /* around the statement */
    struct ls__word **upvalues; /* their names, in order */
    size_t upvalue_cap;
};

struct parser {
    struct ls__lexer lex;
    struct ls_syntax *syntax;
    struct body *body;
    unsigned depth;
    struct ls__scoped **scope; /* owned: the variables in scope, innermost last */
    size_t scope_count, scope_cap;
    struct jumps labels, gotos;
    size_t function_cap, variable_cap, mention_cap;
    struct ls__word *env, *self;
};

#define PUSH_OR_FAIL(p, ...)                                                                                           \
    do {                                                                                                               \
        if (!LS_PUSH(__VA_ARGS__)) ls__lex_no_memory(&(p)->lex);                                                       \
    } while (0)

/* --- tokens --- */

static int token(const struct parser *p)
{
    return p->lex.now.kind;
}

static void next(struct parser *p)
{
    ls__lex_next(&p->lex);
}

static bool take(struct parser *p, int kind)
{
    if (token(p) != kind) return false;
    next(p);
    return true;
}

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

static void want(struct parser *p, int kind)
{
    if (take(p, kind)) return;
    char brief[2], message[64];
    snprintf(message, sizeof message, "'%s' expected", token_name(kind, brief));
    ls__lex_fail_near(&p->lex, kind == TK_NAME ? "<name> expected" : message);
}

/* `what` closes what `opener` opened in that line. */
static void want_close(struct parser *p, int what, int opener, int line)
{
    if (take(p, what)) return;
    if (line == p->lex.now.last_line) want(p, what);
    char one[2], two[2], message[96];
    snprintf(message, sizeof message, "'%s' expected (to close '%s' at line %d)", token_name(what, one),
             token_name(opener, two), line);
    ls__lex_fail_near(&p->lex, message);
}

static struct ls__word *name(struct parser *p)
{
    struct ls__word *word = token(p) == TK_NAME ? p->lex.now.word : NULL;
    want(p, TK_NAME);
    return word;
}

static void enter(struct parser *p)
{
    if (++p->depth >= MAX_DEPTH) ls__lex_fail(&p->lex, p->lex.line, "C stack overflow");
}

/* --- nodes --- */

static struct ls_syntax_expr *expr_new(struct parser *p, enum ls_syntax_expr_kind kind, uint64_t part)
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
static struct ls_syntax_expr *expr_around(struct parser *p, enum ls_syntax_expr_kind kind, uint64_t part,
                                          struct ls_syntax_expr *first, struct ls_syntax_expr *right)
{
    struct ls_syntax_expr *expr = expr_new(p, kind, part);
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

static struct ls_syntax_expr *string_new(struct parser *p, struct ls_syntax_string string)
{
    struct ls_syntax_expr *expr = expr_new(p, LS_EXPR_STRING, ls_hash(string.text, string.len));
    expr->string = string;
    return expr;
}

static uint64_t list_hash(uint64_t hash, const struct ls_syntax_expr *list)
{
    for (; list; list = list->next)
        hash = ls__mix(hash, list->hash);
    return ls__mix(hash, 1);
}

/* --- what the compiler knows --- */

static bool is_number(const struct known *a)
{
    return a->kind == LS_EXPR_INTEGER || a->kind == LS_EXPR_FLOAT;
}

static double number_of(const struct known *a)
{
    return a->kind == LS_EXPR_INTEGER ? (double)a->integer : a->number;
}

static bool integer_of(const struct known *a, int64_t *integer)
{
    if (a->kind == LS_EXPR_INTEGER) {
        *integer = a->integer;
        return true;
    }
    if (!(a->number >= -0x1p63 && a->number < 0x1p63) || a->number != floor(a->number)) return false;
    *integer = (int64_t)a->number;
    return true;
}

static int64_t shift_left(int64_t value, int64_t by)
{
    if (by <= -64 || by >= 64) return 0;
    return (int64_t)(by >= 0 ? (uint64_t)value << by : (uint64_t)value >> -by);
}

static struct known fold_bits(int op, int64_t a, int64_t b)
{
    struct known result = {.kind = LS_EXPR_INTEGER};
    switch (op) {
    case LS_OP_BAND: result.integer = a & b; break;
    case LS_OP_BOR: result.integer = a | b; break;
    case LS_OP_BXOR: result.integer = a ^ b; break;
    case LS_OP_SHL: result.integer = shift_left(a, b); break;
    default: result.integer = shift_left(a, b == INT64_MIN ? 64 : -b); break;
    }
    return result;
}

static struct known fold_integers(int op, int64_t a, int64_t b)
{
    struct known result = {.kind = LS_EXPR_INTEGER};
    int64_t rest = b == -1 ? 0 : op == LS_OP_MOD || op == LS_OP_IDIV ? a % b : 0;
    switch (op) {
    case LS_OP_ADD: result.integer = (int64_t)((uint64_t)a + (uint64_t)b); break;
    case LS_OP_SUB: result.integer = (int64_t)((uint64_t)a - (uint64_t)b); break;
    case LS_OP_MUL: result.integer = (int64_t)((uint64_t)a * (uint64_t)b); break;
    case LS_OP_MOD: result.integer = rest != 0 && (rest ^ b) < 0 ? rest + b : rest; break;
    default: result.integer = b == -1 ? (int64_t)(0 - (uint64_t)a) : a / b - (rest != 0 && (a ^ b) < 0 ? 1 : 0); break;
    }
    return result;
}

/* Arithmetic as Lua's compiler folds it (constfolding of lcode.c): not what would raise, not NaN, not a float 0. */
static struct known fold(int op, const struct known *a, const struct known *b)
{
    int64_t left, right;
    if (!is_number(a) || !is_number(b) || op > LS_OP_SHR) return not_known;
    if (op >= LS_OP_BAND) return integer_of(a, &left) && integer_of(b, &right) ? fold_bits(op, left, right) : not_known;
    if ((op == LS_OP_DIV || op == LS_OP_IDIV || op == LS_OP_MOD) && number_of(b) == 0) return not_known;
    if (op != LS_OP_DIV && op != LS_OP_POW && a->kind == LS_EXPR_INTEGER && b->kind == LS_EXPR_INTEGER)
        return fold_integers(op, a->integer, b->integer);
    double x = number_of(a), y = number_of(b), value;
    switch (op) {
    case LS_OP_ADD: value = x + y; break;
    case LS_OP_SUB: value = x - y; break;
    case LS_OP_MUL: value = x * y; break;
    case LS_OP_DIV: value = x / y; break;
    case LS_OP_IDIV: value = floor(x / y); break;
    case LS_OP_POW: value = y == 2 ? x * x : pow(x, y); break;
    default:
        value = fmod(x, y);
        if (value > 0 ? y < 0 : value < 0 && y > 0) value += y;
        break;
    }
    return isnan(value) || value == 0 ? not_known : (struct known){.kind = LS_EXPR_FLOAT, .number = value};
}

static struct known fold_binary(int op, const struct known *a, const struct known *b)
{
    if (op < LS_OP_CONCAT) return fold(op, a, b);
    if (op != LS_OP_AND && op != LS_OP_OR) return not_known;
    bool no = a->kind == LS_EXPR_NIL || a->kind == LS_EXPR_FALSE;
    if (a->kind == NOT_KNOWN || no == (op == LS_OP_AND)) return not_known;
    return *b; /* `1 and b`, `nil or b`: the compiler leaves the left one out */
}

static struct known fold_unary(int op, const struct known *a)
{
    const struct known zero = {.kind = LS_EXPR_INTEGER}, ones = {.kind = LS_EXPR_INTEGER, .integer = -1};
    if (a->kind == NOT_KNOWN) return not_known;
    switch (op) {
    case LS_OP_NOT:
        return (struct known){.kind =
                                  a->kind == LS_EXPR_NIL || a->kind == LS_EXPR_FALSE ? LS_EXPR_TRUE : LS_EXPR_FALSE};
    case LS_OP_MINUS:
        if (a->kind != LS_EXPR_FLOAT) return fold(LS_OP_SUB, &zero, a);
        return a->number == 0 || isnan(a->number) ? not_known
                                                  : (struct known){.kind = LS_EXPR_FLOAT, .number = -a->number};
    case LS_OP_BNOT: return fold(LS_OP_BXOR, &ones, a);
    default: return not_known;
    }
}

/* --- scopes --- */

static struct ls__scoped *variable_new(struct parser *p, struct ls__word *word)
{
    struct ls__scoped *scoped = ls__lex_take(&p->lex, 1, sizeof *scoped);
    scoped->word = word;
    scoped->known = not_known;
    scoped->variable.name = word->string;
    scoped->variable.start = p->lex.last_end - word->string.len;
    scoped->variable.function = p->body->function->number;
    scoped->variable.main = -1;
    return scoped;
}

/* From here on the name means this variable. */
static void activate(struct parser *p, struct ls__scoped *scoped)
{
    struct body *body = p->body;
    if (++body->active > MAX_LOCALS) ls__lex_fail_near(&p->lex, "too many local variables");
    scoped->hidden = scoped->word->variable;
    scoped->word->variable = scoped;
    PUSH_OR_FAIL(p, p->scope, p->scope_count, p->scope_cap, scoped);
    if (!body->around && !body->block->around) {
        scoped->variable.main = (int)p->syntax->variable_count;
        scoped->word->mains++;
        PUSH_OR_FAIL(p, p->syntax->variables, p->syntax->variable_count, p->variable_cap, &scoped->variable);
    }
}

static void activate_list(struct parser *p, struct ls_syntax_variable *list)
{
    for (; list; list = list->next)
        activate(p, (struct ls__scoped *)list);
}

/* Variables of which scripts see nothing, as those of a loop's state. */
static void hide(struct parser *p, unsigned count)
{
    p->body->active += count;
    if (p->body->active > MAX_LOCALS) ls__lex_fail_near(&p->lex, "too many local variables");
}

static void block_open(struct parser *p, struct block *block)
{
    *block = (struct block){p->body->block, p->scope_count, p->body->active, p->labels.count, p->gotos.count};
    p->body->block = block;
}

static void block_close(struct parser *p)
{
    struct block *block = p->body->block;
    while (p->scope_count > block->scope) {
        struct ls__scoped *scoped = p->scope[--p->scope_count];
        scoped->word->variable = scoped->hidden;
    }
    p->body->active = block->active;
    p->body->block = block->around;
    p->labels.count = block->labels;
    if (!block->around && p->gotos.count > block->gotos) {
        struct jump *jump = &p->gotos.items[block->gotos];
        ls__lex_fail(&p->lex, jump->line, "no visible label '%.*s' for goto at line %d",
                     jump->word->string.len < 40 ? (int)jump->word->string.len : 40, jump->word->string.text,
                     jump->line);
    }
    for (size_t i = block->gotos; i < p->gotos.count; i++)
        p->gotos.items[i].active = block->active;
}

/* The function has this upvalue from now on, and those around it up to the variable's own.
 * @param scoped  NULL = `_ENV` of the main function */
static void upvalue(struct parser *p, struct body *body, struct ls__word *word, struct ls__scoped *scoped)
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
static struct ls__scoped *resolve(struct parser *p, struct ls__word *word)
{
    struct ls__scoped *scoped = word->variable;
    if (scoped ? scoped->variable.function != p->body->function->number && !scoped->variable.folded : word == p->env)
        upvalue(p, p->body, word, scoped);
    return scoped;
}

/* A name that is used, at the token before. */
static struct ls_syntax_expr *name_expr(struct parser *p, struct ls__word *word)
{
    struct ls__scoped *scoped = resolve(p, word);
    struct ls_syntax_expr *expr = expr_new(p, LS_EXPR_NAME, word->hash);
    expr->start = p->lex.last_end - word->string.len;
    expr->end = p->lex.last_end;
    expr->line = p->lex.last_line;
    expr->string = word->string;
    expr->variable = scoped ? &scoped->variable : NULL;
    if (scoped || word == p->env) return expr;
    struct ls__scoped *env = resolve(p, p->env);
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

/* --- expressions --- */

static struct ls_syntax_expr *expression(struct parser *p);
static struct ls_syntax_expr *subexpression(struct parser *p, int limit, struct known *known);
static struct ls_syntax_stat *block(struct parser *p, uint64_t *hash);
static struct ls_syntax_stat *statements(struct parser *p, uint64_t *hash);
static struct ls_syntax_expr *function_expr(struct parser *p, uint32_t start, int line, bool method);

static struct ls_syntax_expr *expression_list(struct parser *p, struct known *last)
{
    struct ls_syntax_expr *first, *at;
    first = at = subexpression(p, 0, last);
    while (take(p, ','))
        at = at->next = subexpression(p, 0, last);
    return first;
}

static void mention(struct parser *p, struct ls_syntax_expr *expr)
{
    PUSH_OR_FAIL(p, p->syntax->mentions, p->syntax->mention_count, p->mention_cap,
                 (struct ls_syntax_mention){expr, p->body->function->number, false});
}

static struct ls_syntax_expr *constructor(struct parser *p)
{
    struct ls_syntax_expr *table = expr_new(p, LS_EXPR_TABLE, 0), **at = &table->list;
    int line = p->lex.now.line;
    want(p, '{');
    while (token(p) != '}') {
        struct ls_syntax_expr *key = NULL;
        if (token(p) == TK_NAME && ls__lex_ahead(&p->lex) == '=') {
            key = expr_new(p, LS_EXPR_STRING, p->lex.now.word->hash);
            key->string = p->lex.now.word->string;
            next(p);
            next(p);
        } else if (take(p, '[')) {
            key = expression(p);
            want(p, ']');
            want(p, '=');
        }
        *at = expression(p);
        (*at)->key = key;
        table->hash = ls__mix(ls__mix(table->hash, key ? key->hash : 1), (*at)->hash);
        at = &(*at)->next;
        if (!take(p, ',') && !take(p, ';')) break;
    }
    want_close(p, '}', '{', line);
    table->end = p->lex.last_end;
    return table;
}

/* What stands behind a call's name. */
static struct ls_syntax_expr *arguments(struct parser *p, struct ls_syntax_expr *callee, struct ls_syntax_expr *method)
{
    struct ls_syntax_expr *list = NULL;
    if (token(p) == TK_STRING) {
        list = string_new(p, p->lex.now.string);
        next(p);
    } else if (token(p) == '{') {
        list = constructor(p);
    } else {
        int line = p->lex.now.line;
        struct known known;
        if (token(p) != '(') ls__lex_fail_near(&p->lex, "function arguments expected");
        next(p);
        if (token(p) != ')') list = expression_list(p, &known);
        want_close(p, ')', '(', line);
    }
    struct ls_syntax_expr *call = expr_around(p, LS_EXPR_CALL, method ? method->hash : 0, callee, NULL);
    call->key = method;
    call->list = list;
    call->hash = list_hash(call->hash, list);
    if (callee->kind == LS_EXPR_PAREN && callee->right->kind == LS_EXPR_FUNCTION && p->body->function->number == 0)
        callee->right->function->immediate = !method;
    return call;
}

/* Is all there is before the closing bracket a constant? */
static bool at_constant(struct parser *p)
{
    int kind = token(p);
    return (kind == TK_STRING || kind == TK_INTEGER || kind == TK_FLOAT || kind == TK_TRUE || kind == TK_FALSE) &&
           ls__lex_ahead(&p->lex) == ']';
}

/* primaryexp and suffixedexp of Lua's grammar. */
static struct ls_syntax_expr *suffixed(struct parser *p, struct known *known)
{
    struct ls_syntax_expr *expr, *key;
    bool chain = token(p) == TK_NAME;
    *known = not_known;
    if (chain) {
        struct ls__word *word = p->lex.now.word;
        next(p);
        if (word->variable && word->variable->variable.folded) *known = word->variable->known;
        expr = name_expr(p, word);
    } else if (token(p) == '(') {
        int line = p->lex.now.line;
        struct ls_syntax_expr *paren = expr_new(p, LS_EXPR_PAREN, 0);
        next(p);
        paren->right = subexpression(p, 0, known);
        want_close(p, ')', '(', line);
        paren->end = p->lex.last_end;
        paren->hash = ls__mix(paren->hash, paren->right->hash);
        expr = paren;
    } else {
        ls__lex_fail_near(&p->lex, "unexpected symbol");
    }
    for (;; *known = not_known) {
        int kind = token(p);
        if (kind == '.' || kind == '[') {
            next(p);
            if (kind == '.') {
                if (token(p) != TK_NAME) want(p, TK_NAME);
                key = expr_new(p, LS_EXPR_STRING, p->lex.now.word->hash);
                key->string = p->lex.now.word->string;
                next(p);
            } else {
                if (chain && !at_constant(p)) {
                    mention(p, expr);
                    chain = false;
                }
                key = expression(p);
                want(p, ']');
            }
            expr = expr_around(p, LS_EXPR_INDEX, 0, expr, key);
        } else if (kind == ':' || kind == '(' || kind == '{' || kind == TK_STRING) {
            if (chain) mention(p, expr);
            if (chain && kind != ':') p->syntax->mentions[p->syntax->mention_count - 1].called = true;
            chain = false;
            key = NULL;
            if (kind == ':') {
                next(p);
                if (token(p) != TK_NAME) want(p, TK_NAME);
                key = expr_new(p, LS_EXPR_STRING, p->lex.now.word->hash);
                key->string = p->lex.now.word->string;
                next(p);
            }
            expr = arguments(p, expr, key);
        } else {
            if (chain) mention(p, expr);
            return expr;
        }
    }
}

static struct ls_syntax_expr *simple(struct parser *p, struct known *known)
{
    struct ls_syntax_expr *expr;
    uint64_t bits;
    *known = not_known;
    switch (token(p)) {
    case TK_NIL: expr = expr_new(p, LS_EXPR_NIL, 0); break;
    case TK_FALSE: expr = expr_new(p, LS_EXPR_FALSE, 0); break;
    case TK_TRUE: expr = expr_new(p, LS_EXPR_TRUE, 0); break;
    case TK_STRING: expr = string_new(p, p->lex.now.string); break;
    case TK_INTEGER:
        expr = expr_new(p, LS_EXPR_INTEGER, (uint64_t)p->lex.now.integer);
        known->integer = expr->integer = p->lex.now.integer;
        break;
    case TK_FLOAT:
        memcpy(&bits, &p->lex.now.number, sizeof bits);
        expr = expr_new(p, LS_EXPR_FLOAT, bits);
        known->number = expr->number = p->lex.now.number;
        break;
    case TK_DOTS:
        if (!p->body->function->vararg) ls__lex_fail_near(&p->lex, "cannot use '...' outside a vararg function");
        expr = expr_new(p, LS_EXPR_VARARG, 0);
        next(p);
        return expr;
    case '{': return constructor(p);
    case TK_FUNCTION: {
        uint32_t start = p->lex.now.start;
        next(p);
        return function_expr(p, start, p->lex.now.last_line, false);
    }
    default: return suffixed(p, known);
    }
    known->kind = expr->kind;
    next(p);
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
static struct ls_syntax_expr *subexpression(struct parser *p, int limit, struct known *known)
{
    struct ls_syntax_expr *expr;
    int op = unary_operator(token(p));
    enter(p);
    if (op >= 0) {
        struct ls_syntax_expr *unary = expr_new(p, LS_EXPR_UNARY, (uint64_t)op);
        next(p);
        unary->op = (uint8_t)op;
        unary->right = subexpression(p, UNARY_PRIORITY, known);
        unary->end = p->lex.last_end;
        unary->hash = ls__mix(unary->hash, unary->right->hash);
        *known = fold_unary(op, known);
        expr = unary;
    } else {
        expr = simple(p, known);
    }
    while ((op = binary_operator(token(p))) >= 0 && operators[op].left > limit) {
        struct known second;
        next(p);
        struct ls_syntax_expr *right = subexpression(p, operators[op].right, &second);
        expr = expr_around(p, LS_EXPR_BINARY, (uint64_t)op, expr, right);
        expr->op = (uint8_t)op;
        *known = fold_binary(op, known, &second);
    }
    p->depth--;
    return expr;
}

static struct ls_syntax_expr *expression(struct parser *p)
{
    struct known known;
    return subexpression(p, 0, &known);
}

static void body_open(struct parser *p, struct body *body, struct block *block)
{
    struct ls_syntax *syntax = p->syntax;
    struct ls_syntax_function *function = ls__lex_take(&p->lex, 1, sizeof *function);
    function->number = (int)syntax->function_count;
    function->parent = p->body ? p->body->function->number : -1;
    PUSH_OR_FAIL(p, syntax->functions, syntax->function_count, p->function_cap, function);
    *body = (struct body){.around = p->body, .function = function, .labels = p->labels.count};
    p->body = body;
    block_open(p, block);
}

static void body_close(struct parser *p)
{
    block_close(p);
    p->body = p->body->around;
}

static void parameters(struct parser *p, struct ls_syntax_variable **at, uint64_t *hash)
{
    want(p, '(');
    while (token(p) != ')') {
        if (take(p, TK_DOTS)) {
            p->body->function->vararg = true;
            *hash = ls__mix(*hash, 2);
            break;
        }
        struct ls__word *word = name(p);
        struct ls__scoped *scoped = variable_new(p, word);
        scoped->variable.parameter = true;
        *at = &scoped->variable;
        at = &scoped->variable.next;
        *hash = ls__mix(*hash, word->hash);
        if (!take(p, ',')) break;
        if (token(p) == ')') want(p, TK_NAME);
    }
    want(p, ')');
}

/* From the parameters on. @param start, line  where it begins; the line is Lua's `linedefined` */
static struct ls_syntax_expr *function_expr(struct parser *p, uint32_t start, int line, bool method)
{
    struct body body;
    struct block outer;
    struct ls_syntax_expr *expr = expr_new(p, LS_EXPR_FUNCTION, 0);
    body_open(p, &body, &outer);
    struct ls_syntax_function *function = body.function;
    struct ls_syntax_variable **at = &function->parameters;
    uint64_t hash = LS_EXPR_FUNCTION, inner;
    if (method) {
        struct ls__scoped *self = variable_new(p, p->self);
        self->variable.parameter = true;
        self->variable.start = 0;
        *at = &self->variable;
        at = &self->variable.next;
        hash = ls__mix(hash, p->self->hash);
    }
    parameters(p, at, &hash);
    activate_list(p, function->parameters);
    function->body = statements(p, &inner);
    function->hash = ls__mix(hash, inner) | 1; /* 0 has a meaning of its own */
    function->method = method;
    function->first_line = line;
    function->last_line = p->lex.now.last_line;
    want_close(p, TK_END, TK_FUNCTION, line);
    body_close(p);
    function->start = expr->start = start;
    function->end = expr->end = p->lex.last_end;
    expr->function = function;
    expr->hash = function->hash;
    return expr;
}

/* --- statements --- */

static struct ls_syntax_stat *stat_new(struct parser *p, enum ls_syntax_stat_kind kind)
{
    struct ls_syntax_stat *stat = ls__lex_take(&p->lex, 1, sizeof *stat);
    stat->kind = (uint8_t)kind;
    stat->start = p->lex.now.start;
    stat->line = p->lex.now.line;
    stat->hash = ls__mix(UINT64_C(0x5354), kind);
    return stat;
}

static bool block_ends(const struct parser *p, bool with_until)
{
    switch (token(p)) {
    case TK_ELSE:
    case TK_ELSEIF:
    case TK_END:
    case TK_EOF: return true;
    case TK_UNTIL: return with_until;
    default: return false;
    }
}

static void add_part(struct ls_syntax_stat *stat, uint64_t part)
{
    stat->hash = ls__mix(stat->hash, part);
}

static struct ls_syntax_variable *declare(struct parser *p, struct ls_syntax_stat *stat, struct ls_syntax_variable **at)
{
    struct ls__word *word = name(p);
    struct ls__scoped *scoped = variable_new(p, word);
    scoped->variable.stat = stat;
    add_part(stat, word->hash);
    return *at = &scoped->variable;
}

static void attribute(struct parser *p, struct ls_syntax_stat *stat, struct ls_syntax_variable *variable, bool *closes)
{
    if (!take(p, '<')) return;
    struct ls__word *word = name(p);
    bool closing = strcmp(word->string.text, "close") == 0;
    if (!closing && strcmp(word->string.text, "const") != 0)
        ls__lex_fail(&p->lex, p->lex.line, "unknown attribute '%.40s'", word->string.text);
    if (closing && *closes) ls__lex_fail(&p->lex, p->lex.line, "multiple to-be-closed variables in local list");
    variable->constant = true;
    *closes |= closing;
    add_part(stat, word->hash);
    want(p, '>');
    ((struct ls__scoped *)variable)->closes = closing;
}

static bool gives_several(const struct ls_syntax_expr *expr)
{
    return expr->kind == LS_EXPR_CALL || expr->kind == LS_EXPR_VARARG;
}

static struct ls_syntax_stat *local_statement(struct parser *p, struct ls_syntax_stat *stat)
{
    struct ls_syntax_variable **at = &stat->variables, *last;
    unsigned names = 0, values = 0;
    bool closes = false;
    stat->kind = LS_STAT_LOCAL;
    do {
        last = declare(p, stat, at);
        at = &last->next;
        attribute(p, stat, last, &closes);
        names++;
    } while (take(p, ','));
    struct known known = {.kind = LS_EXPR_NIL};
    if (take(p, '=')) stat->list = expression_list(p, &known);
    stat->hash = list_hash(stat->hash, stat->list);
    struct ls_syntax_variable *variable = stat->variables;
    for (struct ls_syntax_expr *expr = stat->list; expr; expr = expr->next, values++) {
        if (variable) variable->value = expr;
        variable = variable ? variable->next : NULL;
        for (; variable && !expr->next && gives_several(expr); variable = variable->next)
            variable->value = expr;
    }
    struct ls__scoped *scoped = (struct ls__scoped *)last;
    last->folded = names == values && last->constant && !scoped->closes && known.kind != NOT_KNOWN;
    if (last->folded) scoped->known = known;
    activate_list(p, stat->variables);
    return stat;
}

static struct ls_syntax_stat *local_function(struct parser *p, struct ls_syntax_stat *stat)
{
    struct ls_syntax_variable *variable = declare(p, stat, &stat->variables);
    stat->kind = LS_STAT_FUNCTION;
    activate(p, (struct ls__scoped *)variable);
    stat->list = variable->value = function_expr(p, stat->start, p->lex.now.last_line, false);
    add_part(stat, stat->list->hash);
    return stat;
}

static void assign_to(struct parser *p, const struct ls_syntax_expr *target)
{
    if (target->kind != LS_EXPR_NAME || !target->variable) return;
    if (target->variable->constant)
        ls__lex_fail(&p->lex, p->lex.line, "attempt to assign to const variable '%.40s'", target->string.text);
    target->variable->assigned = true;
}

static struct ls_syntax_stat *function_statement(struct parser *p, struct ls_syntax_stat *stat)
{
    int line = p->lex.now.last_line;
    bool method = false;
    next(p);
    if (token(p) != TK_NAME) want(p, TK_NAME);
    struct ls__word *word = p->lex.now.word;
    next(p);
    struct ls_syntax_expr *target = name_expr(p, word), *key;
    while (!method && (token(p) == '.' || token(p) == ':')) {
        method = token(p) == ':';
        next(p);
        if (token(p) != TK_NAME) want(p, TK_NAME);
        key = expr_new(p, LS_EXPR_STRING, p->lex.now.word->hash);
        key->string = p->lex.now.word->string;
        next(p);
        target = expr_around(p, LS_EXPR_INDEX, 0, target, key);
    }
    stat->targets = target;
    mention(p, target);
    stat->list = function_expr(p, stat->start, line, method);
    assign_to(p, target);
    add_part(stat, target->hash);
    add_part(stat, stat->list->hash);
    return stat;
}

static struct ls_syntax_stat *expression_statement(struct parser *p, struct ls_syntax_stat *stat)
{
    struct known known;
    struct ls_syntax_expr *at = suffixed(p, &known);
    if (token(p) != '=' && token(p) != ',') {
        if (at->kind != LS_EXPR_CALL) ls__lex_fail_near(&p->lex, "syntax error");
        stat->list = at;
        add_part(stat, at->hash);
        return stat;
    }
    unsigned depth = p->depth;
    stat->kind = LS_STAT_ASSIGN;
    stat->targets = at;
    for (;;) {
        if (at->kind != LS_EXPR_NAME && at->kind != LS_EXPR_INDEX) ls__lex_fail_near(&p->lex, "syntax error");
        assign_to(p, at);
        if (!take(p, ',')) break;
        enter(p);
        at = at->next = suffixed(p, &known);
    }
    want(p, '=');
    stat->list = expression_list(p, &known);
    p->depth = depth;
    stat->hash = list_hash(list_hash(ls__mix(stat->hash, stat->kind), stat->targets), stat->list);
    return stat;
}

static struct ls_syntax_stat *if_statement(struct parser *p, struct ls_syntax_stat *first)
{
    struct ls_syntax_stat *at = first;
    uint64_t inner, hash = first->hash;
    int line = first->line;
    for (;;) {
        next(p); /* if, elseif, else */
        if (at->kind == LS_STAT_IF) {
            at->list = expression(p);
            want(p, TK_THEN);
            add_part(at, at->list->hash);
        }
        at->body = block(p, &inner);
        add_part(at, inner);
        hash = ls__mix(hash, at->hash);
        at->end = p->lex.last_end;
        at->last_line = p->lex.last_line;
        if (at->kind == LS_STAT_DO || (token(p) != TK_ELSEIF && token(p) != TK_ELSE)) break;
        at = at->orelse = stat_new(p, token(p) == TK_ELSEIF ? LS_STAT_IF : LS_STAT_DO);
    }
    want_close(p, TK_END, TK_IF, line);
    first->hash = hash;
    return first;
}

/* The body of a loop. */
static void loop_body(struct parser *p, struct ls_syntax_stat *stat)
{
    uint64_t inner;
    p->body->loops++;
    stat->body = block(p, &inner);
    p->body->loops--;
    add_part(stat, inner);
}

static void for_statement(struct parser *p, struct ls_syntax_stat *stat)
{
    struct block outer, inner;
    uint64_t hash;
    next(p);
    block_open(p, &outer);
    struct ls_syntax_variable *variable = declare(p, stat, &stat->variables);
    struct known known;
    if (take(p, '=')) {
        stat->list = expression(p);
        want(p, ',');
        stat->list->next = expression(p);
        if (take(p, ',')) stat->list->next->next = expression(p);
        hide(p, 3);
    } else {
        stat->kind = LS_STAT_FOR_IN;
        while (take(p, ','))
            variable = declare(p, stat, &variable->next);
        want(p, TK_IN);
        stat->list = expression_list(p, &known);
        hide(p, 4);
    }
    stat->hash = list_hash(ls__mix(stat->hash, stat->kind), stat->list);
    want(p, TK_DO);
    block_open(p, &inner);
    activate_list(p, stat->variables);
    p->body->loops++;
    stat->body = block(p, &hash);
    p->body->loops--;
    add_part(stat, hash);
    block_close(p);
    want_close(p, TK_END, TK_FOR, stat->line);
    block_close(p);
}

static void repeat_statement(struct parser *p, struct ls_syntax_stat *stat)
{
    struct block inner;
    uint64_t hash;
    next(p);
    block_open(p, &inner);
    p->body->loops++;
    stat->body = statements(p, &hash);
    want_close(p, TK_UNTIL, TK_REPEAT, stat->line);
    stat->list = expression(p);
    p->body->loops--;
    block_close(p);
    add_part(stat, hash);
    add_part(stat, stat->list->hash);
}

/* Jumps of this block that wait for the label, which stands where `active` variables are in scope. */
static void solve(struct parser *p, struct ls__word *word, unsigned active)
{
    size_t kept = p->body->block->gotos;
    for (size_t i = kept; i < p->gotos.count; i++) {
        struct jump *jump = &p->gotos.items[i];
        if (jump->word != word)
            p->gotos.items[kept++] = *jump;
        else if (jump->active < active)
            ls__lex_fail(&p->lex, p->lex.line, "<goto %.40s> at line %d jumps into the scope of a local variable",
                         word->string.text, jump->line);
    }
    p->gotos.count = kept;
}

static struct jump *label_of(struct parser *p, const struct ls__word *word)
{
    for (size_t i = p->labels.count; i > p->body->labels; i--)
        if (p->labels.items[i - 1].word == word) return &p->labels.items[i - 1];
    return NULL;
}

static struct ls_syntax_stat *statement(struct parser *p);

/* Lua takes the empty statements and labels behind a label with it, to see whether the block ends there. */
static void label_statement(struct parser *p, struct ls_syntax_stat *stat)
{
    struct ls__word *word = name(p);
    struct ls_syntax_stat **at = &stat->next;
    want(p, TK_DBCOLON);
    stat->end = p->lex.last_end;
    stat->last_line = p->lex.last_line;
    add_part(stat, word->hash);
    while (token(p) == ';' || token(p) == TK_DBCOLON) {
        if (take(p, ';')) continue;
        *at = statement(p);
        for (; *at; at = &(*at)->next) {
        }
    }
    struct jump *old = label_of(p, word);
    if (old)
        ls__lex_fail(&p->lex, p->lex.line, "label '%.40s' already defined on line %d", word->string.text, old->line);
    unsigned active = block_ends(p, false) ? p->body->block->active : p->body->active;
    PUSH_OR_FAIL(p, p->labels.items, p->labels.count, p->labels.cap, (struct jump){word, stat->line, active});
    solve(p, word, active);
}

static void goto_statement(struct parser *p, struct ls_syntax_stat *stat)
{
    next(p);
    struct ls__word *word = name(p);
    add_part(stat, word->hash);
    if (!label_of(p, word))
        PUSH_OR_FAIL(p, p->gotos.items, p->gotos.count, p->gotos.cap, (struct jump){word, stat->line, p->body->active});
}

static void return_statement(struct parser *p, struct ls_syntax_stat *stat)
{
    struct known known;
    next(p);
    if (!block_ends(p, true) && token(p) != ';') stat->list = expression_list(p, &known);
    stat->hash = list_hash(stat->hash, stat->list);
    stat->end = p->lex.last_end;
    stat->last_line = p->lex.last_line;
    take(p, ';');
}

static struct ls_syntax_stat *statement(struct parser *p)
{
    static const struct {
        short token, kind;
    } kinds[] = {
        {TK_IF, LS_STAT_IF},         {TK_WHILE, LS_STAT_WHILE},   {TK_DO, LS_STAT_DO},
        {TK_FOR, LS_STAT_FOR},       {TK_REPEAT, LS_STAT_REPEAT}, {TK_FUNCTION, LS_STAT_FUNCTION},
        {TK_LOCAL, LS_STAT_LOCAL},   {TK_BREAK, LS_STAT_BREAK},   {TK_DBCOLON, LS_STAT_LABEL},
        {TK_RETURN, LS_STAT_RETURN}, {TK_GOTO, LS_STAT_GOTO},
    };
    int opener = token(p), kind = LS_STAT_CALL;
    uint64_t inner;
    for (unsigned i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (kinds[i].token == opener) kind = kinds[i].kind;
    struct ls_syntax_stat *stat = stat_new(p, (enum ls_syntax_stat_kind)kind);
    enter(p);
    switch (kind) {
    case LS_STAT_IF: if_statement(p, stat); break;
    case LS_STAT_WHILE:
        next(p);
        stat->list = expression(p);
        add_part(stat, stat->list->hash);
        want(p, TK_DO);
        loop_body(p, stat);
        want_close(p, TK_END, TK_WHILE, stat->line);
        break;
    case LS_STAT_DO:
        next(p);
        stat->body = block(p, &inner);
        add_part(stat, inner);
        want_close(p, TK_END, TK_DO, stat->line);
        break;
    case LS_STAT_FOR: for_statement(p, stat); break;
    case LS_STAT_REPEAT: repeat_statement(p, stat); break;
    case LS_STAT_FUNCTION: function_statement(p, stat); break;
    case LS_STAT_LOCAL:
        next(p);
        if (take(p, TK_FUNCTION))
            local_function(p, stat);
        else
            local_statement(p, stat);
        break;
    case LS_STAT_LABEL:
        next(p);
        label_statement(p, stat);
        break;
    case LS_STAT_RETURN: return_statement(p, stat); break;
    case LS_STAT_BREAK:
        next(p);
        if (p->body->loops == 0)
            ls__lex_fail(&p->lex, stat->line, "break outside a loop at line %d near <eof>", stat->line);
        break;
    case LS_STAT_GOTO: goto_statement(p, stat); break;
    default: expression_statement(p, stat); break;
    }
    if (stat->end == 0 || stat->kind == LS_STAT_IF) {
        stat->end = p->lex.last_end;
        stat->last_line = p->lex.last_line;
    }
    p->depth--;
    return stat;
}

/* The statements of a block, up to what ends it. */
static struct ls_syntax_stat *statements(struct parser *p, uint64_t *hash)
{
    struct ls_syntax_stat *first = NULL, **at = &first;
    *hash = 3;
    while (!block_ends(p, true)) {
        if (take(p, ';')) continue;
        *at = statement(p);
        bool last = (*at)->kind == LS_STAT_RETURN;
        for (; *at; at = &(*at)->next) /* a label brings further ones */
            *hash = ls__mix(*hash, (*at)->hash);
        if (last) break;
    }
    return first;
}

static struct ls_syntax_stat *block(struct parser *p, uint64_t *hash)
{
    struct block inner;
    block_open(p, &inner);
    struct ls_syntax_stat *first = statements(p, hash);
    block_close(p);
    return first;
}

/* --- the result --- */

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

static void parse_main(struct parser *p, struct whole *whole)
{
    struct body body;
    struct block outer;
    struct ls_syntax *syntax = &whole->syntax;
    size_t len = syntax->len;
    char *text = ls__lex_take(&p->lex, len + 3, 1); /* what looks ahead stops at the NUL */
    memcpy(text, syntax->text, len);
    syntax->text = text;
    ls__lexer_init(&p->lex, text, len);
    p->env = ls__lex_word(&p->lex, "_ENV", 4);
    p->self = ls__lex_word(&p->lex, "self", 4);
    p->body = NULL;
    body_open(p, &body, &outer);
    struct ls_syntax_function *function = body.function;
    function->vararg = true;
    body.upvalues = ls__lex_take(&p->lex, 1, sizeof(struct ls__word *));
    function->upvalues = ls__lex_take(&p->lex, 1, sizeof *function->upvalues);
    body.upvalues[0] = p->env;
    function->upvalues[0] = (struct ls_syntax_upvalue){p->env->string, NULL, -1};
    function->upvalue_count = 1;
    body.upvalue_cap = 1;
    function->body = statements(p, &function->hash);
    if (token(p) != TK_EOF) want(p, TK_EOF);
    body_close(p);
    function->end = (uint32_t)len;
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

struct ls_syntax *ls_syntax_parse(const char *text, size_t len, struct ls_syntax_error *error)
{
    struct whole *whole = ls_zalloc(sizeof *whole);
    struct parser *p = ls_zalloc(sizeof *p);
    volatile bool failed = true;
    if (whole && p && len < UINT32_MAX / 2) {
        whole->syntax.text = text;
        whole->syntax.len = len;
        p->syntax = &whole->syntax;
        p->lex.error = error;
        if (setjmp(p->lex.failed) == 0) {
            parse_main(p, whole);
            failed = false;
        }
    } else if (error) {
        *error = (struct ls_syntax_error){0, "not enough memory"};
    }
    if (p) {
        if (whole) whole->pool = p->lex.pool;
        ls_free(p->lex.buckets);
        ls_free(p->scope);
        ls_free(p->labels.items);
        ls_free(p->gotos.items);
        ls_free(p);
    }
    if (!failed) return &whole->syntax;
    ls_syntax_free(whole ? &whole->syntax : NULL);
    return NULL;
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
