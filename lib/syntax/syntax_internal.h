/* What the files of the room share: memory of one result, words, tokens. A failure jumps to ls_syntax_parse, which
 * gives all memory back at once. Owner thread: the one that parses. */
#ifndef LS_SYNTAX_SYNTAX_INTERNAL_H
#define LS_SYNTAX_SYNTAX_INTERNAL_H

#include <setjmp.h>

#include "base/array.h"
#include "syntax/syntax.h"

/* --- memory: pieces that are freed together --- */

struct ls__block {
    struct ls__block *next;
    max_align_t bytes[];
};
struct ls__pool {
    struct ls__block *blocks; /* owned; newest first */
    char *at;                 /* free part of the newest block */
    size_t left, size;        /* bytes left there; of the newest block */
};
/** Zeroed, aligned for pointers and numbers. @return NULL without memory */
void *ls__pool_take(struct ls__pool *pool, size_t count, size_t size);
void ls__pool_release(struct ls__pool *pool); /* all pieces go */

/** A hash with a further part. */
static inline uint64_t ls__mix(uint64_t hash, uint64_t part)
{
    hash = (hash ^ part) * UINT64_C(0x9e3779b97f4a7c15);
    return hash ^ (hash >> 29);
}

/** Is it a whole number that a Lua integer holds? */
static inline bool ls__is_whole(double number, int64_t *whole)
{
    if (!(number >= -9223372036854775808.0) || !(number < 9223372036854775808.0)) return false;
    *whole = (int64_t)number;
    return (double)*whole == number;
}

/* --- syntax.c --- */

/* A name of variables and globals that is read as another. */
struct ls__rename {
    struct ls_syntax_string from, to;
};
/** As ls_syntax_parse() of the text of a result. Names of fields stay. @return owned; NULL without memory */
struct ls_syntax *ls__syntax_renamed(const struct ls_syntax *syntax, const struct ls__rename *renames, unsigned count);

/* --- lexer.c --- */

struct ls__scoped;

/* A name or keyword: one a text, so that names are compared by address. */
struct ls__word {
    struct ls_syntax_string string;
    int keyword; /* TK_…, 0 = a name */
    uint64_t hash;
    struct ls__scoped *variable; /* the one that is in scope */
    unsigned mains;              /* variables of the main block with this name */
    struct ls__word *meant;      /* what it is read as where it names a variable or a global; NULL = as itself */
    struct ls__word *next;       /* of the same bucket */
};

/* Tokens of one character are that character. */
enum {
    TK_EOF = 256,
    TK_AND,
    TK_BREAK,
    TK_DO,
    TK_ELSE,
    TK_ELSEIF,
    TK_END,
    TK_FALSE,
    TK_FOR,
    TK_FUNCTION,
    TK_GOTO,
    TK_IF,
    TK_IN,
    TK_LOCAL,
    TK_NIL,
    TK_NOT,
    TK_OR,
    TK_REPEAT,
    TK_RETURN,
    TK_THEN,
    TK_TRUE,
    TK_UNTIL,
    TK_WHILE,
    TK_IDIV,
    TK_CONCAT,
    TK_DOTS,
    TK_EQ,
    TK_GE,
    TK_LE,
    TK_NE,
    TK_SHL,
    TK_SHR,
    TK_DBCOLON,
    TK_INTEGER,
    TK_FLOAT,
    TK_NAME,
    TK_STRING
};

struct ls__token {
    int kind;
    int line, last_line; /* of its first and last character */
    uint32_t start, end;
    union {
        struct ls__word *word;
        int64_t integer;
        double number;
        struct ls_syntax_string string;
    };
};

struct ls__lexer {
    struct ls__pool pool;        /* of the result */
    const char *text, *at, *end; /* in the copy, which a NUL ends */
    int line;                    /* of `at` */
    struct ls__token now;        /* the token looked at */
    struct ls__token ahead;      /* the one behind it, if has_ahead */
    bool has_ahead;
    uint32_t last_end;         /* where the token before `now` ended */
    int last_line;             /* its last line */
    struct ls__word **buckets; /* owned; a power of two of them */
    unsigned bucket_count, word_count;
    struct ls_syntax_error *error;
    jmp_buf failed;
};

