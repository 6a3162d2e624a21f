/* SPDX-License-Identifier: Apache-2.0
 * A session's skills, as they were pinned: which there are, where, and the hash of each
 * SKILL.md; and how a question's system part tells of them. Pure: the same pin gives the
 * same bytes on every worker. */
#ifndef TB_SKILL_LIST_H
#define TB_SKILL_LIST_H

#include <stddef.h>
#include <stdint.h>

#include "common/json.h"

#define SKILL_LIST_MOST 150     /* skills */
#define SKILL_LIST_CHARS 18000u /* of the list in the prompt */
#define SKILL_LIST_MARK 16

struct skill {
	char *name, *description, *location, *source;
	char sha256[65]; /* of its SKILL.md */
};
struct skill_list {
	int users;
	struct skill *items; /* by name */
	size_t count;
	size_t bytes;     /* of memory */
	int64_t left_out; /* that there were, and are not here */
	/* Around the list in the prompt: who wrote the skills could not know it. */
	char mark[SKILL_LIST_MARK + 1];
};

/* Of what a jail found (sandbox/files/files_skills.h): at most so many, descriptions cut
 * evenly where the list would be too long. With one user: the caller. mark: 16 letters or
 * digits. */
struct skill_list *skill_list_found(json_t found, const char *mark);
/* Of a pin; NULL: it is none. */
struct skill_list *skill_list_read(json_t pin);
/* The pin. */
void skill_list_put(struct json_out *o, const struct skill_list *l);
struct skill_list *skill_list_share(struct skill_list *l);
void skill_list_give_back(struct skill_list *l); /* NULL is fine */
/* The skill whose SKILL.md is there, "/workspace/..."; NULL: none. */
const struct skill *skill_list_at(const struct skill_list *l, struct slice location);
/* What the prompt says of those in `allowed` (absent or null: of all); nothing when there
 * are none. */
void skill_list_text(struct strbuf *out, const struct skill_list *l, json_t allowed);

#endif
