/* lsess new: a new site folder from a template that travels in the program (cli.md C1, C6). */
#include "command.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/bytes.h"
#include "base/json.h"
#include "base/text.h"
#include "files/embed.h"
#include "files/fspath.h"

#define SITES       "templates/sites/"
#define DEFINITIONS "lua/meta/"

static const struct option options[] = {
    {.name = "template", .letter = 't', .value = "T", .help = "which template (default: blank)"},
    {.name = "list", .letter = 'l', .help = "name the templates"},
    {.name = "json", .help = "with --list: print JSON"},
    {0},
};

/* The template that an embedded file belongs to: its name in *len bytes, NULL for other files. */
static const char *template_of(const struct ls_embed *file, size_t *len)
{
    if (!ls_has_prefix(file->name, SITES)) return NULL;
    const char *name = file->name + strlen(SITES);
    *len = strcspn(name, "/");
    return name[*len] != '\0' ? name : NULL;
}

/* The first line of prose in a template's README says what it is: no heading, code or table; without its emphasis
 * marks. */
static void describe(const char *name, size_t len, struct ls_buf *out)
{
    struct ls_buf path = LS_BUF_INIT;
    ls_buf_printf(&path, SITES "%.*s/README.md", (int)len, name);
    const struct ls_embed *file = ls_embed_find(ls_buf_text(&path));
    struct ls_bytes *bytes = file ? ls_embed_read(file) : NULL;
    ls_buf_clear(out);
    for (const char *at = ls_bytes_data(bytes); *at != '\0';) {
        size_t line = strcspn(at, "\n");
        if (line && !strchr("#<!|` \t", *at)) {
            for (size_t i = 0; i < line; i++)
                if (at[i] != '*' && at[i] != '`') ls_buf_char(out, at[i]);
            break;
        }
        at += line + (at[line] == '\n');
    }
    ls_bytes_unref(bytes);
    ls_buf_release(&path);
}

static void list_templates(bool json)
{
    size_t count, len, last_len = 0;
    const char *last = NULL;
    const struct ls_embed *all = ls_embed_all(&count);
    struct ls_buf text = LS_BUF_INIT, out = LS_BUF_INIT;
    for (size_t i = 0; i < count; i++) {
        const char *name = template_of(&all[i], &len);
        if (!name || (last && len == last_len && memcmp(name, last, len) == 0)) continue;
        last = name;
        last_len = len;
        describe(name, len, &text);
        if (!json) {
            printf("%-12.*s %s\n", (int)len, name, ls_buf_text(&text));
            continue;
        }
        ls_json_open(&out, NULL, '{');
        ls_json_put_string(&out, "name", name, len);
        ls_json_put_str(&out, "summary", ls_buf_text(&text));
        ls_buf_char(&out, '}');
    }
    if (json) printf("[%s]\n", ls_buf_text(&out));
    ls_buf_release(&text);
    ls_buf_release(&out);
}

/* 0 = there is such a template; else a usage error, with the name that may have been meant. */
static int find_template(const struct command *command, const char *name)
{
    size_t count, len;
    const struct ls_embed *all = ls_embed_all(&count);
    char near[64] = "";
    for (size_t i = 0; i < count; i++) {
        const char *other = template_of(&all[i], &len);
        if (!other) continue;
        char whole[64];
        snprintf(whole, sizeof whole, "%.*s", (int)len, other);
        if (strcmp(name, whole) == 0) return STATUS_DONE;
        if (*near == '\0' && ls_text_near(name, whole)) snprintf(near, sizeof near, "%s", whole);
    }
    if (*near != '\0') return usage_error(command, "there is no template \"%s\"; did you mean %s?", name, near);
    return usage_error(command, "there is no template \"%s\"; --list names them", name);
}

/* 1 = may be filled (absent or empty), 0 = holds something, -1 = is no folder. */
static int may_fill(const char *dir)
{
    struct stat info;
    if (lstat(dir, &info) != 0) return 1;
    if (stat(dir, &info) || !S_ISDIR(info.st_mode)) return -1;
    DIR *items = opendir(dir);
    if (!items) return -1;
    int empty = 1;
    for (struct dirent *item; (item = readdir(items));)
        if (strcmp(item->d_name, ".") != 0 && strcmp(item->d_name, "..") != 0) empty = 0;
    closedir(items);
    return empty;
}

static int make_parents(char *path)
{
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        int failed = mkdir(path, 0777) && errno != EEXIST;
        *slash = '/';
        if (failed) return -1;
    }
    return 0;
}

