/* Two pages and a program share a list (page.md R1 to R5): people type into rows while the list is edited, sorted,
 * filtered and rebuilt, and messages are under way in both directions for as long as chance wants. Each edit must land
 * in the object whose text was shown when it was typed, or be refused with `gone` because nothing holds that object any
 * more. Seeds are fixed. */
#include "backend_site.h"
#include "base/alloc.h"

#define STEPS     100000 /* in all */
#define RUNS      24
#define MAX_ROWS  64
#define MAX_QUEUE 4096

static uint64_t chance_state;

static unsigned chance(unsigned below)
{
    chance_state ^= chance_state << 13;
    chance_state ^= chance_state >> 7;
    chance_state ^= chance_state << 17;
    return (unsigned)(chance_state >> 20) % below;
}

/* Objects say by the beginning of their name which they are; `landed` says where an edit went. Program steps are small
 * functions that take what chance says. An object that is in no list lives as long as it is in the attic (always the
 * same table: that of the load is kept for reloads). */
static const char program[] =
    "landed, uid, attic, mode = {}, 0, {}, 'raw'\n"
    "local Row = {type = 'Row'}\n"
    "Row.__index = function(t, k) if k == 'name' then return rawget(t, '_name') end return Row[k] end\n"
    "Row.__newindex = function(t, k, v)\n"
    "  if k ~= 'name' then rawset(t, k, v) return end\n"
    "  local whose, edit = v:match('^u(%d+):e(%d+)$')\n"
    "  if edit then landed[tonumber(edit)] = t.id end\n"
    "  t._name = v\n"
    "end\n"
    "local function list() return type(app.rows) == 'table' and app.rows or {} end\n"
    "function Row:remove() for i, r in ipairs(list()) do if r == self then table.remove(app.rows, i) return end end end\n"
    "local function make(id, name)\n"
    "  local row = setmetatable({_name = name, id = id}, Row)\n"
    "  row.self = {row} row.boat = {owner = row}\n"
    "  return row\n"
    "end\n"
    "local function new() uid = uid + 1 return make(uid, 'u' .. uid .. ':') end\n"
    "ops = {\n"
    "  function(n) table.insert(app.rows, n % (#app.rows + 1) + 1, new()) end,\n"
    "  function(n) repeat table.insert(app.rows, new()) until #app.rows > n % 12 end,\n"
    "  function(n) table.remove(app.rows, n % math.max(#app.rows, 1) + 1) end,\n"
    "  function(n) attic[#attic + 1] = table.remove(app.rows, n % math.max(#app.rows, 1) + 1) end,\n"
    "  function(n) if #attic > 0 then table.insert(app.rows, n % (#app.rows + 1) + 1, table.remove(attic, n % #attic + 1)) end end,\n"
    "  function(n) if #attic > 0 then table.remove(attic, n % #attic + 1) end end,\n"
    "  function(n) table.sort(app.rows, function(a, b) return a.name < b.name end) end,\n"
    "  function(n) table.sort(app.rows, function(a, b) return a.name > b.name end) end,\n"
    "  function(n) for i = #app.rows, 2, -1 do local k = (n * i) % i + 1 app.rows[i], app.rows[k] = app.rows[k], app.rows[i] end end,\n"
    "  function(n) local rest = {} for i, r in ipairs(app.rows) do if i % 3 ~= n % 3 then rest[#rest + 1] = r else attic[#attic + 1] = r end end app.rows = rest end,\n"
    "  function(n) local copy = {} for i, r in ipairs(app.rows) do copy[i] = r end app.rows = copy end,\n"
    "  function(n) local r = app.rows[n % (#app.rows + 1)] if r then r.name = 'u' .. r.id .. ':p' .. n end end,\n"
    "  function(n) app.rows = {} end,\n"
    "  function(n) for _, r in ipairs(app.rows) do attic[#attic + 1] = r end app.rows = ({'text', false, 7})[n % 3 + 1] or nil end,\n"
    "  function(n) collectgarbage() end,\n"
    "  function(n) if mode == 'key' then local r = {} for i, o in ipairs(app.rows) do r[i] = make(o.id, o.name) end app.rows = r end end,\n"
    "  function(n) while #app.rows > 14 do table.remove(app.rows) end while #attic > 10 do table.remove(attic, 1) end end,\n"
    "}\n"
    "function op(which, n) if type(app.rows) ~= 'table' then app.rows = {} end ops[which](n) end\n"
    "local function held(id)\n"
    "  for _, r in ipairs(list()) do if r.id == id then return true end end\n"
    "  for _, r in ipairs(attic) do if r.id == id then return true end end\n"
    "end\n"
    "function right(edit, id, refused)\n"
    "  local to = landed[edit]\n"
    "  landed[edit] = nil\n"
    "  if refused then assert(to == nil, 'a refused edit was written') assert(not held(id), 'an edit of what lives was refused')\n"
    "  else assert(to, 'an edit was lost') assert(to == id, 'an edit for ' .. id .. ' went to ' .. to) assert(held(id), 'an edit went to what is dead') end\n"
    "  for _, r in ipairs(list()) do assert(r.name:match('^u' .. r.id .. ':'), r.name) end\n"
    "end\n"
    "function shown() local s = {} for i, r in ipairs(list()) do s[i] = r.name end return table.concat(s, ' ') end\n"
    "app = {type = 'App', rows = {}} for i = 1, 6 do app.rows[i] = new() end\n"
    "function app:drop(v) op(v % 2 == 0 and 3 or 4, v // 2) end\n"
    "session:createAppVariable(app)\n";

