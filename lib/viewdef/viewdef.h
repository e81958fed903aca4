/* View definitions of a site (protocol.md section 14, hotload.md section 13): the texts, shared by all sessions, and
 * per connection what was sent: a map from keys to the content hashes of the texts, as the pointers themselves, which
 * belongs to one session's owner thread. The store is shared between threads: one mutex inside, held for look-ups. */
#ifndef LS_VIEWDEF_VIEWDEF_H
#define LS_VIEWDEF_VIEWDEF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/bytes.h"
#include "base/err.h"
#include "base/map.h"

struct ls_viewdefs; /* the site's store */

/** Load all *.html below DIR (or, for the built-in site, below `bundle`/viewdefs of files/embed.h). The built-in list
 * views come from templates/viewdefs (F132).
 * @param within  as ls_path_within's; borrowed until close
 * @param dir  NULL with a bundle; a missing folder is an empty store */
struct ls_viewdefs *ls_viewdefs_open(const char *within, const char *dir, const char *bundle, struct ls_err *err);
/** Frees the store, when no session uses it any more. NULL accepted. */
void ls_viewdefs_close(struct ls_viewdefs *views);
/** A file below the folder was saved, appeared (text), or went (NULL) (H74–H80). `path` is the request path. @return 1
 * something changed for readers, 0 not, negative: refused (empty, not UTF-8: H78; outside of the site), err says why */
int ls_viewdefs_put(struct ls_viewdefs *views, const char *path, struct ls_bytes *text, struct ls_err *err);
/** Raised with every change of the store: a session whose number is older asks for news. Any thread, no lock. */
uint64_t ls_viewdefs_generation(const struct ls_viewdefs *views);
/** Keys that readers see, the built-in ones not among them. */
size_t ls_viewdefs_count(const struct ls_viewdefs *views);
/** The content hash of the present text of KEY, 0 = there is none. Tells whether a reported problem is still about this
 * text (H78). */
uint64_t ls_viewdefs_stamp(struct ls_viewdefs *views, const char *key);
/** Visit all keys in bytewise order. `real_path` is the file with links resolved, NULL for a built-in one. Not under
 * the store's lock.
 * @return 0 or LS_ENOMEM */
int ls_viewdefs_each(struct ls_viewdefs *views, void (*fn)(void *ctx, const char *key, const char *real_path),
                     void *ctx);
/** Look for files TYPE.*.html that have appeared since start; only without hot reload does this touch the disk (P106,
 * P108, P109). */
int ls_viewdefs_pick_up(struct ls_viewdefs *views, const char *type, struct ls_err *err);

/** Everything is due again: a connection begins to watch variable 1 (P105), or what was written has been lost. */
void ls_viewdefs_sent_clear(struct ls_map *sent);
/** Write what is due as the JSON object `{"KEY":"text",…}` and count it as sent. `withheld` (may be NULL) tells which
 * files not to deliver in this session (L52a). `types`: types that variables of this session have, for the built-in
 * list views (F132).
 * @return number of keys written; 0 and nothing appended if none */
int ls_viewdefs_due(struct ls_viewdefs *views, struct ls_map *sent, const char *const *types, size_t type_count,
                    bool (*withheld)(void *ctx, const char *real_path), void *ctx, struct ls_buf *json);

#endif
