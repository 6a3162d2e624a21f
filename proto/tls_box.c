/* SPDX-License-Identifier: Apache-2.0
 * Three lengths and three texts in a memory file. The lengths are written last: who reads
 * in between finds none, and is told to read again when all is there. */
#include "proto/tls_box.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#define PARTS 3

struct head {
	uint32_t lengths[PARTS];
};

int tls_box_new(void)
{
	return memfd_create("tls", MFD_CLOEXEC);
}

int tls_box_reader(int box)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/self/fd/%d", box);
	return open(path, O_RDONLY | O_CLOEXEC);
}

bool tls_box_fill(int box, const struct tls_files *f)
{
	const struct slice parts[PARTS] = {f->cert, f->key, f->client_ca};
	struct head head = {{0}};
	off_t at = sizeof head;
	if (f->cert.n + f->key.n + f->client_ca.n > TLS_BOX_MOST) {
		errno = EFBIG;
		return false;
	}
	if (ftruncate(box, 0))
		return false;
	for (int i = 0; i < PARTS; i++) {
		ssize_t n = parts[i].n ? pwrite(box, parts[i].p, parts[i].n, at) : 0;
		if (n != (ssize_t)parts[i].n)
			return false;
		head.lengths[i] = (uint32_t)n;
		at += n;
	}
	return pwrite(box, &head, sizeof head, 0) == (ssize_t)sizeof head;
}

bool tls_box_read(int box, char *text, struct tls_files *out)
{
	struct slice *const parts[PARTS] = {&out->cert, &out->key, &out->client_ca};
	struct head head;
	size_t total = 0;
	if (pread(box, &head, sizeof head, 0) != (ssize_t)sizeof head || !head.lengths[0])
		return false;
	for (int i = 0; i < PARTS; i++) {
		if (head.lengths[i] > TLS_BOX_MOST - total)
			return false;
		*parts[i] = slice_of(text + total, head.lengths[i]);
		total += head.lengths[i];
	}
	return pread(box, text, total, sizeof head) == (ssize_t)total;
}
