/* Statements and blocks of them. A statement's hash is made of its kind and the hashes of its parts. */
#include "syntax/syntax_internal.h"

static struct ls_syntax_stat *block(struct ls__parser *p, uint64_t *hash)
{
    struct ls__region inner;
    ls__block_open(p, &inner);
    struct ls_syntax_stat *first = ls__statements(p, hash);
    ls__block_close(p);
    return first;
}

static bool block_ends(const struct ls__parser *p, bool with_until)
{
    const int kind = ls__token(p);
    return kind == TK_ELSE || kind == TK_ELSEIF || kind == TK_END || kind == TK_EOF || (kind == TK_UNTIL && with_until);
}

static struct ls_syntax_stat *stat_new(struct ls__parser *p, enum ls_syntax_stat_kind kind)
{
    struct ls_syntax_stat *stat = ls__lex_take(&p->lex, 1, sizeof *stat);
    stat->kind = (uint8_t)kind;
    stat->start = p->lex.now.start;
    stat->line = p->lex.now.line;
    stat->hash = ls__mix(UINT64_C(0x5354), kind);
    return stat;
}

static void add_part(struct ls_syntax_stat *stat, uint64_t part)
{
    stat->hash = ls__mix(stat->hash, part);
}

/* The condition of a branch or loop. */
static void condition(struct ls__parser *p, struct ls_syntax_stat *stat)
{
    stat->list = ls__expression(p);
    add_part(stat, stat->list->hash);
}

static struct ls_syntax_variable *declare(struct ls__parser *p, struct ls_syntax_stat *stat,
                                          struct ls_syntax_variable **at)
{
    struct ls__scoped *scoped = ls__variable_new(p, ls__name(p));
    scoped->variable.stat = stat;
    add_part(stat, scoped->word->hash);
    return *at = &scoped->variable;
}

/* @return is it <close> */
static bool attribute(struct ls__parser *p, struct ls_syntax_stat *stat, struct ls_syntax_variable *variable)
{
    if (!ls__take(p, '<')) return false;
    struct ls__word *word = ls__name(p);
    bool closes = ls__is_text(word->string, "close");
    if (!closes && !ls__is_text(word->string, "const"))
        ls__lex_fail(&p->lex, p->lex.line, "unknown attribute '%.40s'", word->string.text);
    variable->constant = true;
    add_part(stat, word->hash);
    ls__want(p, '>');
    return closes;
}

static void local_statement(struct ls__parser *p, struct ls_syntax_stat *stat)
{
    struct ls_syntax_variable **at = &stat->variables, *last, *variable;
    const struct ls_syntax_variable *closed = NULL;
    do {
        last = declare(p, stat, at);
        at = &last->next;
        if (!attribute(p, stat, last)) continue;
        if (closed) ls__lex_fail(&p->lex, p->lex.line, "multiple to-be-closed variables in local list");
        closed = last;
    } while (ls__take(p, ','));
    if (ls__take(p, '=')) stat->list = ls__expression_list(p);
    stat->hash = ls__list_hash(stat->hash, stat->list);
    variable = stat->variables;
    for (struct ls_syntax_expr *expr = stat->list; expr && variable; variable = variable->next) {
        const bool several = expr->kind == LS_EXPR_CALL || expr->kind == LS_EXPR_VARARG;
        variable->value = expr;
        if (!variable->next && !expr->next && last->constant && last != closed)
            last->folded = ls__constant(expr); /* as many values as variables */
        if (expr->next || !several) expr = expr->next;
    }
    ls__activate(p, stat->variables);
}

static void local_function(struct ls__parser *p, struct ls_syntax_stat *stat)
{
    struct ls_syntax_variable *variable = declare(p, stat, &stat->variables);
    stat->kind = LS_STAT_FUNCTION;
    ls__activate(p, variable);
    stat->list = variable->value = ls__function(p, stat->start, p->lex.now.last_line, false);
    add_part(stat, stat->list->hash);
}

