/* SPDX-License-Identifier: Apache-2.0
 * One message, to all. */
#include "supervisor/tell.h"

#include "supervisor/children.h"
#include "supervisor/sup.h"

void tell_children(struct sup *s, const struct wire_invalidate *m)
{
	list_each (n, &s->children) {
		struct child *c = list_entry(n, struct child, node);
		if (c->state == LIFE_READY || c->state == LIFE_DRAINING)
			child_send(c, WIRE_INVALIDATE, m);
	}
}
