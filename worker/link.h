/* SPDX-License-Identifier: Apache-2.0
 * The worker's end of the link to the supervisor. Fails: a link that ends ends the
 * process. */
#ifndef TB_WORKER_LINK_H
#define TB_WORKER_LINK_H

struct worker;
struct wire_boot;

/* Dials; goes on in the loop. Dies when it cannot. */
void link_open(struct worker *w, const struct wire_boot *b);
/* Says READY and starts the pings. */
void link_ready(struct worker *w, const char *detail);

#endif
