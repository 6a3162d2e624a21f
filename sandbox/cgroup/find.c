/* SPDX-License-Identifier: Apache-2.0
 * From /proc/self/cgroup (in which group) and mountinfo (where groups are). */
#include <stdio.h>
#include <string.h>

#include "sandbox/cgroup/cgroup.h"

#define LINE 4096

static bool has_word(const char *list, const char *word)
{
	size_t n = strlen(word);
	for (const char *at = list; (at = strstr(at, word)); at += n)
		if ((at == list || at[-1] == ',') && (!at[n] || at[n] == ','))
			return true;
	return false;
}

/* Our group in the hierarchy of that controller (NULL: v2), as the kernel calls it. */
static bool own_group(const char *proc, const char *controller, char *out)
{
	char path[CGROUP_PATH], line[LINE];
	bool found = false;
	snprintf(path, sizeof path, "%s/cgroup", proc);
	FILE *f = fopen(path, "re");
	while (f && !found && fgets(line, sizeof line, f)) {
		char *names = strchr(line, ':'),
		     *group = names ? strchr(++names, ':') : NULL;
		if (!group)
			continue;
		*group++ = 0;
		group[strcspn(group, "\n")] = 0;
		found = (controller ? has_word(names, controller) : !*names) &&
			strlen(group) < CGROUP_PATH && !strstr(group, "/..");
		if (found)
			strcpy(out, group);
	}
	if (f)
		fclose(f);
	return found;
}

/* The group below what of the hierarchy is mounted; NULL: it is not. */
static const char *below(const char *group, const char *root)
{
	size_t n = strcmp(root, "/") ? strlen(root) : 0;
	if (strncmp(group, root, n) || (group[n] && group[n] != '/'))
		return NULL;
	return strcmp(group + n, "/") ? group + n : "";
}

static void find(const char *proc, const char *controller, char *out)
{
	char path[CGROUP_PATH], line[LINE], group[CGROUP_PATH];
	*out = 0;
	snprintf(path, sizeof path, "%s/mountinfo", proc);
	FILE *f = own_group(proc, controller, group) ? fopen(path, "re") : NULL;
	while (f && !*out && fgets(line, sizeof line, f)) {
		char root[1024], where[1024], type[32], options[1024];
		char *rest = strstr(line, " - ");
		if (!rest ||
		    sscanf(line, "%*s %*s %*s %1023s %1023s", root, where) != 2 ||
		    sscanf(rest, " - %31s %*s %1023s", type, options) != 2 ||
		    strcmp(type, controller ? "cgroup" : "cgroup2") ||
		    (controller && !has_word(options, controller)))
			continue;
		const char *rel = below(group, root);
		if (rel && strlen(where) + strlen(rel) < CGROUP_PATH - CGROUP_NAME)
			sprintf(out, "%s%s", where, rel);
	}
	if (f)
		fclose(f);
}

void cgroup_find(const char *proc, struct cgroup_places *p)
{
	find(proc, NULL, p->unified);
	find(proc, "memory", p->memory);
	find(proc, "pids", p->pids);
}
