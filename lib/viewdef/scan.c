/* A small HTML tokenizer for view files: tags, attributes, comments, raw text. It keeps a stack of open elements to
 * find what is never closed, knows which end tags HTML lets one leave out, and refuses to judge the rest: a browser
 * repairs more than it would be helpful to complain about. Files are a site's own, but it must survive any bytes
 * (fuzzed). */
#include "viewdef/scan.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/array.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/text.h"

struct open_element {
    char *name; /* owned, lower case */
    int line;
};

struct scan {
    const char *at, *end, *counted; /* `line` is that of `counted` */
    int line;
    const struct ls_viewdef_visitor *visitor;
    struct open_element *open;
    size_t open_count, open_cap;
    unsigned templates; /* top-level <template> elements so far */
    int problems;
    bool no_memory, stray_told;
    struct ls_buf name, attribute, value;
};

static bool in_list(const char *name, const char *const *list)
{
    for (; *list; list++)
        if (!strcmp(name, *list)) return true;
    return false;
}

/* Elements without content. */
static const char *const voids[] = {"area", "base", "br",    "col",    "embed", "hr",  "img", "input",
                                    "link", "meta", "param", "source", "track", "wbr", NULL};
/* Elements whose end tag may be left out. */
static const char *const enders[] = {"p",     "li",    "dt",     "dd",       "tr",       "td", "th", "thead",
                                     "tbody", "tfoot", "option", "optgroup", "colgroup", "rt", "rp", NULL};
/* Elements whose content is text up to their own end tag. */
static const char *const raws[] = {"script", "style", "textarea", "title", NULL};

static int line_at(struct scan *scan, const char *at)
{
    for (; scan->counted < at; scan->counted++)
        scan->line += *scan->counted == '\n';
    return scan->line;
}

__attribute__((format(printf, 3, 4))) static void problem(struct scan *scan, int line, const char *format, ...)
{
    char text[256];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    scan->problems++;
    if (scan->visitor->problem) scan->visitor->problem(scan->visitor->ctx, line, text);
}

static void skip_blanks(struct scan *scan)
{
    while (scan->at < scan->end && isspace((unsigned char)*scan->at))
        scan->at++;
}

/* Letters up to a delimiter, in lower case as the HTML parser makes them. */
static void read_name(struct scan *scan, struct ls_buf *out, const char *stop)
{
    ls_buf_clear(out);
    while (scan->at < scan->end && !isspace((unsigned char)*scan->at) && !strchr(stop, *scan->at))
        ls_buf_char(out, (char)tolower((unsigned char)*scan->at++));
    scan->no_memory = scan->no_memory || ls_buf_failed(out);
}

/* The few references that attribute values are written with; others stay as they are. */
static void add_resolved(struct ls_buf *out, const char *text, size_t len)
{
    static const struct {
        const char *name;
        char c;
    } known[] = {{"&amp;", '&'}, {"&quot;", '"'}, {"&lt;", '<'}, {"&gt;", '>'}, {"&#39;", '\''}, {"&apos;", '\''}};
    ls_buf_clear(out);
    for (size_t i = 0; i < len;) {
        size_t step = 0;
        for (size_t k = 0; text[i] == '&' && k < sizeof known / sizeof *known && !step; k++) {
            size_t n = strlen(known[k].name);
            if (len - i < n || memcmp(text + i, known[k].name, n)) continue;
            ls_buf_char(out, known[k].c);
            step = n;
        }
        if (!step) {
            ls_buf_char(out, text[i]);
            step = 1;
        }
        i += step;
    }
}

static void read_value(struct scan *scan)
{
    char quote = scan->at < scan->end && (*scan->at == '"' || *scan->at == '\'') ? *scan->at++ : 0;
    const char *from = scan->at;
    if (quote) {
        const char *close = memchr(from, quote, (size_t)(scan->end - from));
        if (!close) {
            problem(scan, line_at(scan, from), "The value of attribute %s has no closing quote.",
                    ls_buf_text(&scan->attribute));
            close = scan->end;
        }
        add_resolved(&scan->value, from, (size_t)(close - from));
        scan->no_memory = scan->no_memory || ls_buf_failed(&scan->value);
        scan->at = close < scan->end ? close + 1 : close;
        return;
    }
    while (scan->at < scan->end && !isspace((unsigned char)*scan->at) && *scan->at != '>')
        scan->at++;
    add_resolved(&scan->value, from, (size_t)(scan->at - from));
    scan->no_memory = scan->no_memory || ls_buf_failed(&scan->value);
}

/* Attributes up to the end of the tag. @return was the tag closed with "/>" */
static bool read_attributes(struct scan *scan, int tag_line)
{
    for (;;) {
        skip_blanks(scan);
        if (scan->at >= scan->end) {
            problem(scan, tag_line, "The tag <%s> is not finished.", ls_buf_text(&scan->name));
            return false;
        }
        if (*scan->at == '>') {
            scan->at++;
            return false;
        }
        if (*scan->at == '/') {
            scan->at++;
            if (scan->at < scan->end && *scan->at == '>') {
                scan->at++;
                return true;
            }
            continue;
        }
        int line = line_at(scan, scan->at);
        read_name(scan, &scan->attribute, "=>/");
        if (!scan->attribute.len) { /* a lone '=': HTML takes it as part of a name; nobody writes it on purpose */
            scan->at++;
            continue;
        }
        skip_blanks(scan);
        ls_buf_clear(&scan->value);
        if (scan->at < scan->end && *scan->at == '=') {
            scan->at++;
            skip_blanks(scan);
            read_value(scan);
        }
        if (scan->attribute.len > 3 && !memcmp(scan->attribute.data, "ui-", 3) && scan->visitor->attribute &&
            scan->open_count)
            scan->visitor->attribute(scan->visitor->ctx, line, (unsigned)scan->open_count, ls_buf_text(&scan->name),
                                     scan->attribute.data, ls_buf_text(&scan->value));
    }
}

