/* SPDX-License-Identifier: Apache-2.0
 * terabitsctl wait: until the node takes work. */
#include "cli/command.h"
#include "cli/node.h"
#include "cli/report.h"
#include "common/attr.h"

#define SECONDS_DEFAULT 30

int wait_command(const struct args *a)
{
	static struct config config;
	struct node node;
	char why[256] = "";
	long seconds = args_number(a, PARAM_seconds, SECONDS_DEFAULT);
	config_load(&config);
	node_open(&node, &config, NODE_OPEN);
	int ready = node_await(&node, seconds, why, sizeof why);
	if (ready < 0)
		report("no node answered at %s in %ld s (%s). Is it running? Start it "
		       "with "
		       "./run serve",
		       node.url, seconds, why);
	else if (ready == 0)
		report("the node at %s was not ready in %ld s (%s). Its log says why",
		       node.url, seconds, why);
	node_close(&node);
	return ready == 1 ? EXIT_FINE : ready == 0 ? EXIT_TIMEOUT : EXIT_AWAY;
}
