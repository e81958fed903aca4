/* What the files of the room share: memory of one result, words, tokens, the parser's state. A failure jumps to
 * ls_syntax_parse, which gives all memory back at once. Owner thread: the one that parses. */
#ifndef LS_SYNTAX_SYNTAX_INTERNAL_H
#define LS_SYNTAX_SYNTAX_INTERNAL_H

#include <setjmp.h>
#include <string.h>

#include "base/array.h"
#include "base/map.h"
#include "syntax/syntax.h"

/* --- pool.c: pieces of memory that are freed together --- */

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

/* --- small questions --- */

/** A hash with a further part. */
static inline uint64_t ls__mix(uint64_t hash, uint64_t part)
{
    hash = (hash ^ part) * UINT64_C(0x9e3779b97f4a7c15);
    return hash ^ (hash >> 29);
}
/** Are the strings the same? */
static inline bool ls__same_string(struct ls_syntax_string a, struct ls_syntax_string b)
{
    return a.len == b.len && memcmp(a.text, b.text, a.len) == 0;
}
/** Is the string this text, which a NUL ends? */
static inline bool ls__is_text(struct ls_syntax_string string, const char *text)
{
    return ls__same_string(string, (struct ls_syntax_string){text, (uint32_t)strlen(text)});
}
/** Is it a whole number that a Lua integer holds? */
static inline bool ls__is_whole(double number, int64_t *whole)
{
    if (!(number >= -9223372036854775808.0) || !(number < 9223372036854775808.0)) return false;
    *whole = (int64_t)number;
    return (double)*whole == number;
}

/* --- lexer.c --- */

/* A name or keyword: one a text, so that names are compared by address. */
struct ls__word {
    struct ls_syntax_string string;
    int keyword; /* TK_…, 0 = a name */
    uint64_t hash;
    struct ls__scoped *variable; /* the one that is in scope */
    unsigned mains;              /* variables of the main block with this name */
    struct ls__word *meant;      /* what it is read as where it names a variable or a global; NULL = as itself */
};

/* Tokens of one character are that character. */
/* clang-format off */
enum {
    TK_EOF = 256, TK_AND, TK_BREAK, TK_DO, TK_ELSE, TK_ELSEIF, TK_END, TK_FALSE, TK_FOR, TK_FUNCTION, TK_GOTO, TK_IF,
    TK_IN, TK_LOCAL, TK_NIL, TK_NOT, TK_OR, TK_REPEAT, TK_RETURN, TK_THEN, TK_TRUE, TK_UNTIL, TK_WHILE, TK_IDIV,
    TK_CONCAT, TK_DOTS, TK_EQ, TK_GE, TK_LE, TK_NE, TK_SHL, TK_SHR, TK_DBCOLON, TK_INTEGER, TK_FLOAT, TK_NAME,
    TK_STRING, TK_COUNT,
};
/* clang-format on */

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
    uint32_t start;              /* of the token that is being read */
    struct ls__token now;        /* the token looked at */
    struct ls__token ahead;      /* the one behind it, if has_ahead */
    bool has_ahead;
    uint32_t last_end;      /* where the token before `now` ended */
    struct ls_idmap *words; /* owned; by their hashes */
    struct ls_syntax_error *error;
    jmp_buf failed;
};

