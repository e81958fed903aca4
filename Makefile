# lsess: one non-recursive Makefile. `make help` names the targets.
#
#   B=build      where everything made goes (objects, program, screenshots, figures)
#   DEV=1        warnings are errors                 SAN=1  address + undefined behaviour sanitizers
#   TSAN=1       thread sanitizer                    V=1    show commands
#   LUA=checked  link a Lua with assertions, built from Debian's sources
#   CFLAGS, LDFLAGS, CC, PREFIX and DESTDIR are respected; ours are added to them.

VERSION = 0.1.0
B ?= build
PREFIX ?= /usr/local
DESTDIR ?=
CFLAGS ?= -g

# Ground floor first: a room includes and calls only rooms to its left (make check-layers).
ROOMS = base syntax files tracker vm model resolver reload console session protocol viewdef backend check executor hotload sessions front http server

WARNINGS = -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wformat=2 -Wno-sign-conversion
# Files on the hot path of an event are compiled for speed, the others for size; CFLAGS come later and win.
FAST = $(addprefix lib/base/,buf% map% idmap% json% clock% text%) lib/syntax/% $(addprefix lib/tracker/,changes% detect% find% tree% tracker% var%) lib/backend/compose% \
  $(addprefix lib/resolver/,resolver% window% slots% raw% value% objects% viewlist% record% reach%) lib/vm/gate% lib/protocol/outgoing% lib/reload/rule% lib/model/snapshot% lib/front/frames% lib/front/loop% lib/protocol/parse% tests/%
optimize = $(if $(filter $(FAST),$(1)),-O2,-Oz)

# The system's Lua; with LUA=checked one that is built here from Debian's sources, which `.ci/deps check` has fetched, and that checks its callers and itself.
ifeq ($(LUA),checked)
LUA_CFLAGS = -Itests/.lua/src
LUA_LIBS = $(CHECKED_LUA) -ldl
CHECKED_LUA = $(B)/liblua.a
else
LUA_CFLAGS ?= -I/usr/include/lua5.4
LUA_LIBS ?= -llua5.4
endif

OURS = -std=gnu11 $(WARNINGS) -Ilib $(LUA_CFLAGS) -D_GNU_SOURCE -DLS_VERSION='"$(VERSION)"' -pthread -MMD -MP
LIBS = $(LUA_LIBS) -lcivetweb -linotifytools -lz -lm
ifeq ($(DEV),1)
OURS += -Werror
endif
ifeq ($(SAN),1)
OURS += -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -DLS_DEBUG=1
LINK_SAN = -fsanitize=address,undefined
endif
ifeq ($(TSAN),1)
OURS += -fsanitize=thread -DLS_DEBUG=1
LINK_SAN = -fsanitize=thread
endif
ifeq ($(SAN)$(TSAN)$(FUZZ_ENGINE),)
# One small file that starts fast: no unwind tables (nothing throws), unused functions left out, relocations packed, no padding to pages between code and
# constants, libraries called without the detour of a procedure linkage table (the resolver calls Lua's functions millions of times), and tables no further
# apart than the ABI asks for, where the compiler can be told so (GCC on x86).
ALIGN := $(shell $(CC) -malign-data=abi -E -x c /dev/null >/dev/null 2>&1 && echo -malign-data=abi)
OURS += -fno-plt -fno-asynchronous-unwind-tables -ffunction-sections -fdata-sections $(ALIGN)
LINK_OURS = -Wl,--gc-sections,-z,noseparate-code,-z,now,-z,pack-relative-relocs,--as-needed
endif
ifneq ($(V),1)
Q = @
say = @printf '  %-6s %s\n' $(1) $(2)
endif

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SECONDARY:

all: $(B)/lsess

# --- the library: an archive a room, so that tests of a room link nothing above it ---

