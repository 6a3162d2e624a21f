/* SPDX-License-Identifier: Apache-2.0
 * Temporary file, fsync, rename. */
#include "sandbox/files/files_swap.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "common/alloc.h"
#include "sandbox/files/files_protect.h"

#define PATIENCE 200 /* tries, 10 ms apart, while another call writes this file */

/* FNV-1a: files that share one only wait for each other. */
static uint64_t hash(const char *name)
{
	uint64_t h = 14695981039346656037u;
	for (; *name; name++)
		h = (h ^ (unsigned char)*name) * 1099511628211u;
	return h;
}

static bool is_named(int dir, const char *name, int fd)
{
	struct stat held, now;
	return fstat(fd, &held) == 0 &&
	       fstatat(dir, name, &now, AT_SYMLINK_NOFOLLOW) == 0 &&
	       held.st_dev == now.st_dev && held.st_ino == now.st_ino;
}

/* 0: ours. Else errno; EEXIST and EAGAIN: perhaps later. */
static int make_temp(struct files_swap *s)
{
	s->fd = openat(s->dir, s->temp,
		       O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (s->fd < 0)
		return errno;
	/* Somebody who took it for a left-over may have been faster. */
	if (flock(s->fd, LOCK_EX | LOCK_NB) == 0 && is_named(s->dir, s->temp, s->fd))
		return 0;
	auto_close(&s->fd);
	s->fd = -1;
	return EAGAIN;
}

/* What is about to take the temporary name, beside it: files_swap_adopt. */
#define FRESH_BYTES (sizeof((struct files_swap *)0)->temp + 4)

static void name_fresh(const struct files_swap *s, char fresh[FRESH_BYTES])
{
	snprintf(fresh, FRESH_BYTES, "%s.new", s->temp);
}

/* Whose lock is free has died, or is no file of ours. */
static void take_away_left_over(struct files_swap *s)
{
	AUTO(auto_close)
	int fd = openat(s->dir, s->temp,
			O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0 && (errno == ELOOP || errno == ENXIO))
		unlinkat(s->dir, s->temp, 0);
	if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) || !is_named(s->dir, s->temp, fd))
		return;
	char fresh[FRESH_BYTES];
	name_fresh(s, fresh);
	unlinkat(s->dir, fresh, 0);
	unlinkat(s->dir, s->temp, 0);
}

static bool lock_name(struct files_swap *s, struct files_why *why)
{
	const struct timespec pause = {.tv_nsec = 10000000};
	struct slice real = files_path_real(s->path);
	snprintf(s->temp, sizeof s->temp, FILES_TEMP_PREFIX "%016llx",
		 (unsigned long long)hash(s->name));
	for (int i = 0; i < PATIENCE; i++) {
		int error = make_temp(s);
		if (!error)
			return true;
		errno = error;
		if (error != EEXIST && error != EAGAIN)
			return files_refuse_errno(why, "writing", real);
		take_away_left_over(s);
		if (i)
			nanosleep(&pause, NULL);
	}
	return files_refuse(why,
			    "another call is writing %.*s (its %s is locked); try again",
			    SLICE_ARG(files_path_shown(real)), s->temp);
}

static bool look_at_old(struct files_swap *s, struct files_why *why)
{
	struct slice real = files_path_shown(files_path_real(s->path));
	s->created = fstatat(s->dir, s->name, &s->old, AT_SYMLINK_NOFOLLOW) != 0;
	if (s->created && errno != ENOENT)
		return files_refuse_errno(why, "writing", files_path_real(s->path));
	if (s->created)
		return true;
	if (!S_ISREG(s->old.st_mode))
		return files_refuse(why, "%.*s changes while it is written; try again",
				    SLICE_ARG(real));
	if (!(s->old.st_mode & 0222))
		return files_refuse(why,
				    "%.*s is read-only (mode %04o); it was not changed",
				    SLICE_ARG(real), (unsigned)s->old.st_mode & 07777);
	return true;
}

bool files_swap_begin(struct files_swap *s, const struct files_path *p,
		      struct files_why *why)
{
	*s = FILES_SWAP_INIT;
	s->path = p;
	snprintf(s->name, sizeof s->name, "%.*s", SLICE_ARG(files_path_name(p)));
	s->dir = files_path_for_writing(p, why);
	return s->dir >= 0 && lock_name(s, why) && look_at_old(s, why);
}

