/* Expressions as what gives a place its value: which constructors are in them, and what stands around those. */
#include "syntax/places_internal.h"

bool ls__is_call_of(const struct ls_syntax_expr *expr, const char *name, unsigned arguments)
{
    const struct ls_syntax_expr *callee = expr->kind == LS_EXPR_CALL ? expr->left : NULL, *arg = expr->list;
    if (!callee || expr->right || callee->kind != LS_EXPR_NAME || callee->variable ||
        !ls__is_text(callee->string, name))
        return false;
    for (; arg && arguments > 0; arg = arg->next)
        arguments--;
    return arguments == 0;
}

const struct ls_syntax_expr *ls__metatable_call(const struct ls_syntax_expr *expr, const struct ls_syntax_expr **meta)
{
    if (!ls__is_call_of(expr, "setmetatable", 2)) return NULL;
    *meta = expr->list->next;
    return expr->list;
}

const struct ls_syntax_expr *ls__made_of(const struct ls_syntax_expr *expr)
{
    const struct ls_syntax_expr *meta;
    for (const struct ls_syntax_expr *inner;; expr = inner) {
        inner = expr->kind == LS_EXPR_PAREN ? expr->right : ls__metatable_call(expr, &meta);
        if (!inner) return expr;
    }
}

static bool is_choice(const struct ls_syntax_expr *expr)
{
    return expr->kind == LS_EXPR_BINARY && (expr->op == LS_OP_OR || expr->op == LS_OP_AND);
}

static struct ls__part **add_part(struct ls_places *places, const struct ls_syntax_expr *expr, bool meta,
                                  struct ls__part **end)
{
    struct ls__part *part = ls__places_take(places, 1, sizeof *part);
    if (!part) return end;
    *part = (struct ls__part){.expr = expr, .meta = meta};
    *end = part;
    return &part->next;
}

struct ls__part **ls__parts(struct ls_places *places, const struct ls_syntax_expr *expr, struct ls__part **end)
{
    for (const struct ls_syntax_expr *meta, *inner; expr; expr = inner) {
        inner = NULL;
        if (expr->kind == LS_EXPR_TABLE) {
            end = add_part(places, expr, false, end);
        } else if (expr->kind == LS_EXPR_PAREN) {
            inner = expr->right;
        } else if (is_choice(expr)) {
            end = ls__parts(places, expr->right, end);
            inner = expr->left;
        } else if ((inner = ls__metatable_call(expr, &meta))) {
            end = add_part(places, meta, true, end);
        } else if (expr->kind == LS_EXPR_CALL) {
            for (const struct ls_syntax_expr *arg = expr->list; arg; arg = arg->next)
                if (arg->kind == LS_EXPR_TABLE) end = add_part(places, arg, false, end);
        }
    }
    return end;
}

bool ls__makes(const struct ls_syntax_expr *expr)
{
    const struct ls_syntax_expr *arg = expr->kind == LS_EXPR_CALL ? expr->list : NULL;
    while (arg && arg->kind != LS_EXPR_TABLE)
        arg = arg->next;
    return arg;
}

static bool is_plain(const struct ls_syntax_expr *expr)
{
    for (; expr; expr = expr->left) {
        switch (expr->kind) {
        case LS_EXPR_UNARY:
        case LS_EXPR_PAREN: return is_plain(expr->right);
        case LS_EXPR_BINARY:
        case LS_EXPR_INDEX:
            if (!is_plain(expr->right)) return false;
            break;
        case LS_EXPR_VARARG:
        case LS_EXPR_FUNCTION:
        case LS_EXPR_CALL:
        case LS_EXPR_TABLE: return false;
        default: return true;
        }
    }
    return true;
}

unsigned ls__said_of(const struct ls_syntax_expr *expr, const struct ls__part *parts)
{
    unsigned said = expr->kind == LS_EXPR_FUNCTION ? LS__FUNCTION : 0;
    if (is_plain(expr)) said |= LS__PLAIN | LS__TOLD;
    if (parts && ls__made_of(expr)->kind == LS_EXPR_TABLE) said |= LS__BARE | LS__TOLD;
    for (; parts; parts = parts->next)
        if (!parts->meta) said |= LS__TABLE;
    return said;
}

bool ls__is_chain(const struct ls_syntax_expr *expr)
{
    struct ls_place_key key;
    while (expr->kind == LS_EXPR_INDEX && ls__constant_key(expr->right, &key))
        expr = expr->left;
    return expr->kind == LS_EXPR_NAME;
}

uint64_t ls__frame(const struct ls_syntax_expr *expr)
{
    enum { TABLE = 7, NOTHING = 5 };
    if (!expr || expr->kind == LS_EXPR_NIL) return NOTHING;
    expr = ls__made_of(expr);
    if (expr->kind == LS_EXPR_TABLE) return TABLE;
    uint64_t hash = 0;
    for (; is_choice(expr); expr = ls__made_of(expr->left))
        hash = ls__mix(ls__mix(hash, expr->op + 10u), ls__frame(expr->right));
    if (expr->kind == LS_EXPR_TABLE) return ls__mix(hash, TABLE);
    if (!ls__makes(expr)) return hash ? ls__mix(hash, expr->hash) : expr->hash;
    hash = ls__mix(ls__mix(hash, expr->left->hash), expr->right ? expr->right->hash : 0);
    for (const struct ls_syntax_expr *arg = expr->list; arg; arg = arg->next)
        hash = ls__mix(hash, arg->kind == LS_EXPR_TABLE ? TABLE : arg->hash);
    return hash;
}

bool ls__constant_key(const struct ls_syntax_expr *expr, struct ls_place_key *key)
{
    bool minus = expr->kind == LS_EXPR_UNARY && expr->op == LS_OP_MINUS;
    if (minus) expr = expr->right;
    switch (expr->kind) {
    case LS_EXPR_STRING: *key = (struct ls_place_key){.kind = LS_KEY_STRING, .string = expr->string}; return !minus;
    case LS_EXPR_TRUE:
    case LS_EXPR_FALSE:
        *key = (struct ls_place_key){.kind = LS_KEY_BOOLEAN, .boolean = expr->kind == LS_EXPR_TRUE};
        return !minus;
    case LS_EXPR_INTEGER:
        *key = (struct ls_place_key){.kind = LS_KEY_INTEGER,
                                     .integer = minus ? (int64_t)(0 - (uint64_t)expr->integer) : expr->integer};
        return true;
    case LS_EXPR_FLOAT: {
        double number = minus ? -expr->number : expr->number;
        *key = (struct ls_place_key){.kind = LS_KEY_INTEGER};
        if (!ls__is_whole(number, &key->integer)) *key = (struct ls_place_key){.kind = LS_KEY_FLOAT, .number = number};
        return true;
    }
    default: return false;
    }
}
