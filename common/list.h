/* SPDX-License-Identifier: Apache-2.0
 * Intrusive doubly linked list. A node that is in no list points at itself; removing such
 * a node is legal. */
#ifndef TB_LIST_H
#define TB_LIST_H

#include <stdbool.h>
#include <stddef.h>

#include "common/attr.h"

struct list {
	struct list *next, *prev;
};

#define LIST_INIT(name)                                                                  \
	{                                                                                \
		&(name), &(name)                                                         \
	}

static inline void list_init(struct list *l)
{
	l->next = l->prev = l;
}
static inline bool list_is_empty(const struct list *l)
{
	return l->next == l;
}
static inline void list_insert_before(struct list *at, struct list *n)
{
	n->prev = at->prev;
	n->next = at;
	at->prev->next = n;
	at->prev = n;
}
/* To the end of head. */
static inline void list_push(struct list *head, struct list *n)
{
	list_insert_before(head, n);
}
static inline void list_push_front(struct list *head, struct list *n)
{
	list_insert_before(head->next, n);
}
static inline void list_remove(struct list *n)
{
	n->prev->next = n->next;
	n->next->prev = n->prev;
	list_init(n);
}
/* The first node, removed; NULL when empty. */
static inline struct list *list_pop(struct list *head)
{
	struct list *n = head->next;
	if (n == head)
		return NULL;
	list_remove(n);
	return n;
}

#define list_entry(node, type, member) container_of(node, type, member)
/* The body may remove the current node, no other. */
#define list_each(node, head)                                                            \
	for (struct list *node = (head)->next, *node##_next = node->next;                \
	     node != (head); node = node##_next, node##_next = node->next)

#endif
