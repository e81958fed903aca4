/* The tree of places while two texts are compared: what gives each place, side by side. Want of memory sets `failed`,
 * which ls_places_compare looks at in the end; until then all goes on with a spare node. */
#ifndef LS_SYNTAX_PLACES_INTERNAL_H
#define LS_SYNTAX_PLACES_INTERNAL_H

#include "syntax/places.h"
#include "syntax/syntax_internal.h"

/* A condition or loop header around statements. */
struct ls__header {
    struct ls__header *around;   /* NULL = it stands in the main block */
    struct ls_syntax_expr *list; /* its expressions */
    uint64_t hash;               /* with all around it */
    unsigned round;              /* of find_users(), which looked at it last */
    bool uses;                   /* something edited */
};

/* A constructor whose fields belong to a value, or its metatable. */
struct ls__part {
    const struct ls_syntax_expr *expr;
    bool meta;
    struct ls__part *next;
};

/* An expression that gives a place its value. */
struct ls__giver {
    const struct ls_syntax_expr *expr; /* NULL = nil */
    struct ls__header *header;
    struct ls__part *parts;
    unsigned nth; /* of several values of one call */
    bool stated;  /* by a statement, not by a field of a constructor */
    struct ls__giver *next;
};

/* What may be said of an expression. */
enum {
    LS__PLAIN = 1,    /* it calls nothing and makes nothing: it gives the same if what it names is the same */
    LS__BARE = 2,     /* it is nothing but a constructor, with or without metatable */
    LS__TOLD = 4,     /* one of these */
    LS__TABLE = 8,    /* constructors are in it */
    LS__FUNCTION = 16 /* it is a function */
};

/* A statement that may give something below a place, or below what it names. */
struct ls__opening {
    struct ls__header *header; /* its expressions */
    struct ls__node *node;
    const struct ls_syntax_expr *call; /* in `calls`, instead of the node: it is this */
    uint64_t hash;
    struct ls__opening *next;
};

/* What one text says of a place. Hashes are 0 where there is nothing. */
struct ls__side {
    struct ls__giver *givers, *last;
    struct ls__node *alias; /* it is given once, by the name of this place */
    unsigned count;         /* of the givers */
    unsigned lacks;         /* what cannot be said of each: LS__PLAIN | … */
    bool parts;             /* any has some */
    uint64_t full, frame;   /* of the givers; of what stands around their constructors */
    uint64_t stated;        /* as `full`, of those in statements */
    uint64_t open;          /* of open givers */
    struct ls__opening *openings;
    uint64_t body, body_open; /* of those in function bodies, whatever their order */
    uint64_t below;           /* of statements that give data below, whatever their order */
};

struct ls__node {
    struct ls_place place; /* first: what callers see */
    uint64_t hash;
    struct ls__node *above;                 /* NULL = one of the hidden nodes above all roots */
    struct ls__node *last;                  /* child */
    struct ls__node *following, *preceding; /* in order of their making; a place comes before those below it */
    struct ls__side side[2];                /* before, now */
    bool expanded;                          /* its constructors have become children */
    bool shaken;                            /* open givers differ here or above: whatever is below may have changed */
    bool named; /* what its givers give below has places: `rest` is of what neither text gives */
    bool dirty; /* data here or below is edited */
};

enum { LS__MOST_RENAMES = 16, LS__MOST_READINGS = 4 };

/* Roots that the text before calls otherwise, and that text with the names of this one. */
struct ls__renames {
    struct ls__rename list[LS__MOST_RENAMES];
    unsigned count;
    struct ls_syntax *texts[LS__MOST_READINGS]; /* owned; the names before point into all of them */
    unsigned text_count;
};

/* Hidden nodes: one a kind of root, then variables that are no roots, and counts of their names. */
enum { LS__OTHERS = LS_PLACE_MADE + 1, LS__COUNTS, LS__TOPS };

