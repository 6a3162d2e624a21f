/* SPDX-License-Identifier: Apache-2.0
 * One word for all of them: store_load_agent knows what it means. */
#include "edge/default_agent.h"

struct slice default_agent(struct slice word)
{
	return word.n == 0 || slice_is(word, "default") ? SLICE("") : word;
}
