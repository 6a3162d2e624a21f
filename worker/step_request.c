/* SPDX-License-Identifier: Apache-2.0
 * What a model was asked with. */
#include "worker/inquiry.h"

void step_request_begin(struct inquiry *i)
{
	inquiry_fail(i, ERR_NOT_FOUND, "nothing is kept of that question");
}
