/* One reading of a Lua text: what Lua 5.4's grammar says of it. Statements, expressions, scopes, functions.
 *
 * A result is immutable and owns a copy of its text, so any number of threads may read it. The tree is linked lists:
 * `next` leads to the next statement of a block, the next expression of a list, the next variable of a statement.
 *
 * Hashes. Every expression, statement and function has a 64-bit hash of what it says: comments and white space count
 * for nothing, strings and numbers by value, `;` as a statement and separators of constructors for nothing, `f"x"` and
 * `f{…}` as the calls they are, `t["x"]` as `t.x`. Names count as written, whatever they mean. Equal hashes mean equal
 * text (but for 1 in 2^64); they are for comparison within one process.
 *
 * Pure; thread: any. */
#ifndef LS_SYNTAX_SYNTAX_H
#define LS_SYNTAX_SYNTAX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/array.h"

struct ls_syntax_error {
    int line;            /* 0 = without memory */
    char message[120];   /* nearly Lua's words, without the place */
    uint32_t start, end; /* of the token at which reading ended, in bytes of the text */
};

struct ls_syntax_string {
    const char *text; /* bytes, borrowed from the result; a NUL that does not count follows names only */
    uint32_t len;
};

struct ls_syntax_stat;
struct ls_syntax_expr;

/* A local variable: of `local`, of a loop, a parameter. */
struct ls_syntax_variable {
    struct ls_syntax_string name;
    uint32_t start;                  /* where its name stands, in bytes of the text; 0 = nowhere (`self`) */
    int function;                    /* whose it is, by number: 0 = the main function */
    unsigned number;                 /* in order of declaration, of all that the text declares */
    int main;                        /* its number among the variables of the main block, -1 = it is none of them */
    bool once;                       /* a variable of the main block, the only one there with this name */
    bool constant;                   /* <const> or <close> */
    bool folded;                     /* <const> of a value that the compiler knows: functions have no upvalue for it */
    bool assigned;                   /* some statement gives it another value */
    struct ls_syntax_stat *stat;     /* that declares it; NULL = a parameter */
    struct ls_syntax_expr *value;    /* what it begins with: its expression, or the call at the end of the list that
                                        gives several; NULL = nil, a loop's variable or a parameter */
    struct ls_syntax_variable *next; /* of the same statement or function */
};

enum ls_syntax_expr_kind {
    LS_EXPR_NIL,
    LS_EXPR_FALSE,
    LS_EXPR_TRUE,
    LS_EXPR_INTEGER,
    LS_EXPR_FLOAT,
    LS_EXPR_STRING,
    LS_EXPR_VARARG,
    LS_EXPR_FUNCTION,
    LS_EXPR_NAME,   /* a local variable, or a global: where `_ENV` is a local, that is INDEX of it */
    LS_EXPR_INDEX,  /* left[right]; `a.b` has a STRING at its right */
    LS_EXPR_CALL,   /* left(list), left:right(list): a STRING */
    LS_EXPR_TABLE,  /* { list }, each with its key */
    LS_EXPR_UNARY,  /* op right */
    LS_EXPR_BINARY, /* left op right */
    LS_EXPR_PAREN,  /* (right) */
};

/* clang-format off */
enum ls_syntax_operator {
    LS_OP_ADD, LS_OP_SUB, LS_OP_MUL, LS_OP_MOD, LS_OP_POW, LS_OP_DIV, LS_OP_IDIV, LS_OP_BAND, LS_OP_BOR, LS_OP_BXOR,
    LS_OP_SHL, LS_OP_SHR, LS_OP_CONCAT, LS_OP_EQ, LS_OP_LT, LS_OP_LE, LS_OP_NE, LS_OP_GT, LS_OP_GE, LS_OP_AND,
    LS_OP_OR, LS_OP_MINUS, LS_OP_BNOT, LS_OP_NOT, LS_OP_LEN,
};
/* clang-format on */

struct ls_syntax_expr {
    uint64_t hash;
    uint32_t start, end;         /* bytes of the text */
    int line;                    /* of its first token; 1 is the first */
    uint8_t kind;                /* enum ls_syntax_expr_kind */
    uint8_t op;                  /* of UNARY and BINARY: enum ls_syntax_operator */
    struct ls_syntax_expr *next; /* of a list */
    struct ls_syntax_expr *key;  /* of a field of a constructor, NULL = counted */
    union {
        int64_t integer;
        double number;
        struct ls_syntax_function *function;
        struct { /* NAME, STRING */
            struct ls_syntax_string string;
            struct ls_syntax_variable *variable; /* NULL = a global */
        };
        struct {
            struct ls_syntax_expr *left, *right; /* NULL where there is none, as is: */
            union {
                struct ls_syntax_expr *list;        /* of CALL and TABLE */
                const struct ls_syntax_expr *known; /* of UNARY and BINARY: the literal that the compiler makes of it */
            };
        };
    };
};

