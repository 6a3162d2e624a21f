#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# One message by curl alone: placed under an idempotency key, its events as they come (a JSON object a line), taken up again behind the last
# one when the connection breaks, and the run as it ended.
set -eu
url=${TERABITS_URL:-http://127.0.0.1:7717}
agent=${AGENT:-main}
session=${SESSION:-curl}
message=${1:?usage: TERABITS_TOKEN=... run.sh MESSAGE}
: "${TERABITS_TOKEN:?the token is missing: export TERABITS_TOKEN}"

files=$(mktemp -d)
trap 'rm -rf "$files"' EXIT

# The token goes by standard input, so that no list of processes shows it.
call() {
  printf 'header = "Authorization: Bearer %s"\n' "$TERABITS_TOKEN" | curl --config - --silent --show-error "$@"
}

# A text as the inside of a JSON string.
escape() {
  printf '%s' "$1" | tr -d '\000-\010\013-\037' | sed 's/\\/\\\\/g; s/"/\\"/g; s/\t/\\t/g' | awk 'NR > 1 { printf "\\n" } { printf "%s", $0 }'
}

# 1. The same key again is the same run: so it may be sent again when no answer came.
printf '{"sessionKey":"%s","message":"%s"}' "$(escape "$session")" "$(escape "$message")" >"$files/body"
accepted=$(call --fail-with-body --retry 5 --retry-connrefused -H 'Content-Type: application/json' \
  -H "Idempotency-Key: $(cat /proc/sys/kernel/random/uuid)" --data-binary "@$files/body" "$url/v1/agents/$agent/runs") || {
  printf '%s\n' "$accepted" >&2
  exit 1
}
run=$(printf '%s' "$accepted" | sed -n 's/.*"runId":"\([^"]*\)".*/\1/p')
echo "run $run" >&2

# 2. An id counts when its event is whole, which an empty line says.
show() {
  id=
  while IFS= read -r line; do
    case $line in
    'id:'*) id=${line#id:} id=${id# } ;;
    'data:'*)
      data=${line#data:}
      printf '%s\n' "${data# }"
      ;;
    '') [ -z "$id" ] || printf '%s' "$id" >"$files/last" ;;
    esac
    case $line in
    'data:'*'"type":"lifecycle"'*)
      if expr "$line" : '.*"phase": *"\(end\|error\)"' >/dev/null; then : >"$files/ended"; fi
      ;;
    esac
  done
}
tries=0
while [ ! -e "$files/ended" ]; do
  last=$(cat "$files/last" 2>/dev/null || true)
  call --no-buffer ${last:+-H "Last-Event-ID: $last"} "$url/v1/runs/$run/events" 2>"$files/why" | show
  [ -e "$files/ended" ] && break
  tries=$((tries + 1))
  [ "$tries" -lt 20 ] || { cat "$files/why" >&2; exit 1; }
  echo "the stream broke after event ${last:-0}; again" >&2
  sleep 0.5
done

# 3. What is kept of it.
call --fail-with-body "$url/v1/runs/$run"
call "$url/v1/runs/$run/wait" | grep -q '"status":"ok"'
