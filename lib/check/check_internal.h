/* What check.c (files, Lua) and check_views.c (view files) share. Not for others. */
#ifndef LS_CHECK_CHECK_INTERNAL_H
#define LS_CHECK_CHECK_INTERNAL_H

#include <stdbool.h>

#include "backend/backend.h"
#include "check/check.h"

/* A file of the site, read once. */
struct site_file {
    char *key; /* owned: path below the root, links resolved */
    struct ls_bytes *text;
    char *view; /* owned: TYPE.NAMESPACE of a view file, NULL for Lua */
};

struct checker {
    const struct ls_check_config *config;
    struct ls_check_counts *counts;
    struct ls_session *session; /* after main.lua; NULL when it failed: then types are not known */
    struct site_file *files;
    size_t file_count, file_cap;
    int code; /* LS_ENOMEM once memory has ended */
};

/** Hand a finding to the caller: `file:line: text`, and the place that it refers to (NULL = none). */
void ls__check_report(struct checker *checker, const char *file, int line, const char *other_file, int other_line,
                      const char *format, ...) __attribute__((format(printf, 6, 7)));
/** Check all view files of the site: names, double keys, grammar, and what their paths lead to. */
void ls__check_views(struct checker *checker);

#endif
