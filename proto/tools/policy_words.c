/* SPDX-License-Identifier: Apache-2.0
 * Words and profiles as masks. */
#include "proto/tools/policy_words.h"

#include <string.h>

#include "common/attr.h"

static const char *const categories[] = {
#define CATEGORY(name) #name,
#include "proto/tools/categories.tbl"
#undef CATEGORY
};

#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})
static const struct {
	const char *name;
	const char *const *words;
} profiles[] = {
#define PROFILE(name, ...) {#name, WORDS(__VA_ARGS__)},
#include "proto/tools/profiles.tbl"
#undef PROFILE
};

static uint64_t of_category(const char *category)
{
	uint64_t set = 0;
	for (size_t i = 0; i < catalog_count(); i++)
		if (!strcmp(catalog_at(i)->category, category))
			set |= 1ull << i;
	return set;
}

uint64_t policy_all(void)
{
	return ~0ull >> (CATALOG_MOST - catalog_count());
}

static bool group(struct slice name, uint64_t *tools)
{
	for (size_t i = 0; i < ARRAY_LEN(categories); i++)
		if (slice_ieq(name, slice_str(categories[i]))) {
			*tools = of_category(categories[i]);
			return true;
		}
	return false;
}

bool policy_word(struct slice word, uint64_t *tools)
{
	const struct slice prefix = SLICE("group:");
	if (slice_is(word, "*")) {
		*tools = policy_all();
		return true;
	}
	if (word.n > prefix.n && slice_ieq(slice_of(word.p, prefix.n), prefix))
		return group(slice_of(word.p + prefix.n, word.n - prefix.n), tools);
	for (size_t i = 0; i < catalog_count(); i++)
		if (slice_ieq(word, slice_str(catalog_at(i)->name))) {
			*tools = 1ull << i;
			return true;
		}
	return false;
}

bool policy_profile(struct slice name, uint64_t *tools)
{
	for (size_t i = 0; i < ARRAY_LEN(profiles); i++) {
		if (!slice_is(name, profiles[i].name))
			continue;
		*tools = 0;
		for (const char *const *w = profiles[i].words; *w; w++) {
			uint64_t set = 0;
			policy_word(slice_str(*w), &set);
			*tools |= set;
		}
		return true;
	}
	return false;
}

uint64_t policy_reach(uint64_t tools)
{
	size_t write = catalog_find(SLICE("write")), edit = catalog_find(SLICE("edit"));
	return tools >> write & 1 ? tools | 1ull << edit : tools;
}
