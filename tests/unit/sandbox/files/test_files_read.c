/* SPDX-License-Identifier: Apache-2.0
 * read: windows, what is counted, line ends, long lines, and files that are no text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "bed.h"

static void put_bytes(const char *path, struct slice s)
{
	put_at(ws, path, s.p, s.n);
}

static const struct {
	const char *content;
	const char *more; /* arguments beside the path */
	const char *answer;
} cases[] = {
	{"", "", "\"from_line\":1,\"lines\":0,\"total_lines\":0,\"text\":\"\""},
	{"a", "", "\"from_line\":1,\"lines\":1,\"total_lines\":1,\"text\":\"a\\n\""},
	{"a\n", "", "\"from_line\":1,\"lines\":1,\"total_lines\":1,\"text\":\"a\\n\""},
	{"\n", "", "\"from_line\":1,\"lines\":1,\"total_lines\":1,\"text\":\"\\n\""},
	{"a\nb\nc\n", ",\"lines\":2",
	 "\"from_line\":1,\"lines\":2,\"total_lines\":3,\"next\":3,\"text\":"
	 "\"a\\nb\\n\""},
	{"a\nb\nc\n", ",\"from_line\":3",
	 "\"from_line\":3,\"lines\":1,\"total_lines\":3,\"text\":\"c\\n\""},
	{"a\nb\nc", ",\"from_line\":2,\"lines\":1",
	 "\"from_line\":2,\"lines\":1,\"total_lines\":3,\"next\":3,\"text\":\"b\\n\""},
	{"a\nb\nc", ",\"from_line\":2,\"lines\":2000",
	 "\"from_line\":2,\"lines\":2,\"total_lines\":3,\"text\":\"b\\nc\\n\""},
	{"a\nb", ",\"from_line\":null,\"lines\":null",
	 "\"from_line\":1,\"lines\":2,\"total_lines\":2,\"text\":\"a\\nb\\n\""},
	{"a\r\nb\r\n", "",
	 "\"from_line\":1,\"lines\":2,\"total_lines\":2,\"line_endings\":\"crlf\","
	 "\"text\":\"a\\nb\\n\""},
	{"a\r\nb\nc\r", "",
	 "\"from_line\":1,\"lines\":3,\"total_lines\":3,\"line_endings\":\"mixed\","
	 "\"text\":\"a\\nb\\nc\\r\\n\""},
	{"\r\n\r\n", ",\"from_line\":2",
	 "\"from_line\":2,\"lines\":1,\"total_lines\":2,\"line_endings\":\"crlf\","
	 "\"text\":\"\\n\""},
	{"\xef\xbb\xbf"
	 "a\n",
	 "",
	 "\"from_line\":1,\"lines\":1,\"total_lines\":1,\"bom\":true,\"text\":\"a\\n\""},
	{"abcdefghij\xff"
	 "klmnopqrstuvwxyz\n",
	 "",
	 "\"from_line\":1,\"lines\":1,\"total_lines\":1,\"note\":\"bytes that are no "
	 "UTF-8 are shown as U+FFFD, U+0000 is left "
	 "out\",\"text\":\"abcdefghij\xef\xbf\xbd"
	 "klmnopqrstuvwxyz\\n\""},
	{"gr\xc3\xbc\xc3\x9f\xe6\x97\xa5\xf0\x9f\x98\x80", "",
	 "\"from_line\":1,\"lines\":1,\"total_lines\":1,\"text\":"
	 "\"gr\xc3\xbc\xc3\x9f\xe6\x97"
	 "\xa5\xf0\x9f\x98\x80\\n\""},
};

static void test_windows(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO(strbuf_fini) struct strbuf args = STRBUF_INIT, want = STRBUF_INIT;
		put("t", cases[i].content);
		strbuf_printf(&args, "{\"path\":\"t\"%s}", cases[i].more);
		strbuf_printf(&want, "{\"path\":\"t\",%s}", cases[i].answer);
		expect(FILES_TOOL_read, args.p, want.p);
	}
}

