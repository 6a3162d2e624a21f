# SPDX-License-Identifier: Apache-2.0
# Sourced by run, test and scripts/*: where things are, and who they belong to.
#
# An ordinary user's node lives in the checkout (var/). Root's does not: Postgres refuses root, and a checkout below /root is
# closed to anyone else. So as root everything runs as the system user "terabits" (the node begins as root and becomes that user, so
# that each tenant can have a user of its own), with state in /var/lib/terabits/<id> and a copy of the programs beside it; <id> is a hash of the checkout's path, and var is a link to the state.
set -euo pipefail
umask 022

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
ID=$(printf %s "$ROOT" | sha256sum | cut -c1-8)

say() { printf '%s\n' "$*" >&2; }
die() { say "${0##*/}: $*"; exit 1; }
seconds() { awk -v a="$1" -v b="$(date +%s.%N)" 'BEGIN { printf "%.1f", b - a }'; }

if [ "$(id -u)" = 0 ]; then
	NODE_USER=terabits
	AS=(setpriv --reuid="$NODE_USER" --regid="$NODE_USER" --clear-groups)
	STATE=${TERABITS_STATE_DIR:-/var/lib/terabits/$ID}
	RUNTIME=${TERABITS_RUNTIME_DIR:-/run/terabits/$ID}
	DIST=/var/lib/terabits/$ID.dist
	LOCKS=/run/terabits # root does not open what the node's user could replace by a link
else
	NODE_USER=$(id -un)
	AS=()
	STATE=${TERABITS_STATE_DIR:-$ROOT/var}
	RUNTIME=${TERABITS_RUNTIME_DIR:-${XDG_RUNTIME_DIR:-/tmp}/terabits-$ID-$(id -u)}
	DIST=
	LOCKS=$STATE
fi
case $STATE in /*) ;; *) STATE=$PWD/$STATE ;; esac
case $RUNTIME in /*) ;; *) RUNTIME=$PWD/$RUNTIME ;; esac

# Becomes a program as the node's user, with nothing of the caller's environment but what the node reads, and of its secrets what
# SECRETS names: Postgres has no business with a model's key. Not by env(1): a key must not stand on a command line, be it for a
# millisecond.
SECRETS=
exec_node() {
	local name wanted=" TZ TERM NO_COLOR COLUMNS TERABITS_CONFIG TERABITS_LISTEN TERABITS_WORKERS TERABITS_WORKER_RUNS
		TERABITS_LOG_LEVEL TERABITS_MODEL TERABITS_MODEL_SILENCE_SECONDS TERABITS_DRAIN_SECONDS TERABITS_SECCOMP
		TERABITS_USER OPENAI_MODEL OPENAI_BASE_URL $SECRETS "
	export -n STATE RUNTIME MIGRATIONS AS SECRETS
	for name in $(compgen -e); do
		[[ $wanted =~ [[:space:]]"$name"[[:space:]] ]] || unset "$name" 2>/dev/null || true
	done
	export PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8
	export TERABITS_STATE_DIR=$STATE TERABITS_RUNTIME_DIR=$RUNTIME TERABITS_MIGRATIONS=${MIGRATIONS:-}
	cd /
	exec 8>&- 9>&- # the locks of run are not for children: a daemon would hold them
	exec ${AS[@]+"${AS[@]}"} "$@"
}
as_node() { (exec_node "$@"); }
# The same for terabitsd, which as root leaves root itself.
exec_daemon() {
	export TERABITS_USER=$NODE_USER
	AS=()
	exec_node "$@"
}

# lock_name KIND: the file in LOCKS of one state directory.
lock_name() {
	if [ "$(id -u)" = 0 ]; then printf '%s' "$STATE" | sha256sum | sed "s/\(.\{8\}\).*/\1.$1/"; else echo "$1.lock"; fi
}

# A directory of the node's user; one that is there already keeps its owner.
own_directory() {
	if [ -e "$1" ]; then return; fi
	mkdir -p "$1" 2>/dev/null && { [ "$(id -u)" != 0 ] || chown -h "$NODE_USER:$NODE_USER" "$1"; } ||
		die "$1 cannot be made: set $2 to a directory of yours that can be written"
}

make_places() {
	if [ "$(id -u)" = 0 ] && ! id "$NODE_USER" >/dev/null 2>&1; then
		useradd --system --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin "$NODE_USER" ||
			die "the system user $NODE_USER cannot be made"
	fi
	[ ${#RUNTIME} -le 60 ] || die "$RUNTIME is too long for sockets: set TERABITS_RUNTIME_DIR to a directory of at most 60 bytes"
	own_directory "$STATE" TERABITS_STATE_DIR
	own_directory "$RUNTIME" TERABITS_RUNTIME_DIR
	if [ -h "$RUNTIME" ] || [ "$(stat -c %U "$RUNTIME")" != "$NODE_USER" ]; then
		die "$RUNTIME belongs to someone else: set TERABITS_RUNTIME_DIR to another directory"
	fi
	as_node sh -c 'chmod 711 "$1" && mkdir -p "$0/secrets" "$0/log" && chmod 700 "$0/secrets" && test -w "$0"' "$STATE" "$RUNTIME" 2>/dev/null ||
		die "$STATE cannot be written by the user $NODE_USER: give it to that user, or set TERABITS_STATE_DIR to another directory"
	if [ "$(id -u)" = 0 ] && [ -z "${TERABITS_STATE_DIR:-}" ] && [ ! -e "$ROOT/var" ]; then
		ln -sfn "$STATE" "$ROOT/var" 2>/dev/null || true
	fi
}

# Programs, migrations and Postgres where the node's user can reach them: BIN, MIGRATIONS, PG.
stage() {
	local build=$1 tree
	tree=$(ls -d "$ROOT"/.deps/pg/usr/lib/postgresql/*/bin | tail -1)
	if [ "$(id -u)" != 0 ]; then
		BIN=$build/bin MIGRATIONS=$ROOT/migrations PG=$tree
		return
	fi
	BIN=$DIST/bin MIGRATIONS=$DIST/share/terabits/migrations PG=$DIST/pg/${tree#"$ROOT"/.deps/pg/usr/}
	mkdir -p "$DIST/lib"
	cmake --install "$build" --prefix "$DIST" >/dev/null
	if [ -d "$ROOT/.deps/libs" ]; then cp -au "$ROOT"/.deps/libs/usr/lib/*/*.so* "$DIST/lib/"; fi
	stage_postgres
}

# As root, a copy of the Postgres tree; a start that was killed in the copy leaves no half of one.
stage_postgres() {
	if cmp -s "$DIST/.pg" "$ROOT/.deps/.pg" && [ ! "$ROOT/.deps/.pg" -nt "$DIST/.pg" ]; then return; fi
	rm -rf "$DIST/.pg" "$DIST/pg" "$DIST/pg.new"
	mkdir -p "$DIST"
	cp -a "$ROOT/.deps/pg/usr" "$DIST/pg.new"
	mv "$DIST/pg.new" "$DIST/pg"
	cp "$ROOT/.deps/.pg" "$DIST/.pg"
}