static void assign_to(struct ls__parser *p, const struct ls_syntax_expr *target)
{
    if (target->kind != LS_EXPR_NAME || !target->variable) return;
    if (target->variable->constant)
        ls__lex_fail(&p->lex, p->lex.line, "attempt to assign to const variable '%.40s'", target->string.text);
    target->variable->assigned = true;
}

static void function_statement(struct ls__parser *p, struct ls_syntax_stat *stat, int line)
{
    bool method = false;
    struct ls_syntax_expr *target = ls__variable(p);
    while (!method && (ls__token(p) == '.' || ls__token(p) == ':')) {
        method = ls__token(p) == ':';
        ls__next(p);
        target = ls__field(p, target);
    }
    stat->targets = target;
    ls__mention(p, target);
    stat->list = ls__function(p, stat->start, line, method);
    assign_to(p, target);
    add_part(stat, target->hash);
    add_part(stat, stat->list->hash);
}

static void expression_statement(struct ls__parser *p, struct ls_syntax_stat *stat)
{
    struct ls_syntax_expr *at = ls__suffixed(p);
    if (ls__token(p) != '=' && ls__token(p) != ',') {
        if (at->kind != LS_EXPR_CALL) ls__lex_fail_near(&p->lex, "syntax error");
        stat->list = at;
        add_part(stat, at->hash);
        return;
    }
    unsigned depth = p->depth;
    stat->kind = LS_STAT_ASSIGN;
    stat->targets = at;
    for (;;) {
        if (at->kind != LS_EXPR_NAME && at->kind != LS_EXPR_INDEX) ls__lex_fail_near(&p->lex, "syntax error");
        assign_to(p, at);
        if (!ls__take(p, ',')) break;
        ls__deeper(p);
        at = at->next = ls__suffixed(p);
    }
    ls__want(p, '=');
    stat->list = ls__expression_list(p);
    p->depth = depth;
    stat->hash = ls__list_hash(ls__list_hash(ls__mix(stat->hash, stat->kind), stat->targets), stat->list);
}

static void if_statement(struct ls__parser *p, struct ls_syntax_stat *first)
{
    uint64_t hash = first->hash;
    for (struct ls_syntax_stat *at = first;; at = at->orelse) {
        if (at->kind == LS_STAT_IF) {
            condition(p, at);
            ls__want(p, TK_THEN);
        }
        at->body = block(p, &at->hash);
        hash = ls__mix(hash, at->hash);
        if (at->kind == LS_STAT_DO || (ls__token(p) != TK_ELSEIF && ls__token(p) != TK_ELSE)) break;
        at->orelse = stat_new(p, ls__token(p) == TK_ELSEIF ? LS_STAT_IF : LS_STAT_DO);
        ls__next(p);
    }
    ls__want_close(p, TK_END, TK_IF, first->line);
    first->hash = hash;
}

static void for_statement(struct ls__parser *p, struct ls_syntax_stat *stat)
{
    struct ls__region outer, inner;
    ls__block_open(p, &outer);
    struct ls_syntax_variable *variable = declare(p, stat, &stat->variables);
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
        stat->list = ls__expression_list(p);
        ls__hide(p, 4);
    }
    stat->hash = ls__list_hash(ls__mix(stat->hash, stat->kind), stat->list);
    ls__want(p, TK_DO);
    ls__block_open(p, &inner);
    ls__activate(p, stat->variables);
    stat->body = block(p, &stat->hash);
    ls__block_close(p);
    ls__want_close(p, TK_END, TK_FOR, stat->line);
    ls__block_close(p);
}

static void repeat_statement(struct ls__parser *p, struct ls_syntax_stat *stat)
{
    struct ls__region inner;
    ls__block_open(p, &inner);
    stat->body = ls__statements(p, &stat->hash);
    ls__want_close(p, TK_UNTIL, TK_REPEAT, stat->line);
    condition(p, stat);
    ls__block_close(p);
}

static struct ls_syntax_stat *statement(struct ls__parser *p);