static const struct {
	const char *args, *says;
} refusals[] = {
	{"{\"path\":\"t\",\"from_line\":4}",
	 "read: t has 3 lines; from_line 4 is beyond them"},
	{"{\"path\":\"t\",\"from_line\":0}",
	 "read: argument 'from_line' is 0; it is from 1 to 9223372036854775807"},
	{"{\"path\":\"t\",\"from_line\":-5}",
	 "read: argument 'from_line' is -5; it is from 1 to 9223372036854775807"},
	{"{\"path\":\"t\",\"from_line\":1e3}",
	 "read: argument 'from_line' must be a whole number, it is another number"},
	{"{\"path\":\"t\",\"from_line\":\"2\"}",
	 "read: argument 'from_line' must be a whole number, it is a string"},
	{"{\"path\":\"t\",\"lines\":0}",
	 "read: argument 'lines' is 0; it is from 1 to 2000"},
	{"{\"path\":\"t\",\"lines\":2001}",
	 "read: argument 'lines' is 2001; it is from 1 to 2000"},
	{"{\"path\":\"t\",\"offset\":1}",
	 "read: there is no argument 'offset'; there are path, from_line, lines"},
	{"{\"path\":7}", "read: argument 'path' must be a string, it is a number"},
	{"{\"path\":[\"t\"]}", "read: argument 'path' must be a string, it is an array"},
	{"{}", "read: argument 'path' is missing"},
	{"{\"path\":null}", "read: argument 'path' is missing"},
	{"[]", "read: the arguments must be a JSON object"},
	{"\"t\"", "read: the arguments must be a JSON object"},
};

static void test_refusals(void **state)
{
	(void)state;
	put("t", "1\n2\n3\n");
	for (size_t i = 0; i < ARRAY_LEN(refusals); i++)
		expect_error(FILES_TOOL_read, refusals[i].args, refusals[i].says);
}

/* 5,000 lines, all read by following `next`. */
static void test_following_next(void **state)
{
	AUTO(strbuf_fini) struct strbuf all = STRBUF_INIT, read_back = STRBUF_INIT;
	int64_t from = 1;
	unsigned calls = 0;
	(void)state;
	for (int i = 0; i < 5000; i++)
		strbuf_printf(&all, "line %d of the file\n", i);
	put_bytes("t", strbuf_slice(&all));
	while (from > 0) {
		char args[80];
		snprintf(args, sizeof args, "{\"path\":\"t\",\"from_line\":%lld}",
			 (long long)from);
		json_t a = ask(FILES_TOOL_read, args);
		struct slice text = json_str(json_get(a, "text"));
		assert_true(text.n > 0 && text.n <= 50 << 10);
		assert_int_equal(number_of(a, "total_lines"), 5000);
		strbuf_add_slice(&read_back, text);
		from = number_of(a, "next");
		calls++;
	}
	assert_int_equal(calls, 3);
	assert_true(slice_eq(strbuf_slice(&all), strbuf_slice(&read_back)));
}

static void test_long_lines(void **state)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	(void)state;
	for (int i = 0; i < 100000; i++) /* two bytes a character, from an odd place on */
		strbuf_add_str(&b, i ? "\xc3\xa9" : "x");
	strbuf_add_str(&b, "\r\nshort\r\n");
	put_bytes("t", strbuf_slice(&b));
	json_t a = ask(FILES_TOOL_read, "{\"path\":\"t\"}");
	const char *text = text_of(a);
	assert_int_equal(number_of(a, "lines_cut"), 1);
	assert_int_equal(number_of(a, "total_lines"), 2);
	assert_null(json_get(a, "note")); /* no character was cut in two */
	const char *mark = strstr(text, " [cut: this line has 199999 bytes]\nshort\n");
	assert_non_null(mark);
	assert_int_equal(mark - text, 8191);
}

/* What takes six bytes of JSON each still keeps the answer small. */
static void test_escapes(void **state)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	(void)state;
	for (int i = 0; i < 9000; i++)
		strbuf_add_str(&b, "x\n");
	for (int i = 0; i < 100000; i++)
		strbuf_add_str(&b, "\x01\x02\x03\x04\x05\x06\x07\n");
	put_bytes("t", strbuf_slice(&b));
	json_t a = ask(FILES_TOOL_read, "{\"path\":\"t\",\"from_line\":9001}");
	assert_true(said.n < 200 << 10 && number_of(a, "lines") > 1000);
	assert_int_equal(number_of(a, "next"), 9001 + number_of(a, "lines"));
}

#define PNG_HEAD "\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\x02\x80\0\0\x01\xe0\x08\x02"
#define JPEG_HEAD                                                                        \
	"\xff\xd8\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0\xff\xff\xc2\0\x11\x08\0\x20\0"   \
	"\x40\3"
