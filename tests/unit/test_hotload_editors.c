/* Editors and tools (hotload.md section 15): each pattern as system calls, and the real tools where they are installed.
 * One save of a loaded file, and of a view file, is one burst with the final text and no report. */
#include "hotload_site.h"

#include <sys/mman.h>
#include <sys/wait.h>

#define OLD "old text, long enough to be seen when only half of it is there\n"
#define NEW "new text, which differs from the old one and is longer than it was before\n"

static const char *beside(const char *file, const char *format) /* `format` has one %s for the base name */
{
    static char ring[4][512];
    static unsigned next;
    char *out = ring[next++ % 4];
    int dir = (int)(ls_path_base(file) - file);
    char name[256];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(name, sizeof name, format, ls_path_base(file));
#pragma GCC diagnostic pop
    snprintf(out, sizeof ring[0], "%.*s%s", dir, file, name);
    return out;
}

static void copy_old(const char *to)
{
    put(to, OLD);
}

static void vim_default(const char *file)
{
    const char *backup = beside(file, "%s~");
    put(beside(file, "4913"), "");
    gone(beside(file, "4913"));
    move(file, backup);
    int fd = open(at("%s", file), O_WRONLY | O_CREAT | O_EXCL, 0644);
    write_all(fd, NEW);
    fsync(fd);
    close(fd);
    chmod(at("%s", file), 0644);
    gone(backup);
}

static void vim_in_place(const char *file)
{
    copy_old(beside(file, "%s~"));
    int fd = open(at("%s", file), O_WRONLY | O_TRUNC);
    write_all(fd, NEW);
    close(fd);
    gone(beside(file, "%s~"));
}

static void emacs(const char *file)
{
    linked("me@host.4711:1700000000", beside(file, ".#%s"));
    put(beside(file, "#%s#"), "half of an auto-save");
    move(file, beside(file, "%s~"));
    put(file, NEW);
    gone(beside(file, "#%s#"));
    gone(beside(file, ".#%s"));
}

static void in_place_in_pieces(const char *file) /* VS Code, nano, shell `>` */
{
    int fd = open(at("%s", file), O_WRONLY | O_TRUNC);
    for (const char *p = NEW; *p; p++)
        if (write(fd, p, 1) != 1) fail();
    close(fd);
}

static void jetbrains(const char *file)
{
    put(beside(file, "%s___jb_tmp___"), NEW);
    move(file, beside(file, "%s___jb_old___"));
    move(beside(file, "%s___jb_tmp___"), file);
    gone(beside(file, "%s___jb_old___"));
}

static void gtk(const char *file) /* also kate */
{
    put(beside(file, ".goutputstream-%s"), NEW);
    move(beside(file, ".goutputstream-%s"), file);
}

static void sed_in_place(const char *file)
{
    put(beside(file, "sedXyZ12"), NEW);
    move(beside(file, "sedXyZ12"), file);
}

static void formatter_at_once(const char *file) /* a second save within the window */
{
    put(file, "not formatted");
    put(file, NEW);
}

static void preserving_copy(const char *file) /* rsync, cp -p, tar, unzip: a modification time of long ago */
{
    struct timespec times[2] = {{1000000000, 0}, {1000000000, 0}};
    const char *temporary = beside(file, ".%s.a1B2c3");
    put(temporary, NEW);
    utimensat(AT_FDCWD, at("%s", temporary), times, 0);
    move(temporary, file);
}

static void copy_over(const char *file) /* cp -p in place: the time is set after the last write */
{
    struct timespec times[2] = {{1000000000, 0}, {1000000000, 0}};
    int fd = open(at("%s", file), O_WRONLY | O_TRUNC);
    write_all(fd, NEW);
    futimens(fd, times);
    close(fd);
}

