/* Which variable of a file's top level does an upvalue of one of its functions mean? (H56)
 *
 * Lua's debug interface names upvalues but does not tell a variable of the file's top level from one of an enclosing
 * function with the same name. The compiled form does: each function lists, for every upvalue, whether it is a register
 * of the enclosing function or an upvalue of it. This file reads that list out of the byte code of the main function
 * (format of Lua 5.4) and resolves each upvalue of each function up to the main function's own locals. A text in
 * another format is answered with "no variables", never with a guess.
 *
 * Pure: touches no Lua state. Thread: any. */
#include "reload/threeway.h"

#include <string.h>

#include "base/alloc.h"
#include "base/array.h"

enum { MAX_NESTING = 200 }; /* Lua's own limit of nested functions (LUAI_MAXCCALLS) */

/* Byte code uses these tags for constants (lobject.h: basic type and variant bits). */
enum {
    TAG_NIL = 0x00,
    TAG_FALSE = 0x01,
    TAG_TRUE = 0x11,
    TAG_INT = 0x03,
    TAG_FLOAT = 0x13,
    TAG_SHORT = 0x04,
    TAG_LONG = 0x14
};

struct span {
    const char *text;
    size_t len;
};

struct upvalue {
    bool in_stack; /* a register of the enclosing function, else an upvalue of it */
    unsigned char idx;
    struct span name; /* valid while parsing */
    int var;          /* index into ls_scope.names, -1 = no variable of the file's top level */
};

struct proto {
    int parent; /* index, -1 for the main function */
    int first_line, last_line;
    struct upvalue *upvalues; /* owned */
    size_t upvalue_count;
};

struct ls_scope {
    struct proto *protos; /* owned; [0] is the main function */
    size_t count, cap;
    char **names; /* owned: variables of the main function that occur once by name */
    size_t name_count;
    struct span *locals; /* while parsing: names of all locals of the main function */
    size_t local_count;
};

struct reader {
    const unsigned char *at, *end;
    bool bad;
};

static unsigned read_byte(struct reader *in)
{
    if (in->at >= in->end) {
        in->bad = true;
        return 0;
    }
    return *in->at++;
}

static void skip(struct reader *in, size_t len)
{
    if ((size_t)(in->end - in->at) < len) {
        in->bad = true;
        in->at = in->end;
    } else {
        in->at += len;
    }
}

/* Most significant group first; the last byte has its high bit set. */
static size_t read_size(struct reader *in)
{
    size_t value = 0;
    for (int i = 0; i < 10 && !in->bad; i++) {
        unsigned byte = read_byte(in);
        value = (value << 7) | (byte & 0x7f);
        if (byte & 0x80) return value;
    }
    in->bad = true;
    return 0;
}

/* A number of things that take at least one byte each: bounds every array by the length of the input. */
static size_t read_count(struct reader *in)
{
    size_t count = read_size(in);
    if (count > (size_t)(in->end - in->at)) {
        in->bad = true;
        return 0;
    }
    return count;
}

static struct span read_string(struct reader *in)
{
    struct span span = {"", 0};
    size_t size = read_size(in);
    if (in->bad || size == 0) return span;
    span.text = (const char *)in->at;
    span.len = size - 1;
    skip(in, span.len);
    return span;
}

static void skip_constants(struct reader *in)
{
    size_t count = read_count(in);
    for (size_t i = 0; i < count && !in->bad; i++) {
        switch (read_byte(in)) {
        case TAG_NIL:
        case TAG_FALSE:
        case TAG_TRUE: break;
        case TAG_INT: skip(in, sizeof(long long)); break;
        case TAG_FLOAT: skip(in, sizeof(double)); break;
        case TAG_SHORT:
        case TAG_LONG: (void)read_string(in); break;
        default: in->bad = true;
        }
    }
}

static int add_proto(struct ls_scope *scope, int parent)
{
    return LS_PUSH(scope->protos, scope->count, scope->cap, (struct proto){.parent = parent}) ? (int)scope->count - 1
                                                                                              : -1;
}

static void read_locals(struct ls_scope *scope, struct reader *in, bool main)
{
    size_t count = read_count(in);
    if (main && count) {
        scope->locals = ls_array(count, sizeof *scope->locals);
        if (!scope->locals) {
            in->bad = true;
            return;
        }
    }
    for (size_t i = 0; i < count && !in->bad; i++) {
        struct span name = read_string(in);
        (void)read_size(in); /* first and last instruction where it lives */
        (void)read_size(in);
        if (main) scope->locals[scope->local_count++] = name;
    }
}

static void read_function(struct ls_scope *scope, struct reader *in, int parent, int depth)
{
    int self = add_proto(scope, parent);
    if (self < 0 || depth > MAX_NESTING) {
        in->bad = true;
        return;
    }
    (void)read_string(in); /* source */
    scope->protos[self].first_line = (int)read_size(in);
    scope->protos[self].last_line = (int)read_size(in);
    skip(in, 3); /* parameters, vararg, stack size */
    skip(in, read_count(in) * 4);
    skip_constants(in);
    size_t upvalues = read_count(in);
    struct upvalue *list = upvalues ? ls_array(upvalues, sizeof *list) : NULL;
    if (upvalues && !list) in->bad = true;
    scope->protos[self].upvalues = list;
    scope->protos[self].upvalue_count = list ? upvalues : 0;
    for (size_t i = 0; i < upvalues && !in->bad; i++) {
        list[i].in_stack = read_byte(in) != 0;
        list[i].idx = (unsigned char)read_byte(in);
        (void)read_byte(in); /* kind */
        list[i].name.text = "";
    }
    size_t children = read_count(in);
    for (size_t i = 0; i < children && !in->bad; i++)
        read_function(scope, in, self, depth + 1);
    skip(in, read_count(in)); /* line information */
    size_t lines = read_count(in);
    for (size_t i = 0; i < lines && !in->bad; i++) {
        (void)read_size(in);
        (void)read_size(in);
    }
    read_locals(scope, in, parent < 0);
    size_t names = read_count(in);
    for (size_t i = 0; i < names && !in->bad; i++) {
        struct span name = read_string(in);
        if (i < upvalues) list[i].name = name;
    }
}

