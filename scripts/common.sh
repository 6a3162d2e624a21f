# SPDX-License-Identifier: Apache-2.0
# Sourced by run, test and scripts/*: where things are, and who they belong to.
#
# An ordinary user's node lives in the checkout (var/). Root's does not: Postgres refuses root, and a checkout below /root is
# closed to anyone else. So as root everything runs as the system user "terabits", with state in /var/lib/terabits/<id> and a copy of
# the programs beside it; <id> is a hash of the checkout's path, and var is a link to the state.
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
ID=$(printf %s "$ROOT" | sha256sum | cut -c1-8)
SYSTEM_USER=terabits

say() { printf '%s\n' "$*" >&2; }
die() { say "${0##*/}: $*"; exit 1; }
seconds() { awk -v a="$1" -v b="$(date +%s.%N)" 'BEGIN { printf "%.1f", b - a }'; }

if [ "$(id -u)" = 0 ]; then
	STATE=${TERABITS_STATE_DIR:-/var/lib/terabits/$ID}
	RUNTIME=${TERABITS_RUNTIME_DIR:-/run/terabits/$ID}
	DIST=/var/lib/terabits/$ID.dist
else
	STATE=${TERABITS_STATE_DIR:-$ROOT/var}
	RUNTIME=${TERABITS_RUNTIME_DIR:-${XDG_RUNTIME_DIR:-/tmp/terabits-$(id -u)}/$ID}
	DIST=
fi
case $STATE in /*) ;; *) STATE=$PWD/$STATE ;; esac

# Becomes a program as the node's user, with nothing of the caller's environment but what the node reads.
exec_node() {
	local name keep=(PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 TERABITS_STATE_DIR="$STATE" TERABITS_RUNTIME_DIR="$RUNTIME"
		TERABITS_MIGRATIONS="$MIGRATIONS")
	for name in TZ TERM TERABITS_CONFIG TERABITS_LISTEN TERABITS_WORKERS TERABITS_WORKER_RUNS TERABITS_LOG_LEVEL TERABITS_MODEL \
		TERABITS_DRAIN_SECONDS TERABITS_DATABASE_URL TERABITS_TOKEN TERABITS_SECCOMP OPENAI_MODEL OPENAI_BASE_URL OPENAI_API_KEY; do
		if [ -n "${!name+x}" ]; then keep+=("$name=${!name}"); fi
	done
	if [ "$(id -u)" = 0 ]; then
		exec_prefix=(setpriv --reuid="$SYSTEM_USER" --regid="$SYSTEM_USER" --clear-groups)
	else
		exec_prefix=()
	fi
	cd /
	exec 8>&- 9>&- # the locks of run are not for children: a daemon would hold them
	exec env -i "${keep[@]}" ${exec_prefix[@]+"${exec_prefix[@]}"} "$@"
}
as_node() { (exec_node "$@"); }

# Makes the directories, for the right owner.
make_places() {
	if [ "$(id -u)" != 0 ]; then
		mkdir -p "$STATE/secrets" "$STATE/log" "$RUNTIME" 2>/dev/null ||
			die "cannot make $STATE or $RUNTIME: set TERABITS_STATE_DIR (and TERABITS_RUNTIME_DIR) to directories you may write"
	else
		if ! id "$SYSTEM_USER" >/dev/null 2>&1; then
			useradd --system --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin "$SYSTEM_USER"
		fi
		mkdir -p "$STATE/secrets" "$STATE/log" "$RUNTIME" 2>/dev/null ||
			die "cannot make $STATE or $RUNTIME: set TERABITS_STATE_DIR (and TERABITS_RUNTIME_DIR) to writable directories"
		chown "$SYSTEM_USER:$SYSTEM_USER" "$STATE" "$STATE/secrets" "$STATE/log" "$RUNTIME" 2>/dev/null ||
			die "cannot give $STATE to the user $SYSTEM_USER: is the file system read-only?"
		if [ -z "${TERABITS_STATE_DIR:-}" ] && [ ! -e "$ROOT/var" ]; then ln -sfn "$STATE" "$ROOT/var" 2>/dev/null || true; fi
	fi
	[ -w "$STATE" ] || die "$STATE is not writable: set TERABITS_STATE_DIR to a directory you may write"
	chmod 700 "$STATE/secrets" && chmod 711 "$RUNTIME"
	[ ${#RUNTIME} -le 60 ] || die "$RUNTIME is too long for sockets: set TERABITS_RUNTIME_DIR to a directory of at most 60 bytes"
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
	if [ ! "$DIST/.pg" -nt "$ROOT/.deps/.pg" ]; then
		rm -rf "$DIST/pg"
		cp -a "$ROOT/.deps/pg/usr" "$DIST/pg"
		touch "$DIST/.pg"
	fi
}
