/* SPDX-License-Identifier: Apache-2.0
 * Compiler attributes by the names this code base uses, and the AUTO_ cleanup idiom. */
#ifndef TB_ATTR_H
#define TB_ATTR_H

#define MUST_CHECK __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, first) __attribute__((format(printf, fmt, first)))
#define NORETURN __attribute__((noreturn))
#define UNUSED __attribute__((unused))

/* AUTO(fn) type *x: fn(&x) runs when x leaves its scope. Each module that owns a type
 * offers such an fn. */
#define AUTO(fn) __attribute__((cleanup(fn)))

#define ARRAY_LEN(a) (sizeof(a) / sizeof *(a))
/* What a macro stands for, as a literal. */
#define TEXT_OF_(n) #n
#define TEXT_OF(n) TEXT_OF_(n)

/* The struct that embeds a member, from a pointer to the member. */
#define container_of(ptr, type, member)                                                  \
	((type *)(void *)((char *)(ptr)-offsetof(type, member)))

#endif