/* --- messages under way --- */

struct queue {
    char *items[MAX_QUEUE]; /* owned */
    unsigned head, tail;
};

static void enqueue(struct queue *queue, char *text)
{
    assert_true(queue->tail - queue->head < MAX_QUEUE);
    queue->items[queue->tail++ % MAX_QUEUE] = text;
}

static char *dequeue(struct queue *queue)
{
    return queue->head == queue->tail ? NULL : queue->items[queue->head++ % MAX_QUEUE];
}

/* --- a page --- */

struct row {
    int64_t object;          /* as its list calls it; 0 = free */
    int64_t row, name, gone; /* its variables: `#ID`, the name, an action */
    int64_t seq;             /* of the last edit (R8) */
    char text[64];           /* shown; empty = nothing yet */
};

enum flavour { RAW, WRAPPED, BY_KEY };

struct viewer {
    struct page *page;
    enum flavour flavour;
    int64_t list; /* the variable whose value is the list of ids */
    int64_t next_id;
    int64_t ids[MAX_ROWS]; /* in order of the list */
    size_t id_count;
    struct row rows[MAX_ROWS];
    struct queue up, down;
    struct ls_buf draft;
};

static struct viewer viewers[2];
static unsigned edits, refusals;

/* Messages are gathered until they are sent as one frame. */
static __attribute__((format(printf, 2, 3))) void add(struct viewer *viewer, const char *format, ...)
{
    char message[2048];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    ls_buf_printf(&viewer->draft, "%s%s", viewer->draft.len ? "," : "{\"userEvent\":true,\"messages\":[", message);
}

static void send(struct viewer *viewer)
{
    if (!viewer->draft.len) return;
    ls_buf_str(&viewer->draft, "]}");
    enqueue(&viewer->up, ls_strdup(ls_buf_text(&viewer->draft)));
    ls_buf_release(&viewer->draft);
}

static struct row *find_row(struct viewer *viewer, int64_t object)
{
    for (size_t i = 0; i < MAX_ROWS; i++)
        if (viewer->rows[i].object == object) return &viewer->rows[i];
    return NULL;
}

#define MAKE "{\"type\":\"create\",\"data\":{\"id\":%lld,\"parentId\":%lld,\"properties\":{\"path\":\"%s\"%s}}}"

static void add_row(struct viewer *viewer, int64_t object)
{
    struct row *row = find_row(viewer, 0);
    assert_non_null(row);
    const char *name = viewer->flavour == WRAPPED ? "item.name" : "name", *remove = "remove()";
    char path[64], direct[80], action[80];
    *row = (struct row){
        .object = object, .row = viewer->next_id, .name = viewer->next_id + 1, .gone = viewer->next_id + 2};
    viewer->next_id += 3;
    snprintf(path, sizeof path, "#%lld", (long long)object);
    bool below = object % 2 == 0; /* the name below the row's variable, or by a longer path beside it */
    snprintf(direct, sizeof direct, "%s.%s", path, name);
    snprintf(action, sizeof action, "%s.%s", path, remove);
    add(viewer, MAKE "," MAKE "," MAKE, (long long)row->row, (long long)viewer->list, path, "", (long long)row->name,
        (long long)(below ? row->row : viewer->list), below ? name : direct, "", (long long)row->gone,
        (long long)viewer->list, action, ",\"access\":\"action\"");
}

static void drop_row(struct viewer *viewer, struct row *row)
{
    add(viewer,
        "{\"type\":\"destroy\",\"data\":{\"varId\":%lld}},{\"type\":\"destroy\",\"data\":{\"varId\":%lld}},{\"type\":\"destroy\",\"data\":{\"varId\":%lld}}",
        (long long)row->name, (long long)row->gone, (long long)row->row);
    *row = (struct row){0};
}

