/* SPDX-License-Identifier: Apache-2.0
 * Runs the probes, each in a process of its own. */
#include "probe.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct facts facts;
int said = -1;

static void say(char verdict, const char *format, va_list args)
{
	char text[400];
	int n = 1 + vsnprintf(text + 1, sizeof text - 1, format, args);
	text[0] = verdict;
	if (n > (int)sizeof text - 1)
		n = (int)sizeof text - 1;
	_exit(write(said, text, (size_t)n) == n ? 0 : 99);
}

void hole(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	say('!', format, args);
	abort();
}

void refused(long rv, const char *what, ...)
{
	va_list wanted;
	int error = errno, e;
	if (rv >= 0)
		hole("%s gives %ld", what, rv);
	va_start(wanted, what);
	while ((e = va_arg(wanted, int)) && e != error)
		;
	va_end(wanted);
	if (!e)
		hole("%s is not refused but fails: %s", what, strerror(error));
}

static void run(const struct probe *p)
{
	char text[400] = "";
	int ends[2], how;
	size_t n = 0;
	if (pipe(ends))
		exit(98);
	fflush(stdout);
	pid_t pid = fork();
	if (pid < 0)
		exit(97);
	if (pid == 0) {
		close(ends[0]);
		said = ends[1];
		alarm(20);
		p->fn();
		_exit(0);
	}
	close(ends[1]);
	for (ssize_t got; n < sizeof text - 1 &&
			  (got = read(ends[0], text + n, sizeof text - 1 - n)) > 0;)
		n += (size_t)got;
	close(ends[0]);
	text[n] = 0;
	waitpid(pid, &how, 0);
	bool ended = WIFEXITED(how) && WEXITSTATUS(how) == 0;
	if (!ended && !n)
		snprintf(text, sizeof text, "!it ended with %#x", (unsigned)how);
	printf("%s %s %s: %s\n", text[0] == '!' ? "HOLE" : "held", p->class, p->name,
	       text[0] ? text + 1 : "");
}

static bool is_wanted(const char *name)
{
	size_t i = 0;
	while (i < facts.onlys && strcmp(name, facts.only[i]) != 0)
		i++;
	return !facts.onlys || i < facts.onlys;
}

static void run_all(const struct probe *p)
{
	for (; p->name; p++)
		if (is_wanted(p->name))
			run(p);
}

static void put(const char **list, size_t *n, const char *value)
{
	if (*n == FACTS_MOST)
		exit(94);
	list[(*n)++] = value;
}

static void take_fact(char *word)
{
	char *value = strchr(word, '=');
	if (!value)
		exit(96);
	*value++ = 0;
	if (!strcmp(word, "host"))
		put(facts.host, &facts.hosts, value);
	else if (!strcmp(word, "unix"))
		put(facts.unix_path, &facts.unix_paths, value);
	else if (!strcmp(word, "only"))
		put(facts.only, &facts.onlys, value);
	else if (!strcmp(word, "canary"))
		facts.canary = value;
	else if (!strcmp(word, "abstract"))
		facts.abstract = value;
	else if (!strcmp(word, "pid"))
		facts.pid = atoi(value);
	else if (!strcmp(word, "tcp"))
		facts.tcp = atoi(value);
	else if (!strcmp(word, "udp"))
		facts.udp = atoi(value);
	else if (!strcmp(word, "key"))
		facts.key = atoi(value);
	else
		exit(95);
}

int main(int argc, char **argv)
{
	/* of a copy of itself that was made set-user-id: who it became */
	if (argc == 2 && !strcmp(argv[1], "whoami"))
		return geteuid() == getuid() ? 0 : 7;
	static char text[65536];
	for (ssize_t n, at = 0;
	     (n = read(0, text + at, sizeof text - 1 - (size_t)at)) > 0;)
		at += n;
	for (char *word = strtok(text, "\n"); word; word = strtok(NULL, "\n"))
		take_fact(word);
	run_all(probes_files);
	run_all(probes_processes);
	run_all(probes_network);
	run_all(probes_privileges);
	return 0;
}
