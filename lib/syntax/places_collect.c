/* What a text says, statement by statement: which place each gives, and how. Names are resolved by scope, through
 * variables and places that are given by nothing but another place's name. */
#include "syntax/places_internal.h"

enum {
    LONGEST_CHAIN = 64, /* keys of a place that are looked at */
    MOST_HOPS = 20,     /* from name to name that stands for it */
    MOST_OF_LOOP = 64,  /* places in a loop's header that what its variable is done to is done to */
};

/* --- variables --- */

static struct ls__node *named_child(struct ls_places *places, struct ls__node *above, struct ls_syntax_string name)
{
    return ls__node_child(places, above, &(struct ls_place_key){.kind = LS_KEY_STRING, .string = name});
}

static struct ls__node *file_value(struct ls_places *places)
{
    return named_child(places, &places->tops[LS_PLACE_VALUE], (struct ls_syntax_string){"", 0});
}

/* The node of a variable that is declared in code that runs at loading: a root, or one known by its name and how many
 * of that name came before. */
static struct ls__node *declare(struct ls_places *places, const struct ls_syntax_variable *variable)
{
    struct ls__node *node;
    if (variable->once) {
        node = named_child(places, &places->tops[LS_PLACE_LOCAL], variable->name);
    } else {
        struct ls__node *count = named_child(places, &places->tops[LS__COUNTS], variable->name);
        struct ls_place_key key = {.kind = LS_KEY_INTEGER, .integer = ++count->side[places->now].count};
        node = ls__node_child(places, named_child(places, &places->tops[LS__OTHERS], variable->name), &key);
    }
    return places->bindings[places->now][variable->number] = node;
}

/* --- names --- */

static const struct ls_syntax_expr *root_of(const struct ls_syntax_expr *expr)
{
    while (expr->kind == LS_EXPR_INDEX)
        expr = expr->left;
    return expr;
}

/* How a name is followed. */
struct walk {
    struct ls_places *places;
    int side;
    bool make;    /* nodes that are not there */
    bool through; /* a place that is given by another's name is that other one, at the end of the chain too */
    bool exact;   /* out: the chain was followed to its end */
    unsigned hops;
};

static struct ls__node *follow(struct walk *walk, const struct ls_syntax_expr *expr);

static struct ls__node *past_aliases(const struct walk *walk, struct ls__node *node)
{
    for (int i = 0; i < MOST_HOPS && node->side[walk->side].alias; i++)
        node = node->side[walk->side].alias;
    return node;
}

static struct ls__node *follow_name(struct walk *walk, const struct ls_syntax_expr *name)
{
    struct ls_places *places = walk->places;
    const struct ls_syntax_variable *variable = name->variable;
    if (!variable) {
        struct ls__node *globals = &places->tops[LS_PLACE_GLOBAL];
        struct ls_place_key key = {.kind = LS_KEY_STRING, .string = name->string};
        if (ls__is_text(name->string, "_G") || ls__is_text(name->string, "_ENV")) return globals;
        return walk->make ? ls__node_child(places, globals, &key) : ls__node_find(places, globals, &key);
    }
    struct ls__node *node = places->bindings[walk->side][variable->number];
    if (node || variable->assigned || !variable->value || !variable->stat || variable->stat->kind != LS_STAT_LOCAL ||
        !ls__is_chain(variable->value) || walk->hops++ >= MOST_HOPS)
        return node;
    bool through = walk->through;
    walk->through = true; /* `local list = M.list` in a function */
    node = follow(walk, variable->value);
    walk->through = through;
    return walk->exact ? node : NULL;
}

