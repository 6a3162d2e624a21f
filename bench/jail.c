/* SPDX-License-Identifier: Apache-2.0
 * bench_jail WORKSPACE [N]: what a jail costs, beside a bare fork, a bare exec and, where
 * it is installed, bubblewrap. One JSON object: microseconds from the call until all of
 * it is gone, p50 and p95 of N (300) each, all taken in turn so that they share the
 * machine's moods. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/attr.h"
#include "common/clock.h"
#include "common/die.h"
#include "common/log.h"
#include "sandbox/cgroup/cgroup.h"
#include "sandbox/files/files_run.h"
#include "sandbox/jail/jail.h"

#define MOST 10000

static struct jail_host host;
static const char *workspace;
static int null_fd;
static struct jail spare;
static bool has_spare;
static struct cgroup_base base;
static struct cgroup_pool groups;

static void await(pid_t pid)
{
	int how;
	while (waitpid(pid, &how, 0) < 0 && errno == EINTR)
		;
	if (!WIFEXITED(how) || WEXITSTATUS(how))
		fatal("a program that does nothing ended with %d", how);
}

static void bare_fork(void)
{
	pid_t pid = fork();
	if (pid == 0)
		_exit(0);
	await(pid);
}

static void exec_bare(const char *const *argv)
{
	pid_t pid = vfork();
	if (pid == 0) {
		execv(argv[0], (char *const *)(const void *)argv);
		_exit(127);
	}
	await(pid);
}

static void bare_bash(void)
{
	static const char *const argv[] = {"/bin/bash", "-c", "true", NULL};
	exec_bare(argv);
}

static void bubblewrap(void)
{
	static const char *const argv[] = {"/usr/bin/bwrap",
					   "--ro-bind",
					   "/usr",
					   "/usr",
					   "--symlink",
					   "usr/bin",
					   "/bin",
					   "--symlink",
					   "usr/lib",
					   "/lib",
					   "--symlink",
					   "usr/lib64",
					   "/lib64",
					   "--proc",
					   "/proc",
					   "--dev",
					   "/dev",
					   "--tmpfs",
					   "/tmp",
					   "--bind",
					   "/var/empty-workspace",
					   "/workspace",
					   "--chdir",
					   "/workspace",
					   "--unshare-all",
					   "--die-with-parent",
					   "--new-session",
					   "/bin/bash",
					   "-c",
					   "true",
					   NULL};
	const char *mine[ARRAY_LEN(argv)];
	memcpy(mine, argv, sizeof argv);
	for (size_t i = 0; mine[i]; i++)
		if (!strcmp(mine[i], "/var/empty-workspace"))
			mine[i] = workspace;
	exec_bare(mine);
}

/* What a launcher does while nothing is asked of it. */
static void bear_spare(void)
{
	char err[300];
	if (jail_birth(&host, NULL, &spare, err, sizeof err))
		fatal("%s", err);
	has_spare = true;
	usleep(3000); /* until it waits for its orders: it says nothing */
}

static void jail(struct jail_spec *s)
{
	struct stat st;
	struct jail j;
	struct jail_report r;
	char err[300];
	if (stat(workspace, &st))
		fatal("%s: %s", workspace, strerror(errno));
	s->workspace = workspace;
	s->workspace_dev = st.st_dev;
	s->workspace_ino = st.st_ino;
	s->uid = 2000000001;
	s->cwd = "/workspace";
	s->in = s->out = s->err = null_fd;
	s->limits = (struct jail_limits){.file_bytes = 1 << 20,
					 .tmp_bytes = 64 << 20,
					 .processes = 64,
					 .files = 256,
					 .cpu_s = 10};
	if (has_spare) {
		has_spare = false;
		j = spare;
		if (jail_use(&j, s))
			fatal("a spare jail was gone");
	} else if (jail_start(&host, s, &j, err, sizeof err)) {
		fatal("%s", err);
	}
	jail_wait(&j, &r);
	if (r.kind != JAIL_EXITED || r.number)
		fatal("a jail ended with kind %u, %d: %s", r.kind, r.number, r.text);
}