static void mapped(const char *file) /* no MODIFY at all */
{
    static const char text[] = NEW;
    const char *temporary = beside(file, "%s.tmp");
    put(temporary, NEW);
    move(temporary, file); /* so that the length fits; this alone is a save */
    settle();
    assert_int_equal(bursts(), 1);
    int fd = open(at("%s", file), O_RDWR);
    char *bytes = mmap(NULL, sizeof text - 1, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_ptr_not_equal(bytes, MAP_FAILED);
    bytes[0] = 'N';
    msync(bytes, sizeof text - 1, MS_SYNC);
    munmap(bytes, sizeof text - 1);
    close(fd);
}

static void slow_writer(const char *file)
{
    int fd = open(at("%s", file), O_WRONLY | O_TRUNC);
    write_all(fd, "new text, ");
    int64_t until = ls_now_ns() + ls_ms(60);
    while (ls_now_ns() < until)
        sched_yield();
    write_all(fd, NEW + strlen("new text, "));
    close(fd);
}

static void unlink_and_create(const char *file) /* git */
{
    gone(file);
    put(file, NEW);
}

struct pattern {
    const char *name;
    void (*save)(const char *file);
    const char *expected; /* NULL: NEW once */
};

static const struct pattern patterns[] = {
    {"vim, default", vim_default, NULL},
    {"vim on links", vim_in_place, NULL},
    {"emacs", emacs, NULL},
    {"VS Code, nano, shell", in_place_in_pieces, NULL},
    {"JetBrains", jetbrains, NULL},
    {"GTK, kate", gtk, NULL},
    {"sed -i, perl -i", sed_in_place, NULL},
    {"formatter within the window", formatter_at_once, NULL},
    {"rsync, tar", preserving_copy, NULL},
    {"cp -p", copy_over, NULL},
    {"slow writer", slow_writer, NULL},
    {"unlink and create", unlink_and_create, NULL},
};

/* A save in several steps is rightly taken for two where the one who saves, or the hot loader, did not get a turn for
 * longer than the windows of H23 between them: then it is done again. */
enum { TRIES = 5 };

static void again(const char *file, const char *text)
{
    put(file, text);
    news();
    forget_log();
}

static void one_save(const char *file, const char *shown, const char *name, void (*save)(const char *file))
{
    char wanted_text[512];
    const char *text = "";
    snprintf(wanted_text, sizeof wanted_text, "%s=%s", shown, NEW);
    for (int tries = 0; tries < TRIES && strcmp(text, wanted_text); tries++) {
        again(file, OLD);
        save(file);
        text = news();
    }
    if (strcmp(text, wanted_text)) fail_msg("%s: \"%s\" instead of \"%s\"", name, text, wanted_text);
    if (site.log_len) fail_msg("%s: %s", name, site.log);
}

static void test_patterns(void **state) /* every row, for a loaded file, one behind a link, and a view file */
{
    (void)state;
    dirs("../shared");
    put("../shared/m.lua", OLD);
    linked("../../shared/m.lua", "lua/m.lua");
    put("lua/x.lua", OLD);
    site.debounce_ms = -1;
    start();
    loaded(1, "lua/x.lua", "lua/x.lua");
    loaded(1, "../shared/m.lua", "lua/m.lua");
    settle();
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++) {
        one_save("lua/x.lua", "lua/x.lua", patterns[i].name, patterns[i].save);
        one_save("../shared/m.lua", "../shared/m.lua", patterns[i].name, patterns[i].save);
        one_save("viewdefs/T.D.html", "@viewdefs/T.D.html", patterns[i].name, patterns[i].save);
    }
}

static void test_mapped(void **state) /* memory-mapped writers: CLOSE_WRITE alone */
{
    (void)state;
    put("lua/x.lua", OLD);
    site.debounce_ms = -1;
    start();
    mapped("lua/x.lua");
    settle();
    assert_int_equal(bursts(), 2);
    assert_int_equal(ls_bytes_data(site.bursts[1]->files[0].text)[0], 'N');
}

static void test_formatter_later(void **state) /* a second save after the window: two reloads */
{
    (void)state;
    start();
    put("lua/x.lua", "raw");
    expect("lua/x.lua=raw");
    put("lua/x.lua", "formatted");
    expect("lua/x.lua=formatted");
}

/* --- the tools themselves --- */

static bool have(const char *tool)
{
    char command[128];
    snprintf(command, sizeof command, "command -v %s >/dev/null 2>&1", tool);
    if (system(command) == 0) return true;
    print_message("[  NOTE  ] %s: skipped, not installed\n", tool);
    return false;
}

__attribute__((format(printf, 1, 2))) static void run(const char *format, ...)
{
    char command[2048];
    int len = snprintf(command, sizeof command, "cd '%s' && ", site.root);
    va_list args;
    va_start(args, format);
    vsnprintf(command + len, sizeof command - (size_t)len, format, args);
    va_end(args);
    int status = system(command);
    if (status) fail_msg("status %d: %s", status, command);
}

/* `command` turns "old" into "new" in the file; one burst. */
static void tool(const char *name, const char *command, const char *file)
{
    char wanted_text[256];
    bool view = strstr(file, ".html") != NULL;
    if (!have(name)) return;
    const char *text = "";
    snprintf(wanted_text, sizeof wanted_text, "%s%s=return 'new'\n", view ? "@" : "", file);
    for (int tries = 0; tries < TRIES && strcmp(text, wanted_text); tries++) {
        again(file, "return 'old'\n");
        run("%s %s </dev/null >/dev/null 2>&1", command, file);
        text = news();
    }
    if (strcmp(text, wanted_text)) fail_msg("%s: \"%s\" instead of \"%s\"", command, text, wanted_text);
    if (site.log_len) fail_msg("%s: %s", command, site.log);
}

