/* SPDX-License-Identifier: Apache-2.0
 * The keys of model providers that runs are given: of their tenant, else of the platform,
 * else of the node's settings (docs/provider-keys.md).
 *
 * Of each tenant the rows read last are kept, sealed; one is opened when it is chosen
 * first and stays open while the row is the same (its id and revision). A run holds the
 * one it was given, so that a key that is changed or removed meanwhile ends with its last
 * holder, and is wiped then; of a tenant that asks nothing for long none stays open. */
#ifndef TB_KEYS_H
#define TB_KEYS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/ident.h"
#include "common/slice.h"

struct keys;
struct llm_provider;
struct llm_target;
struct pg_request;
struct pg_result;
struct provider_key;
struct run;
struct worker;

#define KEYS_FRESH_US 1000000

/* masters: the secret halves of all master keys; copied. */
struct keys *keys_new(struct slice masters);
void keys_free(struct keys *k); /* wipes them */
/* The tenant's rows have changed; 0, the platform's: everybody's. */
void keys_forget(struct keys *k, int64_t tenant);

/* ---- reading, into a request of the run's tenant (behind its capability) */

bool keys_are_fresh(const struct run *r);
void keys_ask(struct pg_request *q, const struct run *r);
void keys_take(struct run *r, const struct pg_result *rows);

/* By which key, and where, this run asks that model of p: of the first of tenant,
 * platform and node that has keys for p the first that is not cooled down, else the
 * first. *t is good until the run chooses again or ends; *key is nil for the node's own.
 * False: there is none, or it cannot be opened; the run's failure text says what to do.
 */
bool keys_choose(struct run *r, const struct llm_provider *p, struct slice model,
		 struct llm_target *t, struct uuid *key);

/* ---- for who is no run */

/* The key of such a row (SQL_KEYS), opened. NULL: it cannot be, which was logged. Give it
 * back. */
struct provider_key *keys_open_row(const struct worker *w, const struct pg_result *rows,
				   int row);
/* Where it is for, and with what; good as long as the key is held. */
void key_aim(const struct worker *w, const struct provider_key *k,
	     const struct llm_provider *p, struct llm_target *t);
/* Those that are open, and the master keys as their file has them. */
void keys_each_secret(const struct keys *ks, void (*fn)(void *arg, struct slice secret),
		      void *arg);
void key_give_back(struct provider_key *k); /* NULL is fine */

#endif
