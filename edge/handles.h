/* SPDX-License-Identifier: Apache-2.0
 * Numbers for objects that answers come back to: (index, generation), so that an answer
 * to an object that is gone finds nothing. 0 is never given out. */
#ifndef TB_EDGE_HANDLES_H
#define TB_EDGE_HANDLES_H

#include <stdint.h>

struct handles;

struct handles *handles_new(void);
void handles_free(struct handles *h);
uint64_t handle_new(struct handles *h, void *object);
/* NULL when it was freed. */
void *handle_get(const struct handles *h, uint64_t handle);
/* 0 and freed ones are allowed. */
void handle_free(struct handles *h, uint64_t handle);
/* Visits every object: *it starts at 0; NULL at the end. The current one may be freed. */
void *handle_next(const struct handles *h, uint32_t *it);

#endif
