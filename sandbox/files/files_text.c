/* SPDX-License-Identifier: Apache-2.0
 * Judging bytes. */
#include "sandbox/files/files_text.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/crypto.h"
#include "sandbox/files/files_image.h"

#define PIECE 4096

/* Bytes of a character at p that a text may hold; 0: it is none. */
static size_t text_char(const char *p, size_t n)
{
	unsigned char c = (unsigned char)p[0];
	if (c < 0x80)
		return c >= 0x20 || strchr("\t\n\r\f\b\033", c) ? c != 0x7f : 0;
	size_t len = c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
	if (len > n) /* perhaps the cut of the head */
		return n;
	return slice_is_utf8(slice_of(p, len)) ? len : 0;
}

bool files_is_binary(struct slice head)
{
	size_t odd = 0;
	if (head.n > FILES_HEAD_BYTES)
		head.n = FILES_HEAD_BYTES;
	if (head.n && memchr(head.p, 0, head.n))
		return true;
	for (size_t i = 0; i < head.n;) {
		size_t len = text_char(head.p + i, head.n - i);
		odd += len == 0;
		i += len ? len : 1;
	}
	return odd > head.n / 10;
}

const char *files_ending_word(uint64_t crlf, uint64_t lf)
{
	return !crlf ? "lf" : lf ? "mixed" : "crlf";
}

int64_t files_line_at(struct slice text, size_t at)
{
	int64_t line = 1;
	const char *p = text.p, *end = text.p + at;
	while (p < end && (p = memchr(p, '\n', (size_t)(end - p)))) {
		line++;
		p++;
	}
	return line;
}

int64_t files_count_lines(struct slice text)
{
	if (!text.n)
		return 0;
	return files_line_at(text, text.n) - (text.p[text.n - 1] == '\n');
}

ptrdiff_t files_find(struct slice text, struct slice wanted, size_t from)
{
	size_t step = wanted.n > PIECE ? wanted.n : PIECE;
	for (; from < text.n; from += step) {
		size_t left = text.n - from, n = step + wanted.n;
		struct slice piece = slice_of(text.p + from, n < left ? n : left);
		ptrdiff_t at = slice_find(piece, wanted);
		if (at >= 0)
			return at + (ptrdiff_t)from;
	}
	return -1;
}

size_t files_escaped_bytes(struct slice s)
{
	size_t n = s.n;
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		n += c < 0x20 ? 5 : c == '"' || c == '\\' ? 1 : c >= 0x80 ? 2 : 0;
	}
	return n;
}

int64_t files_slurp(int fd, size_t most, struct strbuf *out)
{
	size_t before = out->n;
	while (out->n - before < most) {
		size_t room = most - (out->n - before);
		room = room < 65536 ? room : 65536;
		ssize_t n = read(fd, strbuf_reserve(out, room), room);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		if (n == 0)
			break;
		out->n += (size_t)n;
		out->p[out->n] = 0;
	}
	return (int64_t)(out->n - before);
}

/* "" when there is more than is looked at. -1 with errno. */
static int hash_file(int fd, char hex[65])
{
	struct crypto_sha256_state s;
	static char piece[65536];
	uint8_t sum[32];
	int64_t all = 0;
	hex[0] = 0;
	if (lseek(fd, 0, SEEK_SET) < 0)
		return -1;
	crypto_sha256_begin(&s);
	for (ssize_t n; (n = read(fd, piece, sizeof piece)) != 0; all += n) {
		if (n < 0)
			return -1;
		if (all > FILES_SCAN_MOST)
			return 0;
		crypto_sha256_add(&s, slice_of(piece, (size_t)n));
	}
	crypto_sha256_end(&s, sum);
	crypto_hex(sum, sizeof sum, hex);
	return 0;
}

int files_put_bytes(struct json_out *o, int fd, struct slice head, uint64_t size)
{
	struct files_image image;
	bool is_image = files_image(head, &image);
	char hex[65], text[200], what[80] = "binary";
	if (hash_file(fd, hex))
		return -1;
	if (is_image && image.width)
		snprintf(what, sizeof what, "%s %ux%u,", image.type, image.width,
			 image.height);
	else if (is_image)
		snprintf(what, sizeof what, "%s,", image.type);
	snprintf(text, sizeof text, "[%s %llu bytes, %s%s]", what,
		 (unsigned long long)size, hex[0] ? "sha256 " : "too large for a sha256",
		 hex);
	json_kv_cstr(o, "kind", is_image ? "image" : "binary");
	if (is_image)
		json_kv_cstr(o, "type", image.type);
	if (is_image && image.width) {
		json_kv_i64(o, "width", image.width);
		json_kv_i64(o, "height", image.height);
	}
	json_kv_i64(o, "bytes", (int64_t)size);
	if (hex[0])
		json_kv_cstr(o, "sha256", hex);
	json_kv_cstr(o, "text", text);
	return 0;
}
