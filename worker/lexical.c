/* SPDX-License-Identifier: Apache-2.0
 * Feature hashing. */
#include "worker/lexical.h"

#include <math.h>

/* Of a longer word each stretch is a word. */
#define WORD_MOST 64u
#define PIECE_LEAST 3u
#define PIECE_MOST 5u
#define WORD_WEIGHT 1.0f
#define PAIR_WEIGHT 0.5f
#define PIECE_WEIGHT 0.25f
/* So that a word, a pair and a piece of the same bytes are not the same. */
#define WORD_SEED 0x9e3779b97f4a7c15u
#define PAIR_SEED 0xc2b2ae3d27d4eb4fu
#define PIECE_SEED 0x165667b19e3779f9u

static uint64_t hash(uint64_t seed, const char *p, size_t n)
{
	uint64_t h = 0xcbf29ce484222325u ^ seed;
	for (size_t i = 0; i < n; i++)
		h = (h ^ (unsigned char)p[i]) * 0x100000001b3u;
	h = (h ^ h >> 33) * 0xff51afd7ed558ccdu;
	return h ^ h >> 33;
}

static void add(struct lexical *l, uint64_t h, float weight)
{
	l->v[h % LEXICAL_DIMENSIONS] += h >> 63 ? -weight : weight;
}

/* Letters, digits, and all that is not ASCII. */
static bool is_of_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c >= '0' && c <= '9') || (unsigned char)c >= 0x80;
}

static bool is_inside_character(char c)
{
	return ((unsigned char)c & 0xc0) == 0x80;
}

static size_t word_at(struct slice text, size_t at)
{
	size_t n = 0;
	while (at + n < text.n && is_of_word(text.p[at + n]) &&
	       (n < WORD_MOST || is_inside_character(text.p[at + n])))
		n++;
	return n;
}

/* Pieces of the word with a mark at either end, so that beginnings and ends tell. */
static void add_pieces(struct lexical *l, const char *word, size_t n)
{
	for (size_t size = PIECE_LEAST; size <= PIECE_MOST; size++)
		for (size_t i = 0; i + size <= n; i++)
			add(l, hash(PIECE_SEED, word + i, size), PIECE_WEIGHT);
}

static void add_word(struct lexical *l, const char *p, size_t n)
{
	char word[WORD_MOST + 8] = " ";
	for (size_t i = 0; i < n; i++)
		word[i + 1] = p[i] >= 'A' && p[i] <= 'Z' ? (char)(p[i] + 32) : p[i];
	word[n + 1] = ' ';
	uint64_t h = hash(WORD_SEED, word + 1, n);
	add(l, h, WORD_WEIGHT);
	if (l->before) {
		uint64_t both[2] = {l->before, h};
		add(l, hash(PAIR_SEED, (const char *)both, sizeof both), PAIR_WEIGHT);
	}
	l->before = h;
	add_pieces(l, word, n + 2);
}

/* Of roots: what stands often counts for less than once each time. */
static void make_unit(struct lexical *l, struct slice text)
{
	double sum = 0;
	for (size_t i = 0; i < LEXICAL_DIMENSIONS; i++) {
		float v = l->v[i];
		l->v[i] = v < 0 ? -sqrtf(-v) : sqrtf(v);
		sum += fabs((double)v);
	}
	if (sum <= 0) { /* of no word */
		add(l, hash(0, text.p, text.n), 1);
		return;
	}
	for (size_t i = 0; i < LEXICAL_DIMENSIONS; i++)
		l->v[i] = (float)(l->v[i] / sqrt(sum));
}

bool lexical_read(struct lexical *l, struct slice text, size_t bytes)
{
	size_t end = text.n - l->at > bytes ? l->at + bytes : text.n;
	while (l->at < end) {
		size_t n = word_at(text, l->at);
		if (n)
			add_word(l, text.p + l->at, n);
		l->at += n ? n : 1;
	}
	if (l->at < text.n)
		return false;
	make_unit(l, text);
	return true;
}