static int write_file(const char *dir, const char *name, const struct ls_embed *file)
{
    struct ls_buf path = LS_BUF_INIT;
    struct ls_bytes *bytes = ls_embed_read(file);
    ls_path_join(&path, dir, name);
    int fd = -1, result = -1;
    if (bytes && !ls_buf_failed(&path) && make_parents(path.data) == 0)
        fd = open(path.data, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd >= 0) {
        result = write(fd, ls_bytes_data(bytes), ls_bytes_len(bytes)) == (ssize_t)ls_bytes_len(bytes) ? 0 : -1;
        if (close(fd) != 0) result = -1;
    }
    if (result) complain(STATUS_FAILED, "%s cannot be written: %s", ls_buf_text(&path), strerror(errno));
    ls_bytes_unref(bytes);
    ls_buf_release(&path);
    return result;
}

/* Lines `lua/tasks.lua -> ../apps/tasks/app.lua` of the template's file .links: archives of files cannot hold links
 * themselves. */
static int make_links(const char *dir, const struct ls_embed *file)
{
    struct ls_bytes *bytes = ls_embed_read(file);
    struct ls_buf name = LS_BUF_INIT, target = LS_BUF_INIT, path = LS_BUF_INIT;
    int result = bytes ? 0 : -1;
    for (const char *at = ls_bytes_data(bytes); *at != '\0' && !result;) {
        size_t line = strcspn(at, "\n");
        const char *arrow = memmem(at, line, " -> ", 4);
        if (arrow && *at != '#') {
            ls_buf_clear(&name);
            ls_buf_clear(&target);
            ls_buf_add(&name, at, (size_t)(arrow - at));
            ls_buf_add(&target, arrow + 4, (size_t)(at + line - arrow - 4));
            ls_path_join(&path, dir, ls_buf_text(&name));
            if (make_parents(path.data) != 0 || symlink(ls_buf_text(&target), path.data) != 0) {
                complain(STATUS_FAILED, "the link %s cannot be made: %s", ls_buf_text(&path), strerror(errno));
                result = -1;
            }
        }
        at += line + (at[line] == '\n');
    }
    ls_bytes_unref(bytes);
    ls_buf_release(&name);
    ls_buf_release(&target);
    ls_buf_release(&path);
    return result;
}

static int fill(const char *dir, const char *template)
{
    size_t count, len;
    const struct ls_embed *all = ls_embed_all(&count), *links = NULL;
    for (size_t i = 0; i < count; i++) {
        const char *name = template_of(&all[i], &len);
        if (name && strlen(template) == len && memcmp(name, template, len) == 0) {
            if (strcmp(name + len + 1, ".links") == 0)
                links = &all[i];
            else if (write_file(dir, name + len + 1, &all[i]) != 0)
                return -1;
        } else if (ls_has_prefix(all[i].name, DEFINITIONS)) {
            /* what an editor needs to know session and ui (.luarc.json points there) */
            struct ls_buf path = LS_BUF_INIT;
            ls_buf_printf(&path, ".lsess/meta/%s", all[i].name + strlen(DEFINITIONS));
            int failed = write_file(dir, ls_buf_text(&path), &all[i]);
            ls_buf_release(&path);
            if (failed) return -1;
        }
    }
    return links ? make_links(dir, links) : 0;
}

/* A name as a shell takes it. */
static void print_word(const char *word)
{
    if (word[strspn(word, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-./+,:@%")] == '\0') {
        fputs(word, stdout);
        return;
    }
    putchar('\'');
    for (; *word != '\0'; word++) {
        if (*word == '\'')
            fputs("'\\''", stdout);
        else
            putchar(*word);
    }
    putchar('\'');
}

static int run(const struct command *command, int argc, char **argv)
{
    const char *dir = NULL, *template = "blank";
    bool list = false, json = false;
    struct words words = {.what = "folder", .items = &dir, .most = 1};
    const struct target targets[] = {{.name = "", .words = &words},
                                     {.name = "template", .text = &template},
                                     {.name = "list", .flag = &list},
                                     {.name = "json", .flag = &json}};
    int status = arguments_take(command, argc, argv, targets);
    if (status >= 0) return status;
    if (list) {
        list_templates(json);
        return STATUS_DONE;
    }
    if (!dir || *dir == '\0') return usage_error(command, "name the folder to make");
    if (find_template(command, template) != STATUS_DONE) return STATUS_USAGE;
    int free_folder = may_fill(dir);
    if (free_folder < 0) return complain(STATUS_FAILED, "%s is there already and is no folder", dir);
    if (free_folder == 0) return complain(STATUS_FAILED, "%s is there already and not empty; choose another name", dir);
    if (fill(dir, template) != 0) return STATUS_FAILED;
    printf("%s is ready. Now run:\n\n  cd ", dir);
    if (*dir == '-') fputs("./", stdout);
    print_word(dir);
    puts("\n  lsess serve --watch");
    return STATUS_DONE;
}

const struct command command_new = {.name = "new",
                                    .operands = "NAME",
                                    .summary = "Make a new site folder from a template",
                                    .options = options,
                                    .run = run};
