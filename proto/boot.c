/* SPDX-License-Identifier: Apache-2.0
 * The sealed memory file a child is born with. */
#include "proto/boot.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/alloc.h"
#include "common/crypto.h"
#include "common/die.h"

#define BOOT_MOST_BYTES 65536

static char text[BOOT_MOST_BYTES];
static union wire_any message;

int boot_write(const struct wire_boot *b)
{
	struct strbuf out = STRBUF_INIT;
	wire_encode_counter(&out, wire_table_hash());
	if (wire_encode(&out, WIRE_BOOT, b) || out.n > BOOT_MOST_BYTES) {
		strbuf_fini(&out);
		errno = E2BIG;
		return -1;
	}
	int fd = memfd_create("boot", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	bool good = fd >= 0 && write(fd, out.p, out.n) == (ssize_t)out.n &&
		    lseek(fd, 0, SEEK_SET) == 0 &&
		    fcntl(fd, F_ADD_SEALS,
			  F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) == 0;
	crypto_wipe(out.p, out.n);
	strbuf_fini(&out);
	if (!good && fd >= 0)
		close(fd);
	return good ? fd : -1;
}

const struct wire_boot *boot_read(void)
{
	struct wire_frame f;
	enum wire_id id;
	const char *why = "";
	ssize_t n = read(BOOT_FD, text, sizeof text);
	if (n <= 0)
		fatal_usage("this program is started by terabitsd, not by hand: run "
			    "terabitsd instead");
	close(BOOT_FD);
	if (wire_frame_open(slice_of(text, (size_t)n), &f, &why) ||
	    f.counter != wire_table_hash() || wire_frame_next(&f, &id, &message, &why) ||
	    id != WIRE_BOOT)
		fatal_usage("terabitsd and this program are of different builds: install "
			    "both from one build");
	return &message.boot;
}

void boot_wipe(void)
{
	crypto_wipe(text, sizeof text);
	crypto_wipe(&message, sizeof message);
}

void boot_die_with_parent(unsigned parent_pid)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if ((unsigned)getppid() != parent_pid)
		exit(1); /* it died before the line above */
}
