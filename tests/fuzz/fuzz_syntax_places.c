/* Fuzz target: two Lua texts of one file, parted by a line `----`, compared as before and now; a text alone is compared
 * with none, and with itself: then nothing is edited. Every place lies below its parent, and `within` is at least as
 * strong as what is below, but for functions and metatables. Built by run.sh: with libFuzzer, or with replay.c over a
 * folder of files. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "syntax/places.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) abort();                                                                                     \
    } while (0)

static void check_places(const struct ls_place *place, const struct ls_place *parent, bool edits)
{
    for (; place; place = place->next) {
        bool data = !place->function && place->key.kind != LS_KEY_METATABLE;
        CHECK(place->parent == parent && (!parent || !data || place->within <= parent->within));
        CHECK(place->edit <= place->within && place->within <= LS_EDIT_EDITED);
        CHECK(edits || place->within == LS_EDIT_NONE);
        CHECK((place->given_before != 0) == place->before && (place->given_now != 0) == place->now);
        struct ls_buf name = LS_BUF_INIT;
        ls_place_name(place, &name);
        ls_buf_release(&name);
        check_places(place->first, place, edits);
    }
}

static void compare(const struct ls_syntax *before, const struct ls_syntax *now)
{
    struct ls_places *places = ls_places_compare(before, now);
    CHECK(places);
    for (unsigned kind = LS_PLACE_LOCAL; kind <= LS_PLACE_MADE; kind++)
        check_places(ls_places_first(places, (enum ls_place_kind)kind), NULL, before && before != now);
    ls_places_root(places, LS_PLACE_VALUE, NULL, 0);
    ls_places_free(places);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data, *line = size ? memmem(text, size, "\n----\n", 6) : NULL;
    size_t len = line ? (size_t)(line - text) : size;
    struct ls_syntax *first = ls_syntax_parse(text, len, NULL);
    struct ls_syntax *second = line ? ls_syntax_parse(line + 6, size - len - 6, NULL) : NULL;
    if (first) {
        compare(NULL, first);
        compare(first, first);
    }
    if (first && second) {
        compare(first, second);
        compare(second, first);
    }
    ls_syntax_free(first);
    ls_syntax_free(second);
    return 0;
}
