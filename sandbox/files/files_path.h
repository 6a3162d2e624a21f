/* SPDX-License-Identifier: Apache-2.0
 * The one resolver of paths: what a model writes ("a/b", "./a", "/workspace/a", "" for
 * the workspace itself) becomes a canonical path, and that becomes a descriptor.
 *
 *	given --- files_path_find ---> real, without links, "." or ".." --- open ---> fd
 *
 * Links are read and followed here, one name at a time, as long as they stay inside. The
 * descriptor then comes from one openat2 of the canonical path beneath the workspace with
 * no link allowed: so what was judged (the canonical path) is what was opened, and a
 * directory that became a link meanwhile makes the call fail, never lead elsewhere.
 *
 * Owns: nothing. Never: blocks on a pipe or opens a device. Fails: with a sentence. */
#ifndef TB_FILES_PATH_H
#define TB_FILES_PATH_H

#include <sys/stat.h>

#include "sandbox/files/files_why.h"

#define FILES_PATH_MOST 4095
#define FILES_NAME_MOST 255
#define FILES_DEPTH_MOST 100
/* Where the workspace is in a jail, as models and links there name it. */
#define FILES_ROOT_NAME "/workspace"

struct files_path {
	int root;                       /* a directory descriptor; borrowed */
	char real[FILES_PATH_MOST + 1]; /* from the workspace; "": itself */
	size_t n;
	size_t there;  /* real[0..there] exists: n, or less when the rest is missing */
	mode_t type;   /* S_IFMT of what is at real; 0: nothing is */
	bool must_dir; /* it was written with a slash behind it */
};

/* What is wrong with a path before anything is looked up, as a sentence; true: nothing.
 */
bool files_path_check(struct slice given, struct files_why *why);
/* Resolves it; what does not exist (yet) is no failure: see `type` and `there`. */
MUST_CHECK bool files_path_find(int root, struct slice given, struct files_path *p,
				struct files_why *why);
struct slice files_path_real(const struct files_path *p);
/* The last name, and what is before it. */
struct slice files_path_name(const struct files_path *p);
struct slice files_path_parent(const struct files_path *p);
/* Refuses what is no regular file: missing, a directory, a pipe, a device ... */
MUST_CHECK bool files_path_is_file(const struct files_path *p, struct files_why *why);
/* The same as a question without a sentence about what is missing. */
const char *files_path_kind(mode_t type);
/* "there is no X", with the name that is most like it where there is one. */
bool files_path_absent(const struct files_path *p, struct files_why *why);

/* Finds and opens a regular file for reading; -1: refused. */
MUST_CHECK int files_path_read(int root, struct slice given, struct files_path *p,
			       struct files_why *why);
/* A directory for reading by its canonical path; -1 with errno. */
MUST_CHECK int files_path_opendir(int root, const char *real);
/* The directory that holds (or will hold) the last name, for writing there; missing
 * directories are made. Refuses protected paths before anything is made; -1: refused. */
MUST_CHECK int files_path_for_writing(const struct files_path *p, struct files_why *why);
/* Whether fd still is the directory of p's last name. */
bool files_path_still(const struct files_path *p, int fd);

#endif
