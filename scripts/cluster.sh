# SPDX-License-Identifier: Apache-2.0
# Sourced by run and scripts/pg, after common.sh: the private cluster. Reachable by a unix socket in the runtime directory only; the
# superuser by `peer`, the database's owner and the product's roles by password (SCRAM).

# The pid of the postmaster of $STATE/pg. A pid in a file is not believed: the number may be another process's by now.
pg_pid() {
	local pid
	pid=$(head -1 "$STATE/pg/postmaster.pid" 2>/dev/null) || return 1
	[ -n "$pid" ] && [ "$(readlink "/proc/$pid/cwd" 2>/dev/null)" = "$(readlink -f "$STATE/pg")" ] && echo "$pid"
}

pg_processes() { find /proc -maxdepth 2 -path '/proc/[0-9]*/cwd' -lname "$(readlink -f "$STATE/pg")" 2>/dev/null | cut -d/ -f3; }

pg_init() {
	local out
	as_node rm -rf "$STATE/pg.new"
	# Without a sync of every file, and one at the end.
	out=$(as_node "$PG/initdb" -D "$STATE/pg.new" -N -U postgres -E UTF8 --locale=C.UTF-8 --data-checksums --auth=reject 2>&1) ||
		{ say "$(tail -5 <<<"$out")"; die "the private cluster could not be made in $STATE/pg"; }
	as_node tee "$STATE/pg.new/pg_hba.conf" >/dev/null <<-C
		local all postgres peer map=super
		local all all scram-sha-256
	C
	echo "super $NODE_USER postgres" | as_node tee "$STATE/pg.new/pg_ident.conf" >/dev/null
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
		timezone = 'UTC'
	C
	as_node "$PG/initdb" -S -D "$STATE/pg.new" >/dev/null 2>&1 || die "$STATE/pg.new cannot be written to disk"
	as_node mv -T "$STATE/pg.new" "$STATE/pg"
}

# After a kill -9 of the postmaster its children end by themselves, a computing one must be told. A stale pid is Postgres' own business
# except where the number lives on: as another process, or as a zombie that its parent does not collect.
pg_clear_stale() {
	local old i pid
	old=$(head -1 "$STATE/pg/postmaster.pid" 2>/dev/null) || return 0
	for ((i = 0; i < 20; i++)); do
		[ -n "$(pg_processes)" ] || break
		sleep 0.1
	done
	for pid in $(pg_processes); do as_node kill -9 "$pid" 2>/dev/null || true; done
	if [ -d "/proc/$old" ]; then as_node rm -f "$STATE/pg/postmaster.pid" "$RUNTIME/.s.PGSQL.5432.lock"; fi
}

pg_start() {
	pg_clear_stale
	# Postgres logs into its file; nothing of it holds the caller's output open.
	as_node "$PG/pg_ctl" -D "$STATE/pg" -l "$STATE/log/postgres.log" -o "-k $RUNTIME" -w -t 60 start >/dev/null 2>&1 ||
		{ as_node tail -5 "$STATE/log/postgres.log" >&2; die "the private cluster does not start; its log is $STATE/log/postgres.log"; }
}

pg_stop() {
	if ! pg_pid >/dev/null; then return; fi
	as_node "$PG/pg_ctl" -D "$STATE/pg" -m fast -w -t 60 stop >/dev/null 2>&1 ||
		say "the private cluster of $STATE/pg does not stop; its log is $STATE/log/postgres.log"
}

# Stops the cluster when its last user has ended, unless scripts/pg was told to start it.
pg_done() {
	if [ -n "${TERABITS_DATABASE_URL:-}" ] || [ -e "$STATE/pg.kept" ]; then return; fi
	pg_stop
}

super() { as_node "$PG/psql" -XAtq -v ON_ERROR_STOP=1 -h "$PG_SOCKET" -U postgres -d "$1"; }

# The database and its owner; again and again without harm, so a start that was killed in between is finished by the next.
pg_owner() {
	local password
	if as_node test -s "$STATE/secrets/owner"; then return; fi
	password=$(head -c 24 /dev/urandom | base64 | tr '+/' '-_')
	super postgres <<-C
		SELECT 'CREATE ROLE terabits_owner' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'terabits_owner') \gexec
		ALTER ROLE terabits_owner LOGIN CREATEROLE NOSUPERUSER PASSWORD '$password';
		SELECT 'CREATE DATABASE terabits OWNER terabits_owner' WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'terabits') \gexec
	C
	super terabits <<<'CREATE EXTENSION IF NOT EXISTS vector;'
	echo "host=$PG_SOCKET port=5432 dbname=terabits user=terabits_owner password=$password" |
		as_node sh -c 'umask 077 && cat >"$0.new" && mv "$0.new" "$0"' "$STATE/secrets/owner"
}

# The socket moves when the runtime directory does (a login session has its own, a service has none): the connection strings follow.
pg_follow_socket() {
	if [ ! -s "$STATE/secrets/owner" ] || grep -qF "host=$PG_SOCKET " "$STATE/secrets/owner"; then return; fi
	as_node sh -c 'cd "$0" && exec sed -E -i "$1" owner $(ls -d tb_* 2>/dev/null)' "$STATE/secrets" "s#host='?/[^' ]*'?#host=$PG_SOCKET#"
}

# Sets PG_SOCKET, and PG_STARTED when it was not running.
pg_ensure() {
	if [ ! -s "$STATE/pg/PG_VERSION" ]; then pg_init; fi
	if [ "$(cat "$STATE/pg/PG_VERSION")" != "$(basename "$(dirname "$PG")")" ]; then
		die "the cluster in $STATE/pg is of PostgreSQL $(cat "$STATE/pg/PG_VERSION"), installed is $(basename "$(dirname "$PG")"): move it away, or upgrade it with pg_upgrade"
	fi
	if ! pg_pid >/dev/null; then
		pg_start
		PG_STARTED=1
	fi
	PG_SOCKET=$(sed -n 5p "$STATE/pg/postmaster.pid")
	pg_follow_socket
	pg_owner
}
