/* SPDX-License-Identifier: Apache-2.0
 * terabitsd: the supervisor of a node. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/alloc.h"
#include "common/clock.h"
#include "common/crypto.h"
#include "common/die.h"
#include "common/fault.h"
#include "common/log.h"
#include "common/loop.h"
#include "proto/chan.h"
#include "supervisor/admin.h"
#include "supervisor/children.h"
#include "supervisor/door.h"
#include "supervisor/expiry.h"
#include "supervisor/groups.h"
#include "supervisor/identity.h"
#include "supervisor/inquiries.h"
#include "supervisor/journal.h"
#include "supervisor/lease.h"
#include "supervisor/live.h"
#include "supervisor/master.h"
#include "supervisor/runs.h"
#include "supervisor/sup.h"
#include "supervisor/webhooks.h"
#include "supervisor/trash.h"
#include "supervisor/workers.h"

#define NODE_RUNNING 10000
#define CLOSE_MS 2000 /* to unlink sockets; milliseconds as a rule */

static void on_stop(void *sup, int signo)
{
	(void)signo;
	sup_drain(sup);
}

/* Certificates are renewed while the node runs. */
static void on_hangup(void *sup, int signo)
{
	static uint32_t beat;
	struct sup *s = sup;
	char why[512];
	(void)signo;
	if (!door_reload(&s->door, why, sizeof why)) {
		log_error("tls-reload-failed",
			  "message=\"%s: the old certificate stays\"", why);
		return;
	}
	struct wire_tls_changed m = {.beat = ++beat};
	log_info("tls-reload", "edges=%ld", s->config.edges);
	children_tell(s, ROLE_EDGE, WIRE_TLS_CHANGED, &m);
}

static void on_child(void *sup, int signo)
{
	(void)signo;
	children_reap(sup);
}

static void on_tick(void *arg)
{
	struct sup *s = arg;
	sup_step(s, &(struct lq_event){.kind = LQ_TICK, .now_us = sup_db_now_us(s)});
}

static void on_second(void *arg)
{
	struct sup *s = arg;
	pace_tick(&s->pace, clock_mono_us(), s->runs_accepted, s->runs_ended);
	sup_tell_edges(s, NULL); /* a slow journal comes and goes by time alone */
	loop_timer_start(s->second, 1000000);
}

/* The time for a polite end is over: first of the runs, then of the children. */
static void on_drain_limit(void *arg)
{
	struct sup *s = arg;
	if (s->state == SUP_DRAINING)
		sup_drain(s);
	else
		children_kill(s);
}

/* Ours, or nobody's: who owns it could put other sockets in their place. */
static void make_directory(const char *path, mode_t mode)
{
	struct stat st;
	if (mkdir(path, mode) && errno != EEXIST)
		fatal("the directory %s cannot be made: %s. Set TERABITS_RUNTIME_DIR to "
		      "a writable one",
		      path, strerror(errno));
	if (lstat(path, &st) || !S_ISDIR(st.st_mode) || st.st_uid != getuid())
		fatal("%s is not a directory of uid %u: set TERABITS_RUNTIME_DIR to one",
		      path, (unsigned)getuid());
	if (access(path, W_OK | X_OK))
		fatal("the directory %s is not writable for uid %u", path,
		      (unsigned)getuid());
}

static void choose_directories(struct sup *s)
{
	const char *given = s->config.runtime_dir;
	/* Of who started us: root's is closed to the node's user. */
	const char *xdg = !s->was_root ? getenv("XDG_RUNTIME_DIR") : NULL;
	char links[80];
	if (*given)
		snprintf(s->runtime_dir, sizeof s->runtime_dir, "%s", given);
	else if (xdg && *xdg && strlen(xdg) < 40)
		snprintf(s->runtime_dir, sizeof s->runtime_dir, "%s/terabits", xdg);
	else
		snprintf(s->runtime_dir, sizeof s->runtime_dir, "/tmp/terabits-%u",
			 (unsigned)getuid());
	make_directory(s->runtime_dir, 0711);
	snprintf(links, sizeof links, "%s/l", s->runtime_dir);
	make_directory(links, 0700);
	if (*s->config.binaries_dir) {
		snprintf(s->binaries, sizeof s->binaries, "%s", s->config.binaries_dir);
		return;
	}
	ssize_t n = readlink("/proc/self/exe", s->binaries, sizeof s->binaries - 1);
	if (n <= 0)
		fatal("/proc is not mounted: it is needed");
	s->binaries[n] = 0;
	*strrchr(s->binaries, '/') = 0;
}

