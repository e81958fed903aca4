#!/usr/bin/env bash
# civetweb answers a request with more than 64 header fields as if it had only the first 64.
#
# Version: Debian's libcivetweb1 and libcivetweb-dev 1.15+dfsg-4 (Debian 12, amd64).
# A request with more fields than the program can hold might be expected to be refused (431), as a request is whose header has too many bytes. It is
# served: num_headers is 64, and mg_get_header() knows no field behind the 64th. So a program that decides by whether a field is there must
# count too: fewer than 64 fields is the only answer that says that all were read.
# Output seen on 2026-11-30: "status 200 fields 64 first there last missing" for 69 fields of the test and curl's own.
#
# Exits 0 while this is so, 1 when it has changed, 2 when it could not be tried. Needs apt-get, gcc, curl.
set -u
version=1.15+dfsg-4
folder=$(mktemp -d) || exit 2
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null; rm -rf "$folder"' EXIT
cd "$folder" || exit 2

apt-get download -qq "libcivetweb1=$version" "libcivetweb-dev=$version" >/dev/null 2>&1 || { echo "the packages $version are not to be had here"; exit 2; }
for package in ./*.deb; do dpkg -x "$package" root || exit 2; done

cat >count.c <<'C'
#include <civetweb.h>
#include <stdio.h>

static const char *look(struct mg_connection *connection, const char *field)
{
    return mg_get_header(connection, field) ? "there" : "missing";
}

static int answer(struct mg_connection *connection, void *unused)
{
    (void)unused;
    mg_printf(connection, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nfields %d first %s last %s",
              mg_get_request_info(connection)->num_headers, look(connection, "X-Field-1"), look(connection, "X-Field-69"));
    return 200;
}

int main(void)
{
    const char *options[] = {"listening_ports", "127.0.0.1:0", "num_threads", "1", NULL};
    struct mg_server_port port;
    struct mg_context *context = mg_start(NULL, NULL, options);
    if (!context || mg_get_server_ports(context, 1, &port) != 1)
        return 1;
    mg_set_request_handler(context, "/", answer, NULL);
    printf("%d\n", port.port);
    fflush(stdout);
    getchar(); /* until the end of the input */
    mg_stop(context);
    return 0;
}
C
libraries=$(dirname "$(find root -name 'libcivetweb.so.1*' | head -1)")
gcc -Iroot/usr/include count.c -o count -L"$libraries" "$(find "$libraries" -name 'libcivetweb.so.1*' | head -1)" || exit 2

mkfifo input port
LD_LIBRARY_PATH=$libraries ./count <input >port &
server=$!
exec 3>input
read -r number <port || exit 2

fields=()
for i in {1..69}; do fields+=(-H "X-Field-$i: value"); done
seen=$(curl -s --max-time 10 -w ' status %{http_code}' "${fields[@]}" "http://127.0.0.1:$number/")
seen="status ${seen##* } ${seen% status *}"
exec 3>&-
wait "$server"
server=
echo "$seen"
[ "$seen" = 'status 200 fields 64 first there last missing' ]
