/* What a Lua text says about definitions of functions, read as text (H51). Pure; any thread. */
#ifndef LS_RELOAD_THREEWAY_TEXT_H
#define LS_RELOAD_THREEWAY_TEXT_H

#include <stdbool.h>
#include <stddef.h>

enum ls_owner_kind {
    LS_OWNER_CHAIN,    /* an expression of names and dots: `Ship`, `Desk.Note` */
    LS_OWNER_NAMED,    /* the table constructor behind that text: `prototype("Ship", { … })` */
    LS_OWNER_RETURNED, /* the table constructor that the file returns */
};

/* Is the owner of the definition the one that is asked about, or may it be? `text` is borrowed during the call. */
typedef bool (*ls__owner_judge)(void *ctx, enum ls_owner_kind kind, const char *text, size_t len);

/** Does the text hold a definition of the function `name` for an owner of whom `judge` says yes? Without memory: yes.
 * */
bool ls__text_defines(const char *text, size_t len, const char *name, size_t name_len, ls__owner_judge judge,
                      void *ctx);
/** Does the text give the variable `name` a value? Where that is a call of prototype, *made is its first text (borrowed
 * from `text`), else NULL. */
bool ls__text_names(const char *text, size_t len, const char *name, size_t name_len, const char **made,
                    size_t *made_len);

#endif
