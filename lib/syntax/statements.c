/* Statements: blocks, loops, jumps and labels. */
#include "syntax/syntax_internal.h"

#include <string.h>

static struct ls_syntax_stat *block(struct ls__parser *p, uint64_t *hash);

static struct ls_syntax_stat *stat_new(struct ls__parser *p, enum ls_syntax_stat_kind kind)
{
    struct ls_syntax_stat *stat = ls__lex_take(&p->lex, 1, sizeof *stat);
    stat->kind = (uint8_t)kind;
    stat->start = p->lex.now.start;
    stat->line = p->lex.now.line;
    stat->hash = ls__mix(UINT64_C(0x5354), kind);
    return stat;
}

static bool block_ends(const struct ls__parser *p, bool with_until)
{
    switch (ls__token(p)) {
    case TK_ELSE:
    case TK_ELSEIF:
    case TK_END:
    case TK_EOF: return true;
    case TK_UNTIL: return with_until;
    default: return false;
    }
}

static void add_part(struct ls_syntax_stat *stat, uint64_t part)
{
    stat->hash = ls__mix(stat->hash, part);
}

static struct ls_syntax_variable *declare(struct ls__parser *p, struct ls_syntax_stat *stat,
                                          struct ls_syntax_variable **at)
{
    struct ls__scoped *scoped = ls__variable_new(p, ls__name(p));
    scoped->variable.stat = stat;
    add_part(stat, scoped->word->hash);
    return *at = &scoped->variable;
}

static void attribute(struct ls__parser *p, struct ls_syntax_stat *stat, struct ls_syntax_variable *variable,
                      bool *closes)
{
    if (!ls__take(p, '<')) return;
    struct ls__word *word = ls__name(p);
    bool closing = strcmp(word->string.text, "close") == 0;
    if (!closing && strcmp(word->string.text, "const") != 0)
        ls__lex_fail(&p->lex, p->lex.line, "unknown attribute '%.40s'", word->string.text);
    if (closing && *closes) ls__lex_fail(&p->lex, p->lex.line, "multiple to-be-closed variables in local list");
    variable->constant = true;
    *closes |= closing;
    add_part(stat, word->hash);
    ls__want(p, '>');
    ((struct ls__scoped *)variable)->closes = closing;
}

static bool gives_several(const struct ls_syntax_expr *expr)
{
    return expr->kind == LS_EXPR_CALL || expr->kind == LS_EXPR_VARARG;
}

static struct ls_syntax_stat *local_statement(struct ls__parser *p, struct ls_syntax_stat *stat)
{
    struct ls_syntax_variable **at = &stat->variables, *last;
    unsigned names = 0, values = 0;
    bool closes = false;
    stat->kind = LS_STAT_LOCAL;
    do {
        last = declare(p, stat, at);
        at = &last->next;
        attribute(p, stat, last, &closes);
        names++;
    } while (ls__take(p, ','));
    struct ls__known known = {.kind = LS_EXPR_NIL};
    if (ls__take(p, '=')) stat->list = ls__expression_list(p, &known);
    stat->hash = ls__list_hash(stat->hash, stat->list);
    struct ls_syntax_variable *variable = stat->variables;
    for (struct ls_syntax_expr *expr = stat->list; expr; expr = expr->next, values++) {
        if (variable) variable->value = expr;
        variable = variable ? variable->next : NULL;
        for (; variable && !expr->next && gives_several(expr); variable = variable->next)
            variable->value = expr;
    }
    struct ls__scoped *scoped = (struct ls__scoped *)last;
    last->folded = names == values && last->constant && !scoped->closes && known.kind != LS__NOT_KNOWN;
    if (last->folded) scoped->known = known;
    ls__activate_list(p, stat->variables);
    return stat;
}

static struct ls_syntax_stat *local_function(struct ls__parser *p, struct ls_syntax_stat *stat)
{
    struct ls_syntax_variable *variable = declare(p, stat, &stat->variables);
    stat->kind = LS_STAT_FUNCTION;
    ls__activate(p, (struct ls__scoped *)variable);
    stat->list = variable->value = ls__function_expr(p, stat->start, p->lex.now.last_line, false);
    add_part(stat, stat->list->hash);
    return stat;
}

