/* SPDX-License-Identifier: Apache-2.0
 * The question goes to stderr, the answer comes from stdin: both must be a terminal. */
#include "cli/confirm.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/report.h"
#include "common/slice.h"

static int is_risky(const struct args *a)
{
	const struct command *c = a->command;
	if (!*c->risk || args_has(a, O(yes)) || args_has(a, O(dry_run)))
		return 0;
	return !(c->options & O(all)) || args_has(a, O(all));
}

static int ask(const struct args *a)
{
	char line[40] = "";
	const struct command *c = a->command;
	fprintf(stderr, "'%s %s' %s. Go on? [y/N] ", c->noun, c->verb, c->risk);
	fflush(stderr);
	if (!fgets(line, sizeof line, stdin))
		line[0] = 0;
	struct slice said = slice_trim(slice_str(line));
	if (slice_ieq(said, SLICE("y")) || slice_ieq(said, SLICE("yes")))
		return 0;
	report("nothing was changed");
	return EXIT_FAILED;
}

int confirm(const struct args *a)
{
	const struct command *c = a->command;
	if (!is_risky(a))
		return 0;
	if (isatty(STDIN_FILENO) && isatty(STDERR_FILENO))
		return ask(a);
	report("'%s %s' %s, and there is no terminal to ask at: add --yes%s", c->noun,
	       c->verb, c->risk,
	       c->options & O(dry_run) ? ", or --dry-run to see what it would do" : "");
	return EXIT_USAGE;
}
