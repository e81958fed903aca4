/* Two readings of a file become one tree of places, each with what gives it in either text; then the tree is judged.
 *
 *   collect  (places_collect.c) the statements of each text, in order: what they give, and where
 *   expand   constructors become children, but where both texts have the same ones
 *   judge    from the roots down: what gives a place is the same, differs, or cannot be told
 *   uses     to a fixpoint: the same givers, of which one names data that is edited
 *   within   from the leaves up */
#include "syntax/places_internal.h"

#include "base/alloc.h"
#include "base/text.h"

/* What uses what uses something edited, against the order of the text. */
enum { MOST_ROUNDS = 50, MOST_LOOKS = 1000 };

/* --- the tree --- */

/* What tells keys of one kind apart; of strings nearly. */
static uint64_t key_bits(const struct ls_place_key *key)
{
    uint64_t bits = 0;
    switch (key->kind) {
    case LS_KEY_STRING: return ls_hash(key->string.text, key->string.len);
    case LS_KEY_INTEGER: return (uint64_t)key->integer;
    case LS_KEY_FLOAT: memcpy(&bits, &key->number, sizeof bits); return bits;
    case LS_KEY_BOOLEAN: return key->boolean;
    default: return 0;
    }
}

bool ls__same_key(const struct ls_place_key *a, const struct ls_place_key *b)
{
    if (a->kind != b->kind) return false;
    return a->kind == LS_KEY_STRING ? ls__same_string(a->string, b->string) : key_bits(a) == key_bits(b);
}

static uint64_t child_hash(const struct ls__node *above, const struct ls_place_key *key)
{
    return ls__mix(ls__mix(key->kind + 1, key_bits(key)), above->hash + 1);
}

/* The child, or NULL and where it belongs among all nodes: at its hash, or behind in case of another with the same. */
static struct ls__node *find(const struct ls_places *places, const struct ls__node *above,
                             const struct ls_place_key *key, uint64_t *at)
{
    struct ls__node *node;
    for (*at = child_hash(above, key); (node = ls_idmap_get(places->by_hash, (int64_t)*at)); ++*at)
        if (node->above == above && ls__same_key(&node->place.key, key)) break;
    return node;
}

struct ls__node *ls__node_find(const struct ls_places *places, const struct ls__node *above,
                               const struct ls_place_key *key)
{
    uint64_t at;
    return find(places, above, key, &at);
}

void *ls__places_take(struct ls_places *places, size_t count, size_t size)
{
    void *piece = ls__pool_take(&places->pool, count, size);
    if (!piece) places->failed = true;
    return piece;
}

struct ls__node *ls__node_child(struct ls_places *places, struct ls__node *above, const struct ls_place_key *key)
{
    uint64_t at;
    struct ls__node *node = find(places, above, key, &at);
    if (node) return node;
    node = places->failed ? NULL : ls__places_take(places, 1, sizeof *node);
    if (node && !ls_idmap_put(places->by_hash, (int64_t)at, node, NULL)) places->failed = true;
    if (places->failed) return &places->spare;
    node->hash = child_hash(above, key);
    node->above = above;
    node->place.key = *key;
    node->place.kind = above->place.kind;
    node->place.parent = above->above ? &above->place : NULL;
    *(above->last ? &above->last->place.next : &above->place.first) = &node->place;
    above->last = node;
    *(places->last ? &places->last->following : &places->nodes) = node;
    node->preceding = places->last;
    places->last = node;
    return node;
}