static bool read_header(struct reader *in)
{
    static const unsigned char head[] = "\x1bLua\x54\x00\x19\x93\r\n\x1a\n\x04\x08\x08";
    if ((size_t)(in->end - in->at) < sizeof head - 1 + 16 + 1 || memcmp(in->at, head, sizeof head - 1) != 0)
        return false;
    in->at += sizeof head - 1;
    long long integer;
    double number;
    memcpy(&integer, in->at, sizeof integer);
    memcpy(&number, in->at + 8, sizeof number);
    in->at += 16 + 1; /* the sample numbers, then the number of upvalues */
    return integer == 0x5678 && number == 370.5;
}

static bool same_span(struct span a, struct span b)
{
    return a.len == b.len && memcmp(a.text, b.text, a.len) == 0;
}

/* Only names that belong to one variable count (H56): a name declared twice at the top level is nobody's. */
static bool keep_unique_names(struct ls_scope *scope)
{
    scope->names = ls_array(scope->local_count + 1, sizeof *scope->names);
    if (!scope->names) return false;
    for (size_t i = 0; i < scope->local_count; i++) {
        struct span name = scope->locals[i];
        size_t same = 0;
        for (size_t j = 0; j < scope->local_count; j++)
            same += same_span(name, scope->locals[j]);
        if (same != 1 || name.len == 0 || name.text[0] == '(') continue;
        char *copy = ls_strndup(name.text, name.len);
        if (!copy) return false;
        scope->names[scope->name_count++] = copy;
    }
    return true;
}

static int find_name(const struct ls_scope *scope, struct span name)
{
    for (size_t i = 0; i < scope->name_count; i++)
        if (strlen(scope->names[i]) == name.len && memcmp(scope->names[i], name.text, name.len) == 0) return (int)i;
    return -1;
}

static int resolve(const struct ls_scope *scope, size_t proto, size_t upvalue)
{
    for (;;) {
        const struct proto *p = &scope->protos[proto];
        if (p->parent < 0 || upvalue >= p->upvalue_count) return -1;
        const struct upvalue *u = &p->upvalues[upvalue];
        if (u->in_stack) return p->parent == 0 ? find_name(scope, u->name) : -1;
        proto = (size_t)p->parent;
        upvalue = u->idx;
    }
}

struct ls_scope *ls__scope_parse(const void *code, size_t len)
{
    struct ls_scope *scope = ls_zalloc(sizeof *scope);
    if (!scope) return NULL;
    struct reader in = {code, (const unsigned char *)code + len, false};
    if (read_header(&in))
        read_function(scope, &in, -1, 0);
    else
        in.bad = true;
    if (in.bad || !keep_unique_names(scope)) {
        ls__scope_free(scope);
        return NULL;
    }
    for (size_t i = 0; i < scope->count; i++)
        for (size_t j = 0; j < scope->protos[i].upvalue_count; j++)
            scope->protos[i].upvalues[j].var = resolve(scope, i, j);
    ls_free(scope->locals);
    scope->locals = NULL;
    return scope;
}

void ls__scope_free(struct ls_scope *scope)
{
    if (!scope) return;
    for (size_t i = 0; i < scope->count; i++)
        ls_free(scope->protos[i].upvalues);
    for (size_t i = 0; i < scope->name_count; i++)
        ls_free(scope->names[i]);
    ls_free(scope->protos);
    ls_free(scope->names);
    ls_free(scope->locals);
    ls_free(scope);
}

const char *ls__scope_name(const struct ls_scope *scope, int var)
{
    return scope->names[var];
}

/* Could a function whose upvalues have these names be this one? Of variables that are not the top level's no name is
 * known any more. */
static bool may_be(const struct ls_scope *scope, const struct proto *proto, const char *const names[])
{
    for (size_t j = 0; j < proto->upvalue_count; j++) {
        int var = proto->upvalues[j].var;
        if (var >= 0 && strcmp(scope->names[var], names[j]) != 0) return false;
    }
    return true;
}

bool ls__scope_variables(const struct ls_scope *scope, int first_line, int last_line, int upvalues,
                         const char *const names[], int vars[])
{
    bool any = false;
    for (size_t i = 1; i < scope->count; i++) {
        const struct proto *p = &scope->protos[i];
        if (p->first_line != first_line || p->last_line != last_line || (int)p->upvalue_count != upvalues ||
            !may_be(scope, p, names))
            continue;
        for (int j = 0; j < upvalues; j++) {
            int var = p->upvalues[j].var;
            /* Several functions on one line may look alike from outside: believe them only where they agree. */
            vars[j] = any && vars[j] != var ? -1 : var;
        }
        any = true;
    }
    return any;
}

bool ls__scope_captured(const struct ls_scope *scope, int var)
{
    for (size_t i = 1; i < scope->count; i++)
        for (size_t j = 0; j < scope->protos[i].upvalue_count; j++)
            if (scope->protos[i].upvalues[j].var == var) return true;
    return false;
}

int ls__scope_count(const struct ls_scope *scope)
{
    return (int)scope->name_count;
}
