/* SPDX-License-Identifier: Apache-2.0
 * Its text, taken apart. */
#include "edge/place.h"

#include <string.h>

#define NUMBER_MOST 32767

struct place place_newest(void)
{
	struct place p = {.step = 0};
	memset(&p.run, 0xff, sizeof p.run);
	return p;
}

static bool take(struct slice *rest, int64_t *out)
{
	long long n;
	if (!rest->p || !slice_to_i64(slice_cut(rest, ':'), &n) || n < 0 ||
	    n > NUMBER_MOST)
		return false;
	*out = n;
	return true;
}

bool place_parse(struct slice text, struct place *out)
{
	struct slice rest = text;
	return uuid_parse(slice_cut(&rest, ':'), &out->run) && take(&rest, &out->step) &&
	       take(&rest, &out->call) && !rest.p;
}
