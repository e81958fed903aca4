/* The lexer for others than the parser (tokens.h). */
#include "syntax/tokens.h"

#include <string.h>

#include "base/alloc.h"
#include "syntax/syntax_internal.h"

struct ls_tokens {
    struct ls__lexer lex;
    bool begun; /* the first token, which the lexer reads ahead, has been given */
    bool ended;
};

struct ls_tokens *ls_tokens_open(const char *text, size_t len)
{
    struct ls_tokens *tokens = len < UINT32_MAX / 2 ? ls_zalloc(sizeof *tokens) : NULL;
    if (!tokens) return NULL;
    if (setjmp(tokens->lex.failed) == 0)
        ls__lexer_init(&tokens->lex, text, len);
    else
        tokens->ended = true;
    return tokens;
}

bool ls_tokens_next(struct ls_tokens *tokens, struct ls_token *token)
{
    struct ls__lexer *lex = &tokens->lex;
    if (tokens->ended || setjmp(lex->failed) != 0) {
        tokens->ended = true;
        return false;
    }
    if (tokens->begun) ls__lex_next(lex);
    tokens->begun = true;
    const struct ls__token *now = &lex->now;
    tokens->ended = now->kind == TK_EOF;
    *token = (struct ls_token){.kind = LS_TOKEN_OTHER, .line = now->line, .start = now->start, .end = now->end};
    if (now->kind == TK_NAME) {
        token->kind = LS_TOKEN_NAME;
        token->string = now->word->string;
    } else if (now->kind == TK_STRING) {
        token->kind = LS_TOKEN_STRING;
        token->string = now->string;
    } else if (now->kind == TK_INTEGER) {
        token->kind = LS_TOKEN_INTEGER;
        token->integer = now->integer;
    } else if (now->kind < TK_EOF) {
        token->symbol = (char)now->kind;
    }
    return !tokens->ended;
}

void ls_tokens_close(struct ls_tokens *tokens)
{
    if (!tokens) return;
    ls__lexer_release(&tokens->lex);
    ls_free(tokens);
}

int ls_tokens_find(const char *text, size_t len, const char *word, unsigned kinds)
{
    size_t word_len = strlen(word);
    struct ls_token token;
    int line = 0;
    if (len == 0 || !memmem(text, len, word, word_len)) return 0; /* cheaper than tokens */
    struct ls_tokens *tokens = ls_tokens_open(text, len);
    while (tokens && line == 0 && ls_tokens_next(tokens, &token))
        if ((token.kind & kinds) && token.string.len == word_len && memcmp(token.string.text, word, word_len) == 0)
            line = token.line;
    ls_tokens_close(tokens);
    return line;
}
