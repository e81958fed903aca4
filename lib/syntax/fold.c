/* What Lua's compiler knows of an expression's value: a <const> variable of a known value is no upvalue of functions
 * that use it (luaK_exp2const and constfolding of lcode.c). */
#include "syntax/syntax_internal.h"

#include <math.h>

static const struct ls__known not_known = {.kind = LS__NOT_KNOWN};

static bool is_number(const struct ls__known *a)
{
    return a->kind == LS_EXPR_INTEGER || a->kind == LS_EXPR_FLOAT;
}

static double number_of(const struct ls__known *a)
{
    return a->kind == LS_EXPR_INTEGER ? (double)a->integer : a->number;
}

static bool integer_of(const struct ls__known *a, int64_t *integer)
{
    if (a->kind == LS_EXPR_INTEGER) {
        *integer = a->integer;
        return true;
    }
    return ls__is_whole(a->number, integer);
}

static int64_t shift_left(int64_t value, int64_t by)
{
    if (by <= -64 || by >= 64) return 0;
    return (int64_t)(by >= 0 ? (uint64_t)value << by : (uint64_t)value >> -by);
}

static struct ls__known fold_bits(int op, int64_t a, int64_t b)
{
    struct ls__known result = {.kind = LS_EXPR_INTEGER};
    switch (op) {
    case LS_OP_BAND: result.integer = a & b; break;
    case LS_OP_BOR: result.integer = a | b; break;
    case LS_OP_BXOR: result.integer = a ^ b; break;
    case LS_OP_SHL: result.integer = shift_left(a, b); break;
    default: result.integer = shift_left(a, b == INT64_MIN ? 64 : -b); break;
    }
    return result;
}

static struct ls__known fold_integers(int op, int64_t a, int64_t b)
{
    struct ls__known result = {.kind = LS_EXPR_INTEGER};
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
static struct ls__known fold(int op, const struct ls__known *a, const struct ls__known *b)
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
    return isnan(value) || value == 0 ? not_known : (struct ls__known){.kind = LS_EXPR_FLOAT, .number = value};
}

struct ls__known ls__fold_binary(int op, const struct ls__known *a, const struct ls__known *b)
{
    if (op < LS_OP_CONCAT) return fold(op, a, b);
    if (op != LS_OP_AND && op != LS_OP_OR) return not_known;
    bool no = a->kind == LS_EXPR_NIL || a->kind == LS_EXPR_FALSE;
    if (a->kind == LS__NOT_KNOWN || no == (op == LS_OP_AND)) return not_known;
    return *b; /* `1 and b`, `nil or b`: the compiler leaves the left one out */
}

struct ls__known ls__fold_unary(int op, const struct ls__known *a)
{
    const struct ls__known zero = {.kind = LS_EXPR_INTEGER}, ones = {.kind = LS_EXPR_INTEGER, .integer = -1};
    if (a->kind == LS__NOT_KNOWN) return not_known;
    switch (op) {
    case LS_OP_NOT:
        return (struct ls__known){.kind = a->kind == LS_EXPR_NIL || a->kind == LS_EXPR_FALSE ? LS_EXPR_TRUE
                                                                                             : LS_EXPR_FALSE};
    case LS_OP_MINUS:
        if (a->kind != LS_EXPR_FLOAT) return fold(LS_OP_SUB, &zero, a);
        return a->number == 0 || isnan(a->number) ? not_known
                                                  : (struct ls__known){.kind = LS_EXPR_FLOAT, .number = -a->number};
    case LS_OP_BNOT: return fold(LS_OP_BXOR, &ones, a);
    default: return not_known;
    }
}