void ls__node_give(struct ls_places *places, struct ls__node *node, const struct ls__giver *giver)
{
    struct ls__side *side = &node->side[places->now];
    struct ls__giver *kept = ls__places_take(places, 1, sizeof *kept);
    if (!kept) return;
    *kept = *giver;
    kept->next = NULL;
    kept->parts = NULL;
    *(side->last ? &side->last->next : &side->givers) = kept;
    side->last = kept;
    const uint64_t header = giver->header ? giver->header->hash : 0;
    const uint64_t full = giver->expr && giver->expr->kind != LS_EXPR_NIL ? giver->expr->hash : 5;
    const uint64_t part = ls__mix(ls__mix(full, giver->nth), header);
    side->full = ls__mix(side->full, part);
    if (giver->stated) side->stated = ls__mix(side->stated, part);
    const bool constant = !giver->expr || giver->expr->kind < LS_EXPR_VARARG;
    const uint64_t frame = constant ? full : ls__frame(giver->expr);
    side->frame = ls__mix(side->frame, ls__mix(ls__mix(frame, giver->nth), header));
    if (!constant) ls__parts(places, giver->expr, &kept->parts);
    side->parts |= kept->parts != NULL;
    side->lacks |= ~(constant ? LS__PLAIN | LS__TOLD : ls__said_of(giver->expr, kept->parts));
    side->count++;
}

/* --- constructors become children --- */

/* A field that is a name is what the name means. */
static void give_field(struct ls_places *places, struct ls__node *node, const struct ls__giver *giver)
{
    bool exact = false;
    ls__node_give(places, node, giver);
    struct ls__side *side = &node->side[places->now];
    struct ls__node *other = NULL;
    if (side->count == 1 && giver->expr->kind >= LS_EXPR_NAME && ls__is_chain(giver->expr))
        other = ls__node_named(places, places->now, giver->expr, &exact);
    side->alias = exact && other != node ? other : NULL;
}

static void expand_part(struct ls_places *places, struct ls__node *node, struct ls__header *header,
                        const struct ls__part *part)
{
    struct ls__giver giver = {.expr = part->expr, .header = header};
    struct ls_place_key key = {.kind = LS_KEY_METATABLE};
    if (part->meta) {
        give_field(places, ls__node_child(places, node, &key), &giver);
        return;
    }
    int64_t index = 0;
    for (const struct ls_syntax_expr *value = part->expr->list; value; value = value->next) {
        giver.expr = value;
        struct ls__side *side = &node->side[places->now];
        if (!value->key) {
            key = (struct ls_place_key){.kind = LS_KEY_INTEGER, .integer = ++index};
            if (!value->next && (value->kind == LS_EXPR_CALL || value->kind == LS_EXPR_VARARG))
                side->open = ls__mix(side->open, value->hash); /* further ones */
        } else if (!ls__node_key(places, places->now, value->key, &key)) {
            side->open = ls__mix(side->open, ls__mix(value->key->hash, value->hash));
            continue;
        }
        give_field(places, ls__node_child(places, node, &key), &giver);
    }
}

static void expand(struct ls_places *places, struct ls__node *node)
{
    node->expanded = true;
    for (places->now = 0; places->now < 2; places->now++)
        for (const struct ls__giver *giver = node->side[places->now].givers; giver; giver = giver->next)
            for (const struct ls__part *part = giver->parts; part; part = part->next)
                expand_part(places, node, giver->header, part);
}

static bool has_parts(const struct ls__node *node)
{
    return node->side[0].parts || node->side[1].parts;
}

static bool is_given(const struct ls__node *node)
{
    return node->side[0].givers || node->side[1].givers;
}

/* Can that be said of each giver? */
static bool each(const struct ls__node *node, unsigned what)
{
    return !((node->side[0].lacks | node->side[1].lacks) & what);
}

/* Do function bodies give something below, differently? Then it counts whether a constructor gives it. */
static bool bodies_differ(const struct ls__node *node)
{
    for (const struct ls_place *place = node->place.first; place; place = place->next) {
        const struct ls__node *child = (const struct ls__node *)place;
        if (!is_given(child) && child->side[0].body != child->side[1].body) return true;
    }
    return false;
}

/* Children come behind their place in the list, so one walk meets those of children too. */
static void expand_different(struct ls_places *places, struct ls__node *node)
{
    for (; node && !places->failed; node = node->following) {
        const struct ls__side *old = &node->side[0], *new = &node->side[1];
        node->shaken = old->open != new->open || (node->above->shaken && each(node, LS__BARE));
        if (!node->expanded && has_parts(node) && (old->full != new->full || node->shaken || bodies_differ(node)))
            expand(places, node);
    }
}

