/* What the files of the room share: memory of one result, words, tokens. A failure jumps to ls_syntax_parse, which
 * gives all memory back at once. Owner thread: the one that parses. */
#ifndef LS_SYNTAX_SYNTAX_INTERNAL_H
#define LS_SYNTAX_SYNTAX_INTERNAL_H

#include <setjmp.h>

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

/* --- lexer.c --- */

struct ls__scoped;

/* A name or keyword: one a text, so that names are compared by address. */
struct ls__word {
    struct ls_syntax_string string;
    int keyword; /* TK_…, 0 = a name */
    uint64_t hash;
    struct ls__scoped *variable; /* the one that is in scope */
    unsigned mains;              /* variables of the main block with this name */
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
    struct ls__pool pool; /* of the result */
    const char *text, *at, *end;
    int line;               /* of `at` */
    struct ls__token now;   /* the token looked at */
    struct ls__token ahead; /* the one behind it, if has_ahead */
    bool has_ahead;
    uint32_t last_end;         /* where the token before `now` ended */
    int last_line;             /* its last line */
    struct ls__word **buckets; /* owned; a power of two of them */
    unsigned bucket_count, word_count;
    struct ls_syntax_error *error;
    jmp_buf failed;
};

/** Make the words. @param text  lives as long as the lexer; a NUL is behind it */
void ls__lexer_init(struct ls__lexer *lex, const char *text, size_t len);
void ls__lex_next(struct ls__lexer *lex); /* go to the next token */
int ls__lex_ahead(struct ls__lexer *lex); /* the kind of the token behind `now` */
struct ls__word *ls__lex_word(struct ls__lexer *lex, const char *text, size_t len); /* the one word for a name */
void *ls__lex_take(struct ls__lexer *lex, size_t count, size_t size); /* of the pool; fails without memory */
/** Fail with a message and the token it concerns. */
_Noreturn void ls__lex_fail_near(struct ls__lexer *lex, const char *message);
_Noreturn void ls__lex_fail(struct ls__lexer *lex, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
_Noreturn void ls__lex_no_memory(struct ls__lexer *lex);

#endif
