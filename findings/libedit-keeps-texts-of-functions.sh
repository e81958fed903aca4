#!/usr/bin/env bash
# libedit never frees the name and the help text of a function that is added with el_set(EL_ADDFN), not even in el_end().
#
# Version: Debian's libedit2 and libedit-dev 3.1-20221030-2 (Debian 12, amd64).
# el_set() is the form of el_wset() for multibyte texts. The library keeps the pointers that it is given, and what el_set() gives it are copies in wide
# characters that nobody owns. el_wset() with literals, which live as long as the program, leaks nothing. So a program that adds functions to many editors, or
# that a leak checker watches, adds them with el_wset().
# Output seen on 2026-11-30: "multibyte 84 bytes an editor, wide 0": what is in use after 1,000 editors with one function more than after 1,000 without,
# for a name of 5 and a help text of 9 letters.
#
# Exits 0 while this is so, 1 when it has changed, 2 when it could not be tried. Needs apt-get, gcc, and the libraries that libedit2 depends on.
set -u
version=3.1-20221030-2
folder=$(mktemp -d) || exit 2
trap 'rm -rf "$folder"' EXIT
cd "$folder" || exit 2

apt-get download -qq "libedit2=$version" "libedit-dev=$version" >/dev/null 2>&1 || { echo "the packages $version are not to be had here"; exit 2; }
for package in ./*.deb; do dpkg -x "$package" root || exit 2; done

cat >editors.c <<'C'
#include <histedit.h>
#include <malloc.h>
#include <stdio.h>
#include <wchar.h>

static unsigned char nothing(EditLine *editor, int key)
{
    (void)editor, (void)key;
    return CC_NORM;
}

static long kept(int form)
{
    long before = (long)mallinfo2().uordblks;
    for (int i = 0; i < 1000; i++) {
        EditLine *editor = el_init("editors", stdin, stdout, stderr);
        if (!editor)
            return -1;
        if (form == 1)
            el_set(editor, EL_ADDFN, "hello", "say hello", nothing);
        else if (form == 2)
            el_wset(editor, EL_ADDFN, L"hello", L"say hello", nothing);
        el_end(editor);
    }
    return ((long)mallinfo2().uordblks - before) / 1000;
}

int main(void)
{
    kept(0); /* what the first editor brings for all */
    long none = kept(0);
    printf("multibyte %ld bytes an editor, wide %ld\n", kept(1) - none, kept(2) - none);
    return 0;
}
C
libraries=$(dirname "$(find root -name 'libedit.so.2*' | head -1)")
gcc -Iroot/usr/include editors.c -o editors -L"$libraries" "$(find "$libraries" -name 'libedit.so.2*' | head -1)" || exit 2
seen=$(LD_LIBRARY_PATH=$libraries TERM=dumb ./editors </dev/null 2>/dev/null)
echo "$seen"
[[ "$seen" =~ ^multibyte\ [1-9][0-9]*\ bytes\ an\ editor,\ wide\ 0$ ]]