struct ls_places {
    const struct ls_syntax *text[2];
    bool same; /* the texts as they are written */
    struct ls__renames renames;
    struct ls__pool pool;
    struct ls__node tops[LS__TOPS];
    struct ls__node *nodes, *last; /* all but `tops`, in order */
    struct ls_idmap *by_hash;      /* owned; of them */
    struct ls__node **bindings[2]; /* of each text: by a variable's number, the node that it is */
    int now;                       /* the side that is being collected, and of it: */
    int function;
    struct ls__header *opens;    /* the statement that opens places */
    struct ls__opening **writes; /* by function: what it opens when it is called */
    struct ls__opening *calls;   /* by statements of top-level code; the last first */
    unsigned round, looks;
    bool fields; /* a constructor is looked at: its fields may stand for places of which the values tell */
    bool failed;
    struct ls__node spare;
};

/* --- places.c: the tree --- */

void *ls__places_take(struct ls_places *places, size_t count,
                      size_t size); /* zeroed; NULL and `failed` without memory */
/** The node at a key, made if there is none; the spare one without memory. */
struct ls__node *ls__node_child(struct ls_places *places, struct ls__node *above, const struct ls_place_key *key);
/** The same; NULL if there is none. */
struct ls__node *ls__node_find(const struct ls_places *places, const struct ls__node *above,
                               const struct ls_place_key *key);
/** Are they one key? */
bool ls__same_key(const struct ls_place_key *a, const struct ls_place_key *b);
/** The side that is collected gives the node a value. Copies; finds the parts. */
void ls__node_give(struct ls_places *places, struct ls__node *node, const struct ls__giver *giver);

/* --- places_expr.c: expressions as givers (NULL = nil) --- */

/** What an expression is made of, past parentheses and `setmetatable`. */
const struct ls_syntax_expr *ls__made_of(const struct ls_syntax_expr *expr);
/** The object of setmetatable(object, *meta); NULL = it is none. */
const struct ls_syntax_expr *ls__metatable_call(const struct ls_syntax_expr *expr, const struct ls_syntax_expr **meta);
/** Is it a call of this global function with so many arguments at least? */
bool ls__is_call_of(const struct ls_syntax_expr *expr, const char *name, unsigned arguments);
/** The parts of a value, appended to those at `end`. @return where the next one goes */
struct ls__part **ls__parts(struct ls_places *places, const struct ls_syntax_expr *expr, struct ls__part **end);
/** A call with a constructor among its arguments? */
bool ls__makes(const struct ls_syntax_expr *expr);
/** What may be said of it: LS__PLAIN | … @param parts  its parts */
unsigned ls__said_of(const struct ls_syntax_expr *expr, const struct ls__part *parts);
/** Is it a name with constant keys? */
bool ls__is_chain(const struct ls_syntax_expr *expr);
/** The hash of what stands around the constructors. */
uint64_t ls__frame(const struct ls_syntax_expr *expr);
/** The key that an expression is, if it is a constant. */
bool ls__constant_key(const struct ls_syntax_expr *expr, struct ls_place_key *key);

/* --- places_collect.c --- */

/** Enter all that the text of side `now` says. */
void ls__places_collect(struct ls_places *places);
/** The node that an expression names in the text of this side, or the nearest one above it that there is.
 * @param exact  out: it is that one itself. @return NULL: it names no place */
struct ls__node *ls__node_named(struct ls_places *places, int side, const struct ls_syntax_expr *expr, bool *exact);
/** The key that an expression is in the text of this side: a constant, or the name of a place that is given once, by a
 * constant. */
bool ls__node_key(struct ls_places *places, int side, const struct ls_syntax_expr *expr, struct ls_place_key *key);
/** The first mention that ends behind `start`. */
unsigned ls__first_mention(const struct ls_syntax *syntax, uint32_t start);
/** Does it happen while the file is loaded, not in a function that may be called later? */
bool ls__mention_runs(const struct ls_syntax *syntax, const struct ls_syntax_mention *mention);

#endif
