/* SPDX-License-Identifier: Apache-2.0
 * A run whose message went into another run: who follows the one goes on with the other,
 * from where that took the message. Lives in a handler's state, zeroed. */
#ifndef TB_EDGE_MERGING_H
#define TB_EDGE_MERGING_H

#include "edge/event_view.h"
#include "edge/follow.h"

struct merging {
	struct uuid into; /* nil: none yet, or it is followed already */
	int64_t at_us;    /* when the message was taken */
	unsigned count;
};

/* Whether the event is not for the reader: the end of a run that goes on as another, or
 * what that did before. */
bool merging_hides(struct merging *m, const struct sse_item *item,
		   const struct event_view *v);
/* For a sink's end. True: the other run is followed from now on; *run is its id. */
bool merging_goes_on(struct call *c, struct merging *m, const struct follow_sink *sink,
		     struct uuid *run);

#endif