/** Copy the text, make the words, and read the first token. Fails as below: the caller has called setjmp. */
void ls__lexer_init(struct ls__lexer *lex, const char *text, size_t len);
void ls__lexer_release(struct ls__lexer *lex); /* the pool too: who has a result takes it before */
void ls__lex_next(struct ls__lexer *lex);      /* go to the next token */
int ls__lex_ahead(struct ls__lexer *lex);      /* the kind of the token behind `now` */
struct ls__word *ls__lex_word(struct ls__lexer *lex, const char *text, size_t len); /* the one word for a name */
void *ls__lex_take(struct ls__lexer *lex, size_t count, size_t size); /* of the pool; fails without memory */
/** Fail with a message and the token it concerns. */
_Noreturn void ls__lex_fail_near(struct ls__lexer *lex, const char *message);
_Noreturn void ls__lex_fail(struct ls__lexer *lex, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
_Noreturn void ls__lex_no_memory(struct ls__lexer *lex);

/* --- the parser: what its files share --- */

/* What the compiler knows of an expression's value: whether a <const> variable needs no upvalue depends on it. */
enum { LS__NOT_KNOWN = 255 };
struct ls__known {
    uint8_t kind; /* NIL, FALSE, TRUE, INTEGER, FLOAT or STRING of enum ls_syntax_expr_kind; else LS__NOT_KNOWN */
    union {
        int64_t integer;
        double number;
    };
};
/* A variable while the text is read. */
struct ls__scoped {
    struct ls_syntax_variable variable;
    struct ls__word *word;
    struct ls__scoped *hidden; /* the variable of this name around it */
    bool closes;               /* <close> */
    struct ls__known known;    /* of a folded one */
};

struct ls__jump { /* a label, or a goto that waits for one */
    struct ls__word *word;
    int line;
    unsigned active; /* variables of the function in scope there */
};
struct ls__jumps {
    struct ls__jump *items; /* owned */
    size_t count, cap;
};

/* A block of statements, while it is read. */
struct ls__region {
    struct ls__region *around; /* of the same function */
    size_t scope;              /* variables in scope when it began */
    unsigned active;           /* those of the function */
    size_t labels, gotos;
};

/* A function while its body is read. */
struct ls__body {
    struct ls__body *around;
    struct ls_syntax_function *function;
    struct ls__region *block;
    unsigned active;            /* its variables in scope */
    size_t labels;              /* its first label */
    unsigned loops;             /* around the statement */
    struct ls__word **upvalues; /* their names, in order */
    size_t upvalue_cap;
};

struct ls__parser {
    struct ls__lexer lex;
    struct ls_syntax *syntax;
    struct ls__body *body;
    unsigned depth;
    struct ls__scoped **scope; /* owned: the variables in scope, innermost last */
    size_t scope_count, scope_cap;
    struct ls__jumps labels, gotos;
    size_t function_cap, variable_cap, mention_cap;
    struct ls__word *env, *self;
};

/* Append to a growing array (base/array.h), or fail. */
#define LS__PUSH(p, ...)                                                                                               \
    do {                                                                                                               \
        if (!LS_PUSH(__VA_ARGS__)) ls__lex_no_memory(&(p)->lex);                                                       \
    } while (0)

/** The kind of the token looked at. */
static inline int ls__token(const struct ls__parser *p)
{
    return p->lex.now.kind;
}
/** Go to the next token. */
static inline void ls__next(struct ls__parser *p)
{
    ls__lex_next(&p->lex);
}
/** Pass over a token of this kind, if it is one. */
static inline bool ls__take(struct ls__parser *p, int kind)
{
    if (ls__token(p) != kind) return false;
    ls__next(p);
    return true;
}

/* --- fold.c: as Lua's compiler folds constants --- */

/** What is known of `a op b`. */
struct ls__known ls__fold_binary(int op, const struct ls__known *a, const struct ls__known *b);
/** What is known of `op a`. */
struct ls__known ls__fold_unary(int op, const struct ls__known *a);

/* --- scopes.c --- */

void ls__want(struct ls__parser *p, int kind); /* pass over a token of this kind, or fail */
/** The same for what closes an `opener` of that line. */
void ls__want_close(struct ls__parser *p, int kind, int opener, int line);
struct ls__word *ls__name(struct ls__parser *p); /* pass over a name, or fail */
/** One level deeper; fails where Lua's stack would end. */
void ls__deeper(struct ls__parser *p);
/** A variable that is not in scope yet; its name is the token before. */
struct ls__scoped *ls__variable_new(struct ls__parser *p, struct ls__word *word);
void ls__activate(struct ls__parser *p, struct ls__scoped *scoped);            /* it is in scope from here on */
void ls__activate_list(struct ls__parser *p, struct ls_syntax_variable *list); /* they are */
void ls__hide(struct ls__parser *p, unsigned count);                           /* so many without a name are */
void ls__block_open(struct ls__parser *p, struct ls__region *block);           /* a block begins */
void ls__block_close(struct ls__parser *p);                                    /* and ends */
/** The variable that a name means; an upvalue from here on where it is another function's. NULL = a global */
struct ls__scoped *ls__resolve(struct ls__parser *p, struct ls__word *word);
/** A function begins, and its outermost block. Both end with ls__body_close(). */
void ls__body_open(struct ls__parser *p, struct ls__body *body, struct ls__region *block);
void ls__body_close(struct ls__parser *p); /* it ends */

/* --- expressions.c --- */

/** A node of the token looked at; its hash is of the kind and `part`. */
struct ls_syntax_expr *ls__expr_new(struct ls__parser *p, enum ls_syntax_expr_kind kind, uint64_t part);
/** A node that begins where `first` does and ends with the token before. `first` and `right` may be NULL. */
struct ls_syntax_expr *ls__expr_around(struct ls__parser *p, enum ls_syntax_expr_kind kind, uint64_t part,
                                       struct ls_syntax_expr *first, struct ls_syntax_expr *right);
uint64_t ls__list_hash(uint64_t hash, const struct ls_syntax_expr *list); /* `hash` with those of the list */
/** A name that is used; it is the token before. */
struct ls_syntax_expr *ls__name_expr(struct ls__parser *p, struct ls__word *word);
struct ls_syntax_expr *ls__expression(struct ls__parser *p); /* read one */
/** Read a list. @param last  out: what is known of the last one */
struct ls_syntax_expr *ls__expression_list(struct ls__parser *p, struct ls__known *last);
/** Read what can stand at the left of an assignment, or a call. @param known  out */
struct ls_syntax_expr *ls__suffixed(struct ls__parser *p, struct ls__known *known);
/** Read a function from its parameters on. @param start, line  where it begins; the line is Lua's `linedefined` */
struct ls_syntax_expr *ls__function_expr(struct ls__parser *p, uint32_t start, int line, bool method);
/** The text mentions a chain of names that ends here. */
void ls__mention(struct ls__parser *p, struct ls_syntax_expr *expr);

/* --- statements.c --- */

/** Read statements up to what ends their block. @param hash  out: of all of them */
struct ls_syntax_stat *ls__statements(struct ls__parser *p, uint64_t *hash);

#endif