/* What a name stands for must tell what gives it. */
static void expand_named(struct ls_places *places)
{
    for (struct ls__node *node = places->nodes; node && !places->failed; node = node->following) {
        struct ls__node *other = node->side[1].alias;
        if (other && !is_given(other) && other->above && !other->above->expanded && has_parts(other->above))
            expand(places, other->above);
    }
}

/* --- judging --- */

static enum ls_edit stronger(enum ls_edit a, enum ls_edit b)
{
    return a > b ? a : b;
}

/* Above comes first. */
static void judge(struct ls__node *node)
{
    const struct ls__side *old = &node->side[0], *new = &node->side[1];
    struct ls_place *place = &node->place;
    const bool given = is_given(node), open_same = old->open == new->open,
               bodies_same = open_same && old->body_open == new->body_open;
    const bool body = !given && (old->body || new->body);
    place->before = given ? old->count > 0 : old->body != 0;
    place->now = given ? new->count > 0 : new->body != 0;
    place->table = given && each(node, LS__TABLE);
    place->function = given && each(node, LS__FUNCTION);
    const struct ls__giver *last = new->last;
    place->nothing = last && !last->header && (!last->expr || last->expr->kind == LS_EXPR_NIL);
    if (given) {
        bool same = old->frame == new->frame;
        place->edit = same ? LS_EDIT_NONE : LS_EDIT_EDITED;
        place->rest = !same                                                                    ? LS_EDIT_EDITED
                      : bodies_same && (old->open || old->body_open || old->full == new->full) ? LS_EDIT_NONE
                                                                                               : LS_EDIT_UNKNOWN;
        node->named = same && bodies_same && !node->above->shaken && each(node, LS__BARE);
        if (node->above->shaken && !place->function) {
            if (same && each(node, LS__PLAIN)) place->edit = LS_EDIT_UNKNOWN;
            if (each(node, LS__BARE)) place->rest = stronger(place->rest, LS_EDIT_UNKNOWN);
        }
    } else {
        place->edit = place->rest =
            body ? old->body == new->body ? LS_EDIT_NONE : LS_EDIT_UNKNOWN : node->above->place.rest;
        if (!bodies_same) place->rest = stronger(place->rest, LS_EDIT_UNKNOWN);
        if (node->above->shaken) place->edit = place->rest = stronger(place->rest, LS_EDIT_UNKNOWN);
    }
}

/* --- uses --- */

/* From here on what names the place, or one above it, uses something edited. */
static void mark_edited(struct ls__node *node)
{
    if (!is_given(node) || node->place.function) return;
    if (node->place.edit != LS_EDIT_EDITED && node->place.edit != LS_EDIT_USES) return;
    for (; node && !node->dirty; node = node->above)
        node->dirty = true;
}

/* Does what is named stand for data that is edited? */
static bool names_edited(struct ls_places *places, struct ls__node *user, const struct ls_syntax_expr *chain,
                         bool itself_only)
{
    bool exact;
    struct ls__node *node = ls__node_named(places, 1, chain, &exact);
    if (node == user) user->place.own = true;
    if (!node || node == user) return false;
    if (!exact) return node->place.rest == LS_EDIT_EDITED && !node->place.function;
    if (itself_only)
        return !node->place.function && is_given(node) &&
               (node->place.edit == LS_EDIT_EDITED || node->place.edit == LS_EDIT_USES);
    return (node->dirty || (places->fields && node->shaken)) && !node->place.function;
}

