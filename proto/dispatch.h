/* SPDX-License-Identifier: Apache-2.0
 * The handlers of a receiving process, from messages.tbl: a message without a handler is
 *a link error. No include guard: each includer states, before the include,
 *
 *	#define DISPATCH_SELF struct worker        the handlers' first argument is a
 *pointer to it #define DISPATCH_PREFIX wk                 handlers are
 *wk_on_run_start(struct worker *, const struct wire_run_start *) #define
 *DISPATCH_CHILD_DOWN DISPATCH_TAKE  the routes it receives #define DISPATCH_WORKER_DOWN
 *DISPATCH_TAKE
 *
 * and gets the handlers' prototypes and `static void dispatch(self, id, message)`. */
#include "proto/wire.h"

#define DISPATCH_DROP(U, l)
#define DISPATCH_BOOT DISPATCH_DROP
#define DISPATCH_LINK_UP DISPATCH_DROP
#define DISPATCH_LINK_DOWN DISPATCH_DROP
#ifndef DISPATCH_CHILD_UP
#define DISPATCH_CHILD_UP DISPATCH_DROP
#endif
#ifndef DISPATCH_CHILD_DOWN
#define DISPATCH_CHILD_DOWN DISPATCH_DROP
#endif
#ifndef DISPATCH_EDGE_UP
#define DISPATCH_EDGE_UP DISPATCH_DROP
#endif
#ifndef DISPATCH_EDGE_DOWN
#define DISPATCH_EDGE_DOWN DISPATCH_DROP
#endif
#ifndef DISPATCH_WORKER_UP
#define DISPATCH_WORKER_UP DISPATCH_DROP
#endif
#ifndef DISPATCH_WORKER_DOWN
#define DISPATCH_WORKER_DOWN DISPATCH_DROP
#endif
#ifndef DISPATCH_GRANT_DOWN
#define DISPATCH_GRANT_DOWN DISPATCH_DROP
#endif
#ifndef DISPATCH_LAUNCHER_UP
#define DISPATCH_LAUNCHER_UP DISPATCH_DROP
#endif
#ifndef DISPATCH_JAIL_UP
#define DISPATCH_JAIL_UP DISPATCH_DROP
#endif
#ifndef DISPATCH_JAIL_DOWN
#define DISPATCH_JAIL_DOWN DISPATCH_DROP
#endif

#define DISPATCH_JOIN2(prefix, l) prefix##_on_##l
#define DISPATCH_JOIN(prefix, l) DISPATCH_JOIN2(prefix, l)
#define FIELD(m, f, T, max)
#define END(m)

#define DISPATCH_TAKE(U, l)                                                              \
	void DISPATCH_JOIN(DISPATCH_PREFIX, l)(DISPATCH_SELF * self,                     \
					       const struct wire_##l *m);
#define MSG(U, l, id, route, phases) DISPATCH_##route(U, l)
#include "proto/messages.tbl"
#undef MSG
#undef DISPATCH_TAKE

static void dispatch(DISPATCH_SELF *self, enum wire_id which, const union wire_any *m)
{
	switch ((int)which) {
#define DISPATCH_TAKE(U, l)                                                              \
	case WIRE_##U:                                                                   \
		DISPATCH_JOIN(DISPATCH_PREFIX, l)(self, &m->l);                          \
		break;
#define MSG(U, l, id, route, phases) DISPATCH_##route(U, l)
#include "proto/messages.tbl"
#undef MSG
#undef DISPATCH_TAKE
	default: /* proto/chan lets only this process's routes through */
		break;
	}
}

#undef FIELD
#undef END
#undef DISPATCH_SELF
#undef DISPATCH_PREFIX
#undef DISPATCH_DROP
#undef DISPATCH_BOOT
#undef DISPATCH_LINK_UP
#undef DISPATCH_LINK_DOWN
#undef DISPATCH_CHILD_UP
#undef DISPATCH_CHILD_DOWN
#undef DISPATCH_EDGE_UP
#undef DISPATCH_EDGE_DOWN
#undef DISPATCH_WORKER_UP
#undef DISPATCH_WORKER_DOWN
#undef DISPATCH_JAIL_DOWN
#undef DISPATCH_LAUNCHER_UP
#undef DISPATCH_JAIL_UP
#undef DISPATCH_GRANT_DOWN