/** Copy the text, make the words, and read the first token. Fails as below: the caller has called setjmp. */
void ls__lexer_init(struct ls__lexer *lex, const char *text, size_t len);
void ls__lexer_release(struct ls__lexer *lex); /* the pool too: who has a result takes it before */
void ls__lex_next(struct ls__lexer *lex);      /* go to the next token */
int ls__lex_ahead(struct ls__lexer *lex);      /* the kind of the token behind `now` */
struct ls__word *ls__lex_word(struct ls__lexer *lex, const char *text, size_t len); /* the one word for a name */
const char *ls__token_name(int kind, char brief[2]); /* for messages; in `brief` where it is one character */
void *ls__lex_take(struct ls__lexer *lex, size_t count, size_t size); /* of the pool; fails without memory */
/** Fail with a message and the token it concerns. */
_Noreturn void ls__lex_fail_near(struct ls__lexer *lex, const char *message);
_Noreturn void ls__lex_fail(struct ls__lexer *lex, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
_Noreturn void ls__lex_no_memory(struct ls__lexer *lex);

/* --- the parser: what its files share --- */

/* A variable while the text is read. */
struct ls__scoped {
    struct ls_syntax_variable variable;
    struct ls__word *word;
    struct ls__scoped *hidden; /* the variable of this name around it */
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
    unsigned active; /* its variables in scope */
    size_t labels;   /* its first label */
    unsigned loops;  /* around the statement */
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

/* --- scopes.c: which variable a name means --- */

/** A variable that is not in scope yet; its name is the token before. */
struct ls__scoped *ls__variable_new(struct ls__parser *p, struct ls__word *word);
void ls__activate(struct ls__parser *p, struct ls_syntax_variable *list); /* they are in scope from here on */
void ls__hide(struct ls__parser *p, unsigned count);                      /* so many without a name are */
void ls__block_open(struct ls__parser *p, struct ls__region *block);      /* a block begins */
void ls__block_close(struct ls__parser *p);                               /* and ends */
/** The variable that a name means; an upvalue from here on where it is another function's. NULL = a global */
struct ls__scoped *ls__resolve(struct ls__parser *p, struct ls__word *word);
/** A function begins, and its outermost block. Both end with ls__body_close(). */
void ls__body_open(struct ls__parser *p, struct ls__body *body, struct ls__region *block);
void ls__body_close(struct ls__parser *p); /* it ends */
/** A goto waits for its label, if there is none yet. */
void ls__goto(struct ls__parser *p, struct ls__word *word, int line);
/** A label. @param last  nothing but what ends the block comes behind it */
void ls__label(struct ls__parser *p, struct ls__word *word, int line, bool last);

/* --- fold.c: as Lua's compiler folds constants --- */

/** The literal that an expression is to the compiler; NULL = it knows no value. */
const struct ls_syntax_expr *ls__constant(const struct ls_syntax_expr *expr);
/** An expression of an operator gets its `known`. */
void ls__fold(struct ls__parser *p, struct ls_syntax_expr *expr);

/* --- expressions.c --- */

_Noreturn void ls__expected(struct ls__parser *p, int kind); /* fail: the token is none of this kind */
void ls__want(struct ls__parser *p, int kind);               /* pass over a token of this kind, or fail */
/** The same for what closes an `opener` of that line. */
void ls__want_close(struct ls__parser *p, int kind, int opener, int line);
struct ls__word *ls__name(struct ls__parser *p); /* pass over a name, or fail */
/** One level deeper; fails where Lua's stack would end. */
void ls__deeper(struct ls__parser *p);
uint64_t ls__list_hash(uint64_t hash, const struct ls_syntax_expr *list); /* `hash` with those of the list */
struct ls_syntax_expr *ls__variable(struct ls__parser *p);                /* read a name that is used */
/** Read what follows a point or colon: `left` at that name. */
struct ls_syntax_expr *ls__field(struct ls__parser *p, struct ls_syntax_expr *left);
struct ls_syntax_expr *ls__expression(struct ls__parser *p);      /* read one */
struct ls_syntax_expr *ls__expression_list(struct ls__parser *p); /* read some */
/** Read what can stand at the left of an assignment, or a call. */
struct ls_syntax_expr *ls__suffixed(struct ls__parser *p);
/** Read a function from its parameters on. @param start, line  where it begins; the line is Lua's `linedefined` */
struct ls_syntax_expr *ls__function(struct ls__parser *p, uint32_t start, int line, bool method);
/** The text mentions a chain of names that ends here. */
void ls__mention(struct ls__parser *p, struct ls_syntax_expr *expr);

/* --- statements.c --- */

/** Read statements up to what ends their block. @param hash  their hash is made part of it */
struct ls_syntax_stat *ls__statements(struct ls__parser *p, uint64_t *hash);

/* --- syntax.c --- */

/* A name of variables and globals that is read as another. */
struct ls__rename {
    struct ls_syntax_string from, to;
};
/** As ls_syntax_parse() of the text of a result. Names of fields stay. @return owned; NULL without memory */
struct ls_syntax *ls__syntax_renamed(const struct ls_syntax *syntax, const struct ls__rename *renames, unsigned count);

#endif