static void show_list(struct viewer *viewer, const char *json, size_t len)
{
    viewer->id_count = 0;
    for (const char *at = json; (at = memchr(at, ':', (size_t)(json + len - at)));) {
        assert_true(viewer->id_count < MAX_ROWS);
        viewer->ids[viewer->id_count++] = strtoll(++at, NULL, 10);
    }
    for (size_t i = 0; i < MAX_ROWS; i++) {
        bool there = !viewer->rows[i].object;
        for (size_t k = 0; k < viewer->id_count && !there; k++)
            there = viewer->ids[k] == viewer->rows[i].object;
        if (!there) drop_row(viewer, &viewer->rows[i]);
    }
    for (size_t k = 0; k < viewer->id_count; k++)
        if (!find_row(viewer, viewer->ids[k])) add_row(viewer, viewer->ids[k]);
    send(viewer);
}

static void show(struct viewer *viewer, const struct ls_message *m)
{
    if (m->type == LS_MSG_UPDATE && m->has_value && m->id == viewer->list) {
        show_list(viewer, m->value, m->value_len);
        return;
    }
    for (size_t i = 0; i < MAX_ROWS; i++) {
        struct row *row = &viewer->rows[i];
        if (!row->object || (m->id != row->name && m->id != row->row && m->id != row->gone)) continue;
        if (m->type == LS_MSG_ERROR && strcmp(m->code, "gone") == 0)
            row->text[0] = '\0'; /* nothing is typed into it any more */
        else if (m->type == LS_MSG_UPDATE && m->has_value && m->id == row->name && m->value[0] == '"' &&
                 m->seq >= row->seq)
            snprintf(row->text, sizeof row->text, "%.*s", (int)m->value_len - 2, m->value + 1);
    }
}

static bool deliver_down(struct viewer *viewer)
{
    char *frame = dequeue(&viewer->down);
    if (!frame) return false;
    struct ls_batch *batch = ls_batch_parse(NULL, NULL, frame, strlen(frame), 10000, NULL);
    for (size_t i = 0; i < batch->count; i++)
        show(viewer, &batch->messages[i]);
    ls_batch_free(batch);
    ls_free(frame);
    return true;
}

static void collect_frames(void)
{
    fire_flush();
    t.flush_due = 0;
    for (int i = 0; i < 2; i++) {
        struct viewer *viewer = &viewers[i];
        const char *text = ls_buf_text(&viewer->page->frames);
        for (const char *end; (end = strchr(text, '\n')); text = end + 1)
            enqueue(&viewer->down, ls_strndup(text, (size_t)(end - text)));
        forget_frames(viewer->page);
    }
}

