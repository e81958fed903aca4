/* lsess check: what is wrong with a site, without serving it (cli.md C1, C6). */
#include "command.h"

#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/json.h"
#include "base/log.h"
#include "check/check.h"
#include "files/fspath.h"

static const struct option options[] = {{.name = "json", .help = "print a JSON array of findings"}, {0}};

struct printing {
    bool json;
    size_t count;
};

static void print_json(const struct ls_finding *finding, size_t before)
{
    struct ls_buf out = LS_BUF_INIT;
    ls_buf_str(&out, before ? ",\n{" : "[{");
    ls_json_put_str(&out, "file", finding->file);
    ls_json_put_int(&out, "line", finding->line);
    ls_json_put_str(&out, "message", finding->message);
    if (finding->other_file) {
        ls_json_open(&out, "related", '{');
        ls_json_put_str(&out, "file", finding->other_file);
        ls_json_put_int(&out, "line", finding->other_line);
        ls_buf_char(&out, '}');
    }
    ls_buf_char(&out, '}');
    fputs(ls_buf_text(&out), stdout);
    ls_buf_release(&out);
}

static void print_place(const char *file, int line)
{
    show(stdout, file, strlen(file));
    if (line > 0) printf(":%d", line);
}

static void found(void *ctx, const struct ls_finding *finding)
{
    struct printing *printing = ctx;
    if (printing->json) {
        print_json(finding, printing->count++);
        return;
    }
    printing->count++;
    print_place(finding->file, finding->line);
    fputs(": ", stdout);
    show(stdout, finding->message, strlen(finding->message));
    if (finding->other_file) {
        printf(" (");
        print_place(finding->other_file, finding->other_line);
        printf(")");
    }
    putchar('\n');
}

static const char *plural(size_t count)
{
    return count == 1 ? "" : "s";
}

static void print_counts(const struct ls_check_counts *counts)
{
    size_t wrong = counts->findings;
    FILE *out = wrong > 0 ? stderr : stdout;
    fprintf(out, "%zu Lua file%s, %zu view%s: ", counts->lua_files, plural(counts->lua_files), counts->views,
            plural(counts->views));
    if (wrong > 0)
        fprintf(out, "%zu thing%s wrong\n", wrong, wrong == 1 ? " is" : "s are");
    else
        fputs("nothing is wrong\n", out);
}

static int check(const char *dir, bool json)
{
    LS_ERR(err);
    struct ls_site site = {0};
    struct ls_buf lua = LS_BUF_INIT;
    struct ls_check_counts counts;
    struct printing printing = {.json = json};
    int status = STATUS_DONE;
    site.root = ls_path_real(dir, &err);
    if (!site.root || !ls_is_dir(site.root)) {
        status = complain(STATUS_FAILED, site.root ? "%s is no folder" : "there is no folder %s", dir);
        goto out;
    }
    /* What `lsess serve` would not serve is not fine either. */
    if (!has_any(site.root, (const char *const[]){"html", "lua", "viewdefs", "apps", NULL})) {
        status = complain(STATUS_FAILED, "%s is not a site: it has no html/, lua/, viewdefs/ or apps/", dir);
        goto out;
    }
    ls_path_join(&lua, site.root, "lua");
    site.lua_dir = ls_buf_detach(&lua, NULL);
    struct ls_check_config config = {
        .site = &site, .memory_limit = UINT64_C(256) << 20, .time_limit_ms = 5000, .ctx = &printing, .found = found};
    if (!site.lua_dir || ls_check_site(&config, &counts, &err)) {
        status = complain(STATUS_FAILED, "%s",
                          ls_err_text(&err)[0] != '\0' ? ls_err_text(&err) : "out of memory while checking");
        goto out;
    }
    if (json)
        puts(printing.count ? "]" : "[]");
    else
        print_counts(&counts);
    if (counts.findings) status = STATUS_FAILED;
out:
    ls_free(site.root);
    ls_free(site.lua_dir);
    ls_buf_release(&lua);
    return status;
}

static int run(const struct command *command, int argc, char **argv)
{
    const char *dir = ".";
    bool json = false;
    struct words words = {.what = "folder", .items = &dir, .most = 1};
    const struct target targets[] = {{.name = "", .words = &words}, {.name = "json", .flag = &json}};
    int status = arguments_take(command, argc, argv, targets);
    if (status >= 0) return status;
    ls_log_open(&(struct ls_log_config){.verbosity = -1}, NULL); /* findings say it; the log would say it twice */
    return check(dir, json);
}

const struct command command_check = {
    .name = "check",
    .operands = "[DIR]",
    .summary = "Check a site without serving it",
    .options = options,
    .more =
        "Prints `file:line: message` for each finding and exits 1 if there is any: Lua that does not compile, requires\n"
        "that find nothing, view files that are malformed, paths that name no field or method of their type after\n"
        "main.lua has run once, views nothing can show, two files with one key.",
    .run = run};
