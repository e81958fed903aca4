/* The order of a burst (H37): a module comes after the modules it required, directly or through others; cycles and ties
 * go by the order in which the session first loaded them. It depends on recorded edges only, never on the order of
 * events. Owner thread: the session's. Touches no VM. */
#include "reload/reload_state.h"

#include <string.h>

#include "base/alloc.h"

static size_t place_of(const struct ls_session *session, const char *key)
{
    for (size_t i = 0; i < session->model->module_count; i++)
        if (strcmp(session->model->modules[i]->key, key) == 0) return i;
    return SIZE_MAX;
}

/* Mark everything that module `from` required, directly or through others. */
static void mark_required(const struct ls_session *session, size_t from, bool *seen)
{
    const struct ls_module *module = session->model->modules[from];
    for (uint32_t i = 0; i < module->requires.count; i++) {
        size_t place = place_of(session, module->requires.items[i]);
        if (place == SIZE_MAX || seen[place]) continue;
        seen[place] = true;
        mark_required(session, place, seen);
    }
}

/* needs[i * count + j]: keys[i] required keys[j]. */
static bool fill_needs(const struct ls_session *session, const size_t *places, size_t count, bool *needs)
{
    bool *seen = ls_array(session->model->module_count + 1, sizeof *seen);
    if (!seen) return false;
    for (size_t i = 0; i < count; i++) {
        if (places[i] == SIZE_MAX) continue;
        memset(seen, 0, session->model->module_count * sizeof *seen);
        mark_required(session, places[i], seen);
        for (size_t j = 0; j < count; j++)
            needs[i * count + j] = i != j && places[j] != SIZE_MAX && seen[places[j]];
    }
    ls_free(seen);
    return true;
}

static bool is_ready(const bool *needs, const bool *done, size_t count, size_t i)
{
    for (size_t j = 0; j < count; j++)
        /* members of a cycle do not wait for each other */
        if (!done[j] && needs[i * count + j] && !needs[j * count + i]) return false;
    return true;
}

bool ls__reload_order(const struct ls_session *session, const char *const *keys, size_t count, size_t *order)
{
    bool ok = false;
    size_t *places = ls_array(count + 1, sizeof *places);
    bool *needs = ls_array(count * count + 1, sizeof *needs);
    bool *done = ls_array(count + 1, sizeof *done);
    if (!places || !needs || !done) goto out;
    for (size_t i = 0; i < count; i++)
        places[i] = place_of(session, keys[i]);
    if (!fill_needs(session, places, count, needs)) goto out;
    for (size_t filled = 0; filled < count; filled++) {
        size_t best = SIZE_MAX;
        for (size_t i = 0; i < count; i++)
            if (!done[i] && is_ready(needs, done, count, i) && (best == SIZE_MAX || places[i] < places[best])) best = i;
        assert(best != SIZE_MAX); /* waiting is a partial order once cycles are left out */
        done[best] = true;
        order[filled] = best;
    }
    ok = true;
out:
    ls_free(places);
    ls_free(needs);
    ls_free(done);
    return ok;
}
