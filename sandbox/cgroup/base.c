/* SPDX-License-Identifier: Apache-2.0
 * The directory of a node's groups. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/attr.h"
#include "common/dirs.h"
#include "sandbox/cgroup/cgroup.h"

#define BASE "terabits-"     /* and the node's id: its groups */
#define NODE "terabits-node" /* v2: its own processes */

/* ---- files */

int cgroup_write(int at, const char *file, const char *text)
{
	int fd = openat(at, file, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	ssize_t n = write(fd, text, strlen(text));
	int e = errno;
	close(fd);
	errno = e;
	return n == (ssize_t)strlen(text) ? 0 : -1;
}

int cgroup_read(int at, const char *file, char *out, unsigned size)
{
	int fd = openat(at, file, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	ssize_t n = read(fd, out, size - 1);
	int e = errno;
	close(fd);
	errno = e;
	out[n > 0 ? n : 0] = 0;
	return (int)n;
}

static int open_directory(int at, const char *path)
{
	return openat(at, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static bool lists(const char *text, const char *word)
{
	size_t n = strlen(word);
	for (const char *at = text; (at = strstr(at, word)); at += n)
		if ((at == text || at[-1] == ' ') &&
		    (!at[n] || at[n] == ' ' || at[n] == '\n'))
			return true;
	return false;
}

static void say(struct cgroup_base *b, const char *version, const char *why,
		const char *word)
{
	size_t n = strlen(b->why);
	snprintf(b->why + n, sizeof b->why - n, "%s%s: %s%s%s", n ? "; " : "", version,
		 why, word ? ": " : "", word ? word : "");
}

/* The base in that group; false: the name is too long. */
static bool name_base(const char *own, const char *id, char out[CGROUP_PATH])
{
	int n = snprintf(out, CGROUP_PATH, "%s/" BASE "%s", own, id);
	return n > 0 && n < CGROUP_PATH;
}

/* ---- v2 */

/* NULL, or what is missing of a group that was given to us. */
static const char *look_unified(int home, bool *cpu)
{
	char text[512];
	if (cgroup_read(home, "cgroup.controllers", text, sizeof text) < 0)
		return "its files cannot be read";
	if (!lists(text, "memory") || !lists(text, "pids"))
		return "our group has not the memory and pids controllers";
	*cpu = lists(text, "cpu");
	if (faccessat(home, ".", W_OK, AT_EACCESS) ||
	    faccessat(home, "cgroup.procs", W_OK, AT_EACCESS) ||
	    faccessat(home, "cgroup.subtree_control", W_OK, AT_EACCESS))
		return "our group is not ours to write";
	return NULL;
}

/* The group itself may hold no process when its children have controllers. */
static const char *settle(int home, const char *id, bool *cpu)
{
	char base[CGROUP_NAME], control[CGROUP_NAME + 32];
	snprintf(base, sizeof base, BASE "%s", id);
	snprintf(control, sizeof control, "%s/cgroup.subtree_control", base);
	if ((mkdirat(home, NODE, 0755) && errno != EEXIST) ||
	    cgroup_write(home, NODE "/cgroup.procs", "0"))
		return "a group below ours cannot be made";
	if (cgroup_write(home, "cgroup.subtree_control", "+memory +pids"))
		return errno == EBUSY ? "other processes are in our group"
				      : "its controllers cannot be handed on";
	if (*cpu)
		*cpu = cgroup_write(home, "cgroup.subtree_control", "+cpu") == 0;
	if (mkdirat(home, base, 0755) || cgroup_write(home, control, "+memory +pids"))
		return "a group of jails cannot be made";
	if (*cpu)
		*cpu = cgroup_write(home, control, "+cpu") == 0;
	return NULL;
}

static void unsettle(int home, const char *base)
{
	unlinkat(home, base, AT_REMOVEDIR);
	cgroup_write(home, "cgroup.subtree_control", "-cpu");
	cgroup_write(home, "cgroup.subtree_control", "-memory -pids");
	cgroup_write(home, "cgroup.procs", "0");
	unlinkat(home, NODE,
		 AT_REMOVEDIR); /* refused while we, or another node, are in it */
}

static bool make_unified(const struct cgroup_places *p, const char *id,
			 struct cgroup_base *b)
{
	if (!*p->unified || !name_base(p->unified, id, b->memory)) {
		say(b, "v2", "not mounted", NULL);
		return false;
	}
	int home = open_directory(AT_FDCWD, p->unified);
	const char *why =
		home < 0 ? "our group cannot be opened" : look_unified(home, &b->cpu);
	if (!why && (why = settle(home, id, &b->cpu))) {
		say(b, "v2", why, strerrordesc_np(errno));
		unsettle(home, strrchr(b->memory, '/') + 1);
	} else if (why) {
		say(b, "v2", why, NULL);
	} else {
		b->kind = CGROUP_V2;
		memcpy(b->home, p->unified, sizeof b->home);
		memcpy(b->pids, b->memory, sizeof b->pids);
	}
	if (home >= 0)
		close(home);
	return !why;
}

/* ---- v1 */

static const char *make_one(const char *own, const char *id, const char *file, char *out)
{
	char path[CGROUP_PATH + 64];
	*out = 0;
	if (!*own)
		return "not mounted";
	if (!name_base(own, id, out) || mkdir(out, 0755)) {
		*out = 0;
		return "not writable";
	}
	snprintf(path, sizeof path, "%s/%s", out, file);
	return access(path, W_OK) ? "it has no limits" : NULL;
}

static bool make_v1(const struct cgroup_places *p, const char *id, struct cgroup_base *b)
{
	const char *memory = make_one(p->memory, id, "memory.limit_in_bytes", b->memory);
	const char *pids = memory ? NULL : make_one(p->pids, id, "pids.max", b->pids);
	if (!memory && !pids) {
		b->kind = CGROUP_V1;
		return true;
	}
	say(b, memory ? "v1 memory" : "v1 pids", memory ? memory : pids, NULL);
	if (*b->memory)
		rmdir(b->memory);
	if (*b->pids)
		rmdir(b->pids);
	*b->memory = *b->pids = 0;
	return false;
}

void cgroup_base_make(const struct cgroup_places *p, const char *id,
		      struct cgroup_base *b)
{
	memset(b, 0, sizeof *b);
	if (make_unified(p, id, b) || make_v1(p, id, b))
		b->why[0] = 0;
	else
		b->cpu = false;
}

/* ---- a trial */

/* Its processes but for us and who started us. The topmost group may hold any. */
static bool is_shared(int home)
{
	char text[4096], *at = text, *end;
	if (faccessat(home, "cgroup.type", F_OK, 0) ||
	    cgroup_read(home, "cgroup.procs", text, sizeof text) < 0)
		return false;
	for (long pid; (pid = strtol(at, &end, 10)), end != at; at = end)
		if (pid != getpid() && pid != getppid())
			return true;
	return false;
}

static bool try_unified(const struct cgroup_places *p, struct cgroup_base *b)
{
	const char *why = "not mounted";
	int home = *p->unified ? open_directory(AT_FDCWD, p->unified) : -1;
	if (home >= 0) {
		why = look_unified(home, &b->cpu);
		if (!why && is_shared(home))
			why = "other processes are in our group";
		close(home);
	}
	if (why)
		say(b, "v2", why, NULL);
	else
		b->kind = CGROUP_V2;
	return !why;
}

void cgroup_base_try(const struct cgroup_places *p, struct cgroup_base *b)
{
	char id[24];
	memset(b, 0, sizeof *b);
	snprintf(id, sizeof id, "try-%d", (int)getpid());
	if (try_unified(p, b))
		return;
	b->cpu = false;
	if (make_v1(p, id, b))
		cgroup_base_remove(b, 100);
}

/* ---- the end */

static void end_processes(int at, const char *name)
{
	char path[CGROUP_PATH], text[8192], *p = text, *end;
	snprintf(path, sizeof path, "%s/cgroup.kill", name);
	if (cgroup_write(at, path, "1") == 0)
		return;
	snprintf(path, sizeof path, "%s/cgroup.procs", name);
	if (cgroup_read(at, path, text, sizeof text) <= 0)
		return;
	for (long pid; (pid = strtol(p, &end, 10)) > 0; p = end)
		kill((pid_t)pid, SIGKILL);
}

/* True: none of its groups is left, or only kept ones; *kept says that. */
static bool sweep(const char *path, bool (*is_kept)(void *, const char *), void *arg,
		  bool *kept)
{
	DIR *d = dir_open(AT_FDCWD, path);
	bool clean = true;
	if (!d)
		return errno == ENOENT;
	int fd = dirfd(d);
	for (const struct dirent *e; (e = readdir(d));) {
		if (e->d_type != DT_DIR || e->d_name[0] == '.')
			continue;
		if (is_kept && is_kept(arg, e->d_name)) {
			*kept = true;
		} else if (unlinkat(fd, e->d_name, AT_REMOVEDIR)) {
			end_processes(fd, e->d_name);
			clean &= unlinkat(fd, e->d_name, AT_REMOVEDIR) == 0;
		}
	}
	closedir(d);
	return clean;
}

static bool is_ours(const char *path)
{
	const char *name = strrchr(path, '/');
	return name && !strncmp(name + 1, BASE, strlen(BASE)) && strcmp(name + 1, NODE);
}

bool cgroup_base_sweep(const struct cgroup_base *b, bool (*is_kept)(void *, const char *),
		       void *arg)
{
	bool kept = false, clean = true;
	const char *const paths[] = {b->memory, b->pids};
	for (size_t i = 0; i < ARRAY_LEN(paths); i++)
		if (is_ours(paths[i]))
			clean &= sweep(paths[i], is_kept, arg, &kept);
	for (size_t i = 0; i < ARRAY_LEN(paths) && clean && !kept && !is_kept; i++)
		if (is_ours(paths[i]) && rmdir(paths[i]))
			clean &= errno == ENOENT;
	return clean;
}

bool cgroup_base_remove(const struct cgroup_base *b, int patience_ms)
{
	const struct timespec pause = {.tv_nsec = 5000000};
	bool gone;
	for (int ms = 0; !(gone = cgroup_base_sweep(b, NULL, NULL)) && ms < patience_ms;
	     ms += 5)
		nanosleep(&pause, NULL);
	int home = *b->home ? open_directory(AT_FDCWD, b->home) : -1;
	if (home < 0)
		return gone;
	unsettle(home, strrchr(b->memory, '/') + 1);
	close(home);
	return gone;
}