static void assign_to(struct ls__parser *p, const struct ls_syntax_expr *target)
{
    if (target->kind != LS_EXPR_NAME || !target->variable) return;
    if (target->variable->constant)
        ls__lex_fail(&p->lex, p->lex.line, "attempt to assign to const variable '%.40s'", target->string.text);
    target->variable->assigned = true;
}

static struct ls_syntax_stat *function_statement(struct ls__parser *p, struct ls_syntax_stat *stat)
{
    int line = p->lex.now.last_line;
    bool method = false;
    ls__next(p);
    if (ls__token(p) != TK_NAME) ls__want(p, TK_NAME);
    struct ls__word *word = p->lex.now.word;
    ls__next(p);
    struct ls_syntax_expr *target = ls__name_expr(p, word), *key;
    while (!method && (ls__token(p) == '.' || ls__token(p) == ':')) {
        method = ls__token(p) == ':';
        ls__next(p);
        if (ls__token(p) != TK_NAME) ls__want(p, TK_NAME);
        key = ls__expr_new(p, LS_EXPR_STRING, p->lex.now.word->hash);
        key->string = p->lex.now.word->string;
        ls__next(p);
        target = ls__expr_around(p, LS_EXPR_INDEX, 0, target, key);
    }
    stat->targets = target;
    ls__mention(p, target);
    stat->list = ls__function_expr(p, stat->start, line, method);
    assign_to(p, target);
    add_part(stat, target->hash);
    add_part(stat, stat->list->hash);
    return stat;
}

static struct ls_syntax_stat *expression_statement(struct ls__parser *p, struct ls_syntax_stat *stat)
{
    struct ls__known known;
    struct ls_syntax_expr *at = ls__suffixed(p, &known);
    if (ls__token(p) != '=' && ls__token(p) != ',') {
        if (at->kind != LS_EXPR_CALL) ls__lex_fail_near(&p->lex, "syntax error");
        stat->list = at;
        add_part(stat, at->hash);
        return stat;
    }
    unsigned depth = p->depth;
    stat->kind = LS_STAT_ASSIGN;
    stat->targets = at;
    for (;;) {
        if (at->kind != LS_EXPR_NAME && at->kind != LS_EXPR_INDEX) ls__lex_fail_near(&p->lex, "syntax error");
        assign_to(p, at);
        if (!ls__take(p, ',')) break;
        ls__deeper(p);
        at = at->next = ls__suffixed(p, &known);
    }
    ls__want(p, '=');
    stat->list = ls__expression_list(p, &known);
    p->depth = depth;
    stat->hash = ls__list_hash(ls__list_hash(ls__mix(stat->hash, stat->kind), stat->targets), stat->list);
    return stat;
}

static struct ls_syntax_stat *if_statement(struct ls__parser *p, struct ls_syntax_stat *first)
{
    struct ls_syntax_stat *at = first;
    uint64_t inner, hash = first->hash;
    int line = first->line;
    for (;;) {
        ls__next(p); /* if, elseif, else */
        if (at->kind == LS_STAT_IF) {
            at->list = ls__expression(p);
            ls__want(p, TK_THEN);
            add_part(at, at->list->hash);
        }
        at->body = block(p, &inner);
        add_part(at, inner);
        hash = ls__mix(hash, at->hash);
        at->end = p->lex.last_end;
        at->last_line = p->lex.last_line;
        if (at->kind == LS_STAT_DO || (ls__token(p) != TK_ELSEIF && ls__token(p) != TK_ELSE)) break;
        at = at->orelse = stat_new(p, ls__token(p) == TK_ELSEIF ? LS_STAT_IF : LS_STAT_DO);
    }
    ls__want_close(p, TK_END, TK_IF, line);
    first->hash = hash;
    return first;
}

/* The body of a loop. */
static void loop_body(struct ls__parser *p, struct ls_syntax_stat *stat)
{
    uint64_t inner;
    p->body->loops++;
    stat->body = block(p, &inner);
    p->body->loops--;
    add_part(stat, inner);
}

