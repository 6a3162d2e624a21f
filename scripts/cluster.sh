# SPDX-License-Identifier: Apache-2.0
# Sourced by run: the private cluster. Reachable by a unix socket in the runtime directory only; the superuser by `peer`, the database's
# owner and the product's roles by password (SCRAM).

pg_is_up() { as_node "$PG/pg_ctl" -D "$STATE/pg" status >/dev/null 2>&1; }

pg_init() {
	local user
	user=$(if [ "$(id -u)" = 0 ]; then echo "$SYSTEM_USER"; else id -un; fi)
	as_node rm -rf "$STATE/pg.new"
	as_node "$PG/initdb" -D "$STATE/pg.new" -U postgres -E UTF8 --locale=C.UTF-8 --data-checksums --auth=reject >"$STATE/log/initdb.log" 2>&1 ||
		{ tail -5 "$STATE/log/initdb.log" >&2; die "the private cluster could not be made in $STATE/pg"; }
	as_node tee "$STATE/pg.new/pg_hba.conf" >/dev/null <<-C
		local all postgres peer map=super
		local all all scram-sha-256
	C
	echo "super $user postgres" | as_node tee "$STATE/pg.new/pg_ident.conf" >/dev/null
	as_node tee -a "$STATE/pg.new/postgresql.conf" >/dev/null <<-C
		listen_addresses = ''
		unix_socket_permissions = 0700
		password_encryption = 'scram-sha-256'
		shared_buffers = 128MB
		wal_compression = lz4
		checkpoint_timeout = 15min
		max_wal_size = 4GB
		jit = off
		log_timezone = 'UTC'
	C
	as_node mv "$STATE/pg.new" "$STATE/pg"
}

pg_start() {
	# What a kill -9 left behind: Postgres checks the pid in it, but a reused one would confuse it.
	as_node "$PG/pg_ctl" -D "$STATE/pg" -l "$STATE/log/postgres.log" -o "-k $RUNTIME" -w -t 60 start >/dev/null 2>&1 ||
		{ tail -5 "$STATE/log/postgres.log" >&2; die "the private cluster does not start; its log is $STATE/log/postgres.log"; }
}

pg_stop() { as_node "$PG/pg_ctl" -D "$STATE/pg" -m fast -w -t 60 stop >/dev/null 2>&1 || true; }

super() { as_node "$PG/psql" -XAtq -v ON_ERROR_STOP=1 -h "$RUNTIME" -U postgres -d "$1"; }

# The database and its owner; again and again without harm, so a start that was killed in between is finished by the next.
pg_owner() {
	local password
	if [ -s "$STATE/secrets/owner" ]; then return; fi
	password=$(head -c 24 /dev/urandom | base64 | tr '+/' '-_')
	super postgres <<-C
		SELECT 'CREATE ROLE terabits_owner' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'terabits_owner') \gexec
		ALTER ROLE terabits_owner LOGIN CREATEROLE NOSUPERUSER PASSWORD '$password';
		SELECT 'CREATE DATABASE terabits OWNER terabits_owner' WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'terabits') \gexec
	C
	super terabits <<<'CREATE EXTENSION IF NOT EXISTS vector;'
	(umask 077 && printf 'host=%s port=5432 dbname=terabits user=terabits_owner password=%s\n' "$RUNTIME" "$password" |
		as_node tee "$STATE/secrets/owner.new" >/dev/null)
	as_node chmod 600 "$STATE/secrets/owner.new"
	as_node mv "$STATE/secrets/owner.new" "$STATE/secrets/owner"
}

pg_ensure() {
	if [ ! -s "$STATE/pg/PG_VERSION" ]; then pg_init; fi
	if [ "$(cat "$STATE/pg/PG_VERSION")" != "$(basename "$(dirname "$PG")")" ]; then
		die "the cluster in $STATE/pg is of PostgreSQL $(cat "$STATE/pg/PG_VERSION"), installed is $(basename "$(dirname "$PG")"): move it away, or upgrade it with pg_upgrade"
	fi
	if ! pg_is_up; then
		pg_start
		PG_STARTED=1
	fi
	pg_owner
}
