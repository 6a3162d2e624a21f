/* SPDX-License-Identifier: Apache-2.0
 * workflow_doc.tbl, member by member; then what refers to what. */
#include "edge/workflow_doc.h"

#include <stdarg.h>
#include <stdio.h>

#include "common/attr.h"
#include "common/map.h"

enum part { NODE, EDGE };
enum kind { ID, REF, WORD, PLACE, OBJECT, LIST, NUMBER, YES, ANY };

static const struct member {
	enum part of;
	const char *name;
	enum kind kind;
} members[] = {
#define MEMBER(OF, name, KIND) {OF, name, KIND},
#include "edge/workflow_doc.tbl"
#undef MEMBER
};

static const char *const lists[] = {"nodes", "edges"};
static const size_t most[] = {WORKFLOW_NODES_MOST, WORKFLOW_EDGES_MOST};

struct checking {
	struct workflow_fault *fault;
	struct map *ids[2]; /* of nodes, of edges */
	enum part part;
	size_t index;
};

/* ---- faults */

PRINTF_LIKE(3, 4)
static bool wrong(struct workflow_fault *f, const char *where, const char *fmt, ...)
{
	va_list ap;
	int n;
	snprintf(f->where, sizeof f->where, "%s", where);
	n = snprintf(f->message, sizeof f->message, "%s ",
		     f->where[0] ? f->where : "a workflow");
	va_start(ap, fmt);
	vsnprintf(f->message + n, sizeof f->message - (size_t)n, fmt, ap);
	va_end(ap);
	return false;
}

/* Of a member of the node or edge that is looked at. */
static bool wrong_member(struct checking *x, const char *name, const char *clause)
{
	char where[sizeof x->fault->where];
	snprintf(where, sizeof where, "%s[%zu]%s%s", lists[x->part], x->index,
		 *name ? "." : "", name);
	return wrong(x->fault, where, "%s", clause);
}

/* ---- kinds */

static bool is_number(json_t v)
{
	return json_kind(v) == JSON_NUMBER;
}

static bool is_place(json_t v)
{
	return json_kind(v) == JSON_OBJECT && json_len(v) == 2 &&
	       is_number(json_get(v, "x")) && is_number(json_get(v, "y"));
}

static bool is_id(json_t v)
{
	struct slice s = json_str(v);
	return s.n > 0 && s.n <= WORKFLOW_ID_BYTES && !slice_has_control(s);
}

static const char *kind_problem(enum kind kind, json_t v)
{
	enum json_kind k = json_kind(v);
	switch (kind) {
	case ID:
	case REF:
		return is_id(v) ? NULL
				: "must be a text of 1 to 200 bytes without control "
				  "characters";
	case WORD:
		return k == JSON_STRING || k == JSON_NULL ? NULL
							  : "must be a text, or null";
	case PLACE:
		return is_place(v) ? NULL : "must be {\"x\": number, \"y\": number}";
	case OBJECT:
		return k == JSON_OBJECT ? NULL : "must be an object";
	case LIST:
		return k == JSON_ARRAY ? NULL : "must be a list";
	case NUMBER:
		return k == JSON_NUMBER ? NULL : "must be a number";
	case YES:
		return k == JSON_BOOL ? NULL : "must be true or false";
	case ANY:
		return NULL;
	}
	return NULL;
}

static bool check_member(struct checking *x, struct slice key, json_t v)
{
	char name[48];
	snprintf(name, sizeof name, "%.*s", (int)(key.n < 40 ? key.n : 40), key.p);
	for (size_t i = 0; i < ARRAY_LEN(members); i++) {
		const struct member *m = &members[i];
		if (m->of != x->part || !slice_is(key, m->name))
			continue;
		const char *clause = kind_problem(m->kind, v);
		return !clause || wrong_member(x, m->name, clause);
	}
	return wrong_member(x, name, "is no member that a canvas knows");
}

static bool check_needed(struct checking *x, json_t item)
{
	static const char *const of_node[] = {"id", "position", NULL};
	static const char *const of_edge[] = {"id", "source", "target", NULL};
	for (const char *const *n = x->part == NODE ? of_node : of_edge; *n; n++)
		if (!json_get(item, *n))
			return wrong_member(x, *n, "is missing");
	return true;
}

/* ---- items */

