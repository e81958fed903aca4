/* What Lua's compiler knows of an expression's value: a <const> variable of a known value is no upvalue of functions
 * that use it (luaK_exp2const and constfolding of lcode.c). */
#include "syntax/syntax_internal.h"

#include <math.h>

const struct ls_syntax_expr *ls__constant(const struct ls_syntax_expr *expr)
{
    while (expr && expr->kind > LS_EXPR_STRING) {
        switch (expr->kind) {
        case LS_EXPR_NAME: expr = expr->variable && expr->variable->folded ? expr->variable->value : NULL; break;
        case LS_EXPR_UNARY:
        case LS_EXPR_BINARY: expr = expr->known; break;
        case LS_EXPR_PAREN: expr = expr->right; break;
        default: return NULL;
        }
    }
    return expr;
}

static int64_t shift_left(uint64_t value, int64_t by)
{
    return by <= -64 || by >= 64 ? 0 : (int64_t)(by >= 0 ? value << by : value >> -by);
}

static int64_t fold_integers(int op, int64_t a, int64_t b)
{
    const uint64_t x = (uint64_t)a, y = (uint64_t)b;
    switch (op) {
    case LS_OP_ADD: return (int64_t)(x + y);
    case LS_OP_SUB: return (int64_t)(x - y);
    case LS_OP_MUL: return (int64_t)(x * y);
    case LS_OP_BAND: return a & b;
    case LS_OP_BOR: return a | b;
    case LS_OP_BXOR: return a ^ b;
    case LS_OP_SHL: return shift_left(x, b);
    case LS_OP_SHR: return shift_left(x, (int64_t)(0 - y));
    case LS_OP_MOD: return b == -1 ? 0 : a % b && ((a % b) ^ b) < 0 ? a % b + b : a % b;
    default: return b == -1 ? (int64_t)(0 - x) : a / b - (a % b && (a ^ b) < 0);
    }
}

static double fold_floats(int op, double a, double b)
{
    switch (op) {
    case LS_OP_ADD: return a + b;
    case LS_OP_SUB: return a - b;
    case LS_OP_MUL: return a * b;
    case LS_OP_DIV: return a / b;
    case LS_OP_IDIV: return floor(a / b);
    case LS_OP_POW: return b == 2 ? a * a : pow(a, b);
    default: a = fmod(a, b); return (a > 0 ? b < 0 : a < 0 && b > 0) ? a + b : a;
    }
}

static bool is_number(const struct ls_syntax_expr *a)
{
    return a->kind == LS_EXPR_INTEGER || a->kind == LS_EXPR_FLOAT;
}

static double number_of(const struct ls_syntax_expr *a)
{
    return a->kind == LS_EXPR_INTEGER ? (double)a->integer : a->number;
}

static bool to_integer(const struct ls_syntax_expr *a, int64_t *integer)
{
    *integer = a->integer;
    return a->kind == LS_EXPR_INTEGER || ls__is_whole(a->number, integer);
}

/* Not what would raise, not NaN, not a float 0. @return is it known */
static bool fold_numbers(int op, const struct ls_syntax_expr *a, const struct ls_syntax_expr *b,
                         struct ls_syntax_expr *value)
{
    const bool bits = op >= LS_OP_BAND, divides = op == LS_OP_DIV || op == LS_OP_IDIV || op == LS_OP_MOD;
    const bool integers = a->kind == b->kind && a->kind == LS_EXPR_INTEGER && op != LS_OP_DIV && op != LS_OP_POW;
    int64_t x, y;
    if (!is_number(a) || !is_number(b) || (divides && number_of(b) == 0)) return false;
    if (bits || integers) {
        if (!to_integer(a, &x) || !to_integer(b, &y)) return false;
        value->kind = LS_EXPR_INTEGER;
        value->integer = fold_integers(op, x, y);
        return true;
    }
    value->kind = LS_EXPR_FLOAT;
    value->number = fold_floats(op, number_of(a), number_of(b));
    return !isnan(value->number) && value->number != 0;
}

void ls__fold(struct ls__parser *p, struct ls_syntax_expr *expr)
{
    static const struct ls_syntax_expr minus_one = {.kind = LS_EXPR_INTEGER, .integer = -1};
    const struct ls_syntax_expr *a = ls__constant(expr->left ? expr->left : expr->right), *b = NULL;
    struct ls_syntax_expr value = {.kind = LS_EXPR_TRUE};
    if (!a) return;
    const bool no = a->kind == LS_EXPR_NIL || a->kind == LS_EXPR_FALSE;
    bool known = true;
    switch (expr->op) {
    case LS_OP_AND:
    case LS_OP_OR: /* `1 and b`, `nil or b`: the compiler leaves the left one out */
        if (no == (expr->op == LS_OP_OR)) expr->known = ls__constant(expr->right);
        return;
    case LS_OP_NOT: value.kind = no ? LS_EXPR_TRUE : LS_EXPR_FALSE; break;
    case LS_OP_MINUS: known = fold_numbers(LS_OP_MUL, a, &minus_one, &value); break;
    case LS_OP_BNOT: known = fold_numbers(LS_OP_BXOR, a, &minus_one, &value); break;
    default:
        b = expr->op <= LS_OP_SHR ? ls__constant(expr->right) : NULL;
        known = b && fold_numbers(expr->op, a, b, &value);
    }
    if (!known) return;
    struct ls_syntax_expr *literal = ls__lex_take(&p->lex, 1, sizeof *literal);
    *literal = value;
    expr->known = literal;
}
