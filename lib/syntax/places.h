/* What a person has edited: two readings of a file compared, place by place (H49).
 *
 * A *place* is where a file's top-level code puts a value: a root, or a key of another place. Roots are variables of
 * the main block (declared there once under that name in each text that has them), globals, the file's value (what
 * `return` gives), and what a call makes that is told by its first argument (`session:prototype("Ship", { … })`). Keys
 * are constants: strings, numbers, booleans, or a place that is given once, by such (`[M.RED]`); and METATABLE.
 *
 * What gives a place its value (its *givers*): `local x = e`, `x = e`, `a.b = e`, `a["b"] = e`, `function a.b:c()`,
 * `local function f`, `rawset(a, "b", e)`, a field of a table constructor that gives the place above; each with the
 * conditions and loop headers around it. `setmetatable({ … }, mt)` counts as the constructor, and mt gives METATABLE. A
 * call with constructors among its arguments (`class("Cart", { total = 0 })`), or `x or { … }`, gives the fields of the
 * constructors. Statements that may put something below a place without saying where (`table.insert(M.list, 1)`,
 * `M.list:add(1)`, `t[k] = v`, `register(t)`, `M.register("x")` or `page "/" { … }` where a function of the file does
 * so) are its *open givers*: if they differ, or name data that is edited, what is below is UNKNOWN; statements in
 * function bodies count for places that top-level code does not give.
 *
 * A place that is given by nothing but the name of another that is a table (`return M`, `M.__index = M`,
 * `local items = M.items`) in both texts *is* that other place: ls_places_root and ls_place_child return that one.
 *
 * A root X of the text before is the root Y of this one, of the same kind, where one place is given by the name X
 * before and by Y now (`return X`, `return Y`; `M.items = X`) and neither text gives both: the variable was renamed.
 *
 * A result is immutable; it refers to both texts, which must live as long. Pure; thread: any. */
#ifndef LS_SYNTAX_PLACES_H
#define LS_SYNTAX_PLACES_H

#include "base/buf.h"
#include "syntax/syntax.h"

/* In order of strength. */
enum ls_edit {
    LS_EDIT_NONE, /* the same givers in both texts */
    LS_EDIT_USES, /* the same givers, but one names data (not functions) that is edited, USES, or has such below it */
    LS_EDIT_UNKNOWN, /* the texts do not tell: edited where the values given by the two executions differ */
    LS_EDIT_EDITED,  /* other givers, or givers in one text only */
};

enum ls_place_kind { LS_PLACE_LOCAL, LS_PLACE_GLOBAL, LS_PLACE_VALUE, LS_PLACE_MADE };

enum ls_place_key_kind {
    LS_KEY_STRING,
    LS_KEY_INTEGER, /* also a float with an integer value, as in Lua's tables */
    LS_KEY_FLOAT,
    LS_KEY_BOOLEAN,
    LS_KEY_METATABLE,
};

struct ls_place_key {
    enum ls_place_key_kind kind;
    union {
        struct ls_syntax_string string; /* `text` needs no NUL when it is asked for */
        int64_t integer;
        double number;
        bool boolean;
    };
};

struct ls_place {
    enum ls_edit edit;   /* of the place itself. Given by constructors in both texts: not EDITED, its children are */
    enum ls_edit rest;   /* of every place below that has no ls_place of its own */
    enum ls_edit within; /* The strongest of itself and all below, but of functions that both texts give, and UNKNOWN
                            at most of a metatable that both give; and `rest`, where more than constructors gives it */
    bool before, now;    /* which text gives it: top-level code or, where that never does, function bodies */
    bool table;          /* constructors are among what gives it, in each text that gives it */
    bool own;            /* unedited, and what gives it names the place itself: `runs = (runs or 0) + 1` */
    bool function;       /* functions are all that gives it, in each text that gives it */
    bool nothing;        /* what this text gives it last is a nil, under no condition */
    /* What gives it in that text, as a hash: expressions with all in them, conditions and loop headers, open givers,
     * and statements that give data below it. The same wherever that stands; 0 = it is not given there. */
    uint64_t given_before, given_now;
    enum ls_place_kind kind;            /* of its root */
    struct ls_place_key key;            /* a root's: its name as a string, empty for VALUE */
    const struct ls_syntax_string *was; /* a root's name in the text before, where that is another; NULL = the same */
    struct ls_place *parent;            /* the place above, NULL = this is a root */
    struct ls_place *first;             /* the first place below; they are in no order */
    struct ls_place *next;              /* below the same place, or of the same kind of root */
};

struct ls_places;

/** Compare two texts of a file.
 * @param before  NULL = the text before is unknown: every place of `now` is NONE, `rest` too
 * @return owned, ls_places_free(); NULL without memory */
struct ls_places *ls_places_compare(const struct ls_syntax *before, const struct ls_syntax *now);
void ls_places_free(struct ls_places *places); /* NULL accepted */

/** A root. @param name  of the variable, the global (NULL = `_G` itself), or the first argument; ignored for VALUE
 * @return borrowed; NULL: no text mentions it. A variable that only one text has is EDITED */
const struct ls_place *ls_places_root(const struct ls_places *places, enum ls_place_kind kind, const char *name,
                                      size_t len);
/** The place at a key of a place. @return borrowed; NULL: it has none of its own, the place above says `rest` for it
 * and all below. That is also so for fields of constructors that are equal in both texts, which name nothing edited. */
const struct ls_place *ls_place_child(const struct ls_places *places, const struct ls_place *place,
                                      const struct ls_place_key *key);

/** Walk over the roots of a kind: `for (p = ls_places_first(places, kind); p; p = p->next)`. Among them are places that
 * are not given (`before` and `now` false), which came up only on the way to others. Children: from `first` by `next`.
 * A place that a text has lost: `before && !now`. */
const struct ls_place *ls_places_first(const struct ls_places *places, enum ls_place_kind kind);

/** The place's name as the text writes it, for people: `items`, `M.store.items`, `M["a b"][1]`; appended. A METATABLE
 * is `getmetatable(M)`, the file's value `return`; what is below that begins with its key. */
void ls_place_name(const struct ls_place *place, struct ls_buf *out);

#endif