static void list_nothing(void *arg)
{
	struct strbuf out = STRBUF_INIT;
	int fd = open("/workspace", O_PATH | O_DIRECTORY | O_CLOEXEC);
	(void)arg;
	files_answer(FILES_TOOL_list_directory, fd, SLICE("{}"), &out);
	if (!out.n || strstr(out.p, "\"error\""))
		_exit(1);
}

static void jailed_builtin(void)
{
	jail(&(struct jail_spec){.run = list_nothing});
}

static void jailed_bash(void)
{
	static const char *const argv[] = {"/bin/bash", "-c", "true", NULL};
	static const char *const env[] = {"PATH=/usr/bin:/bin", NULL};
	jail(&(struct jail_spec){.argv = (char *const *)(const void *)argv,
				 .env = (char *const *)(const void *)env});
}

/* With limits of its own for all its processes together, as a launcher makes them. */
static void in_group(struct jail_spec s)
{
	struct cgroup_way way;
	struct cgroup_group *g = cgroup_take(&groups, 256 << 20, 64, &way);
	if (!g)
		fatal("no control group: %s", strerror(errno));
	s.group = &way;
	jail(&s);
	cgroup_way_close(&way);
	if (cgroup_ran_out(&groups, g))
		fatal("a jail that does nothing ran out of memory");
	cgroup_give_back(&groups, g);
}

static void grouped_builtin(void)
{
	in_group((struct jail_spec){.run = list_nothing});
}

static void open_groups(void)
{
	struct cgroup_places places;
	cgroup_find("/proc/self", &places);
	*places.unified = 0; /* which would move this process */
	cgroup_base_make(&places, "bench", &base);
	if (cgroup_pool_open(&groups, &base, "0-bench."))
		fatal("the groups cannot be opened: %s", strerror(errno));
}

static struct measure {
	const char *name;
	void (*fn)(void);
	void (*before)(void);
	int64_t us[MOST];
} measures[] = {
	{.name = "fork", .fn = bare_fork},
	{.name = "bash", .fn = bare_bash},
	{.name = "jail_builtin", .fn = jailed_builtin},
	{.name = "group_builtin", .fn = grouped_builtin},
	{.name = "jail_bash", .fn = jailed_bash},
	{.name = "spare_builtin", .fn = jailed_builtin, .before = bear_spare},
	{.name = "spare_bash", .fn = jailed_bash, .before = bear_spare},
	{.name = "bwrap_bash", .fn = bubblewrap},
};

static int by_time(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
	return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
	int n = argc > 2 ? atoi(argv[2]) : 300;
	size_t count = ARRAY_LEN(measures) - (access("/usr/bin/bwrap", X_OK) != 0);
	if (argc < 2 || n < 1 || n > MOST)
		fatal_usage("bench_jail WORKSPACE [N]");
	workspace = argv[1];
	log_init("bench", LOG_ERROR);
	null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	jail_host_prepare(&host);
	open_groups();
	for (int i = 0; i < n; i++)
		for (size_t m = 0; m < count; m++) {
			if (measures[m].fn == grouped_builtin && base.kind == CGROUP_NONE)
				continue; /* which shows as 0 */
			if (measures[m].before)
				measures[m].before();
			int64_t began_us = clock_mono_us();
			measures[m].fn();
			measures[m].us[i] = clock_mono_us() - began_us;
		}
	cgroup_pool_close(&groups);
	if (base.kind != CGROUP_NONE)
		cgroup_base_remove(&base, 1000);
	printf("{");
	for (size_t m = 0; m < count; m++) {
		int64_t *us = measures[m].us;
		qsort(us, (size_t)n, sizeof *us, by_time);
		printf("%s\"%s\":{\"p50_us\":%" PRId64 ",\"p95_us\":%" PRId64 "}",
		       m ? "," : "", measures[m].name, us[n / 2], us[n * 95 / 100]);
	}
	printf("}\n");
	return 0;
}