/* Lua takes the empty statements and labels behind a label with it, to see whether the block ends there. */
static void label_statement(struct ls__parser *p, struct ls_syntax_stat *stat)
{
    struct ls__word *word = ls__name(p);
    struct ls_syntax_stat **at = &stat->next;
    ls__want(p, TK_DBCOLON);
    add_part(stat, word->hash);
    while (ls__token(p) == ';' || ls__token(p) == TK_DBCOLON) {
        if (ls__take(p, ';')) continue;
        for (*at = statement(p); *at; at = &(*at)->next) {
        }
    }
    ls__label(p, word, stat->line, block_ends(p, false));
}

static void return_statement(struct ls__parser *p, struct ls_syntax_stat *stat)
{
    if (!block_ends(p, true) && ls__token(p) != ';') stat->list = ls__expression_list(p);
    stat->hash = ls__list_hash(stat->hash, stat->list);
    ls__take(p, ';');
}

static struct ls_syntax_stat *statement(struct ls__parser *p)
{
    static const uint8_t kinds[TK_COUNT] = {
        [TK_IF] = LS_STAT_IF,         [TK_WHILE] = LS_STAT_WHILE,   [TK_DO] = LS_STAT_DO,
        [TK_FOR] = LS_STAT_FOR,       [TK_REPEAT] = LS_STAT_REPEAT, [TK_FUNCTION] = LS_STAT_FUNCTION,
        [TK_LOCAL] = LS_STAT_LOCAL,   [TK_BREAK] = LS_STAT_BREAK,   [TK_DBCOLON] = LS_STAT_LABEL,
        [TK_RETURN] = LS_STAT_RETURN, [TK_GOTO] = LS_STAT_GOTO,
    };
    const int opener = ls__token(p), line = p->lex.now.last_line, kind = kinds[opener];
    const bool loops = kind == LS_STAT_WHILE || kind == LS_STAT_FOR || kind == LS_STAT_REPEAT;
    struct ls_syntax_stat *stat = stat_new(p, (enum ls_syntax_stat_kind)kind);
    ls__deeper(p);
    if (kind != LS_STAT_CALL) ls__next(p);
    p->body->loops += loops;
    switch (kind) {
    case LS_STAT_IF: if_statement(p, stat); break;
    case LS_STAT_WHILE:
        condition(p, stat);
        ls__want(p, TK_DO);
        stat->body = block(p, &stat->hash);
        ls__want_close(p, TK_END, TK_WHILE, stat->line);
        break;
    case LS_STAT_DO:
        stat->body = block(p, &stat->hash);
        ls__want_close(p, TK_END, TK_DO, stat->line);
        break;
    case LS_STAT_FOR: for_statement(p, stat); break;
    case LS_STAT_REPEAT: repeat_statement(p, stat); break;
    case LS_STAT_FUNCTION: function_statement(p, stat, line); break;
    case LS_STAT_LOCAL:
        if (ls__take(p, TK_FUNCTION))
            local_function(p, stat);
        else
            local_statement(p, stat);
        break;
    case LS_STAT_LABEL: label_statement(p, stat); break;
    case LS_STAT_RETURN: return_statement(p, stat); break;
    case LS_STAT_BREAK:
        if (p->body->loops == 0)
            ls__lex_fail(&p->lex, stat->line, "break outside a loop at line %d near <eof>", stat->line);
        break;
    case LS_STAT_GOTO: {
        struct ls__word *word = ls__name(p);
        add_part(stat, word->hash);
        ls__goto(p, word, stat->line);
        break;
    }
    default: expression_statement(p, stat); break;
    }
    p->body->loops -= loops;
    p->depth--;
    return stat;
}

struct ls_syntax_stat *ls__statements(struct ls__parser *p, uint64_t *hash)
{
    struct ls_syntax_stat *first = NULL, **at = &first;
    uint64_t inner = 3;
    for (bool last = false; !last && !block_ends(p, true);) {
        if (ls__take(p, ';')) continue;
        *at = statement(p);
        last = (*at)->kind == LS_STAT_RETURN;
        for (; *at; at = &(*at)->next) /* a label brings further ones */
            inner = ls__mix(inner, (*at)->hash);
    }
    *hash = ls__mix(*hash, inner);
    return first;
}
