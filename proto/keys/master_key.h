/* SPDX-License-Identifier: Apache-2.0
 * The file of master keys: a line each, 64 hex digits; the first seals, all open. Empty
 * lines and those that begin with '#' count for nothing. */
#ifndef TB_MASTER_KEY_H
#define TB_MASTER_KEY_H

#include <stddef.h>
#include <stdint.h>

#include "common/crypto.h"

#define MASTER_KEYS_MOST 8u
#define MASTER_KEYS_BYTES (CRYPTO_BOX_KEY * MASTER_KEYS_MOST)

struct master_keys {
	size_t count;
	uint8_t secrets[MASTER_KEYS_BYTES];
};

/* Where the file is: as the setting says (may be ""), else systemd's credential, else in
 * the state directory. 1: it is that last one, which may be made. */
int master_path(const char *setting, const char *state_dir, char *path, size_t size);
/* Makes a file with one new key unless there is one, 0600, of whom the directory is. -1
 * and errno. */
int master_make(const char *path);
/* -1 and a sentence in err: not there, open to others, not what it should be. The caller
 * wipes. Blocking. */
int master_read(const char *path, struct master_keys *out, char *err, size_t size);
/* The public half of the key that seals. */
void master_public(const struct master_keys *m, uint8_t public_key[CRYPTO_BOX_KEY]);
void master_wipe(struct master_keys *m);

#endif
