/* SPDX-License-Identifier: Apache-2.0
 * Which skills there are: folders with a SKILL.md, below the directories of some sources,
 * the one that counts most first. What a jail's function finds, for a run's session and
 * for who asks what an agent would get.
 *
 * Never: follows a link, blocks on a pipe, or looks at more than its limits. */
#ifndef TB_FILES_SKILLS_H
#define TB_FILES_SKILLS_H

#include "common/json.h"
#include "common/strbuf.h"

#define FILES_SKILL_FILE "SKILL.md"
#define FILES_SKILL_BYTES (256u << 10) /* of a SKILL.md */
#define FILES_SKILLS_DEPTH 6           /* folders between a source and a SKILL.md */
#define FILES_SKILLS_SOURCE_MOST 200   /* of one source */

struct files_skill_source {
	const char *name; /* "workspace" */
	int root;         /* a directory; -1: there is no such source */
	const char *dir;  /* of the skills in it; "": itself */
	const char *path; /* how that is named in a jail */
};

/* Adds one JSON object:
 *
 *	{"skills":[{"name","description","location","source","sha256"}], by name
 *	 "hidden":[{"name","location","source","by"}], by which location it is
 *	 "notAllowed":[{"name","location","source"}], "missing":[name],
 *	 "refused":[{"location","source","why"}], "refusedMore":n,
 *	 "sources":[name of those that are there], "leftOut":n, "unfinished":true}
 *
 * allowed: names, the final set; absent or null: all. Blocks. */
void files_skills_find(const struct files_skill_source *sources, size_t count,
		       json_t allowed, struct strbuf *out);

#endif