/* Does anything in that range of this text name edited data? What is inside of the parts counts for places below. */
static bool range_uses(struct ls_places *places, struct ls__node *user, uint32_t start, uint32_t end,
                       const struct ls__part *parts)
{
    const struct ls_syntax *syntax = places->text[1];
    for (unsigned i = ls__first_mention(syntax, start); i < syntax->mention_count; i++) {
        const struct ls_syntax_expr *expr = syntax->mentions[i].expr;
        if (expr->end > end) break;
        bool skipped = !ls__mention_runs(syntax, &syntax->mentions[i]);
        for (const struct ls__part *part = parts; part && !skipped; part = part->next)
            skipped = expr->start >= part->expr->start && expr->end <= part->expr->end;
        if (!skipped && names_edited(places, user, expr, false)) return true;
    }
    return false;
}

static bool header_uses(struct ls_places *places, struct ls__node *user, struct ls__header *header)
{
    for (; header; header = header->around) {
        if (header->round != places->round) {
            header->round = places->round;
            for (const struct ls_syntax_expr *expr = header->list; expr && !header->uses; expr = expr->next)
                header->uses = range_uses(places, user, expr->start, expr->end, NULL);
        }
        if (header->uses) return true;
    }
    return false;
}

/* Does a field of a constructor that is no child yet use something edited? */
static bool fields_use(struct ls_places *places, struct ls__node *node)
{
    bool uses = false;
    places->fields = true;
    for (const struct ls__giver *giver = node->side[1].givers; giver; giver = giver->next)
        for (const struct ls__part *part = giver->parts; part && !uses; part = part->next)
            uses = range_uses(places, node, part->expr->start, part->expr->end, NULL);
    places->fields = false;
    return uses;
}

static bool giver_uses(struct ls_places *places, struct ls__node *user, const struct ls__giver *giver)
{
    const struct ls_syntax_expr *expr = giver->expr;
    if (header_uses(places, user, giver->header)) return true;
    if (!expr || expr->kind == LS_EXPR_FUNCTION) return false;
    if (ls__is_chain(expr)) return names_edited(places, user, expr, true);
    return range_uses(places, user, expr->start, expr->end, giver->parts);
}

/* The children of constructors that are the same in both texts. */
static void expand_same(struct ls_places *places, struct ls__node *node)
{
    struct ls__node *last = places->last;
    expand(places, node);
    expand_different(places, last->following);
    for (struct ls_place *child = node->place.first; child; child = child->next) {
        judge((struct ls__node *)child);
        mark_edited((struct ls__node *)child);
    }
    for (struct ls__node *made = last->following; made; made = made->following)
        judge(made);
}

/* Something of edited data may be below from here on: the values tell. */
static void shake(struct ls_places *places, struct ls__node *node)
{
    node->shaken = true;
    node->named = false;
    if (!node->expanded && has_parts(node)) expand_same(places, node);
    if (!is_given(node) || each(node, LS__BARE)) node->place.rest = stronger(node->place.rest, LS_EDIT_UNKNOWN);
    for (struct ls_place *place = node->place.first; place; place = place->next) {
        struct ls__node *child = (struct ls__node *)place;
        if (place->function || child->shaken) continue;
        if (!is_given(child) || each(child, LS__PLAIN)) place->edit = stronger(place->edit, LS_EDIT_UNKNOWN);
        if (!is_given(child) || each(child, LS__BARE)) shake(places, child);
    }
}

/* Is it more than the place itself that these name? */
static bool names_others(struct ls_places *places, struct ls__node *node, const struct ls__header *header)
{
    for (; header; header = header->around)
        for (const struct ls_syntax_expr *expr = header->list; expr; expr = expr->next)
            if (range_uses(places, node, expr->start, expr->end, NULL)) return true;
    return false;
}

/* The answer for a statement is kept, but whether it names the place itself is another with each place. */
static bool openings_use(struct ls_places *places, struct ls__node *node)
{
    const bool own = node->place.own;
    bool uses = false;
    for (const struct ls__opening *o = node->side[1].openings; o && !uses; o = o->next) {
        uses = header_uses(places, &places->spare, o->header);
        if (uses && node->dirty) uses = places->looks++ < MOST_LOOKS && names_others(places, node, o->header);
    }
    node->place.own = own;
    return uses;
}

