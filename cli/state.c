/* SPDX-License-Identifier: Apache-2.0
 * Files of the state directory: read whole, written by a temporary file, fsync and
 * rename. */
#include "cli/state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/report.h"
#include "common/alloc.h"
#include "common/attr.h"
#include "common/crypto.h"
#include "common/strbuf.h"

char *state_path(const char *directory, const char *name)
{
	struct strbuf b = STRBUF_INIT;
	strbuf_printf(&b, "%s/%s", directory, name);
	return b.p;
}

void state_forget(char **secret)
{
	if (*secret)
		crypto_wipe(*secret, strlen(*secret));
	free(*secret);
	*secret = NULL;
}

/* ---- reading */

char *state_read(const char *directory, const char *name)
{
	char text[STATE_TEXT_MAX + 1];
	AUTO(auto_free) char *path = state_path(directory, name);
	AUTO(auto_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;
	if (n < 0 && errno != ENOENT)
		report("%s cannot be read: %s", path, strerror(errno));
	if (n <= 0)
		return NULL;
	text[n] = 0;
	struct slice line = slice_trim(slice_of(text, strcspn(text, "\r\n")));
	char *copy = line.n ? xstrndup(line.p, line.n) : NULL;
	crypto_wipe(text, sizeof text);
	return copy;
}

/* ---- writing */

static int refuse(const char *path, const char *what)
{
	report("%s cannot be %s: %s. Nothing was changed; make it writable for uid %u, "
	       "or "
	       "set TERABITS_STATE_DIR to a directory that is",
	       path, what, strerror(errno), (unsigned)geteuid());
	return -1;
}

/* The directory and what is missing above it. */
static int make_directories(char *path)
{
	for (char *p = path + 1; (p = strchr(p, '/')); p++) {
		*p = 0;
		int rv = mkdir(path, 0755);
		*p = '/';
		if (rv && errno != EEXIST)
			return -1;
	}
	return mkdir(path, 0700) && errno != EEXIST ? -1 : 0;
}

static int write_all(int fd, struct slice text)
{
	while (text.n) {
		ssize_t n = write(fd, text.p, text.n);
		if (n < 0 && errno != EINTR)
			return -1;
		text.p += n > 0 ? n : 0;
		text.n -= n > 0 ? (size_t)n : 0;
	}
	return fsync(fd);
}

/* What root makes belongs to whom the directory above belongs to: the node is not root.
 */
static int give_to_owner(int fd, const char *path)
{
	struct stat st;
	const char *slash = strrchr(path, '/');
	AUTO(auto_free) char *parent = xstrndup(path, (size_t)(slash - path));
	if (geteuid() != 0)
		return 0;
	return stat(*parent ? parent : "/", &st) || fchown(fd, st.st_uid, st.st_gid);
}

/* A whole temporary file; -1 with errno. */
static int write_new(const char *path, struct slice text)
{
	if (unlink(path) && errno != ENOENT) /* of one that was killed here */
		return -1;
	AUTO(auto_close)
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	return fd < 0 || fchmod(fd, 0600) || give_to_owner(fd, path) ||
			       write_all(fd, text)
		       ? -1
		       : 0;
}

/* A rename lasts when its directory is on disk. */
static int sync_parent(const char *path)
{
	const char *slash = strrchr(path, '/');
	AUTO(auto_free) char *parent = xstrndup(path, (size_t)(slash - path));
	AUTO(auto_close)
	int fd = open(*parent ? parent : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 || fsync(fd) ? -1 : 0;
}

int state_write(const char *directory, const char *name, struct slice text)
{
	AUTO(auto_free) char *path = state_path(directory, name);
	struct strbuf fresh = STRBUF_INIT;
	strbuf_printf(&fresh, "%s.new", path);
	int rv = write_new(fresh.p, text) || rename(fresh.p, path) || sync_parent(path);
	if (rv) {
		report("%s cannot be written: %s", path, strerror(errno));
		unlink(fresh.p);
	}
	strbuf_fini(&fresh);
	return rv ? -1 : 0;
}

/* By a file that nobody else has, for others may prove it at the same time, and that a
 * kill does not leave behind. */
static int prove_writable(const char *directory)
{
	AUTO(auto_free) char *probe = state_path(directory, ".probe.XXXXXX");
	AUTO(auto_close) int fd = mkostemp(probe, O_CLOEXEC);
	return fd < 0 || unlink(probe) ? -1 : write_all(fd, SLICE("probe\n"));
}

static int make_secrets(const char *path)
{
	if (mkdir(path, 0700))
		return errno != EEXIST;
	AUTO(auto_close)
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 || give_to_owner(fd, path);
}

int state_prepare(const char *directory)
{
	struct stat st;
	AUTO(auto_free) char *own = xstrdup(directory);
	AUTO(auto_free) char *secrets = state_path(directory, "secrets");
	if (make_directories(own))
		return refuse(directory, "made");
	if (prove_writable(directory))
		return refuse(directory, "written to");
	if (make_secrets(secrets))
		return refuse(secrets, "made");
	if (stat(secrets, &st) || ((st.st_mode & 077) && chmod(secrets, 0700)))
		return refuse(secrets, "closed to others");
	return prove_writable(secrets) ? refuse(secrets, "written to") : 0;
}
