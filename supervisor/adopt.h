/* SPDX-License-Identifier: Apache-2.0
 * Files of an earlier life that ran as somebody else, given to whom they belong now. */
#ifndef TB_ADOPT_H
#define TB_ADOPT_H

struct sup;

/* As root: the state directory and the runtime directory, if they are the node's (an
 * unknown one of root's is left alone), and what the node itself made in them, as far as
 * it is root's. With tenants' uids: what is in their workspaces, as far as it is root's
 * or the node's. Links are not followed; a file with several names is left alone. Blocks.
 */
void adopt(const struct sup *s);

#endif
