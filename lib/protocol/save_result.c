/* What a session reports of one file of a save, in words and as JSON. Thread: any. */
#include "protocol/save_result.h"

#include <string.h>

#include "base/alloc.h"
#include "base/array.h"
#include "base/json.h"

#define LOSSES_KEPT 20 /* of a file, in several sessions */

/* The figures, as a message names them and as people read them. */
enum { FIGURES = 5 };
static const char *const members[FIGURES] = {"kept", "taken", "set_aside", "restored", "gave_way"};
static const char *const words[FIGURES] = {"kept", "taken", "set aside", "restored", "gave way"};

static void take_figures(const struct ls_reload_result *result, unsigned figures[FIGURES])
{
    figures[0] = result->kept;
    figures[1] = result->taken;
    figures[2] = result->set_aside;
    figures[3] = result->restored;
    figures[4] = result->gave_way;
}

const char *ls_save_outcome(enum ls_reload_outcome outcome)
{
    static const char *const names[] = {[LS_RELOAD_OK] = "ok",
                                        [LS_RELOAD_SKIPPED] = "skipped",
                                        [LS_RELOAD_FAILED] = "failed",
                                        [LS_RELOAD_FIRST] = "first"};
    return names[outcome];
}

static void raise(unsigned *figure, unsigned other)
{
    if (other > *figure) *figure = other;
}

void ls_save_most(struct ls_reload_result *most, const struct ls_reload_result *result)
{
    raise(&most->kept, result->kept);
    raise(&most->taken, result->taken);
    raise(&most->set_aside, result->set_aside);
    raise(&most->restored, result->restored);
    raise(&most->gave_way, result->gave_way);
}

void ls_save_write_figures(struct ls_buf *out, const struct ls_reload_result *result, const char *before)
{
    unsigned figures[FIGURES];
    take_figures(result, figures);
    for (size_t i = 0; i < FIGURES; i++) {
        if (figures[i] == 0) continue;
        ls_buf_printf(out, "%s%u %s", before, figures[i], words[i]);
        before = ", ";
    }
}

void ls_save_put_figures(struct ls_buf *json, const struct ls_reload_result *result)
{
    unsigned figures[FIGURES];
    take_figures(result, figures);
    for (size_t i = 0; i < FIGURES; i++)
        ls_json_put_int(json, members[i], figures[i]);
}

void ls_save_put_result(struct ls_buf *json, const struct ls_reload_result *result)
{
    ls_json_put_str(json, "key", result->key);
    ls_json_put_str(json, "outcome", ls_save_outcome(result->outcome));
    if (result->text) ls_json_put_str(json, "text", result->text);
    if (result->details) ls_json_put_str(json, "details", result->details);
    if (result->outcome != LS_RELOAD_OK && result->outcome != LS_RELOAD_FIRST) return;
    ls_save_put_figures(json, result);
    const char *at = result->losses, *line;
    size_t len;
    if (!at || !*at) return;
    ls_json_open(json, "losses", '[');
    while ((line = ls_save_next_loss(&at, &len)))
        ls_json_put_string(json, NULL, line, len);
    ls_buf_char(json, ']');
}

const char *ls_save_next_loss(const char **at, size_t *len)
{
    if (!*at) return NULL;
    const char *line = *at + strspn(*at, "\n");
    *len = strcspn(line, "\n");
    *at = line + *len;
    return *len > 0 ? line : NULL;
}

static void add_loss(struct ls_save_losses *losses, const char *text, size_t len)
{
    for (size_t i = 0; i < losses->count; i++)
        if (strlen(losses->items[i].text) == len && memcmp(losses->items[i].text, text, len) == 0) {
            losses->items[i].sessions++;
            return;
        }
    char *copy = losses->count < LOSSES_KEPT ? ls_strndup(text, len) : NULL;
    if (copy && LS_PUSH(losses->items, losses->count, losses->cap, (struct ls_save_loss){copy, 1})) return;
    ls_free(copy);
    losses->more++;
}

void ls_save_losses_add(struct ls_save_losses *losses, const struct ls_reload_result *result)
{
    size_t len;
    for (const char *at = result->losses, *line; (line = ls_save_next_loss(&at, &len));)
        add_loss(losses, line, len);
}

void ls_save_put_losses(struct ls_buf *json, const struct ls_save_losses *losses)
{
    if (losses->count == 0) return;
    ls_json_open(json, "losses", '[');
    for (size_t i = 0; i < losses->count; i++) {
        ls_json_open(json, NULL, '{');
        ls_json_put_str(json, "text", losses->items[i].text);
        ls_json_put_int(json, "sessions", losses->items[i].sessions);
        ls_buf_char(json, '}');
    }
    ls_buf_char(json, ']');
}

void ls_save_losses_release(struct ls_save_losses *losses)
{
    for (size_t i = 0; i < losses->count; i++)
        ls_free(losses->items[i].text);
    ls_free(losses->items);
    *losses = (struct ls_save_losses){0};
}
