/* SPDX-License-Identifier: Apache-2.0
 * invalidate: what every edge and worker shall read anew. */
#include "supervisor/admin_ask.h"
#include "supervisor/admin_commands.h"
#include "supervisor/admin_names.h"
#include "supervisor/sup.h"
#include "supervisor/tell.h"

static void tell_all(struct ask *a)
{
	struct wire_invalidate m = {.tenant = a->names.tenant,
				    .kind = a->args[ARG_KIND].text,
				    .id = a->args[ARG_ID].uuid};
	ask_audit(a, m.tenant, "%.*s:%.*s", SLICE_ARG(m.kind),
		  SLICE_ARG(a->args[ARG_ID].text));
	tell_children(a->sup, &m);
	ask_reply(a);
	ask_end(a);
}

void admin_invalidate(struct ask *a)
{
	bool of_tenant = slice_is(a->args[ARG_KIND].text, "tenant");
	if (!of_tenant && !a->args[ARG_ID].given)
		ask_fail(a, ERR_BAD_REQUEST, "id: a uuid is needed with kind %.*s",
			 SLICE_ARG(a->args[ARG_KIND].text));
	else
		names_find(a, NAMES_TENANT, tell_all);
}
