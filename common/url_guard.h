/* SPDX-License-Identifier: Apache-2.0
 * URLs that people outside give for servers that this node then speaks to: nothing inside
 * of this machine or its network may be reached by one. Pure. */
#ifndef TB_URL_GUARD_H
#define TB_URL_GUARD_H

#include <stdbool.h>
#include <stddef.h>

#include "common/slice.h"

struct sockaddr;

/* As it is given: https, a host's name of the public network or such an address (in
 * whatever way it is written), a port and a path at most. False: a sentence in err. What
 * a name stands for is to be judged at each connection. */
bool url_guard_check(struct slice url, char *err, size_t size);
/* Whether it is of the public network: not this machine, a private, link-local, shared or
 * reserved range, nor a way to one (mapped, translated or tunnelled). */
bool url_guard_address(const struct sockaddr *a);

#endif