/* Is it another name of what an edited call gives? Then it is as edited: what closures hold goes on with neither. */
static bool is_name_of_edited(const struct ls__node *node)
{
    const struct ls__node *other = node->side[1].alias;
    return other && other == node->side[0].alias && other->place.edit == LS_EDIT_EDITED &&
           (other->side[1].lacks & LS__PLAIN) && !other->place.table;
}

/* One round; did it find anything? */
static bool find_users(struct ls_places *places)
{
    bool found = false;
    places->round++;
    for (struct ls__node *node = places->nodes; node && !places->failed; node = node->following) {
        const struct ls__side *side = &node->side[1];
        if (!node->shaken && node->side[0].open && openings_use(places, node)) {
            shake(places, node);
            found = true;
        }
        if (!side->givers || !node->side[0].givers) continue;
        if (!node->expanded && has_parts(node) && fields_use(places, node)) {
            expand_same(places, node);
            found = true;
        }
        if (node->place.edit != LS_EDIT_NONE || node->place.function) continue;
        bool uses = false;
        for (const struct ls__giver *giver = side->givers; giver && !uses; giver = giver->next)
            uses = giver_uses(places, node, giver);
        if (!uses) continue;
        node->place.edit = is_name_of_edited(node) ? LS_EDIT_EDITED : LS_EDIT_USES;
        if (side->lacks & LS__TOLD) node->place.rest = stronger(node->place.rest, LS_EDIT_UNKNOWN);
        mark_edited(node);
        found = true;
    }
    return found;
}

/* --- the result --- */

/* The place that is meant: a table that another name stands for in both texts is that one. */
static const struct ls_place *meant(const struct ls__node *node)
{
    if (!node) return NULL;
    for (int hops = 0; hops < 20 && node->place.edit == LS_EDIT_NONE; hops++) {
        const struct ls__node *other = node->side[1].alias;
        if (!other || (node->side[0].givers && node->side[0].alias != other)) break;
        if (!is_given(other) || other->place.function) break;
        if (!other->place.table && !other->place.first && !(other->side[1].lacks & LS__PLAIN)) break;
        node = other;
    }
    return &node->place;
}

/* What a place stands for in other words is within it too; such may lead in a circle. */
static void spread_within(struct ls_places *places)
{
    bool changed = true;
    for (int round = 0; changed && round < MOST_ROUNDS; round++) {
        changed = false;
        for (struct ls__node *node = places->last; node; node = node->preceding) {
            struct ls_place *place = &node->place, *above = place->parent;
            const struct ls_place *other = place->key.kind == LS_KEY_METATABLE ? place : meant(node);
            enum ls_edit own = node->named ? place->edit : stronger(place->edit, place->rest),
                         within = stronger(own, other->within), told = stronger(within, place->within);
            if (place->within < within) {
                place->within = within;
                changed = true;
            }
            if (place->before && place->now) { /* what the place above is told */
                if (place->function) told = LS_EDIT_NONE;
                if (place->key.kind == LS_KEY_METATABLE && told > LS_EDIT_UNKNOWN) told = LS_EDIT_UNKNOWN;
            }
            if (above) above->within = stronger(above->within, told);
        }
    }
}

/* Strongest edits and hashes, from the leaves up: children stand behind the places above. */
static void finish(struct ls_places *places)
{
    spread_within(places);
    for (struct ls__node *node = places->last; node; node = node->preceding) {
        struct ls_place *place = &node->place;
        for (int i = 0; i < 2; i++) {
            struct ls__side *side = &node->side[i];
            uint64_t *given = i ? &place->given_now : &place->given_before;
            if (i ? place->now : place->before)
                *given = ls__mix(ls__mix(side->full, side->open), (side->full ? 0 : side->body) + side->below) | 1;
            if (!place->function && (side->stated || side->below || side->open))
                node->above->side[i].below +=
                    ls__mix(ls__mix(node->hash, side->stated), side->below + ls__mix(side->open, 11));
        }
    }
}

