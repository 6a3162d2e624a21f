/* SPDX-License-Identifier: Apache-2.0
 * The resolver: a path, and the target of a link in the workspace (behind a 0x1f byte).
 * Whatever is opened is a file of the workspace; what is found is canonical; what may be
 * written is not protected. The workspace is never written to. */
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/alloc.h"
#include "common/attr.h"
#include "common/die.h"
#include "sandbox/files/files_path.h"
#include "sandbox/files/files_protect.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char base[64];
static int ws = -1;
static struct stat files[2]; /* all there are in the workspace */

static void take_away(void)
{
	char command[128];
	snprintf(command, sizeof command, "rm -rf -- %s", base);
	check(system(command) == 0);
}

static void put(int dir, const char *path, struct stat *st)
{
	int fd = openat(dir, path, O_WRONLY | O_CREAT, 0644);
	check(fd >= 0 && fstat(fd, st) == 0);
	close(fd);
}

static void make_workspace(void)
{
	struct stat outside;
	snprintf(base, sizeof base, "/var/tmp/tb-fuzz-XXXXXX");
	check(mkdtemp(base));
	atexit(take_away);
	int top = open(base, O_PATH | O_DIRECTORY);
	put(top, "secret", &outside);
	check(!mkdirat(top, "ws", 0755) && !mkdirat(top, "ws/dir", 0755) &&
	      !mkdirat(top, "ws/.git", 0755));
	ws = openat(top, "ws", O_PATH | O_DIRECTORY);
	put(ws, "a", &files[0]);
	put(ws, "dir/b", &files[1]);
	check(!symlinkat("../a", ws, "dir/up") && !symlinkat("dir/..", ws, "here"));
	close(top);
}

static bool is_inside(const struct stat *st)
{
	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		if (files[i].st_ino == st->st_ino && files[i].st_dev == st->st_dev)
			return true;
	return false;
}

static void check_canonical(const struct files_path *p)
{
	struct slice rest = files_path_real(p);
	unsigned depth = 0;
	check(p->n <= FILES_PATH_MOST && p->real[p->n] == 0 && p->there <= p->n);
	check(!p->type == (p->there < p->n));
	while (p->n && rest.p) {
		struct slice name = slice_cut(&rest, '/');
		check(name.n > 0 && name.n <= FILES_NAME_MOST);
		check(!slice_is(name, ".") && !slice_is(name, ".."));
		check(++depth <= FILES_DEPTH_MOST);
	}
}

/* Only where nothing would be made. */
static void check_writing(const struct files_path *p)
{
	struct files_why why = {""};
	struct stat st, held;
	if (!p->n || p->there < files_path_parent(p).n)
		return;
	int fd = files_path_for_writing(p, &why);
	check((fd < 0) == (files_protected(files_path_real(p)) != NULL));
	if (fd < 0)
		return;
	check(files_path_still(p, fd) && fstat(fd, &held) == 0);
	/* It is the workspace or the one directory in it that is not protected. */
	check(fstat(ws, &st) == 0);
	if (st.st_ino != held.st_ino)
		check(fstatat(ws, "dir", &st, 0) == 0 && st.st_ino == held.st_ino);
	close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct files_why why = {""};
	struct files_path p;
	struct stat st;
	if (ws < 0)
		make_workspace();
	struct slice target = slice_of(data, size), path = slice_cut(&target, 0x1f);
	unlinkat(ws, "link", 0);
	if (target.n && target.n < 4000 && !memchr(target.p, 0, target.n)) {
		AUTO(auto_free) char *text = xstrndup(target.p, target.n);
		check(symlinkat(text, ws, "link") == 0);
	}
	if (!files_path_find(ws, path, &p, &why)) {
		check(why.text[0] && memchr(why.text, 0, sizeof why.text));
		check(files_path_read(ws, path, &p, &why) < 0);
		return 0;
	}
	check_canonical(&p);
	check_writing(&p);
	int fd = files_path_read(ws, path, &p, &why);
	check(fd < 0 || (fstat(fd, &st) == 0 && is_inside(&st)));
	if (fd >= 0)
		close(fd);
	return 0;
}