static void for_statement(struct ls__parser *p, struct ls_syntax_stat *stat)
{
    struct ls__region outer, inner;
    uint64_t hash;
    ls__next(p);
    ls__block_open(p, &outer);
    struct ls_syntax_variable *variable = declare(p, stat, &stat->variables);
    struct ls__known known;
    if (ls__take(p, '=')) {
        stat->list = ls__expression(p);
        ls__want(p, ',');
        stat->list->next = ls__expression(p);
        if (ls__take(p, ',')) stat->list->next->next = ls__expression(p);
        ls__hide(p, 3);
    } else {
        stat->kind = LS_STAT_FOR_IN;
        while (ls__take(p, ','))
            variable = declare(p, stat, &variable->next);
        ls__want(p, TK_IN);
        stat->list = ls__expression_list(p, &known);
        ls__hide(p, 4);
    }
    stat->hash = ls__list_hash(ls__mix(stat->hash, stat->kind), stat->list);
    ls__want(p, TK_DO);
    ls__block_open(p, &inner);
    ls__activate_list(p, stat->variables);
    p->body->loops++;
    stat->body = block(p, &hash);
    p->body->loops--;
    add_part(stat, hash);
    ls__block_close(p);
    ls__want_close(p, TK_END, TK_FOR, stat->line);
    ls__block_close(p);
}

static void repeat_statement(struct ls__parser *p, struct ls_syntax_stat *stat)
{
    struct ls__region inner;
    uint64_t hash;
    ls__next(p);
    ls__block_open(p, &inner);
    p->body->loops++;
    stat->body = ls__statements(p, &hash);
    ls__want_close(p, TK_UNTIL, TK_REPEAT, stat->line);
    stat->list = ls__expression(p);
    p->body->loops--;
    ls__block_close(p);
    add_part(stat, hash);
    add_part(stat, stat->list->hash);
}

/* Jumps of this block that wait for the label, which stands where `active` variables are in scope. */
static void solve(struct ls__parser *p, struct ls__word *word, unsigned active)
{
    size_t kept = p->body->block->gotos;
    for (size_t i = kept; i < p->gotos.count; i++) {
        struct ls__jump *jump = &p->gotos.items[i];
        if (jump->word != word)
            p->gotos.items[kept++] = *jump;
        else if (jump->active < active)
            ls__lex_fail(&p->lex, p->lex.line, "<goto %.40s> at line %d jumps into the scope of a local variable",
                         word->string.text, jump->line);
    }
    p->gotos.count = kept;
}

static struct ls__jump *label_of(struct ls__parser *p, const struct ls__word *word)
{
    for (size_t i = p->labels.count; i > p->body->labels; i--)
        if (p->labels.items[i - 1].word == word) return &p->labels.items[i - 1];
    return NULL;
}

static struct ls_syntax_stat *statement(struct ls__parser *p);

/* Lua takes the empty statements and labels behind a label with it, to see whether the block ends there. */
static void label_statement(struct ls__parser *p, struct ls_syntax_stat *stat)
{
    struct ls__word *word = ls__name(p);
    struct ls_syntax_stat **at = &stat->next;
    ls__want(p, TK_DBCOLON);
    stat->end = p->lex.last_end;
    stat->last_line = p->lex.last_line;
    add_part(stat, word->hash);
    while (ls__token(p) == ';' || ls__token(p) == TK_DBCOLON) {
        if (ls__take(p, ';')) continue;
        *at = statement(p);
        for (; *at; at = &(*at)->next) {
        }
    }
    struct ls__jump *old = label_of(p, word);
    if (old)
        ls__lex_fail(&p->lex, p->lex.line, "label '%.40s' already defined on line %d", word->string.text, old->line);
    unsigned active = block_ends(p, false) ? p->body->block->active : p->body->active;
    LS__PUSH(p, p->labels.items, p->labels.count, p->labels.cap, (struct ls__jump){word, stat->line, active});
    solve(p, word, active);
}

static void goto_statement(struct ls__parser *p, struct ls_syntax_stat *stat)
{
    ls__next(p);
    struct ls__word *word = ls__name(p);
    add_part(stat, word->hash);
    if (!label_of(p, word))
        LS__PUSH(p, p->gotos.items, p->gotos.count, p->gotos.cap, (struct ls__jump){word, stat->line, p->body->active});
}