#define WEBP(kind, rest) "RIFF\x20\0\0\0WEBP" kind "\x10\0\0\0" rest

static const struct {
	struct slice bytes;
	const char *type, *what;
	int64_t width, height;
} images[] = {
	{SLICE(PNG_HEAD), "image/png", "[image/png 640x480, 26 bytes, sha256 ", 640, 480},
	{{PNG_HEAD, 20}, "image/png", "[image/png, 20 bytes, sha256 ", -1, -1},
	{SLICE(JPEG_HEAD), "image/jpeg", "[image/jpeg 64x32, 31 bytes, sha256 ", 64, 32},
	{{JPEG_HEAD, 12}, "image/jpeg", "[image/jpeg, 12 bytes, sha256 ", -1, -1},
	{SLICE("GIF89a\x0a\0\x14\0\0\0"), "image/gif",
	 "[image/gif 10x20, 12 bytes, sha256 ", 10, 20},
	{SLICE("GIF87a\0\1\1\0\0\0"), "image/gif", "[image/gif 256x1, 12 bytes, sha256 ",
	 256, 1},
	{SLICE(WEBP("VP8X", "\0\0\0\0\x0f\0\0\x1f\0\0")), "image/webp",
	 "[image/webp 16x32, 30 bytes, sha256 ", 16, 32},
	{SLICE(WEBP("VP8L", "\x2f\x0f\xc0\x07\0\0\0\0\0\0")), "image/webp",
	 "[image/webp 16x32, 30 bytes, sha256 ", 16, 32},
	{SLICE(WEBP("VP8 ", "\0\0\0\x9d\x01\x2a\x10\0\x20\0")), "image/webp",
	 "[image/webp 16x32, 30 bytes, sha256 ", 16, 32},
};

static void test_images(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(images); i++) {
		put_bytes("i", images[i].bytes);
		json_t a = ask(FILES_TOOL_read, "{\"path\":\"i\",\"lines\":1}");
		if (!json_get(a, "type"))
			fail_msg("%zu: %s", i, said.p);
		assert_string_equal(json_cstr(json_get(a, "kind"), ""), "image");
		assert_string_equal(json_cstr(json_get(a, "type"), ""), images[i].type);
		assert_int_equal(number_of(a, "width"), images[i].width);
		assert_int_equal(number_of(a, "height"), images[i].height);
		assert_int_equal(number_of(a, "bytes"), images[i].bytes.n);
		if (strncmp(text_of(a), images[i].what, strlen(images[i].what)) != 0)
			fail_msg("%s is not %s", text_of(a), images[i].what);
		assert_null(json_get(a, "data")); /* they are heads alone */
	}
}

/* What is whole, of a known size and not too large comes with its bytes. */
static void test_images_that_are_shown(void **state)
{
	(void)state;
	static const struct {
		struct slice bytes;
		const char *data;
	} shown[] = {
		{SLICE(PNG_HEAD "IEND\xae\x42\x60\x82"),
		 "iVBORw0KGgoAAAANSUhEUgAAAoAAAAHgCAJJRU5ErkJggg=="},
		{SLICE(JPEG_HEAD "\xff\xd9"),
		 "/9j/4AAQSkZJRgABAQAAAQABAAD//8IAEQgAIABAA//Z"},
		{SLICE("GIF89a\x0a\0\x14\0\0\0;"), "R0lGODlhCgAUAAAAOw=="},
		{SLICE("GIF89a\x0a\0\x14\0\0\0x"), NULL},
		{SLICE("GIF89a\0\0\x14\0\0\0;"), NULL},     /* of no size */
		{SLICE("GIF89a\xff\xff\x14\0\0\0;"), NULL}, /* too wide */
		{SLICE("RIFF\x16\0\0\0WEBPVP8X\x10\0\0\0\0\0\0\0\x0f\0\0\x1f\0\0"),
		 "UklGRhYAAABXRUJQVlA4WBAAAAAAAAAADwAAHwAA"},
		{SLICE("RIFF\x17\0\0\0WEBPVP8X\x10\0\0\0\0\0\0\0\x0f\0\0\x1f\0\0"), NULL},
	};
	for (size_t i = 0; i < ARRAY_LEN(shown); i++) {
		put_bytes("i", shown[i].bytes);
		json_t a = ask(FILES_TOOL_read, "{\"path\":\"i\"}");
		const char *data = json_cstr(json_get(a, "data"), NULL);
		if (!data != !shown[i].data || (data && strcmp(data, shown[i].data)))
			fail_msg("%zu: %s", i, said.p);
	}
	for (size_t n = (180 << 10) - 1; n <= (180 << 10); n++) {
		struct strbuf b = STRBUF_INIT;
		strbuf_add(&b, "GIF89a\x0a\0\x14\0\0\0", 12);
		while (b.n < n)
			strbuf_add_char(&b, 'x');
		strbuf_add_char(&b, ';');
		put_bytes("i", strbuf_slice(&b));
		json_t a = ask(FILES_TOOL_read, "{\"path\":\"i\"}");
		assert_int_equal(!json_get(a, "data"), b.n > 180 << 10);
		assert_true(said.n < 256 << 10);
		strbuf_fini(&b);
	}
}

