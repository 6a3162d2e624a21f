/* SPDX-License-Identifier: Apache-2.0
 * Lane jobs: what their requests may hold. */
#ifndef TB_EDGE_SESSION_JOB_H
#define TB_EDGE_SESSION_JOB_H

/* Of one part of an import: so that a message of 1 MB fits, as a line. */
#define IMPORT_BODY_MAX ((2u << 20) - 4096)

#endif
