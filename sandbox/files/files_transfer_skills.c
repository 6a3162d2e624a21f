/* SPDX-License-Identifier: Apache-2.0
 * The skills of a jail: its workspace's, its tenant's, the node's. */
#include <fcntl.h>

#include "common/alloc.h"
#include "common/attr.h"
#include "sandbox/files/files_roots.h"
#include "sandbox/files/files_skills.h"
#include "sandbox/files/files_transfer_io.h"

void transfer_skills(struct files_transfer *t)
{
	AUTO(strbuf_fini) struct strbuf text = STRBUF_INIT;
	const int flags = O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	AUTO(auto_close) int tenant = open(FILES_SKILLS_TENANT, flags);
	AUTO(auto_close) int node = open(FILES_SKILLS_NODE, flags);
	const struct files_skill_source sources[] = {
		{"workspace", t->root, FILES_SKILLS_DIR,
		 FILES_ROOT_NAME "/" FILES_SKILLS_DIR},
		{"tenant", tenant, "", FILES_SKILLS_TENANT},
		{"node", node, "", FILES_SKILLS_NODE}};
	strbuf_add_str(&text, "{}\n");
	files_skills_find(sources, ARRAY_LEN(sources), json_get(t->args, "allowed"),
			  &text);
	strbuf_add_char(&text, '\n');
	transfer_give(t->out, strbuf_slice(&text));
}