/* --- roots with another name --- */

static bool is_root(const struct ls_places *places, const struct ls__node *node)
{
    return node && (node->above == &places->tops[LS_PLACE_LOCAL] || node->above == &places->tops[LS_PLACE_GLOBAL]);
}

/* Note the roots that one place names, each in its own text. @return are there any that were not known */
static bool find_renames(struct ls_places *places)
{
    struct ls__renames *renames = &places->renames;
    unsigned known = renames->count;
    for (struct ls__node *node = places->nodes; node && renames->count < LS__MOST_RENAMES; node = node->following) {
        const struct ls__node *old = node->side[0].alias, *new = node->side[1].alias;
        if (old == new || !is_root(places, old) || !is_root(places, new) || old->above != new->above) continue;
        if (!old->side[0].givers || old->side[1].givers || !new->side[1].givers || new->side[0].givers) continue;
        const struct ls_syntax_string from = old->place.key.string, to = new->place.key.string;
        bool taken = ls__is_text(from, "_ENV");
        for (const struct ls__rename *at = renames->list; at < renames->list + renames->count && !taken; at++)
            taken = ls__same_string(at->from, from) || ls__same_string(at->to, to) || ls__same_string(at->to, from);
        if (!taken) renames->list[renames->count++] = (struct ls__rename){from, to};
    }
    return renames->count > known;
}

static void mark_renamed(struct ls_places *places)
{
    for (unsigned i = 0; i < places->renames.count && !places->failed; i++)
        for (int kind = LS_PLACE_LOCAL; kind <= LS_PLACE_GLOBAL; kind++) {
            struct ls_place_key key = {.kind = LS_KEY_STRING, .string = places->renames.list[i].to};
            struct ls__node *node = ls__node_find(places, &places->tops[kind], &key);
            if (node && node->side[0].givers) node->place.was = &places->renames.list[i].from;
        }
}

/* --- all of it --- */

static void read_both(struct ls_places *places, const struct ls_syntax *before, const struct ls_syntax *now)
{
    places->text[0] = before;
    places->text[1] = now;
    places->by_hash = ls_idmap_new();
    places->failed = !places->by_hash;
    places->spare.above = &places->tops[LS__OTHERS];
    for (unsigned i = 0; i < LS__TOPS; i++) {
        places->tops[i].hash = i;
        places->tops[i].place.kind = (enum ls_place_kind)i;
    }
    for (places->now = 0; places->now < 2 && !places->failed; places->now++)
        ls__places_collect(places);
    for (unsigned i = 0; i < LS__TOPS; i++)
        places->tops[i].shaken = before && places->tops[i].side[0].open != places->tops[i].side[1].open;
    expand_named(places);
    if (before) expand_different(places, places->nodes);
}

static void release(struct ls_places *places)
{
    ls__pool_release(&places->pool);
    ls_idmap_free(places->by_hash, NULL);
}

/* Read the text before again with the names of this one. @return false without memory: then all is as it was */
static bool read_again(struct ls_places *places, const struct ls_syntax *before)
{
    struct ls__renames renames = places->renames;
    const struct ls_syntax *now = places->text[1];
    struct ls_syntax *text = ls__syntax_renamed(before, renames.list, renames.count);
    if (!text) return false;
    renames.texts[renames.text_count++] = text;
    release(places);
    *places = (struct ls_places){.same = places->same, .renames = renames};
    read_both(places, text, now);
    return true;
}

struct ls_places *ls_places_compare(const struct ls_syntax *before, const struct ls_syntax *now)
{
    struct ls_places *places = ls_zalloc(sizeof *places);
    if (!places) return NULL;
    places->same = !before || before->hash == now->hash;
    read_both(places, before, now);
    while (before && !places->same && !places->failed && places->renames.text_count < LS__MOST_READINGS &&
           find_renames(places))
        places->failed = !read_again(places, before) || places->failed;
    mark_renamed(places);
    for (struct ls__node *node = places->nodes; node; node = node->following) {
        judge(node);
        if (!before) node->place.edit = node->place.rest = LS_EDIT_NONE;
        mark_edited(node);
    }
    for (int round = 0; round < MOST_ROUNDS && before && !places->failed && find_users(places);)
        round++;
    if (!places->failed) finish(places);
    if (!places->failed) return places;
    ls_places_free(places);
    return NULL;
}

