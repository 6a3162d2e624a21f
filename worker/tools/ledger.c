/* SPDX-License-Identifier: Apache-2.0
 * ledger_once and ledger_keyed: an effect outside the database, for tests of what happens
 * when processes end. In builds with fault points only. */
#include "common/fault.h"

#ifdef TB_FAULTS

#include "worker/tools/tool.h"

void tool_ledger_once(struct tool_call *c);
void tool_ledger_keyed(struct tool_call *c);

static void write_line(struct tool_call *c)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	struct slice line = json_str(json_get(c->args, "line"));
	op_start(c->op, NULL, NULL, 0);
	strbuf_printf(&b, "%s %.*s\n", c->tool->name, SLICE_ARG(line));
	if (!fault_ledger(strbuf_slice(&b))) {
		tool_error(c, "there is no ledger");
		op_finish(c->op, ERR_TOOL_FAILED);
		return;
	}
	FAULT(TOOL_DONE);
	strbuf_printf(&c->output, "{\"written\":true}");
	op_finish(c->op, ERR_OK);
}

void tool_ledger_once(struct tool_call *c)
{
	write_line(c);
}

void tool_ledger_keyed(struct tool_call *c)
{
	write_line(c);
}

#endif
