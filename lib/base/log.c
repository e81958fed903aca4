/* The log. What people read is shown by ls_text_show, so that no text of a page or a site can pass for a record or
 * speak to the terminal. A record is put together in a buffer and leaves by one write(2), so that records of different
 * threads never mix (L20). The lock guards settings and descriptor only; the tap is called after it has been given
 * back. */
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "base/text.h"

typedef void (*tap_fn)(void *ctx, int level, const char *session, const char *text, size_t len);

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int descriptor = STDERR_FILENO; /* protected by lock */
static tap_fn tap_call;                /* protected by lock */
static void *tap_ctx;                  /* protected by lock */
static atomic_int verbosity;
static atomic_bool as_json, in_color;

int ls_log_open(const struct ls_log_config *config, struct ls_err *err)
{
    int fd = STDERR_FILENO;
    if (config->file) {
        fd = open(config->file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        if (fd < 0) return ls_fail(err, LS_EIO, "The log file %s cannot be opened: %s.", config->file, strerror(errno));
    }
    ls_log_close();
    pthread_mutex_lock(&lock);
    descriptor = fd;
    pthread_mutex_unlock(&lock);
    atomic_store(&verbosity, config->verbosity);
    atomic_store(&as_json, config->json);
    atomic_store(&in_color, config->color);
    return 0;
}

void ls_log_close(void)
{
    pthread_mutex_lock(&lock);
    if (descriptor != STDERR_FILENO) close(descriptor);
    descriptor = STDERR_FILENO;
    pthread_mutex_unlock(&lock);
}

bool ls_log_on(int level)
{
    return level <= atomic_load_explicit(&verbosity, memory_order_relaxed);
}

bool ls_log_is_json(void)
{
    return atomic_load(&as_json);
}

void ls_log_tap(tap_fn tap, void *ctx)
{
    pthread_mutex_lock(&lock);
    tap_call = tap;
    tap_ctx = ctx;
    pthread_mutex_unlock(&lock);
}

/* A short write leaves the rest for a second one; an error is final, there is nobody to tell. */
static void write_record(const struct ls_buf *record)
{
    pthread_mutex_lock(&lock);
    const char *at = record->data;
    size_t left = record->len;
    while (left) {
        ssize_t n = write(descriptor, at, left);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) break;
        at += n;
        left -= (size_t)n;
    }
    pthread_mutex_unlock(&lock);
}

static void add_time(struct ls_buf *out, bool with_date)
{
    struct timespec now;
    struct tm parts;
    clock_gettime(CLOCK_REALTIME, &now);
    localtime_r(&now.tv_sec, &parts);
    char text[64];
    strftime(text, sizeof text, with_date ? "%Y-%m-%dT%H:%M:%S" : "%H:%M:%S", &parts);
    ls_buf_str(out, text);
    if (with_date) ls_buf_printf(out, ".%03d", (int)(now.tv_nsec / 1000000));
}

static void format_record(struct ls_buf *out, int level, const char *session, const char *text, size_t len)
{
    if (atomic_load_explicit(&as_json, memory_order_relaxed)) {
        ls_buf_str(out, "{\"time\":\"");
        add_time(out, true);
        ls_buf_char(out, '"');
        ls_json_put_str(out, "event", "log");
        ls_json_put_int(out, "level", level < 0 ? 0 : level);
        if (session) ls_json_put_str(out, "session", session);
        ls_json_put_string(out, "text", text, len);
        ls_buf_str(out, "}\n");
        return;
    }
    bool color = atomic_load_explicit(&in_color, memory_order_relaxed);
    if (color) ls_buf_str(out, "\033[2m");
    add_time(out, false);
    if (session) ls_buf_printf(out, " [%s]", session);
    if (color) ls_buf_str(out, "\033[0m");
    ls_buf_char(out, ' ');
    ls_text_show(out, text, len, LS_INDENT);
    if (!len || text[len - 1] != '\n') ls_buf_char(out, '\n');
}

void ls_log_text(int level, const char *session, const char *text, size_t len)
{
    if (level >= 0 && !ls_log_on(level)) return;
    struct ls_buf record = LS_BUF_INIT;
    format_record(&record, level, session, text, len);
    if (!ls_buf_failed(&record)) write_record(&record);
    ls_buf_release(&record);
    pthread_mutex_lock(&lock);
    tap_fn tap = tap_call;
    void *ctx = tap_ctx;
    pthread_mutex_unlock(&lock);
    if (tap) tap(ctx, level, session, text, len);
}

static void log_formatted(int level, const char *session, const char *format, va_list args)
{
    struct ls_buf text = LS_BUF_INIT;
    ls_buf_vprintf(&text, format, args);
    if (!ls_buf_failed(&text)) ls_log_text(level, session, ls_buf_text(&text), text.len);
    ls_buf_release(&text);
}

void ls_log(int level, const char *format, ...)
{
    if (level >= 0 && !ls_log_on(level)) return;
    va_list args;
    va_start(args, format);
    log_formatted(level, NULL, format, args);
    va_end(args);
}

void ls_log_session(int level, const char *session, const char *format, ...)
{
    if (level >= 0 && !ls_log_on(level)) return;
    va_list args;
    va_start(args, format);
    log_formatted(level, session, format, args);
    va_end(args);
}