static void run(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void run(const char *format, ...)
{
    char code[200];
    va_list args;
    va_start(args, format);
    vsnprintf(code, sizeof code, format, args);
    va_end(args);
    run_lua(code);
    collect_frames();
}

/* What came back tells whether the edit was refused. */
static bool deliver_up(struct viewer *viewer)
{
    char *message = dequeue(&viewer->up);
    if (!message) return false;
    forget_frames(viewer->page);
    receive(viewer->page, message);
    fire_flush();
    const char *edit = strstr(message, ":e");
    long long number, owner;
    if (edit && sscanf(strstr(message, "\"value\":\"u"), "\"value\":\"u%lld:e%lld", &owner, &number) == 2) {
        long long var = 0;
        char refused[64];
        for (const char *at = message; (at = strstr(at, "\"varId\":")) && at < edit; at++)
            var = strtoll(at + 8, NULL, 10);
        snprintf(refused, sizeof refused, "\"varId\":%lld,\"code\":\"", var);
        const char *code = strstr(ls_buf_text(&viewer->page->frames), refused);
        if (code && strncmp(code + strlen(refused), "gone\"", 5) != 0) fail_msg("%s: %s", message, code);
        refusals += code != NULL;
        collect_frames();
        run("right(%lld, %lld, %s)", number, owner, code ? "true" : "false");
    }
    collect_frames();
    ls_free(message);
    return true;
}

/* Somebody types into a row, or removes it; or a button that takes something from the list is pressed just before, in
 * the same frame. */
static void act(struct viewer *viewer)
{
    struct row *row = NULL;
    unsigned shown = 0;
    for (size_t i = 0; i < MAX_ROWS; i++)
        if (viewer->rows[i].text[0] && chance(++shown) == 0) row = &viewer->rows[i];
    if (!row) return;
    int owner = atoi(row->text + 1);
    unsigned kind = chance(20);
    if (kind == 0) {
        add(viewer, "{\"type\":\"update\",\"data\":{\"varId\":%lld,\"value\":null}}", (long long)row->gone);
        send(viewer);
        return;
    }
    edits++;
    char before[128] = "";
    if (kind == 1)
        snprintf(before, sizeof before, "{\"type\":\"update\",\"data\":{\"varId\":3,\"value\":%u}},", chance(1000));
    snprintf(row->text, sizeof row->text, "u%d:e%u", owner, edits);
    add(viewer, "%s{\"type\":\"update\",\"data\":{\"varId\":%lld,\"value\":\"%s\",\"seq\":%lld}}", before,
        (long long)row->name, row->text, (long long)++row->seq);
    send(viewer);
}

static void open_viewer(int index, enum flavour flavour)
{
    static const char *const queries[] = {[RAW] = "rows?keyed=true",
                                          [WRAPPED] = "rows?wrapper=lua.ViewList&keyed=true",
                                          [BY_KEY] = "rows?keyed=true&key=id"};
    struct viewer *viewer = &viewers[index];
    memset(viewer, 0, sizeof *viewer);
    viewer->page = connect_page(index);
    viewer->flavour = flavour;
    viewer->list = flavour == WRAPPED ? 4 : 2;
    viewer->next_id = 10;
    add(viewer,
        "{\"type\":\"watch\",\"data\":{\"varId\":1,\"client\":{\"v\":1,\"tab\":\"%032d\",\"url\":\"/\"}}}," MAKE
        "," MAKE "%s",
        index, 2LL, 1LL, queries[flavour], "", 3LL, 1LL, "drop(_)", ",\"access\":\"action\"",
        flavour == WRAPPED ? "," CREATE(4, 2, PATH("items")) : "");
    send(viewer);
}

/* When everything has arrived the page shows what the program holds. */
static void come_to_rest(void)
{
    for (bool more = true; more;) {
        more = false;
        for (int i = 0; i < 2; i++)
            more |= deliver_up(&viewers[i]) | deliver_down(&viewers[i]);
    }
    for (int i = 0; i < 2; i++) {
        struct ls_buf code = LS_BUF_INIT;
        ls_buf_str(&code, "local page = '");
        for (size_t k = 0; k < viewers[i].id_count; k++)
            ls_buf_printf(&code, "%s%s", k ? " " : "", find_row(&viewers[i], viewers[i].ids[k])->text);
        ls_buf_str(&code, "' assert(page == shown(), page .. ' is shown and not ' .. shown())");
        run_lua(ls_buf_text(&code));
        ls_buf_release(&code);
    }
    collect_frames();
}

static void live(uint64_t seed, unsigned steps)
{
    chance_state = seed * 0x9E3779B97F4A7C15u | 1;
    serve(program);
    enum flavour flavour = (enum flavour)(seed % 3);
    if (flavour == BY_KEY) run_lua("mode = 'key'");
    for (int i = 0; i < 2; i++)
        open_viewer(i, flavour == RAW && i == 1 ? WRAPPED : flavour);
    come_to_rest();
    static const unsigned char often[] = {1, 1, 1, 1, 2, 2, 2,  2,  2,  3,  3,  4, 4,
                                          5, 5, 5, 7, 8, 9, 10, 11, 12, 15, 16, 16},
                               seldom[] = {6, 13, 14, 17};
    unsigned patience = 1 + chance(12); /* how many messages are under way, in this life */
    for (unsigned i = 0; i < steps; i++) {
        struct viewer *viewer = &viewers[chance(2)];
        unsigned what = chance(8);
        if (what == 0)
            run("op(%u, %u)", chance(20) ? often[chance(sizeof often)] : seldom[chance(sizeof seldom)], chance(1000));
        else if (what <= 2)
            act(viewer);
        else if (what <= 4 && viewer->up.tail - viewer->up.head > chance(patience))
            deliver_up(viewer);
        else
            for (int k = 0; k < 6 && viewer->down.tail - viewer->down.head > chance(patience); k++)
                deliver_down(viewer);
        if (viewer->up.tail - viewer->up.head > 200 || i % 4000 == 3999) come_to_rest();
    }
    come_to_rest();
    /* The last look may itself have sent something: when garbage is collected is nobody's promise. */
    for (int i = 0; i < 2; i++)
        for (char *frame; (frame = dequeue(&viewers[i].down));)
            ls_free(frame);
}

static void r1_every_edit_reaches_the_object_that_was_seen_or_is_refused(void **state)
{
    edits = refusals = 0;
    for (unsigned run = 0; run < RUNS; run++) {
        live(run + 1, STEPS / RUNS);
        if (run + 1 < RUNS) {
            assert_int_equal(site_tear_down(state), 0);
            assert_int_equal(site_set_up(state), 0);
        }
    }
    printf("%u edits, %u of them refused\n", edits, refusals);
    assert_true(edits > STEPS / 20);
    assert_in_range(refusals, 100, edits / 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(r1_every_edit_reaches_the_object_that_was_seen_or_is_refused, site_set_up,
                                        site_tear_down),
    };
    return cmocka_run_group_tests_name("backend rows", tests, NULL, NULL);
}
