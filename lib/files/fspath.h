/* File paths as text, and the few file system questions that several rooms ask. Thread: any. */
#ifndef LS_FILES_FSPATH_H
#define LS_FILES_FSPATH_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/bytes.h"
#include "base/err.h"

/** Join two parts with one '/'; an absolute second part replaces the first. Replaces what `out` held. */
void ls_path_join(struct ls_buf *out, const char *dir, const char *name);
/** Absolute path with all links resolved, owned (ls_free). NULL and err (LS_ENOTFOUND, LS_EIO) on failure (L24). */
char *ls_path_real(const char *path, struct ls_err *err);
/** As ls_path_real, but of the rest of the machine nothing is looked at: a path that leaves the folder `within` by
 * links or `..` is LS_EACCESS with a sentence, the same whether it leads to anything or not (L13). What takes a
 * `within` is the one check of --sandbox, and all that reads a site's files goes through it. Hard links cannot be told
 * from other files.
 * @param within  canonical; NULL = links may lead anywhere */
char *ls_path_within(const char *within, const char *path, struct ls_err *err);
/** As ls_path_within, but parts at the end that do not exist, or cannot be looked at, are kept as they are written. */
char *ls_path_real_lenient(const char *within, const char *path, struct ls_err *err);
/** `path` relative to `root`, both absolute and canonical, by components: `lua/x.lua`, `../shared/x.lua`, `.` (L26).
 * Owned. */
char *ls_path_relative(const char *root, const char *path);
/** The folder `dir` as it is to be named for as long as it is served: absolute and tidy, but its links unresolved, so
 * that it leads to where they lead at each time. One that goes back by `..` is named as it is real. Owned; NULL and err
 * as ls_path_real. */
char *ls_path_place(const char *dir, struct ls_err *err);
/** A file's tracking key (L26): `real`, canonical, relative to what `place` leads to now. Owned; NULL without
 * memory. */
char *ls_path_key(const char *place, const char *real);
/** What is left of `real`, canonical, below the folder that `place` leads to now: "" for the folder itself, without a
 * '/' in front; NULL when it lies elsewhere. Borrowed from `real`. */
const char *ls_path_rest(const char *place, const char *real);
/** Is `path` equal to `root` or below it, by components (H3)? Both absolute and canonical. */
bool ls_path_below(const char *root, const char *path);
/** The part after the last '/', borrowed. */
const char *ls_path_base(const char *path);
/** The part before the last '/', owned; "." when there is none, "/" for the root's children. */
char *ls_path_dir(const char *path);
bool ls_has_suffix(const char *text, const char *suffix); /* does the text end so? */
bool ls_has_prefix(const char *text, const char *prefix); /* does it begin so? */
/** Is it an empty file without any permission, which holds the place of something that is to come? So tar keeps places
 * of links until its end; who opens one is told that there is no file. */
bool ls_is_placeholder(const struct stat *info);
/** Open a regular file for reading; a FIFO, a device, a folder is refused at once and never waited for. The check of
 * `within` is made of what was opened.
 * @param info  filled
 * @param err   must be there
 * @return a descriptor, or LS_EACCESS (outside of `within`), LS_ENOTFOUND, LS_EIO */
int ls_file_open(const char *within, const char *path, struct stat *info, struct ls_err *err);
/* bytes: nobody writes such a source, view or page, and all sessions would get it */
#define LS_FILE_MAX ((size_t)64 << 20)
/** A whole regular file. NULL and err: those of ls_file_open, LS_ELIMIT (larger than max, 0 = LS_FILE_MAX), LS_ENOMEM.
 * */
struct ls_bytes *ls_file_read(const char *within, const char *path, size_t max, struct ls_err *err);
/** The same of a file that ls_file_open has opened, which stays open. @param path  what messages call it */
struct ls_bytes *ls_file_read_open(int fd, const char *path, size_t max, struct ls_err *err);
bool ls_is_dir(const char *path);  /* is a directory there, through links too? */
bool ls_is_file(const char *path); /* is a regular file there, through links too? */

/** Walk a tree, names sorted bytewise, links to directories followed (each real directory once), names with a dot in
 * front and node_modules left out (H10). `rel` is the path below `dir`. A missing directory is an empty one. Links out
 * of `within` (ls_path_within) are left out, and with `say` named in the log.
 * @return 0, a non-zero result of `fn` (which ends the walk), or an LS_E* code */
int ls_tree_walk(const char *within, bool say, const char *dir, int (*fn)(void *ctx, const char *rel, bool is_dir),
                 void *ctx, struct ls_err *err);

#endif
