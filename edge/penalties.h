/* SPDX-License-Identifier: Apache-2.0
 * Addresses from which wrong tokens come, of this process. So many failures are free, and
 * one more every two seconds; then the address waits. */
#ifndef TB_EDGE_PENALTIES_H
#define TB_EDGE_PENALTIES_H

#include <stdint.h>

#define PENALTIES_FREE 30
#define PENALTIES_EACH_US 2000000
/* Addresses that are remembered; the one that failed longest ago is given up first. */
#define PENALTIES_MAX 4096

struct penalties;

struct penalties *penalties_new(void);
void penalties_free(struct penalties *p);
/* NULL: nobody is counted. address: 16 bytes. Seconds that it has to wait, 0: none. */
unsigned penalties_look(const struct penalties *p, const uint8_t *address,
			int64_t now_us);
/* A failure; then as penalties_look, of before it. */
unsigned penalties_note(struct penalties *p, const uint8_t *address, int64_t now_us);

#endif