static void test_tools(void **state)
{
    (void)state;
    static const char *const files[] = {"lua/x.lua", "viewdefs/T.D.html"};
    put("lua/x.lua", "");
    site.debounce_ms = -1;
    start();
    loaded(1, "lua/x.lua", "lua/x.lua");
    settle();
    for (size_t i = 0; i < 2; i++) {
        tool("vim", "vim -N -u NONE -i NONE -n -es -c '%s/old/new/' -c wq", files[i]);
        tool("vim", "vim -N -u NONE -i NONE -es -c 'set backup backupcopy=yes' -c '%s/old/new/' -c wq", files[i]);
        tool("vim", "vim -N -u NONE -i NONE -es -c 'set backup backupcopy=no' -c '%s/old/new/' -c wq", files[i]);
        tool("sed", "sed -i s/old/new/", files[i]);
        tool("perl", "perl -pi -e s/old/new/", files[i]);
        tool("perl", "perl -pi.bak -e s/old/new/", files[i]);
        tool("sh", "sh -c 'sed s/old/new/ \"$0\" >.t && cat .t >\"$0\"'", files[i]);
        tool("cp", "sh -c 'sed s/old/new/ \"$0\" >.t && touch -d 2001-01-01 .t && cp -p .t \"$0\"'", files[i]);
        tool("rsync", "sh -c 'sed s/old/new/ \"$0\" >.t && touch -d 2001-01-01 .t && rsync -t .t \"$0\"'", files[i]);
        tool(
            "emacs",
            "emacs -Q --batch --eval '(progn (find-file (car command-line-args-left)) (replace-string \"old\" \"new\") (save-buffer))'",
            files[i]);
        tool("ed", "sh -c 'printf \"%s\\n\" 1s/old/new/ w q | ed -s \"$0\"'", files[i]);
    }
    if (!have("nano")) return; /* interactive: its pattern is among those above */
}

static void test_touch(void **state) /* attributes only: no reload */
{
    (void)state;
    put("lua/x.lua", "x");
    start();
    loaded(1, "lua/x.lua", "lua/x.lua");
    settle();
    run("chmod 600 lua/x.lua && chown $(id -u) lua/x.lua && touch -c -h -d 2001-01-01 lua/x.lua");
    expect("");
    /* opens the file for writing: the same text is handed over, and sessions leave it alone (H35) */
    run("touch lua/x.lua");
    expect("lua/x.lua=x");
}

static void test_ln_sfn(void **state) /* H17 with the tool itself */
{
    (void)state;
    put("apps/one.lua", "one");
    put("apps/two.lua", "two");
    run("ln -s ../apps/one.lua lua/x.lua");
    start();
    loaded(1, "apps/one.lua", "lua/x.lua");
    settle();
    run("ln -sfn ../apps/two.lua lua/x.lua");
    expect("apps/one.lua>apps/two.lua=two");
}

/* Files of a branch: `mark` tells the branches apart. */
static void write_branch(const char *mark)
{
    char name[64];
    dirs("apps/fleet");
    for (int i = 0; i < 14; i++) {
        snprintf(name, sizeof name, i < 3 ? "apps/fleet/m%d.lua" : "lua/m%d.lua", i);
        put(name, mark);
    }
    for (int i = 0; i < 20; i++) {
        snprintf(name, sizeof name, "viewdefs/T%d.D.html", i);
        put(name, mark);
    }
}

static size_t handed_over(const char *mark)
{
    size_t files = 0;
    settle();
    for (; site.looked < bursts(); site.looked++) {
        const struct ls_burst *burst = site.bursts[site.looked];
        for (size_t i = 0; i < burst->file_count; i++)
            files += burst->files[i].text && strcmp(ls_bytes_data(burst->files[i].text), mark) == 0;
        for (size_t i = 0; i < burst->view_count; i++)
            files += burst->views[i].text && strcmp(ls_bytes_data(burst->views[i].text), mark) == 0;
    }
    return files;
}

static void test_branch_switch(
    void **state) /* timeline D: 14 Lua and 20 view files, apps/fleet/ removed and made again: one burst */
{
    (void)state;
    if (!have("git")) skip();
    run("git init -q . && git config user.email t@example.org && git config user.name t && git checkout -q -b one");
    write_branch("one");
    run("git add -A && git commit -q -m one && git checkout -q -b two");
    write_branch("two");
    run("git add -A && git commit -q -m two && git checkout -q -b bare && git rm -q -r apps/fleet && git commit -q -m bare && git checkout -q one");
    start();
    loaded(1, "apps/fleet/m0.lua", "apps/fleet/m0.lua");
    settle();
    run("git checkout -q two");
    settle();
    assert_int_equal(bursts(), 1);
    assert_int_equal(handed_over("two"), 34);
    run("git checkout -q bare && git checkout -q one");
    assert_int_equal(handed_over("one"), 34);
    run("git stash -q -u 2>/dev/null || true");
    put("apps/fleet/m0.lua", "dirty");
    news();
    run("git stash -q");
    assert_int_equal(handed_over("one"), 1);
    run("git stash pop -q");
    assert_int_equal(handed_over("dirty"), 1);
    assert_false(logged("cannot"));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, site_setup, site_teardown)
    const struct CMUnitTest tests[] = {
        T(test_patterns), T(test_mapped), T(test_formatter_later), T(test_tools),
        T(test_touch),    T(test_ln_sfn), T(test_branch_switch),
    };
    return cmocka_run_group_tests_name("hotload: editors", tests, NULL, NULL);
}