room_sources = $(wildcard lib/$(1)/*.c)
room_objects = $(patsubst %.c,$(B)/%.o,$(call room_sources,$(1)))
ARCHIVES = $(foreach room,$(ROOMS),$(B)/lib$(room).a)

define room_rule
$(B)/lib$(1).a: $$(call room_objects,$(1)) $(if $(filter files,$(1)),$(B)/embed/table.o $(B)/embed/data.o)
	$$(call say,AR,$$@)
	$$(Q)rm -f $$@ && $$(AR) rcs $$@ $$^
endef
$(foreach room,$(ROOMS),$(eval $(call room_rule,$(room))))

# Archives from the highest room down, as the linker wants them.
reverse = $(if $(1),$(call reverse,$(wordlist 2,$(words $(1)),$(1))) $(firstword $(1)))
up_to = $(if $(filter $(1),$(firstword $(2))),$(firstword $(2)),$(firstword $(2)) $(call up_to,$(1),$(wordlist 2,$(words $(2)),$(2))))
archives_of = $(patsubst %,$(B)/lib%.a,$(call reverse,$(call up_to,$(1),$(ROOMS))))
# What each room brings along from outside.
libs_base = -lm
libs_syntax = -lm
libs_files = -lz -lm
libs_tracker = $(libs_files)
libs_session = $(filter-out -lcivetweb -linotifytools,$(LIBS))
libs_protocol = $(libs_session)
libs_viewdef = $(libs_session)
libs_backend = $(libs_session)
libs_check = $(libs_session)
libs_executor = $(libs_session)
libs_hotload = $(libs_session) -linotifytools
libs_sessions = $(libs_hotload)
libs_front = $(libs_session)
libs_http = $(LIBS)
libs_server = $(LIBS)

$(B)/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(OURS) $(call optimize,$<) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<

# --- files that travel inside the program: everything below lua/ and templates/ ---

EMBEDDED := $(sort $(shell find lua templates -type f ! -name '*.d.ts' ! -name '*.md~' ! -name '.*.sw?' 2>/dev/null))

$(B)/mkembed: cmd/mkembed/mkembed.c
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) -std=gnu11 $(WARNINGS) -D_GNU_SOURCE -O2 -o $@ $< -lz

$(B)/embed/names: FORCE
	@mkdir -p $(@D)
	@printf '%s\n' $(EMBEDDED) | cmp -s - $@ || printf '%s\n' $(EMBEDDED) > $@

$(B)/embed/table.c $(B)/embed/data.bin &: $(B)/mkembed $(B)/embed/names $(EMBEDDED)
	$(call say,EMBED,$(B)/embed/data.bin)
	$(Q)$(B)/mkembed $(B)/embed/table.c $(B)/embed/data.bin < $(B)/embed/names

$(B)/embed/table.o: $(B)/embed/table.c
	$(Q)$(CC) $(OURS) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<

$(B)/embed/data.o: $(B)/embed/data.bin
	$(Q)printf '.section .rodata\n.global ls_embed_data\n.balign 16\nls_embed_data:\n.incbin "%s"\n.section .note.GNU-stack,"",@progbits\n' $< \
	  | $(CC) -c -x assembler -o $@ -

# --- a Lua that checks: LUA_USE_APICHECK ends the program where a function of the C API is called with too few values on the stack, a wrong index or a wrong
# type, and LUAI_ASSERT where Lua's own state has been damaged. Debian's library has neither. ---

ifdef CHECKED_LUA
LUA_OBJECTS = $(patsubst tests/.lua/src/%.c,$(B)/lua/%.o,$(filter-out %/lua.c %/luac.c,$(wildcard tests/.lua/src/*.c)))
$(B)/lua/%.o: tests/.lua/src/%.c
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) -std=gnu99 -O1 -g -DLUA_COMPAT_5_3 -DLUA_USE_LINUX -DLUA_USE_APICHECK -DLUAI_ASSERT $(if $(SAN),-fsanitize=address) -MMD -c -o $@ $<
$(CHECKED_LUA): $(LUA_OBJECTS)
	$(call say,AR,$@)
	$(Q)rm -f $@ && $(AR) rcs $@ $^
endif

# --- the program ---

CMD_OBJECTS = $(patsubst %.c,$(B)/%.o,$(wildcard cmd/lsess/*.c))

$(B)/lsess: $(CMD_OBJECTS) $(ARCHIVES) $(CHECKED_LUA)
	$(call say,LINK,$@)
	$(Q)$(CC) $(LINK_SAN) -pthread $(LINK_OURS) $(CFLAGS) $(LDFLAGS) -o $@ $(CMD_OBJECTS) $(call archives_of,server) $(LIBS)

# --- unit tests: tests/unit/test_ROOM[_topic].c is linked with ROOM and the rooms below it ---

T ?=
UNIT_SECONDS ?= 300
JOBS ?= $(shell nproc)
UNIT_SOURCES = $(wildcard tests/unit/test_$(if $(T),$(T)*,*).c)
UNIT_TESTS = $(patsubst tests/unit/%.c,$(B)/unit/%,$(UNIT_SOURCES))
test_room = $(firstword $(subst _, ,$(patsubst test_%,%,$(1))))

.SECONDEXPANSION:
$(B)/unit/%: $(B)/tests/unit/%.o $$(call archives_of,$$(call test_room,$$*)) $(CHECKED_LUA)
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CC) $(LINK_SAN) -pthread $(CFLAGS) $(LDFLAGS) -o $@ $< $(call archives_of,$(call test_room,$*)) \
	  $(libs_$(call test_room,$*)) -lcmocka

unit-programs: $(UNIT_TESTS)

unit: $(UNIT_TESTS)
	@FILE_SECONDS=$(UNIT_SECONDS) JOBS=$(JOBS) bash tests/each.sh $(UNIT_TESTS)

# The long run of what `unit` does for some seconds: everything checked that can be, as many at a time as there are processors.
TORTURE_SAVES ?= 100000
TORTURE_SEED ?= $(shell date +%s)
torture: deps-check
	@$(MAKE) --no-print-directory DEV=1 SAN=1 LUA=checked B=$(B)/torture $(B)/torture/unit/test_session_torture
	@seq $(JOBS) | TORTURE_SAVES=$$(($(TORTURE_SAVES) / $(JOBS))) xargs -P $(JOBS) -I{} env TORTURE_SEED=$(TORTURE_SEED){} $(B)/torture/unit/test_session_torture

# --- benchmark and fuzz programs ---

$(B)/bench/%: $(B)/tests/bench/%.o $(ARCHIVES)
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CC) $(LINK_SAN) -pthread $(CFLAGS) $(LDFLAGS) -o $@ $< $(call archives_of,server) $(LIBS)

bench: deps-check $(B)/lsess $(patsubst tests/bench/%.c,$(B)/bench/%,$(wildcard tests/bench/*.c))
	@B=$(B) node tests/bench/run.mjs $(BENCH)

bench-browser: deps-check $(B)/lsess
	@B=$(B) node tests/bench/run.mjs browser

# Needs a `wstest` that runs, which is not installed by deps-check.
autobahn: $(B)/bench/echo_front
	@B=$(B) bash tests/bench/autobahn.sh

FUZZ_SECONDS ?= 60
SOAK_SECONDS ?= 60
FUZZ_TARGETS = $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
fuzz: deps-check
	@B=$(B) MAKE="$(MAKE)" FUZZ_OTHERS=$(FUZZ_OTHERS) bash tests/fuzz/run.sh $(FUZZ_SECONDS) $(FUZZ_TARGETS)

# Built by run.sh below folders of their own: FUZZ_ENGINE=libfuzzer (clang), or replay, which runs the kept inputs again with any compiler.
ifdef FUZZ_ENGINE
ifeq ($(FUZZ_ENGINE),libfuzzer)
CC = clang
OURS += -fsanitize=fuzzer-no-link
LINK_FUZZ = -fsanitize=fuzzer,address,undefined
else
LINK_FUZZ = -fsanitize=address,undefined $(B)/tests/fuzz/replay.o
endif
OURS += -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -DLS_DEBUG=1
$(B)/fuzz_%: $(B)/tests/fuzz/fuzz_%.o $(if $(filter replay,$(FUZZ_ENGINE)),$(B)/tests/fuzz/replay.o) $$(call archives_of,$$(call test_room,$$*)) $(CHECKED_LUA)
	$(call say,LINK,$@)
	$(Q)$(CC) -pthread $(CFLAGS) $(LDFLAGS) -o $@ $< $(LINK_FUZZ) $(call archives_of,$(call test_room,$*)) $(libs_$(call test_room,$*))
endif

# --- what people type ---

deps:
	@.ci/deps build

deps-check:
	@.ci/deps check

demo: deps
	@$(MAKE) --no-print-directory $(B)/lsess
	@exec $(B)/lsess serve --watch templates/sites/contacts

check-layers: $(ARCHIVES)
	@B=$(B) CC="$(CC)" node tests/checks/layers.mjs

check-format:
	@bash tests/checks/format.sh

check-headers:
	@CC="$(CC)" bash tests/checks/headers.sh

# Behind every proxy, with the idle limits that people copy: several minutes.
check-proxies: $(B)/lsess
	@.ci/deps proxies
	@PROXIES='nginx haproxy caddy apache lighttpd' IDLE_LIMIT=30 FILE_SECONDS=1800 LSESS=$(B)/lsess bash tests/each.sh tests/proxies/*.test.js

soak: deps-check $(B)/lsess
	@B=$(B) node tests/soak/soak.mjs $(SOAK_SECONDS)

# What a change is tried with again and again; `check` is all. What only `bench` and `fuzz` link is at least compiled.
quick: $(UNIT_TESTS) $(patsubst %.c,$(B)/%.o,$(wildcard tests/fuzz/*.c tests/bench/*.c))
	@B=$(B) SUITES='layers headers format unit' MAKE="$(MAKE)" bash tests/check.sh

check: deps-check
	@$(MAKE) --no-print-directory DEV=1 $(B)/lsess
	@B=$(B) MAKE="$(MAKE)" bash tests/check.sh

rules:
	@node tests/checks/rules.mjs

install: $(B)/lsess
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/share/man/man1 $(DESTDIR)$(PREFIX)/share/man/man5 $(DESTDIR)$(PREFIX)/share/man/man7
	install -m 755 -s $(B)/lsess $(DESTDIR)$(PREFIX)/bin/lsess
	for page in $(wildcard man/*.[157]); do install -m 644 $$page $(DESTDIR)$(PREFIX)/share/man/man$${page##*.}/; done
	install -D -m 644 cmd/lsess/completion/lsess.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/lsess
	install -D -m 644 cmd/lsess/completion/_lsess $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_lsess
	install -D -m 644 cmd/lsess/completion/lsess.fish $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/lsess.fish

uninstall:
	rm -f $(DESTDIR)$(PREFIX)/bin/lsess
	for page in $(notdir $(wildcard man/*.[157])); do rm -f $(DESTDIR)$(PREFIX)/share/man/man$${page##*.}/$$page; done
	rm -f $(DESTDIR)$(PREFIX)/share/bash-completion/completions/lsess $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_lsess \
	  $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/lsess.fish

# The same archive from the same commit on every machine: names sorted, times of the commit, no owner, no gzip time stamp, none of git's own settings.
dist:
	@mkdir -p $(B)
	git -c tar.umask=0022 -c core.autocrlf=false archive --format=tar --prefix=lsess-$(VERSION)/ -o $(B)/lsess-$(VERSION).tar HEAD
	gzip -n -9 -f $(B)/lsess-$(VERSION).tar
	@echo $(B)/lsess-$(VERSION).tar.gz

clean:
	rm -rf $(B)

help:
	@sed -n '/^#/!q; s/^# \{0,1\}//p' Makefile
	@echo
	@echo '  all            the program, build/lsess'
	@echo '  demo           install what is missing, build, serve the demo site with --watch'
	@echo '  quick          layers, headers, format and unit tests, in less than a minute'
	@echo '  check          install what is missing, run every suite; ends with "N passed, M failed"'
	@echo '  unit T=room    unit tests (of one room); SAN=1 or TSAN=1 with a B= of its own; unit-programs builds them'
	@echo '  bench          all figures and their floors; bench-browser those that need Chromium;'
	@echo '                 BASE=PROGRAM measures the rows of lists beside another build'
	@echo '  fuzz           FUZZ_SECONDS=60 a parser of messages, paths and viewdefs, a third for others'
	@echo '  soak           200 sessions, events, saves and disconnects for SOAK_SECONDS=60'
	@echo '  torture        TORTURE_SAVES=100000 random saves of random sites against a model of the three-way rule'
	@echo '  autobahn       the well-known suite for WebSockets against lib/front alone; WSTEST=PROGRAM runs it'
	@echo '  check-proxies  the program behind nginx, haproxy, Caddy, Apache and lighttpd, idle for 90 s: some minutes'
	@echo '  rules          write tests/RULES.md: what each rule asks for, where it is kept, where it is proved'
	@echo '  check-layers check-headers check-format deps install uninstall dist clean'

FORCE:
.PHONY: all unit unit-programs torture bench bench-browser autobahn fuzz soak deps deps-check demo check-layers check-headers check-format check-proxies quick check rules install uninstall dist clean help FORCE

-include $(shell find $(B) -name '*.d' 2>/dev/null)
