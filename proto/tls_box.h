/* SPDX-License-Identifier: Apache-2.0
 * The certificate, its key and the authorities of clients, on the way from the
 * supervisor, which reads the files, to the edges, which see no files: a memory file that
 * all edges inherit for reading. It can be filled anew while they run, so that a key
 * never crosses a link, and none restarts. */
#ifndef TB_TLS_BOX_H
#define TB_TLS_BOX_H

#include <stdbool.h>

#include "common/slice.h"

#define TLS_BOX_MOST (256u << 10) /* bytes of all three */

struct tls_files {
	struct slice cert, key, client_ca; /* PEM; client_ca may be empty */
};

/* An empty box, close-on-exec; -1 and errno. */
int tls_box_new(void);
/* The same for reading alone. */
int tls_box_reader(int box);
/* Replaces the contents. false: they are too large, or errno. */
bool tls_box_fill(int box, const struct tls_files *f);
/* Reads it into `text` (TLS_BOX_MOST bytes), which is the caller's to wipe; *out borrows
 * from it. false: it is empty, or being filled. */
bool tls_box_read(int box, char *text, struct tls_files *out);

#endif
