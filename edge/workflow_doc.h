/* SPDX-License-Identifier: Apache-2.0
 * A workflow as the canvas keeps it: a React Flow document {nodes, edges, viewport}.
 * Pure. */
#ifndef TB_EDGE_WORKFLOW_DOC_H
#define TB_EDGE_WORKFLOW_DOC_H

#include <stdbool.h>

#include "common/json.h"

#define WORKFLOW_NODES_MOST 1000
#define WORKFLOW_EDGES_MOST 5000
#define WORKFLOW_ID_BYTES 200

struct workflow_fault {
	char where[80]; /* "nodes[3].position"; "" the whole */
	char message[300];
};

/* Whether it is one: members that a canvas knows, of their kinds, ids that are there and
 * each one's own, edges between two different nodes of it. False: the first fault. */
bool workflow_check(json_t root, struct workflow_fault *fault);

#endif