static void check_programs(const struct sup *s)
{
	static const char *const programs[] = {"terabits-edge", "terabits-worker",
					       "terabits-launcher", "terabits-sweep"};
	char path[4200];
	for (size_t i = 0; i < ARRAY_LEN(programs); i++) {
		snprintf(path, sizeof path, "%s/%s", s->binaries, programs[i]);
		if (access(path, X_OK))
			fatal_usage("the program %s cannot be run: %s. Set "
				    "TERABITS_BINARIES to where %s is",
				    path, strerror(errno), programs[i]);
	}
}

static void choose_model(struct sup *s)
{
	const struct config *c = &s->config;
	if (*c->model)
		snprintf(s->model, sizeof s->model, "%s", c->model);
	else if (*c->openai_api_key || *c->openai_base_url)
		snprintf(s->model, sizeof s->model, "openai/%s", c->openai_model);
	else
		snprintf(s->model, sizeof s->model, "offline/rules");
}

static void set_up(struct sup *s)
{
	struct lq_limits limits = {.node_running = NODE_RUNNING,
				   .node_waiting = LIMIT_NODE_WAITING,
				   .worker_running = (uint32_t)s->config.worker_runs};
	list_init(&s->children);
	s->node = uuid7_new();
	s->lives = map_new();
	s->loop = loop_new();
	s->started_us = loop_now_us(s->loop);
	s->lq = lq_new(&limits, runs_act, s);
	s->tick = loop_timer_new(s->loop, on_tick, s);
	s->drain_limit = loop_timer_new(s->loop, on_drain_limit, s);
	s->second = loop_timer_new(s->loop, on_second, s);
	s->workers = workers_new(s);
	s->told_accepting = true;
	sup_step(s, &(struct lq_event){.kind = LQ_HOLD});    /* until the lease is won */
	s->db_offset_us = clock_real_us() - clock_boot_us(); /* until the database said */
	loop_hook(s->loop, LOOP_STEPS, sup_look, s);
	loop_hook(s->loop, LOOP_CONNECTIONS, live_go_on, s);
	loop_signal(s->loop, SIGTERM, on_stop, s);
	loop_signal(s->loop, SIGINT, on_stop, s);
	loop_signal(s->loop, SIGCHLD, on_child, s);
	if (s->door.tls >= 0)
		loop_signal(s->loop, SIGHUP, on_hangup, s);
	signal(SIGPIPE, SIG_IGN);
}

int main(int argc, char **argv)
{
	static struct sup s;
	if (argc > 1) {
		printf("%s %s: the supervisor of a Terabits node. Settings come from the "
		       "environment:\n",
		       argv[0], TB_VERSION);
		config_help(stdout);
		return strcmp(argv[1], "--help") && strcmp(argv[1], "--version") ? 2 : 0;
	}
	log_init("supervisor", LOG_INFO);
	crypto_init();
	fault_init();
	config_load(&s.config);
	if (log_level_parse(s.config.log_level) < 0)
		fatal_usage(
			"TERABITS_LOG_LEVEL: '%s' is none of debug, info, warn, error",
			s.config.log_level);
	if (strcmp(s.config.sandbox_require, "full") &&
	    strcmp(s.config.sandbox_require, "reduced"))
		fatal_usage("TERABITS_SANDBOX_REQUIRE: '%s' is none of full, reduced",
			    s.config.sandbox_require);
	log_init("supervisor", (enum log_level)log_level_parse(s.config.log_level));
	setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
	identity_find(&s);
	door_open(&s.door, &s.config, s.uid, s.gid); /* low ports are for root alone */
	groups_delegate(&s);
	identity_settle(&s);
	prctl(PR_SET_DUMPABLE, 0); /* secrets of children pass through this memory */
	choose_directories(&s);
	choose_model(&s);
	check_programs(&s);
	AUTO(auto_free) char *conninfo = sup_conninfo(&s, "tb_supervisor");
	master_start(&s);
	set_up(&s);
	s.admin = admin_open(&s);
	s.groups = groups_new(&s);
	children_new(&s);
	trash_empty(&s); /* what an earlier life left of it */
	lease_start(&s);
	s.journal = journal_new(&s, conninfo);
	s.expiry = expiry_new(&s);
	s.inquiries = inquiries_new(&s);
	s.webhooks = webhooks_new(&s);
	loop_timer_start(s.second, 1000000);
	loop_run(s.loop);
	inquiries_free(s.inquiries);
	webhooks_free(s.webhooks);
	admin_close(s.admin);
	groups_free(s.groups);
	door_close(&s.door);
	config_wipe(&s.config);
	if (!chan_wait_closed(CLOSE_MS))
		log_warn("link-not-closed",
			 "message=\"a child's socket could not be closed in %d ms; left "
			 "so\"",
			 CLOSE_MS);
	log_info("node-stopped", "ended=%llu", (unsigned long long)s.runs_ended);
	return 0;
}
