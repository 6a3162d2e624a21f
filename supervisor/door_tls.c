/* SPDX-License-Identifier: Apache-2.0
 * Reading PEM files whole. */
#include "supervisor/door_tls.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/alloc.h"
#include "common/attr.h"
#include "common/config.h"
#include "common/crypto.h"
#include "common/die.h"
#include "common/log.h"
#include "proto/tls_box.h"

int door_tls_new(void)
{
	int box = tls_box_new();
	if (box < 0)
		fatal("a memory file cannot be made: %s", strerror(errno));
	return box;
}

static bool read_file(const char *setting, const char *path, char *to, size_t room,
		      struct slice *out, char *why, size_t why_size)
{
	size_t have = 0;
	ssize_t n = 0;
	if (!*path) {
		snprintf(why, why_size, "%s is not set: TLS needs that file", setting);
		return false;
	}
	AUTO(auto_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
	while (fd >= 0 && have < room && (n = read(fd, to + have, room - have)) > 0)
		have += (size_t)n;
	if (fd < 0 || n < 0) {
		snprintf(why, why_size, "%s: %s cannot be read: %s", setting, path,
			 strerror(errno));
		return false;
	}
	if (have == room || have == 0) {
		snprintf(why, why_size, "%s: %s is %s", setting, path,
			 have ? "too large" : "empty");
		return false;
	}
	*out = slice_of(to, have);
	return true;
}

static void look_at_key(const char *path)
{
	struct stat st;
	if (stat(path, &st) == 0 && (st.st_mode & S_IROTH))
		log_warn("tls-key-readable",
			 "message=\"every user of this machine may read %s: chmod o-r "
			 "it\"",
			 path);
}

bool door_tls_load(int box, const struct config *c, char *why, size_t why_size)
{
	struct tls_files f = {SLICE_NONE, SLICE_NONE, SLICE_NONE};
	char *text = xmalloc(TLS_BOX_MOST);
	size_t room = TLS_BOX_MOST / 4;
	bool good = read_file("TERABITS_TLS_CERT", c->tls_cert, text, room, &f.cert, why,
			      why_size) &&
		    read_file("TERABITS_TLS_KEY", c->tls_key, text + room, room, &f.key,
			      why, why_size) &&
		    (!*c->tls_client_ca ||
		     read_file("TERABITS_TLS_CLIENT_CA", c->tls_client_ca,
			       text + 2 * room, 2 * room, &f.client_ca, why, why_size));
	if (good)
		look_at_key(c->tls_key);
	if (good && !tls_box_fill(box, &f)) {
		snprintf(why, why_size, "the files of TLS cannot be handed on: %s",
			 strerror(errno));
		good = false;
	}
	crypto_wipe(text, TLS_BOX_MOST);
	free(text);
	return good;
}