static void test_binary(void **state)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	(void)state;
	put_bytes("nul", SLICE("abc\0def"));
	expect(FILES_TOOL_read, "{\"path\":\"nul\"}",
	       "{\"path\":\"nul\",\"kind\":\"binary\",\"bytes\":7,\"sha256\":"
	       "\"516a5e926ce20c5f4d80f00e1a01abdf14986def6588d6abeed9fce090bc660c\","
	       "\"text\":\"[binary 7 bytes, sha256 "
	       "516a5e926ce20c5f4d80f00e1a01abdf14986def6588d6abeed9fce090bc660c]\"}");
	put_bytes("latin1", SLICE("\xe4\xf6\xfc\xdf t\xfcr"));
	assert_string_equal(
		json_cstr(json_get(ask(FILES_TOOL_read, "{\"path\":\"latin1\"}"), "kind"),
			  ""),
		"binary");
	/* U+0000 behind the first 8 KiB is text that is not shown exactly. */
	for (int i = 0; i < 1000; i++)
		strbuf_add_str(&b, "0123456789\n");
	strbuf_add(&b, "a\0b", 3);
	put_bytes("late", strbuf_slice(&b));
	json_t a = ask(FILES_TOOL_read, "{\"path\":\"late\",\"from_line\":1001}");
	assert_string_equal(text_of(a), "ab\n");
	assert_non_null(json_get(a, "note"));
	/* A character cut by the end of the head is no reason to call it binary. */
	strbuf_reset(&b);
	strbuf_add_char(&b, 'x');
	for (int i = 0; i < 9000; i++)
		strbuf_add_str(&b, "\xc3\xa9");
	put_bytes("utf8", strbuf_slice(&b));
	assert_null(json_get(ask(FILES_TOOL_read, "{\"path\":\"utf8\"}"), "kind"));
}

/* A file of holes, larger than anybody wants to look at, has an answer in finite time. */
static void test_huge_files(void **state)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	(void)state;
	for (int i = 0; i < 30000; i++)
		strbuf_add_str(&b, "0123456789\n");
	put_bytes("t", strbuf_slice(&b));
	int fd = openat(ws, "t", O_WRONLY);
	assert_int_equal(ftruncate(fd, 1ll << 40), 0);
	close(fd);
	json_t a = ask(FILES_TOOL_read, "{\"path\":\"t\",\"lines\":1}");
	assert_string_equal(text_of(a), "0123456789\n");
	assert_int_equal(number_of(a, "total_lines_at_least"), 30000);
	expect_error(FILES_TOOL_read, "{\"path\":\"t\",\"from_line\":40000}",
		     "read: from_line 40000 of t lies beyond its first 256 MiB (30000 "
		     "lines), which is all that is looked at");
	put_bytes("b", SLICE("\0"));
	fd = openat(ws, "b", O_WRONLY);
	assert_int_equal(ftruncate(fd, 1ll << 40), 0);
	close(fd);
	expect(FILES_TOOL_read, "{\"path\":\"b\"}",
	       "{\"path\":\"b\",\"kind\":\"binary\",\"bytes\":1099511627776,\"text\":"
	       "\"[binary 1099511627776 bytes, too large for a sha256]\"}");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_windows),
		CASE(test_refusals),
		CASE(test_following_next),
		CASE(test_long_lines),
		CASE(test_escapes),
		CASE(test_images),
		CASE(test_images_that_are_shown),
		CASE(test_binary),
		CASE(test_huge_files),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
