/* A Lua text token by token: also one that is not finished, or is no program. Comments are no tokens; strings are told
 * by value.
 * Pure; thread: any. */
#ifndef LS_SYNTAX_TOKENS_H
#define LS_SYNTAX_TOKENS_H

#include "syntax/syntax.h"

enum ls_token_kind {
    LS_TOKEN_NAME = 1,
    LS_TOKEN_STRING = 2,
    LS_TOKEN_INTEGER = 4,
    LS_TOKEN_OTHER = 8, /* keywords, operators, separators, floats */
};

struct ls_token {
    enum ls_token_kind kind;
    char symbol;         /* of OTHER, the character that is all of it; else NUL */
    int line;            /* of its first character; 1 is the first */
    uint32_t start, end; /* bytes of the text */
    union {
        struct ls_syntax_string string; /* of NAME and STRING, borrowed from the reader */
        int64_t integer;
    };
};

struct ls_tokens; /* a reader */

/** Begin to read. The text is copied. @return owned, ls_tokens_close(); NULL without memory */
struct ls_tokens *ls_tokens_open(const char *text, size_t len);
/** The next token. @return false: the text is at its end, is broken behind the last token (a string that is not
 * finished, say), or there is no memory */
bool ls_tokens_next(struct ls_tokens *tokens, struct ls_token *token);
void ls_tokens_close(struct ls_tokens *tokens); /* NULL accepted */

/** Where a text first has a word as a whole token.
 * @param kinds  LS_TOKEN_NAME, LS_TOKEN_STRING (of this value, written without escapes), or both
 * @return its line; 0: nowhere, or no memory */
int ls_tokens_find(const char *text, size_t len, const char *word, unsigned kinds);

#endif
