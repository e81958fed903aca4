/* Type names to tables, and instances of them (L129, L130, T67, T74). Owner thread: the session's. */
#ifndef LS_MODEL_TYPES_H
#define LS_MODEL_TYPES_H

#include "vm/vm_internal.h"

enum ls_type_use { LS_TYPE_WRAPPER, LS_TYPE_CREATE, LS_TYPE_ITEM };

/** Push the table that `name` stands for: registered wrappers (LS_TYPE_WRAPPER only), prototypes, presenters, the global of that name, the
 * global reached by splitting at dots. Built-in native types are the resolver's and come before. Nothing found: nothing pushed, false.
 * *presenter (may be NULL) tells whether it came from registerPresenter, and so may lack `new`. Safe: looks at raw fields only. [-0, +(1|0), -] */
bool ls__find_type(struct ls_session *session, const char *name, size_t len, enum ls_type_use use, bool *presenter);
/** Make an object (L130): the type table is on top of the stack with its argument above it; both are popped, the object is pushed.
 * `item` sets viewListItem for a presenter without `new`. @return 0; LS_ENOTFOUND: no `new`, or it gave no table; or as ls__lcall
 * [-2, +(1|0), -] */
int ls__construct(struct ls_session *session, bool presenter, bool item, struct ls_err *err);

/** Take the presenter types and wrappers of a module out of their registries (L52). [-0, +0, m] */
struct ls_module;
LS_RAISES void ls__module_drop_types(struct ls_session *session, lua_State *L, struct ls_module *module);

#endif
