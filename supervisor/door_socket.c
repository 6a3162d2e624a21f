/* SPDX-License-Identifier: Apache-2.0
 * A socket is made under another name, closed to everybody, gets its owner and mode, and
 * takes its place by a rename: at no time is there one that too many may use, or none. */
#include "supervisor/door_socket.h"

#include <errno.h>
#include <grp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/config.h"
#include "common/die.h"
#include "common/listen.h"

#define BACKLOG 4096
#define DYING_TRIES 20

static struct sockaddr_un name_of(const char *path)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	snprintf(a.sun_path, sizeof a.sun_path, "%s", path);
	return a;
}

/* Whether somebody listens there. */
static bool is_alive(const char *path)
{
	struct sockaddr_un a = name_of(path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	bool alive = fd >= 0 && (connect(fd, (void *)&a, sizeof a) == 0 ||
				 (errno != ECONNREFUSED && errno != ENOENT));
	if (fd >= 0)
		close(fd);
	return alive;
}

static void check_place(const char *path)
{
	struct stat st;
	if (lstat(path, &st)) {
		if (errno == ENOENT)
			return;
		fatal("TERABITS_LISTEN: %s cannot be looked at: %s", path,
		      strerror(errno));
	}
	if (!S_ISSOCK(st.st_mode))
		fatal_usage("TERABITS_LISTEN: %s is there and is no socket: it was left "
			    "alone. Remove it, or choose another path",
			    path);
	bool alive = is_alive(path);
	for (int i = 0; alive && i < DYING_TRIES; i++) {
		door_pause();
		alive = is_alive(path);
	}
	if (alive)
		fatal("TERABITS_LISTEN: somebody listens at %s: stop that, or choose "
		      "another path",
		      path);
}

static mode_t mode_of(const struct config *c)
{
	char *end;
	unsigned long mode = strtoul(c->socket_mode, &end, 8);
	if (*end || mode > 0777 || (mode & 0600) != 0600)
		fatal_usage("TERABITS_SOCKET_MODE: '%s' is no mode such as 0660",
			    c->socket_mode);
	return (mode_t)mode;
}

static gid_t group_of(const struct config *c, gid_t own)
{
	if (!*c->socket_group)
		return own;
	const struct group *g = getgrnam(c->socket_group);
	if (!g)
		fatal_usage("TERABITS_SOCKET_GROUP: there is no group '%s'",
			    c->socket_group);
	return g->gr_gid;
}

static int bind_closed(const char *path)
{
	struct sockaddr_un a = name_of(path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	mode_t mask = umask(0777);
	int rv = fd < 0 ? -1 : bind(fd, (void *)&a, sizeof a);
	int why = errno;
	umask(mask);
	if (rv)
		fatal("cannot listen at %s: %s. Choose a path in a directory of the "
		      "node's user",
		      path, strerror(why));
	return fd;
}

int door_socket_listen(const struct config *c, const char *path, uid_t uid, gid_t gid)
{
	char fresh[LISTEN_PATH_MOST + 8];
	mode_t mode = mode_of(c);
	gid_t group = group_of(c, gid);
	check_place(path);
	snprintf(fresh, sizeof fresh, "%s.new", path);
	unlink(fresh); /* of a start that was cut short */
	int fd = bind_closed(fresh);
	if ((uid != geteuid() || group != getegid()) && chown(fresh, uid, group))
		fatal("%s cannot be given to group %u (%s): start as root, or as a "
		      "member of TERABITS_SOCKET_GROUP",
		      path, (unsigned)group, strerror(errno));
	if (chmod(fresh, mode) || listen(fd, BACKLOG) || rename(fresh, path))
		fatal("cannot listen at %s: %s", path, strerror(errno));
	return fd;
}
