/* Reading a view file as `lsess check` does (cli.md C1): its elements' ui-* attributes with their lines, and what is
 * wrong with its grammar (frontend.md F129). It judges what the browser client would stumble over, not HTML as a whole.
 * Thread: any. */
#ifndef LS_VIEWDEF_SCAN_H
#define LS_VIEWDEF_SCAN_H

#include <stddef.h>

/* All texts are borrowed during the call. */
struct ls_viewdef_visitor {
    void *ctx;
    /** An attribute whose name begins with "ui-": its value with character references resolved. `level` is the
     * element's depth below the template. */
    void (*attribute)(void *ctx, int line, unsigned level, const char *element, const char *name, const char *value);
    /** Something is wrong: a sentence. */
    void (*problem)(void *ctx, int line, const char *text);
    /** The element of depth `level` has ended: attributes that come later are not inside it. May be NULL. */
    void (*end)(void *ctx, unsigned level);
};

/** @return number of problems, or LS_ENOMEM */
int ls_viewdef_scan(const char *text, size_t len, const struct ls_viewdef_visitor *visitor);

#endif
