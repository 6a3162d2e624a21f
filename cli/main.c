/* SPDX-License-Identifier: Apache-2.0
 * terabitsctl: migrations, operation of a node, and a client. */
#include "cli/command.h"
#include "common/crypto.h"
#include "common/log.h"

int main(int argc, char **argv)
{
	log_init("terabitsctl", LOG_WARN);
	crypto_init();
	return command_run(argc, argv);
}
