/* The main function of a fuzz target without libFuzzer: runs it over the files and folders named, so that the kept
 * corpus is a plain regression test. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay(const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0) return -1;
    if (S_ISDIR(st.st_mode)) {
        struct dirent **names;
        int count = scandir(path, &names, NULL, alphasort), files = 0;
        for (int i = 0; i < count; i++) {
            char child[4096];
            snprintf(child, sizeof child, "%s/%s", path, names[i]->d_name);
            int found = names[i]->d_name[0] == '.' ? 0 : replay(child);
            files = found < 0 ? -1 : files + found;
            free(names[i]);
            if (files < 0) break;
        }
        free(names);
        return files;
    }
    FILE *file = fopen(path, "rb");
    uint8_t *data = file ? malloc((size_t)st.st_size + 1) : NULL;
    if (!data) return -1;
    size_t size = fread(data, 1, (size_t)st.st_size, file);
    fclose(file);
    printf("%s\n", path); /* ahead of the run, so that the last line of the log names the input that ends the program */
    fflush(stdout);
    LLVMFuzzerTestOneInput(data, size);
    free(data);
    return 1;
}

int main(int argc, char **argv)
{
    int total = 0;
    for (int i = 1; i < argc; i++) {
        int files = replay(argv[i]);
        if (files < 0) {
            fprintf(stderr, "%s cannot be read\n", argv[i]);
            return 1;
        }
        total += files;
    }
    printf("%d inputs\n", total);
    return 0;
}