enum ls_syntax_stat_kind {
    LS_STAT_CALL,     /* list: the call */
    LS_STAT_ASSIGN,   /* targets = list */
    LS_STAT_LOCAL,    /* local variables = list; a variable's value is in the variable too */
    LS_STAT_FUNCTION, /* function targets … end: list is the function; `local function` has variables, no targets */
    LS_STAT_RETURN,   /* return list */
    LS_STAT_IF,       /* if list then body; `orelse` is the next branch: IF, or DO for `else` */
    LS_STAT_WHILE,    /* while list do body */
    LS_STAT_REPEAT,   /* repeat body until list */
    LS_STAT_FOR,      /* for variable = list do body */
    LS_STAT_FOR_IN,   /* for variables in list do body */
    LS_STAT_DO,       /* do body */
    LS_STAT_BREAK,
    LS_STAT_GOTO,
    LS_STAT_LABEL,
};

struct ls_syntax_stat {
    uint64_t hash;
    uint32_t start; /* bytes of the text */
    int line;       /* of its first token */
    uint8_t kind;   /* enum ls_syntax_stat_kind */
    struct ls_syntax_variable *variables;
    struct ls_syntax_expr *targets, *list;
    struct ls_syntax_stat *body, *orelse, *next;
};

struct ls_syntax_upvalue {
    struct ls_syntax_string name;
    struct ls_syntax_variable *variable; /* NULL = `_ENV` of the main function */
    int main;                            /* = variable->main; -1 = it means no variable of the main block */
};

struct ls_syntax_function {
    uint64_t hash;             /* of its parameters and body; 0 = of ls_syntax_function(): several that differ */
    int number;                /* in order of their beginnings, 0 = the main function */
    int first_line, last_line; /* as Lua's linedefined and lastlinedefined */
    bool method;               /* written `function a:b()`: its first parameter is `self` */
    bool vararg;
    bool ambiguous; /* others look the same to the debug interface and mean other variables */
    bool immediate; /* called where it is written, `(function() … end)()`, and by none but the main function */
    unsigned upvalue_count;
    struct ls_syntax_upvalue *upvalues;    /* in Lua's order */
    struct ls_syntax_variable *parameters; /* `self` included */
    struct ls_syntax_stat *body;
};

/* The longest chain of constant keys that begins with a name: `M.store["a b"][1]` of `M.store["a b"][1][i].x`; a call
 * `a.b:c()` mentions a.b. */
struct ls_syntax_mention {
    struct ls_syntax_expr *expr; /* NAME, or INDEX of such by STRING, INTEGER, FLOAT, TRUE, FALSE */
    int function;                /* the number of the function it stands in */
    struct ls_syntax_expr *call; /* `f(…)` of f, not `a:f(…)` of a; NULL = it is not what is called */
};

struct ls_syntax {
    uint64_t hash;    /* of the whole text */
    const char *text; /* the text, with a NUL behind it */
    size_t len;
    struct ls_syntax_function **functions; /* by number */
    unsigned function_count;
    struct ls_syntax_variable **variables; /* of the main block, in order */
    unsigned variable_count;
    unsigned declared; /* how many variables there are in all */
    /* Every place that the text reads, writes or calls, in order of its end */
    struct ls_syntax_mention *mentions;
    unsigned mention_count;
};

/** Read a text as the loader gives it to Lua: a byte order mark and a first line with `#` are passed over. Accepts what
 * Lua 5.4 accepts; of Lua's limits those of nesting, of local variables and of upvalues are kept, so a text of absurd
 * size may pass that Lua refuses.
 * @param error  may be NULL; untouched on success
 * @return owned, ls_syntax_free(); NULL and error: the line and what is wrong there, or line 0 without memory */
struct ls_syntax *ls_syntax_parse(const char *text, size_t len, struct ls_syntax_error *error);
void ls_syntax_free(struct ls_syntax *syntax); /* NULL accepted */

/** The local variables that are in scope behind a text that goes on there, as one does while it is written.
 * @param names  in: empty; out: their names, owned; released on failure. Want of memory loses some
 * @return false: the text is wrong before its end, or ends inside of a string or comment; or no memory */
bool ls_syntax_scope(const char *text, size_t len, struct ls_names *names);

/** The function of the text that a closure is, told by what Lua's debug interface says of it.
 * @param first_line, last_line  linedefined and lastlinedefined
 * @param names                  of the upvalues, in order
 * @return borrowed; NULL: none, or several whose upvalues mean different variables of the main block. Of several that
 * mean the same ones, one of them, with hash 0 if they differ */
const struct ls_syntax_function *ls_syntax_function(const struct ls_syntax *syntax, int first_line, int last_line,
                                                    unsigned upvalues, const char *const names[]);
/** The variable of the main block that is the only one there with this name; NULL: there is none, or are several. */
const struct ls_syntax_variable *ls_syntax_variable(const struct ls_syntax *syntax, const char *name, size_t len);

#endif
