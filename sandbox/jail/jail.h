/* SPDX-License-Identifier: Apache-2.0
 * One jail: the place of one tool call. Namespaces of its own (files, processes, network,
 * IPC, names, cgroups, and users where we are not root), a root made of read-only system
 * directories and one writable workspace, no capabilities, two stacked filters, Landlock
 * where the kernel has it, rlimits. Its process 1 is ours; when that ends, the kernel
 * ends everything in it.
 *
 *	launcher -- clone3 --> guard (pid 1): identity, mounts, privileges, limits
 *	                          |           and filters; then it is a function of ours,
 *	                          |           or it reaps
 *	                          `- vfork --> a program
 *
 * Owns: nothing between calls. Never: called by a process with threads (a fork must not
 * inherit their locks). Fails: every step that is refused ends the jail before the tool
 * starts, and names the step. */
#ifndef TB_JAIL_H
#define TB_JAIL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "sandbox/cgroup/cgroup.h"
#include "sandbox/seccomp_jail.h"

enum jail_identity {
	JAIL_USER_NAMESPACE, /* we are an ordinary user: mapped to uid 1000 inside */
	JAIL_SWITCH_UID,     /* we are root: the tenant's own uid */
};

/* What is possible on this machine; found out once. */
struct jail_host {
	enum jail_identity identity;
	uid_t uid; /* our own */
	gid_t gid;
	int landlock;  /* ABI version; 0: none */
	bool has_proc; /* /proc can be mounted in a jail */
	struct jail_filters filters;
};

struct jail_limits {
	uint64_t address_bytes; /* of one process (RLIMIT_AS); 0: none */
	uint64_t file_bytes;    /* of one file */
	uint64_t tmp_bytes;     /* of /tmp */
	uint32_t processes, files, cpu_s;
};

/* Directories of the machine that a jail may read, in these places. */
enum jail_shared {
	JAIL_SKILLS_TENANT, /* /skills/tenant */
	JAIL_SKILLS_NODE,   /* /skills/node */
	JAIL_SHARED__COUNT
};
struct jail_directory {
	const char *path; /* absolute; NULL or "": none */
	dev_t dev;        /* which it must be, or it is left out */
	ino_t ino;
};

struct jail_spec {
	const char *workspace; /* absolute path of a directory */
	dev_t workspace_dev;   /* which it must be, however it got its name */
	ino_t workspace_ino;
	struct jail_directory shared[JAIL_SHARED__COUNT];
	uid_t uid;         /* JAIL_SWITCH_UID: the tenant's; never 0 */
	const char *cwd;   /* in the jail: /workspace or below it */
	char *const *argv; /* a program; NULL: a function of ours */
	char *const *env;
	void (*run)(void *arg); /* ends by returning */
	void *arg;
	int in, out, err; /* the tool's 0, 1, 2; borrowed */
	struct jail_limits limits;
	/* NULL: none. With one its processes are counted by group, else by user. Not of a
	 * spare one, which was born into its group. */
	const struct cgroup_way *group;
};

/* How it ended, or why it did not start: fixed size, written at once to the status pipe.
 */
enum jail_report_kind {
	JAIL_REFUSED = 1, /* text: which step, and the kernel's word */
	JAIL_EXEC_FAILED, /* number: errno of execve */
	JAIL_EXITED,      /* number: status */
	JAIL_SIGNALLED,   /* number: signal */
	JAIL_NO_DIRECTORY /* number: errno of entering cwd */
};
struct jail_report {
	uint32_t kind;
	int32_t number;
	uint64_t user_us, system_us, rss_peak_bytes; /* of all that was reaped */
	char text[200];
};

struct jail {
	pid_t guard;
	int pidfd;       /* readable when all of it is gone; closed by jail_free */
	int status;      /* pipe with reports; the last one counts */
	int orders;      /* of a spare one: where it waits for its spec; else -1 */
	bool is_program; /* its guard says how it ended; else the guard is the tool */
};

/* Probes the machine; compiles the filters. Dies with one actionable line when jails are
 * impossible here. Blocks for some milliseconds. */
void jail_host_prepare(struct jail_host *h);
/* Whether a jail can live in such a group: starts one that does nothing. If not, why gets
 * the step and the kernel's word. Blocks as above. */
bool jail_group_works(const struct jail_host *h, const struct cgroup_way *g, char *why,
		      size_t why_size);
/* Starts it; 0, or -1 and a sentence in err. Whether the steps inside were refused is in
 * the report. */
int jail_start(const struct jail_host *h, const struct jail_spec *s, struct jail *j,
	       char *err, size_t err_size);
/* A spare one: born, and all done that needs no spec, so that jail_use is quick. It
 * waits; it ends when its orders' other end is closed. 0, or -1 and a sentence in err. */
int jail_birth(const struct jail_host *h, const struct cgroup_way *g, struct jail *j,
	       char *err, size_t err_size);
/* Starts what the spec says in a spare one; the spec's `arg` is a value, not the address
 * of anything. -1: it is gone; jail_kill and jail_wait, and a jail_start, follow. */
int jail_use(struct jail *j, const struct jail_spec *s);
/* Ends everything in it; jail_wait follows. */
void jail_kill(const struct jail *j);
/* After pidfd became readable (else it blocks): reaps it, and says how the tool ended.
 * One that left no report was killed: SIGNALLED by SIGKILL. */
void jail_wait(struct jail *j, struct jail_report *r);

#endif
