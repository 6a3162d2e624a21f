/* SPDX-License-Identifier: Apache-2.0
 * The headers of images: type and dimensions, nothing is decoded. */
#ifndef TB_FILES_IMAGE_H
#define TB_FILES_IMAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/slice.h"

struct files_image {
	const char *type;       /* "image/png" */
	uint32_t width, height; /* 0: the head given does not tell */
};

/* False: it is none of PNG, JPEG, GIF, WEBP. */
bool files_image(struct slice head, struct files_image *out);
/* Whether a model can be shown it: its size is known and none too large for a provider
 * (8000 each way), and it ends as its type ends, so that it was not cut. What is wrong in
 * the midst of it nobody sees without decoding. */
bool files_image_fits(struct slice whole, const struct files_image *image);

#endif