static void pop(struct scan *scan)
{
    ls_free(scan->open[--scan->open_count].name);
    if (scan->visitor->end) scan->visitor->end(scan->visitor->ctx, (unsigned)scan->open_count);
}

/* @return the name, owned by the element; NULL without memory */
static const char *push(struct scan *scan, int line)
{
    char *name = ls_strdup(ls_buf_text(&scan->name));
    if (name && LS_PUSH(scan->open, scan->open_count, scan->open_cap, (struct open_element){name, line})) return name;
    ls_free(name);
    scan->no_memory = true;
    return NULL;
}

/* The elements within the first `count` open ones are over. */
static void close_within(struct scan *scan, size_t count)
{
    while (scan->open_count > count) {
        const struct open_element *element = &scan->open[scan->open_count - 1];
        if (!in_list(element->name, enders)) problem(scan, element->line, "<%s> is never closed.", element->name);
        pop(scan);
    }
}

/* Raw text ends at its own end tag and nowhere else. */
static void skip_raw(struct scan *scan, const char *name, int line)
{
    size_t len = strlen(name);
    for (const char *at = scan->at; at + len + 2 <= scan->end; at++) {
        if (at[0] != '<' || at[1] != '/' || strncasecmp(at + 2, name, len)) continue;
        const char *close = memchr(at, '>', (size_t)(scan->end - at));
        scan->at = close ? close + 1 : scan->end;
        return;
    }
    problem(scan, line, "<%s> is never closed.", name);
    scan->at = scan->end;
}

static void start_tag(struct scan *scan)
{
    int line = line_at(scan, scan->at);
    scan->at++;
    read_name(scan, &scan->name, "/>");
    if (!scan->open_count) {
        if (strcmp(ls_buf_text(&scan->name), "template"))
            problem(scan, line, "<%s> stands outside of the <template> element.", ls_buf_text(&scan->name));
        else if (scan->templates++)
            problem(scan, line, "There is a second <template> element; a view file holds exactly one.");
    }
    /* The element counts as open while its attributes are told, so that their level is that of what it contains. */
    const char *name = push(scan, line);
    if (!name) return;
    bool closed = read_attributes(scan, line);
    bool empty = in_list(name, voids) || (closed && strcmp(name, "template")), raw = !empty && in_list(name, raws);
    if (raw) skip_raw(scan, name, line);
    if (raw || empty) pop(scan);
}

static void end_tag(struct scan *scan)
{
    int line = line_at(scan, scan->at);
    scan->at += 2;
    read_name(scan, &scan->name, ">");
    const char *close = memchr(scan->at, '>', (size_t)(scan->end - scan->at));
    scan->at = close ? close + 1 : scan->end;
    size_t place = scan->open_count;
    while (place && strcmp(scan->open[place - 1].name, ls_buf_text(&scan->name)))
        place--;
    if (!place) {
        if (!in_list(ls_buf_text(&scan->name), enders))
            problem(scan, line, "</%s> closes nothing.", ls_buf_text(&scan->name));
        return;
    }
    close_within(scan, place);
    pop(scan);
}

/* `<!-- … -->`, `<!doctype …>`, `<? … >` */
static void skip_declaration(struct scan *scan)
{
    int line = line_at(scan, scan->at);
    if (scan->end - scan->at >= 4 && !memcmp(scan->at, "<!--", 4)) {
        const char *close = memmem(scan->at + 4, (size_t)(scan->end - scan->at - 4), "-->", 3);
        if (!close) problem(scan, line, "The comment is never closed.");
        scan->at = close ? close + 3 : scan->end;
        return;
    }
    const char *close = memchr(scan->at, '>', (size_t)(scan->end - scan->at));
    scan->at = close ? close + 1 : scan->end;
}

static void text_outside(struct scan *scan)
{
    if (!isspace((unsigned char)*scan->at) && !scan->stray_told) {
        scan->stray_told = true; /* once: the rest of the file is likely to be the same mistake */
        problem(scan, line_at(scan, scan->at), "Text stands outside of the <template> element.");
    }
}

static void scan_all(struct scan *scan)
{
    while (scan->at < scan->end && !scan->no_memory) {
        const char *at = scan->at;
        if (*at != '<' || at + 1 >= scan->end) {
            if (!scan->open_count) text_outside(scan);
            scan->at++;
        } else if (at[1] == '!' || at[1] == '?') {
            skip_declaration(scan);
        } else if (at[1] == '/') {
            end_tag(scan);
        } else if (isalpha((unsigned char)at[1])) {
            start_tag(scan);
        } else {
            scan->at++; /* a lone '<' is text */
        }
    }
    close_within(scan, 0);
    if (!scan->templates) problem(scan, 1, "There is no <template> element; a view file holds exactly one.");
}

int ls_viewdef_scan(const char *text, size_t len, const struct ls_viewdef_visitor *visitor)
{
    struct scan scan = {.at = text, .end = text + len, .counted = text, .line = 1, .visitor = visitor};
    if (!ls_utf8_valid(text, len))
        problem(&scan, 1, "The file is not valid UTF-8.");
    else
        scan_all(&scan);
    while (scan.open_count)
        ls_free(scan.open[--scan.open_count].name);
    ls_free(scan.open);
    ls_buf_release(&scan.name);
    ls_buf_release(&scan.attribute);
    ls_buf_release(&scan.value);
    return scan.no_memory ? LS_ENOMEM : scan.problems;
}