static bool check_item(struct checking *x, json_t item)
{
	struct json_iter it = json_iter(item);
	struct slice key;
	if (json_kind(item) != JSON_OBJECT)
		return wrong_member(x, "", "must be an object");
	for (json_t v; (v = json_next(&it, &key));)
		if (!check_member(x, key, v))
			return false;
	if (!check_needed(x, item))
		return false;
	struct slice id = json_str(json_get(item, "id"));
	if (map_get(x->ids[x->part], id))
		return wrong_member(x, "id", "is that of another one before it");
	map_put(x->ids[x->part], id, x);
	return true;
}

static bool check_list(struct checking *x, json_t root, enum part part)
{
	json_t list = json_get(root, lists[part]);
	struct json_iter it = json_iter(list);
	x->part = part;
	x->index = 0;
	if (json_kind(list) != JSON_ARRAY)
		return wrong(x->fault, lists[part],
			     list ? "must be a list" : "is missing");
	if (json_len(list) > most[part])
		return wrong(x->fault, lists[part], "has %zu items, %zu at most",
			     json_len(list), most[part]);
	for (json_t v; (v = json_next(&it, NULL)); x->index++)
		if (!check_item(x, v))
			return false;
	return true;
}

/* ---- references */

static bool check_reference(struct checking *x, json_t item, const char *name)
{
	json_t v = json_get(item, name);
	if (!v || map_get(x->ids[NODE], json_str(v)))
		return true;
	return wrong_member(x, name, "is the id of no node");
}

static bool check_node_references(struct checking *x, json_t item)
{
	static const char *const names[] = {"parentId", "parentNode"};
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		json_t v = json_get(item, names[i]);
		if (!check_reference(x, item, names[i]))
			return false;
		if (v && slice_eq(json_str(v), json_str(json_get(item, "id"))))
			return wrong_member(x, names[i], "is the node itself");
	}
	return true;
}

static bool check_edge_references(struct checking *x, json_t item)
{
	if (!check_reference(x, item, "source") || !check_reference(x, item, "target"))
		return false;
	return !slice_eq(json_str(json_get(item, "source")),
			 json_str(json_get(item, "target"))) ||
	       wrong_member(x, "target", "is its source: an edge joins two nodes");
}

static bool check_references(struct checking *x, json_t root, enum part part)
{
	struct json_iter it = json_iter(json_get(root, lists[part]));
	x->part = part;
	x->index = 0;
	for (json_t v; (v = json_next(&it, NULL)); x->index++)
		if (!(part == NODE ? check_node_references(x, v)
				   : check_edge_references(x, v)))
			return false;
	return true;
}

/* ---- the whole */

static bool check_viewport(struct workflow_fault *f, json_t v)
{
	static const char *const names[] = {"x", "y", "zoom"};
	bool fine = !v || (json_kind(v) == JSON_OBJECT && json_len(v) == 3);
	for (size_t i = 0; fine && v && i < ARRAY_LEN(names); i++)
		fine = is_number(json_get(v, names[i]));
	return fine || wrong(f, "viewport",
			     "must be {\"x\": number, \"y\": number, "
			     "\"zoom\": number}");
}

static bool check_names(struct workflow_fault *f, json_t root)
{
	struct json_iter it = json_iter(root);
	struct slice key;
	char name[48];
	if (json_kind(root) != JSON_OBJECT)
		return wrong(f, "", "must be a JSON object");
	while (json_next(&it, &key)) {
		if (slice_is(key, "nodes") || slice_is(key, "edges") ||
		    slice_is(key, "viewport"))
			continue;
		snprintf(name, sizeof name, "%.*s", (int)(key.n < 40 ? key.n : 40),
			 key.p);
		return wrong(f, name,
			     "is no member of a workflow: it has nodes, edges and "
			     "viewport");
	}
	return true;
}

bool workflow_check(json_t root, struct workflow_fault *fault)
{
	struct checking x = {.fault = fault, .ids = {map_new(), map_new()}};
	*fault = (struct workflow_fault){0};
	bool fine = check_names(fault, root) && check_list(&x, root, NODE) &&
		    check_list(&x, root, EDGE) && check_references(&x, root, NODE) &&
		    check_references(&x, root, EDGE) &&
		    check_viewport(fault, json_get(root, "viewport"));
	map_free(x.ids[NODE]);
	map_free(x.ids[EDGE]);
	return fine;
}