bool files_swap_adopt(struct files_swap *s, int fd, struct files_why *why)
{
	char self[40], fresh[FRESH_BYTES];
	snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
	name_fresh(s, fresh);
	bool is_free = unlinkat(s->dir, fresh, 0) == 0 || errno == ENOENT;
	if (is_free && flock(fd, LOCK_EX | LOCK_NB) == 0 &&
	    (linkat(fd, "", s->dir, fresh, AT_EMPTY_PATH) == 0 ||
	     linkat(AT_FDCWD, self, s->dir, fresh, AT_SYMLINK_FOLLOW) == 0)) {
		if (renameat(s->dir, fresh, s->dir, s->temp) == 0) {
			close(s->fd);
			s->fd = fd;
			return true;
		}
		int error = errno;
		unlinkat(s->dir, fresh, 0);
		errno = error;
	}
	return files_refuse_errno(why, "writing", files_path_real(s->path));
}

int files_swap_old(struct files_swap *s, struct files_why *why)
{
	struct stat st;
	int fd = openat(s->dir, s->name,
			O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd >= 0 && fstat(fd, &st) == 0 && st.st_dev == s->old.st_dev &&
	    st.st_ino == s->old.st_ino)
		return fd;
	if (fd < 0 && errno == EACCES)
		files_refuse_errno(why, "reading", files_path_real(s->path));
	else
		files_refuse(why, "%.*s changes while it is read; try again",
			     SLICE_ARG(files_path_shown(files_path_real(s->path))));
	auto_close(&fd);
	return -1;
}

bool files_swap_put(struct files_swap *s, struct slice text, struct files_why *why)
{
	while (text.n) {
		ssize_t n = write(s->fd, text.p, text.n);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return files_refuse_errno(why, "writing",
						  files_path_real(s->path));
		text = slice_of(text.p + n, text.n - (size_t)n);
	}
	return true;
}

static bool is_unchanged(const struct files_swap *s)
{
	struct stat now;
	bool there = fstatat(s->dir, s->name, &now, AT_SYMLINK_NOFOLLOW) == 0;
	if (!there || s->created)
		return there != s->created;
	return now.st_dev == s->old.st_dev && now.st_ino == s->old.st_ino &&
	       now.st_size == s->old.st_size &&
	       /* not that of its text, which a program may set back */
	       now.st_ctim.tv_sec == s->old.st_ctim.tv_sec &&
	       now.st_ctim.tv_nsec == s->old.st_ctim.tv_nsec;
}

static int take_name(const struct files_swap *s)
{
	unsigned flags = s->created ? RENAME_NOREPLACE : 0;
	int rv = renameat2(s->dir, s->temp, s->dir, s->name, flags);
	if (rv && flags && errno == EINVAL) /* a file system that knows no flags */
		rv = renameat2(s->dir, s->temp, s->dir, s->name, 0);
	return rv;
}

/* A new file gets what any program of this user would give it. */
static mode_t mode_of(const struct files_swap *s)
{
	if (!s->created)
		return s->old.st_mode & 0777;
	mode_t mask = umask(0);
	umask(mask);
	return 0666 & ~mask;
}

bool files_swap_commit(struct files_swap *s, struct files_why *why)
{
	struct slice real = files_path_real(s->path);
	if (fchmod(s->fd, mode_of(s)) || fsync(s->fd))
		return files_refuse_errno(why, "writing", real);
	if (!files_path_still(s->path, s->dir) || !is_unchanged(s))
		return files_refuse(why,
				    "%.*s was changed by somebody else meanwhile; read "
				    "it again",
				    SLICE_ARG(files_path_shown(real)));
	if (take_name(s))
		return files_refuse_errno(why, "writing", real);
	s->temp[0] = 0;
	if (fsync(s->dir))
		return files_refuse_errno(why, "writing", real);
	return true;
}

void files_swap_end(struct files_swap *s)
{
	if (s->fd >= 0 && s->temp[0])
		unlinkat(s->dir, s->temp, 0);
	auto_close(&s->fd);
	auto_close(&s->dir);
	*s = FILES_SWAP_INIT;
}