void ls_places_free(struct ls_places *places)
{
    if (!places) return;
    release(places);
    for (unsigned i = 0; i < places->renames.text_count; i++)
        ls_syntax_free(places->renames.texts[i]);
    ls_free(places);
}

const struct ls_place *ls_places_root(const struct ls_places *places, enum ls_place_kind kind, const char *name,
                                      size_t len)
{
    struct ls_place_key key = {.kind = LS_KEY_STRING, .string = {name, (uint32_t)len}};
    if (kind == LS_PLACE_GLOBAL && !name) return &places->tops[kind].place;
    if (kind == LS_PLACE_VALUE) key.string = (struct ls_syntax_string){"", 0};
    return meant(ls__node_find(places, &places->tops[kind], &key));
}

const struct ls_place *ls_place_child(const struct ls_places *places, const struct ls_place *place,
                                      const struct ls_place_key *key)
{
    struct ls_place_key whole = {.kind = LS_KEY_INTEGER};
    if (key->kind != LS_KEY_FLOAT || !ls__is_whole(key->number, &whole.integer)) whole = *key;
    return meant(ls__node_find(places, (const struct ls__node *)place, &whole));
}

const struct ls_place *ls_places_first(const struct ls_places *places, enum ls_place_kind kind)
{
    return places->tops[kind].place.first;
}

static bool is_identifier(const struct ls_syntax_string *string)
{
    for (uint32_t i = 0; i < string->len; i++)
        if (!ls_is_word(string->text[i])) return false;
    return string->len > 0 && (string->text[0] < '0' || string->text[0] > '9');
}

static void name_key(const struct ls_place_key *key, bool first, struct ls_buf *out)
{
    switch (key->kind) {
    case LS_KEY_STRING:
        if (first || is_identifier(&key->string)) {
            if (!first) ls_buf_char(out, '.');
            ls_buf_add(out, key->string.text, key->string.len);
        } else {
            ls_buf_str(out, "[\"");
            ls_buf_add(out, key->string.text, key->string.len);
            ls_buf_str(out, "\"]");
        }
        break;
    case LS_KEY_INTEGER: ls_buf_printf(out, "[%lld]", (long long)key->integer); break;
    case LS_KEY_FLOAT: ls_buf_printf(out, "[%.14g]", key->number); break;
    case LS_KEY_BOOLEAN: ls_buf_str(out, key->boolean ? "[true]" : "[false]"); break;
    case LS_KEY_METATABLE: ls_buf_char(out, ')'); break; /* of what is opened before */
    }
}

void ls_place_name(const struct ls_place *place, struct ls_buf *out)
{
    enum { MOST_KEYS = 32 };
    const struct ls_place *path[MOST_KEYS];
    size_t count = 0;
    bool first = true;
    if (!place->parent && place->kind == LS_PLACE_VALUE) {
        ls_buf_str(out, "return");
        return;
    }
    for (; place && count < MOST_KEYS; place = place->parent)
        path[count++] = place;
    if (place) ls_buf_str(out, "…");
    for (size_t i = 0; i < count; i++)
        if (path[i]->key.kind == LS_KEY_METATABLE) ls_buf_str(out, "getmetatable(");
    for (; count > 0; count--) {
        const struct ls_place *at = path[count - 1];
        bool value = !at->parent && at->kind == LS_PLACE_VALUE, meta = at->key.kind == LS_KEY_METATABLE;
        if (meta && first) ls_buf_str(out, at->kind == LS_PLACE_GLOBAL ? "_G" : "return");
        if (!value) name_key(&at->key, first, out);
        first = first && value;
    }
}
