/* SPDX-License-Identifier: Apache-2.0
 * Reading it, and making the first. */
#include "proto/keys/master_key.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/attr.h"
#include "common/alloc.h"

#define FILE_MOST 8192

int master_path(const char *setting, const char *state_dir, char *path, size_t size)
{
	const char *credentials = getenv("CREDENTIALS_DIRECTORY");
	if (*setting) {
		snprintf(path, size, "%s", setting);
		return 0;
	}
	if (credentials && *credentials) {
		snprintf(path, size, "%s/terabits-master-key", credentials);
		if (!access(path, F_OK))
			return 0;
	}
	snprintf(path, size, "%s/secrets/provider_master", state_dir);
	return 1;
}

/* ---- making */

/* What root makes belongs to whom the directory belongs to: the node is not root. */
static int give(int fd, const char *path)
{
	struct stat st;
	AUTO(auto_free) char *dir = xstrdup(path);
	char *slash = strrchr(dir, '/');
	if (geteuid() != 0 || !slash)
		return 0;
	*slash = 0;
	return stat(*dir ? dir : "/", &st) || fchown(fd, st.st_uid, st.st_gid);
}

static int write_key(int fd)
{
	uint8_t secret[CRYPTO_BOX_KEY];
	char line[2 * CRYPTO_BOX_KEY + 2];
	crypto_random(secret, sizeof secret);
	crypto_hex(secret, sizeof secret, line);
	line[sizeof line - 2] = '\n';
	int rv =
		write(fd, line, sizeof line - 1) != (ssize_t)sizeof line - 1 || fsync(fd);
	crypto_wipe(secret, sizeof secret);
	crypto_wipe(line, sizeof line);
	return rv;
}

int master_make(const char *path)
{
	char fresh[4200];
	if (!access(path, F_OK))
		return 0;
	if (snprintf(fresh, sizeof fresh, "%s.XXXXXX", path) >= (int)sizeof fresh) {
		errno = ENAMETOOLONG;
		return -1;
	}
	AUTO(auto_close) int fd = mkostemp(fresh, O_CLOEXEC);
	if (fd < 0)
		return -1;
	int rv = fchmod(fd, 0600) || give(fd, fresh) || write_key(fd) ||
		 (link(fresh, path) && errno != EEXIST); /* another was quicker */
	int why = errno;
	unlink(fresh);
	errno = why;
	return rv ? -1 : 0;
}

/* ---- reading */

/* 0: the line counts for nothing; -1: it is wrong. */
static int take_line(struct master_keys *out, struct slice line)
{
	line = slice_trim(line);
	if (!line.n || line.p[0] == '#')
		return 0;
	if (out->count == MASTER_KEYS_MOST ||
	    !crypto_unhex(line, out->secrets + out->count * CRYPTO_BOX_KEY,
			  CRYPTO_BOX_KEY))
		return -1;
	out->count++;
	return 1;
}

static int parse(struct master_keys *out, struct slice text, const char *path, char *err,
		 size_t size)
{
	int number = 0;
	while (text.n) {
		number++;
		if (take_line(out, slice_cut(&text, '\n')) < 0) {
			snprintf(err, size,
				 "%s: line %d is no master key: write 64 hex digits a "
				 "line (openssl rand -hex 32), at most %u lines",
				 path, number, MASTER_KEYS_MOST);
			return -1;
		}
	}
	if (out->count)
		return 0;
	snprintf(err, size, "%s holds no master key: write 64 hex digits", path);
	return -1;
}

int master_read(const char *path, struct master_keys *out, char *err, size_t size)
{
	char text[FILE_MOST];
	struct stat st;
	*out = (struct master_keys){0};
	AUTO(auto_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 || fstat(fd, &st) ? -1 : read(fd, text, sizeof text);
	if (n < 0) {
		snprintf(err, size, "the master key file %s cannot be read: %s", path,
			 strerror(errno));
		return -1;
	}
	if (st.st_mode & 07) {
		crypto_wipe(text, sizeof text);
		snprintf(err, size,
			 "the master key file %s is open to everybody: chmod 600", path);
		return -1;
	}
	int rv = parse(out, slice_of(text, (size_t)n), path, err, size);
	crypto_wipe(text, sizeof text);
	if (rv)
		master_wipe(out);
	return rv;
}

void master_public(const struct master_keys *m, uint8_t public_key[CRYPTO_BOX_KEY])
{
	crypto_sealed_public(m->secrets, public_key);
}

void master_wipe(struct master_keys *m)
{
	crypto_wipe(m, sizeof *m);
}
