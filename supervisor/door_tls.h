/* SPDX-License-Identifier: Apache-2.0
 * The files of TLS, read by the supervisor for its edges (proto/tls_box.h): these see no
 * files. What is in them is judged by who uses it. */
#ifndef TB_DOOR_TLS_H
#define TB_DOOR_TLS_H

#include <stdbool.h>
#include <stddef.h>

struct config;

/* An empty box; dies when there is none to be had. */
int door_tls_new(void);
/* Fills it from the configured files. false: why, and the box is as it was. */
bool door_tls_load(int box, const struct config *c, char *why, size_t why_size);

#endif