static struct ls__node *follow(struct walk *walk, const struct ls_syntax_expr *expr)
{
    const struct ls_syntax_expr *keys[LONGEST_CHAIN];
    size_t count = 0;
    for (; expr->kind == LS_EXPR_INDEX; expr = expr->left)
        keys[count++ % LONGEST_CHAIN] = expr->right;
    walk->exact = true;
    struct ls__node *node = expr->kind == LS_EXPR_NAME ? follow_name(walk, expr) : NULL;
    if (!node) return NULL;
    size_t least = count > LONGEST_CHAIN ? count - LONGEST_CHAIN : 0;
    for (walk->exact = least == 0; count > least; count--) {
        struct ls_place_key key;
        node = past_aliases(walk, node);
        bool constant = ls__node_key(walk->places, walk->side, keys[(count - 1) % LONGEST_CHAIN], &key);
        struct ls__node *child = !constant    ? NULL
                                 : walk->make ? ls__node_child(walk->places, node, &key)
                                              : ls__node_find(walk->places, node, &key);
        if (!child) {
            walk->exact = false;
            return node;
        }
        node = child;
    }
    return walk->through || !walk->exact ? past_aliases(walk, node) : node;
}

struct ls__node *ls__node_named(struct ls_places *places, int side, const struct ls_syntax_expr *expr, bool *exact)
{
    struct walk walk = {.places = places, .side = side};
    struct ls__node *node = follow(&walk, expr);
    *exact = walk.exact;
    return node;
}

bool ls__node_key(struct ls_places *places, int side, const struct ls_syntax_expr *expr, struct ls_place_key *key)
{
    if (ls__constant_key(expr, key)) return true;
    if (!ls__is_chain(expr)) return false;
    const struct ls_syntax_variable *variable = root_of(expr)->variable;
    if (variable && variable->assigned) return false;
    bool exact;
    const struct ls__node *node = ls__node_named(places, side, expr, &exact);
    const struct ls__side *given = node && exact ? &node->side[side] : NULL;
    if (!given || given->count != 1 || given->body) return false;
    const struct ls__giver *giver = given->givers;
    return giver->expr && !giver->header && !giver->nth && ls__constant_key(giver->expr, key);
}

/* --- givers --- */

/* As `expr`, which names a place or a key below one that is not constant: *exact tells. */
static struct ls__node *node_of(struct ls_places *places, const struct ls_syntax_expr *expr, bool through, bool *exact)
{
    struct walk walk = {.places = places, .side = places->now, .make = true, .through = through};
    struct ls__node *node = follow(&walk, expr);
    *exact = walk.exact;
    return node;
}

/* The place that is named, past those that stand for it; NULL = none is. */
static struct ls__node *place_of(struct ls_places *places, const struct ls_syntax_expr *expr)
{
    bool exact;
    struct ls__node *node = node_of(places, expr, true, &exact);
    return exact ? node : NULL;
}

static void give(struct ls_places *places, struct ls__node *node, struct ls__giver giver);

/* Once is enough for a place that a name means: whoever names it gives it a metatable too. */
static void give_metatable(struct ls_places *places, const struct ls_syntax_expr *object,
                           const struct ls_syntax_expr *meta, struct ls__header *header)
{
    struct ls__node *node = place_of(places, object);
    struct ls_place_key key = {.kind = LS_KEY_METATABLE};
    if (node) give(places, ls__node_child(places, node, &key), (struct ls__giver){.expr = meta, .header = header});
}

/* `prototype("Ship", { … })` */
static void give_made(struct ls_places *places, struct ls__giver giver)
{
    const struct ls_syntax_expr *expr = giver.expr;
    giver.nth = 0;
    if (ls__makes(expr) && expr->list->kind == LS_EXPR_STRING)
        ls__node_give(places, named_child(places, &places->tops[LS_PLACE_MADE], expr->list->string), &giver);
}

