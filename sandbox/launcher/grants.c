/* SPDX-License-Identifier: Apache-2.0
 * Grants: as many as a worker has runs, so a list is enough. */
#include "sandbox/launcher/grants.h"

#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"

static struct grant *find(const struct list *grants, uint64_t handle)
{
	list_each (n, grants)
		if (list_entry(n, struct grant, node)->handle == handle)
			return list_entry(n, struct grant, node);
	return NULL;
}

const struct grant *grants_find(const struct list *grants, uint64_t handle)
{
	return find(grants, handle);
}

static void keep(char **at, struct slice path)
{
	free(*at);
	*at = xstrndup(path.n ? path.p : "", path.n);
}

void grants_put(struct list *grants, const struct wire_grant *m)
{
	struct grant *g = find(grants, m->handle);
	if (!g) {
		g = xcalloc(1, sizeof *g);
		list_push(grants, &g->node);
	}
	g->handle = m->handle;
	g->dev = m->dev;
	g->ino = m->ino;
	g->uid = m->uid;
	g->memory_bytes = m->memory_bytes;
	g->file_bytes = m->file_bytes;
	g->processes = m->processes;
	g->timeout_ms = m->timeout_ms;
	g->quota_bytes = m->quota_bytes;
	g->quota_files = m->quota_files;
	memcpy(g->workspace, m->workspace.p, m->workspace.n); /* bounded by the table */
	g->workspace[m->workspace.n] = 0;
	keep(&g->skills_tenant, m->skills_tenant);
	keep(&g->skills_node, m->skills_node);
	g->skills_tenant_dev = m->skills_tenant_dev;
	g->skills_tenant_ino = m->skills_tenant_ino;
	g->skills_node_dev = m->skills_node_dev;
	g->skills_node_ino = m->skills_node_ino;
}

void grants_take(struct list *grants, uint64_t handle)
{
	struct grant *g = find(grants, handle);
	if (!g)
		return;
	list_remove(&g->node);
	free(g->skills_tenant);
	free(g->skills_node);
	free(g);
}
