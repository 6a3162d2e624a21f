/* SPDX-License-Identifier: Apache-2.0
 * PNG, JPEG, GIF, WEBP. */
#include "sandbox/files/files_image.h"

#include <string.h>

#include "common/attr.h"

#define SIDE_MOST 8000

static uint32_t big(const char *p, unsigned n)
{
	uint32_t v = 0;
	while (n--)
		v = v << 8 | (unsigned char)*p++;
	return v;
}

static uint32_t little(const char *p, unsigned n)
{
	uint32_t v = 0;
	while (n--)
		v = v << 8 | (unsigned char)p[n];
	return v;
}

static void png(struct slice s, struct files_image *out)
{
	if (s.n < 24)
		return;
	out->width = big(s.p + 16, 4);
	out->height = big(s.p + 20, 4);
}

static void gif(struct slice s, struct files_image *out)
{
	if (s.n < 10)
		return;
	out->width = little(s.p + 6, 2);
	out->height = little(s.p + 8, 2);
}

/* Segments, until the frame's. */
static void jpeg(struct slice s, struct files_image *out)
{
	size_t at = 2;
	while (at + 9 <= s.n && (unsigned char)s.p[at] == 0xff) {
		unsigned char marker = (unsigned char)s.p[at + 1];
		if (marker == 0xff) { /* filling */
			at++;
			continue;
		}
		bool frame = marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 &&
			     marker != 0xc8 && marker != 0xcc;
		if (frame) {
			out->height = big(s.p + at + 5, 2);
			out->width = big(s.p + at + 7, 2);
		}
		if (frame || marker == 0xda || marker == 0xd9)
			return;
		at += 2 + big(s.p + at + 2, 2);
	}
}

static void webp(struct slice s, struct files_image *out)
{
	if (s.n < 30)
		return;
	if (slice_eq(slice_of(s.p + 12, 4), SLICE("VP8X"))) {
		out->width = little(s.p + 24, 3) + 1;
		out->height = little(s.p + 27, 3) + 1;
	} else if (slice_eq(slice_of(s.p + 12, 4), SLICE("VP8L"))) {
		uint32_t bits = little(s.p + 21, 4);
		out->width = (bits & 0x3fff) + 1;
		out->height = (bits >> 14 & 0x3fff) + 1;
	} else {
		out->width = little(s.p + 26, 2) & 0x3fff;
		out->height = little(s.p + 28, 2) & 0x3fff;
	}
}

static bool is_webp(struct slice s)
{
	return s.n >= 16 && slice_has_prefix(s, SLICE("RIFF")) &&
	       slice_has_prefix(slice_of(s.p + 8, s.n - 8), SLICE("WEBPVP8"));
}

bool files_image(struct slice head, struct files_image *out)
{
	static const struct {
		struct slice magic;
		const char *type;
		void (*measure)(struct slice s, struct files_image *out);
	} kinds[] = {
		{{"\x89PNG\r\n\x1a\n", 8}, "image/png", png},
		{{"\xff\xd8\xff", 3}, "image/jpeg", jpeg},
		{{"GIF87a", 6}, "image/gif", gif},
		{{"GIF89a", 6}, "image/gif", gif},
	};
	*out = (struct files_image){0};
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (slice_has_prefix(head, kinds[i].magic)) {
			out->type = kinds[i].type;
			kinds[i].measure(head, out);
			return true;
		}
	if (!is_webp(head))
		return false;
	out->type = "image/webp";
	webp(head, out);
	return true;
}

static bool ends_with(struct slice s, struct slice end)
{
	return s.n >= end.n && !memcmp(s.p + s.n - end.n, end.p, end.n);
}

bool files_image_fits(struct slice whole, const struct files_image *image)
{
	if (!image->width || !image->height || image->width > SIDE_MOST ||
	    image->height > SIDE_MOST)
		return false;
	if (!strcmp(image->type, "image/png"))
		return ends_with(whole, SLICE("IEND\xae\x42\x60\x82"));
	if (!strcmp(image->type, "image/jpeg"))
		return ends_with(whole, SLICE("\xff\xd9"));
	if (!strcmp(image->type, "image/gif"))
		return ends_with(whole, SLICE(";"));
	return little(whole.p + 4, 4) + 8 == whole.n;
}