static void return_statement(struct ls__parser *p, struct ls_syntax_stat *stat)
{
    struct ls__known known;
    ls__next(p);
    if (!block_ends(p, true) && ls__token(p) != ';') stat->list = ls__expression_list(p, &known);
    stat->hash = ls__list_hash(stat->hash, stat->list);
    stat->end = p->lex.last_end;
    stat->last_line = p->lex.last_line;
    ls__take(p, ';');
}

static struct ls_syntax_stat *statement(struct ls__parser *p)
{
    static const struct {
        short token, kind;
    } kinds[] = {
        {TK_IF, LS_STAT_IF},         {TK_WHILE, LS_STAT_WHILE},   {TK_DO, LS_STAT_DO},
        {TK_FOR, LS_STAT_FOR},       {TK_REPEAT, LS_STAT_REPEAT}, {TK_FUNCTION, LS_STAT_FUNCTION},
        {TK_LOCAL, LS_STAT_LOCAL},   {TK_BREAK, LS_STAT_BREAK},   {TK_DBCOLON, LS_STAT_LABEL},
        {TK_RETURN, LS_STAT_RETURN}, {TK_GOTO, LS_STAT_GOTO},
    };
    int opener = ls__token(p), kind = LS_STAT_CALL;
    uint64_t inner;
    for (unsigned i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (kinds[i].token == opener) kind = kinds[i].kind;
    struct ls_syntax_stat *stat = stat_new(p, (enum ls_syntax_stat_kind)kind);
    ls__deeper(p);
    switch (kind) {
    case LS_STAT_IF: if_statement(p, stat); break;
    case LS_STAT_WHILE:
        ls__next(p);
        stat->list = ls__expression(p);
        add_part(stat, stat->list->hash);
        ls__want(p, TK_DO);
        loop_body(p, stat);
        ls__want_close(p, TK_END, TK_WHILE, stat->line);
        break;
    case LS_STAT_DO:
        ls__next(p);
        stat->body = block(p, &inner);
        add_part(stat, inner);
        ls__want_close(p, TK_END, TK_DO, stat->line);
        break;
    case LS_STAT_FOR: for_statement(p, stat); break;
    case LS_STAT_REPEAT: repeat_statement(p, stat); break;
    case LS_STAT_FUNCTION: function_statement(p, stat); break;
    case LS_STAT_LOCAL:
        ls__next(p);
        if (ls__take(p, TK_FUNCTION))
            local_function(p, stat);
        else
            local_statement(p, stat);
        break;
    case LS_STAT_LABEL:
        ls__next(p);
        label_statement(p, stat);
        break;
    case LS_STAT_RETURN: return_statement(p, stat); break;
    case LS_STAT_BREAK:
        ls__next(p);
        if (p->body->loops == 0)
            ls__lex_fail(&p->lex, stat->line, "break outside a loop at line %d near <eof>", stat->line);
        break;
    case LS_STAT_GOTO: goto_statement(p, stat); break;
    default: expression_statement(p, stat); break;
    }
    if (stat->end == 0 || stat->kind == LS_STAT_IF) {
        stat->end = p->lex.last_end;
        stat->last_line = p->lex.last_line;
    }
    p->depth--;
    return stat;
}

/* The statements of a block, up to what ends it. */
struct ls_syntax_stat *ls__statements(struct ls__parser *p, uint64_t *hash)
{
    struct ls_syntax_stat *first = NULL, **at = &first;
    *hash = 3;
    while (!block_ends(p, true)) {
        if (ls__take(p, ';')) continue;
        *at = statement(p);
        bool last = (*at)->kind == LS_STAT_RETURN;
        for (; *at; at = &(*at)->next) /* a label brings further ones */
            *hash = ls__mix(*hash, (*at)->hash);
        if (last) break;
    }
    return first;
}

static struct ls_syntax_stat *block(struct ls__parser *p, uint64_t *hash)
{
    struct ls__region inner;
    ls__block_open(p, &inner);
    struct ls_syntax_stat *first = ls__statements(p, hash);
    ls__block_close(p);
    return first;
}