void ls_log_event(const char *json, size_t len)
{
    if (!ls_log_is_json()) return;
    struct ls_buf record = LS_BUF_INIT;
    ls_buf_add(&record, json, len);
    ls_buf_char(&record, '\n');
    if (!ls_buf_failed(&record)) write_record(&record);
    ls_buf_release(&record);
}

/* --- folding --- */

#define KINDS       128         /* different records remembered; the oldest makes room */
#define SCOPE_KINDS 32          /* of one scope in REST_NS; what differs from these is counted only */
#define OTHERS      0           /* the hash of these */
#define REST_NS     ls_ms(1000) /* between two records of one kind */

struct kind {
    uint64_t hash, scope;
    int64_t told_ns;   /* when it, or how many there were, was written last */
    unsigned left_out; /* since then */
    int level;
    char session[24], text[200];
};

static pthread_mutex_t fold_lock = PTHREAD_MUTEX_INITIALIZER;
static struct kind kinds[KINDS]; /* protected by fold_lock, as what follows */
static unsigned next_kind;
static int64_t fold_due_ns; /* when the first may be told, 0 = none is left out */
static void (*fold_timer)(void *ctx, int64_t due_ns);
static void *fold_ctx;

static void tell(const struct kind *kind)
{
    if (kind->left_out)
        ls_log_session(kind->level, kind->session[0] ? kind->session : NULL, "%s (%u more times)", kind->text,
                       kind->left_out);
}

static void await(int64_t due_ns)
{
    if (fold_due_ns && fold_due_ns <= due_ns) return;
    fold_due_ns = due_ns;
    if (fold_timer) fold_timer(fold_ctx, due_ns);
}

void ls_log_fold_timer(void (*set)(void *ctx, int64_t due_ns), void *ctx)
{
    pthread_mutex_lock(&fold_lock);
    fold_timer = set;
    fold_ctx = ctx;
    for (size_t i = 0; !set && i < KINDS; i++)
        kinds[i].told_ns = 0;
    pthread_mutex_unlock(&fold_lock);
    if (!set) ls_log_unfold(NULL);
}

void ls_log_unfold(const char *scope)
{
    uint64_t hash = scope ? ls_hash(scope, strlen(scope)) : 0;
    pthread_mutex_lock(&fold_lock);
    fold_due_ns = 0;
    for (size_t i = 0; i < KINDS; i++) {
        struct kind *kind = &kinds[i], was = *kind;
        int64_t now = ls_now_ns();
        if (scope ? kind->scope != hash : !kind->left_out || now - kind->told_ns < REST_NS) {
            if (kind->left_out) await(kind->told_ns + REST_NS);
            continue;
        }
        kind->left_out = 0;
        kind->told_ns = now; /* this is its record for the coming second */
        if (scope) *kind = (struct kind){0};
        pthread_mutex_unlock(&fold_lock); /* the tap may do what it likes */
        tell(&was);
        pthread_mutex_lock(&fold_lock);
    }
    pthread_mutex_unlock(&fold_lock);
}

void ls_log_folded(int level, const char *session, const char *scope, size_t differs, const char *text, size_t len)
{
    if (!ls_log_on(level)) return;
    int64_t now = ls_now_ns();
    struct kind was = {0}, *kind = NULL, *others = NULL;
    size_t fresh = 0;
    uint64_t of = scope ? ls_hash(scope, strlen(scope)) : 0, hash = ls_hash(text + differs, len - differs);
    pthread_mutex_lock(&fold_lock);
    if (fold_due_ns && now >= fold_due_ns) {
        pthread_mutex_unlock(&fold_lock);
        ls_log_unfold(NULL);
        pthread_mutex_lock(&fold_lock);
    }
    for (size_t i = 0; i < KINDS; i++) {
        if (!kinds[i].told_ns || kinds[i].scope != of) continue;
        if (kinds[i].hash == hash) kind = &kinds[i];
        if (kinds[i].hash == OTHERS) others = &kinds[i];
        fresh += now - kinds[i].told_ns < REST_NS;
    }
    bool same = kind && now - kind->told_ns < REST_NS;
    if (!same && fresh >= SCOPE_KINDS) {
        same = true;
        kind = others ? others : &kinds[next_kind++ % KINDS];
        if (!others) {
            was = *kind;
            *kind = (struct kind){.hash = OTHERS, .scope = of, .told_ns = now, .level = level};
            if (session) snprintf(kind->session, sizeof kind->session, "%s", session);
            snprintf(kind->text, sizeof kind->text, "Others, after %d different records within a second", SCOPE_KINDS);
        }
    }
    if (same) {
        kind->left_out++;
        await(kind->told_ns + REST_NS);
    } else {
        if (!kind) kind = &kinds[next_kind++ % KINDS];
        was = *kind;
        *kind = (struct kind){.hash = hash, .scope = of, .told_ns = now, .level = level};
        if (session) snprintf(kind->session, sizeof kind->session, "%s", session);
        snprintf(kind->text, sizeof kind->text, "%.*s", (int)strcspn(text + differs, "\n"), text + differs);
    }
    pthread_mutex_unlock(&fold_lock);
    tell(&was);
    if (!same) ls_log_text(level, session, text, len);
}
