/* SPDX-License-Identifier: Apache-2.0
 * Completion webhooks on their way (docs/webhooks.md): what is due is leased from the
 * database and handed to workers, each delivery as an inquiry of its own. A slow or dead
 * target holds up no other: at most two tries at a time of a target, eight of a tenant.
 *
 *	due --lease, 20 s--> handed to a worker --it wrote what came of it--> gone
 *	                        `--refused, worker or supervisor dies--> due again
 *
 * Never: blocks; reads what is delivered. */
#ifndef TB_WEBHOOKS_H
#define TB_WEBHOOKS_H

struct sup;
struct webhooks;

#define WEBHOOKS_OF_NODE 64u

/* Looks each second from now on, while the node serves. */
struct webhooks *webhooks_new(struct sup *s);
/* After inquiries_free, which ended what was under way. */
void webhooks_free(struct webhooks *w);

#endif
