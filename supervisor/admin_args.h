/* SPDX-License-Identifier: Apache-2.0
 * What an operator's request says: its command and its arguments, typed and checked by
 * admin_commands.tbl and admin_args.tbl. Texts borrow from the request's document. */
#ifndef TB_ADMIN_ARGS_H
#define TB_ADMIN_ARGS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/ident.h"
#include "common/json.h"
#include "common/slice.h"

enum {
#define ARG(NAME, word, TYPE, low, high, words) ARG_##NAME,
#include "supervisor/admin_args.tbl"
#undef ARG
	ARG__COUNT
};

struct arg {
	bool given;   /* with a value that is not null */
	bool is_null; /* given as null */
	bool is_number;
	bool flag;
	int64_t number;
	struct slice text; /* of TEXT, WORD and OBJECT, also of a UUID */
	struct uuid uuid;  /* of UUID */
};

struct ask;
struct command {
	const char *name;
	void (*run)(struct ask *a);
	uint32_t needed, allowed; /* bits by ARG_ */
	bool door;                /* edges may give it, too */
};

/* NULL: there is none. */
const struct command *command_find(struct slice name);
/* Reads the request: an object with "cmd" and, if at all, "args". NULL and a sentence
 * that names the member and its rule in err. */
const struct command *command_read(json_t request, struct arg args[ARG__COUNT], char *err,
				   size_t err_size);

#endif