static void give(struct ls_places *places, struct ls__node *node, struct ls__giver giver)
{
    const struct ls_syntax_expr *expr = giver.expr, *meta, *object;
    giver.stated = true;
    if (expr && ls__is_chain(ls__made_of(expr))) {
        for (; (object = ls__metatable_call(expr, &meta)); expr = object)
            give_metatable(places, ls__made_of(expr), meta, giver.header);
        giver.expr = expr = ls__made_of(expr);
    }
    ls__node_give(places, node, &giver);
    struct ls__side *side = &node->side[places->now];
    struct ls__node *other = expr && ls__is_chain(expr) ? place_of(places, expr) : NULL;
    if (other == node) other = NULL;
    side->alias = side->count == 1 || side->alias == other ? other : NULL; /* all givers name the same place */
    if (expr) give_made(places, giver);
}

unsigned ls__first_mention(const struct ls_syntax *syntax, uint32_t start)
{
    unsigned low = 0, high = syntax->mention_count;
    while (low < high) {
        unsigned middle = low + (high - low) / 2;
        if (syntax->mentions[middle].expr->end <= start)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool ls__mention_runs(const struct ls_syntax *syntax, const struct ls_syntax_mention *mention)
{
    return mention->function == 0 || syntax->functions[mention->function]->immediate;
}

/* --- open givers --- */

/* The variable of a `for … in` that a name begins with; NULL = it does not. */
static const struct ls_syntax_variable *loop_of(const struct ls_syntax_expr *expr)
{
    const struct ls_syntax_expr *root = root_of(expr);
    const struct ls_syntax_variable *variable = root->kind == LS_EXPR_NAME ? root->variable : NULL;
    return variable && variable->stat && variable->stat->kind == LS_STAT_FOR_IN ? variable : NULL;
}

static void open_mentions(struct ls_places *places, uint32_t start, uint32_t end, int function, uint64_t hash,
                          bool body, unsigned *most);

static void note(struct ls_places *places, struct ls__opening **list, struct ls__node *node, uint64_t hash)
{
    struct ls__opening *opening = ls__places_take(places, 1, sizeof *opening);
    if (!opening) return;
    *opening = (struct ls__opening){.header = places->opens, .node = node, .hash = hash, .next = *list};
    *list = opening;
}

static void open_node(struct ls_places *places, struct ls__node *node, uint64_t hash)
{
    struct ls__side *side = &node->side[places->now];
    side->open = ls__mix(side->open, hash);
    if (places->opens) note(places, &side->openings, node, hash);
}

/* Something happens below the place that is named: `hash` tells what. What is done to a loop's variable is done to what
 * the loop's header names, `most` of those; NULL = no limit to what is named first. */
static void open_named(struct ls_places *places, const struct ls_syntax_expr *expr, uint64_t hash, bool body,
                       unsigned *most)
{
    bool exact;
    struct ls__node *node = node_of(places, expr, true, &exact);
    if (node) {
        if (body) {
            node->side[places->now].body_open += ls__mix(hash, 6);
            note(places, &places->writes[places->function], node, 0);
        } else {
            open_node(places, node, hash);
        }
    }
    const struct ls_syntax_variable *variable = loop_of(expr);
    if (!variable) return;
    const struct ls_syntax_expr *first = variable->stat->list, *last = first;
    while (last->next)
        last = last->next;
    open_mentions(places, first->start, last->end, variable->function, hash, body, most);
}

static void open_mentions(struct ls_places *places, uint32_t start, uint32_t end, int function, uint64_t hash,
                          bool body, unsigned *most)
{
    const struct ls_syntax *syntax = places->text[places->now];
    for (unsigned i = ls__first_mention(syntax, start); i < syntax->mention_count && (!most || *most > 0); i++) {
        const struct ls_syntax_mention *mention = &syntax->mentions[i];
        const struct ls_syntax_expr *expr = mention->expr;
        if (expr->end > end) break;
        if (mention->function != function || (mention->call && expr->kind == LS_EXPR_NAME)) continue;
        unsigned loop = MOST_OF_LOOP;
        if (most) --*most;
        open_named(places, mention->call ? expr->left : expr, hash, body, most ? most : &loop);
    }
}

static void open_below(struct ls_places *places, const struct ls_syntax_expr *expr, uint64_t hash, bool body)
{
    unsigned loop = MOST_OF_LOOP;
    open_named(places, expr, hash, body, &loop);
}

/* --- statements --- */

/* Where statements stand. */
struct at {
    int function;
    bool body; /* in a function that may be called later */
    struct ls__header *header;
};

static uint64_t under(const struct at *at, uint64_t hash)
{
    return at->header ? ls__mix(hash, at->header->hash) : hash;
}

/* NULL in a function body, where nothing is told by headers. */
static struct ls__header *header_new(struct ls_places *places, const struct at *at, struct ls_syntax_expr *list,
                                     uint64_t hash)
{
    struct ls__header *header = at->body ? NULL : ls__places_take(places, 1, sizeof *header);
    if (header) *header = (struct ls__header){.around = at->header, .list = list, .hash = hash};
    return header;
}

/* Top-level code gives the place a value; of a function body it counts that it may. */
static void put(struct ls_places *places, const struct at *at, struct ls__node *node, const struct ls__giver *giver,
                uint64_t hash)
{
    if (!at->body)
        give(places, node, *giver);
    else
        node->side[places->now].body += ls__mix(hash, 8);
}

static void assign(struct ls_places *places, const struct at *at, const struct ls_syntax_expr *target,
                   const struct ls__giver *giver)
{
    bool exact;
    const struct ls_syntax_expr *value = giver->expr;
    uint64_t hash = ls__mix(ls__mix(target->hash, value ? value->hash : 0), giver->nth + 1);
    places->opens = header_new(places, at, (struct ls_syntax_expr *)value, 0);
    struct ls__node *node = node_of(places, target, false, &exact);
    if (!node || !exact) {
        if (target->kind != LS_EXPR_INDEX) return;
        bool loaded = node && target->right->kind == LS_EXPR_VARARG && !at->body &&
                      target->left->kind == LS_EXPR_INDEX && target->left->right->kind == LS_EXPR_STRING &&
                      ls__is_text(target->left->right->string, "loaded");
        if (loaded) /* package.loaded[...] = value */
            give(places, file_value(places), *giver);
        else
            open_below(places, target->left, under(at, hash), at->body);
        return;
    }
    if (target->kind == LS_EXPR_INDEX && loop_of(target)) open_below(places, target->left, under(at, hash), at->body);
    put(places, at, node, giver, hash);
}

static void walk_call(struct ls_places *places, const struct at *at, const struct ls_syntax_stat *stat,
                      const struct ls_syntax_expr *call)
{
    const struct ls_syntax_expr *meta, *object = ls__metatable_call(call, &meta);
    struct ls_place_key key;
    struct ls__giver giver = {.expr = call, .header = at->header};
    if (object && ls__is_chain(object) && !at->body) {
        give_metatable(places, object, meta, at->header);
    } else if (ls__is_call_of(call, "rawset", 3) && ls__is_chain(call->list) &&
               ls__node_key(places, places->now, call->list->next, &key)) {
        struct ls__node *node = place_of(places, call->list);
        giver.expr = call->list->next->next;
        if (node) put(places, at, ls__node_child(places, node, &key), &giver, giver.expr->hash);
    } else {
        places->opens = header_new(places, at, stat->list, 0);
        if (!at->body) give_made(places, giver);
        if (!at->body) {
            note(places, &places->calls, NULL, under(at, stat->hash));
            if (places->calls) places->calls->call = call;
        }
        open_mentions(places, call->start, call->end, at->function, under(at, stat->hash), at->body, NULL);
    }
}

static void walk_block(struct ls_places *places, const struct at *at, const struct ls_syntax_stat *stat);

/* The body of a branch or loop. */
static void walk_under(struct ls_places *places, const struct at *at, struct ls_syntax_expr *list, uint64_t hash,
                       const struct ls_syntax_stat *body)
{
    struct at inner = *at;
    hash = ls__mix(under(at, hash), 9);
    for (const struct ls_syntax_expr *expr = list; expr; expr = expr->next)
        hash = ls__mix(hash, expr->hash);
    inner.header = header_new(places, at, list, hash);
    walk_block(places, &inner, body);
}

static void walk_branches(struct ls_places *places, const struct at *at, const struct ls_syntax_stat *stat)
{
    struct at branch = *at;
    for (; stat; stat = stat->orelse) {
        walk_under(places, &branch, stat->list, stat->kind, stat->body);
        if (stat->orelse) /* the next ones stand under this condition too */
            branch.header = header_new(places, &branch, stat->list, ls__mix(under(&branch, stat->list->hash), 10));
    }
}

/* The values of `local` and of an assignment go to as many places. */
static void next_value(struct ls__giver *giver)
{
    const struct ls_syntax_expr *expr = giver->expr;
    if (!expr) return;
    if (!expr->next && (expr->kind == LS_EXPR_CALL || expr->kind == LS_EXPR_VARARG)) {
        giver->nth++;
    } else {
        giver->expr = expr->next;
    }
}

static void walk_function(struct ls_places *places, const struct at *at, const struct ls_syntax_stat *stat)
{
    const struct ls_syntax_function *function = stat->list->function;
    struct ls__giver giver = {.expr = stat->list, .header = at->header};
    if (!stat->targets) {
        if (!at->body) give(places, declare(places, stat->variables), giver);
        return;
    }
    assign(places, at, stat->targets, &giver);
    if (function->method)
        places->bindings[places->now][function->parameters->number] = place_of(places, stat->targets->left);
}

static void walk_loop(struct ls_places *places, const struct at *at, const struct ls_syntax_stat *stat)
{
    for (const struct ls_syntax_variable *variable = stat->variables; variable && !at->body;
         variable = variable->next) {
        struct ls__node *node = declare(places, variable);
        for (const struct ls_syntax_expr *expr = stat->list; expr; expr = expr->next)
            ls__node_give(places, node, &(struct ls__giver){.expr = expr, .header = at->header, .nth = 1});
    }
    walk_under(places, at, stat->list, stat->kind, stat->body);
}

static void walk_block(struct ls_places *places, const struct at *at, const struct ls_syntax_stat *stat)
{
    for (; stat && !places->failed; stat = stat->next) {
        struct ls__giver giver = {.expr = stat->list, .header = at->header};
        switch (stat->kind) {
        case LS_STAT_LOCAL:
            for (const struct ls_syntax_variable *v = stat->variables; v && !at->body; v = v->next, next_value(&giver))
                give(places, declare(places, v), giver);
            break;
        case LS_STAT_ASSIGN:
            for (const struct ls_syntax_expr *target = stat->targets; target; target = target->next, next_value(&giver))
                assign(places, at, target, &giver);
            break;
        case LS_STAT_FUNCTION: walk_function(places, at, stat); break;
        case LS_STAT_CALL: walk_call(places, at, stat, stat->list); break;
        case LS_STAT_RETURN:
            if (at->function == 0)
                give(places, file_value(places), giver);
            else if (stat->list && stat->list->kind == LS_EXPR_CALL)
                walk_call(places, at, stat, stat->list);
            break;
        case LS_STAT_IF: walk_branches(places, at, stat); break;
        case LS_STAT_DO: walk_block(places, at, stat->body); break;
        case LS_STAT_WHILE:
        case LS_STAT_REPEAT:
        case LS_STAT_FOR:
        case LS_STAT_FOR_IN: walk_loop(places, at, stat); break;
        default: break;
        }
    }
}

/* --- calls of functions that open places --- */

/* The last field of that key in constructors. */
static const struct ls_syntax_expr *field_at(const struct ls__part *parts, const struct ls_place_key *key)
{
    const struct ls_syntax_expr *found = NULL;
    struct ls_place_key own;
    for (; parts; parts = parts->next)
        for (const struct ls_syntax_expr *field = parts->meta ? NULL : parts->expr->list; field; field = field->next)
            if (field->key && ls__constant_key(field->key, &own) && ls__same_key(&own, key)) found = field;
    return found;
}

/* The function that the text gives there, also by another's name; NULL = it cannot be told. */
static const struct ls_syntax_expr *function_at(struct ls_places *places, const struct ls__node *above,
                                                const struct ls_place_key *key, unsigned hops)
{
    const struct ls__node *node = ls__node_find(places, above, key);
    const struct ls__side *side = node ? &node->side[places->now] : NULL, *around = &above->side[places->now];
    const struct ls_syntax_expr *expr = NULL;
    if (side && side->count > 0)
        expr = side->count == 1 ? side->givers->expr : NULL;
    else if (around->count == 1)
        expr = field_at(around->givers->parts, key);
    if (!expr || expr->kind == LS_EXPR_FUNCTION) return expr;
    bool exact = false;
    node = hops < MOST_HOPS && ls__is_chain(expr) ? ls__node_named(places, places->now, expr, &exact) : NULL;
    return node && exact && node->above ? function_at(places, node->above, &node->place.key, hops + 1) : NULL;
}

/* The function that a call calls. */
static const struct ls_syntax_expr *called_function(struct ls_places *places, const struct ls_syntax_expr *call)
{
    struct walk walk = {.places = places, .side = places->now, .through = true};
    const struct ls_syntax_expr *object = call->left, *field = call->right;
    struct ls_place_key key;
    if (!field && object->kind == LS_EXPR_INDEX) {
        field = object->right;
        object = object->left;
    }
    const struct ls__node *node = ls__is_chain(object) ? follow(&walk, object) : NULL;
    if (!node || !walk.exact) return NULL;
    if (field) return ls__constant_key(field, &key) ? function_at(places, node, &key, 0) : NULL;
    return node->above ? function_at(places, node->above, &node->place.key, 0) : NULL;
}

static void open_by_call(struct ls_places *places, const struct ls__opening *call, unsigned function)
{
    const struct ls__opening *write = places->writes[function];
    for (int most = MOST_OF_LOOP; write && most > 0; most--, write = write->next)
        open_node(places, write->node, call->hash);
}

/* What a function opens is opened by a call of it; with `f "x" { … }` and `f(x):y()` also what functions within it
 * open, which come behind it in order of their beginnings. */
static void open_by_calls(struct ls_places *places)
{
    const struct ls_syntax *syntax = places->text[places->now];
    for (const struct ls__opening *opening = places->calls; opening; opening = opening->next) {
        const struct ls_syntax_expr *call = opening->call;
        while (call->left->kind == LS_EXPR_CALL)
            call = call->left;
        const struct ls_syntax_expr *called = called_function(places, call);
        if (!called) continue;
        places->opens = opening->header;
        unsigned number = (unsigned)called->function->number;
        open_by_call(places, opening, number);
        for (number++; call != opening->call && number < syntax->function_count; number++) {
            const struct ls_syntax_stat *body = syntax->functions[number]->body;
            if (body && body->start >= called->end) break;
            open_by_call(places, opening, number);
        }
    }
}

void ls__places_collect(struct ls_places *places)
{
    const struct ls_syntax *syntax = places->text[places->now];
    if (!syntax) return;
    places->calls = NULL;
    places->writes = ls__places_take(places, syntax->function_count, sizeof(struct ls__opening *));
    places->bindings[places->now] = ls__places_take(places, syntax->declared, sizeof(struct ls__node *));
    for (unsigned i = 0; !places->failed && i < syntax->function_count; i++) {
        const struct ls_syntax_function *function = syntax->functions[i];
        places->function = (int)i;
        walk_block(places, &(struct at){.function = (int)i, .body = i > 0 && !function->immediate}, function->body);
    }
    if (!places->failed) open_by_calls(places);
}
