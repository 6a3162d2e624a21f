/* SPDX-License-Identifier: Apache-2.0
 * The commands' functions, one for each row of admin_commands.tbl. Each answers its ask
 * exactly once, at once or later (supervisor/admin_ask.h). */
#ifndef TB_ADMIN_COMMANDS_H
#define TB_ADMIN_COMMANDS_H

struct ask;

#define COMMAND(name, function, needed, allowed) void admin_##function(struct ask *a);
#define DOOR COMMAND
#include "supervisor/admin_commands.tbl"
#undef DOOR
#undef COMMAND

#endif
