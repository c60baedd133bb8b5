#!/bin/sh
# GNU wget, which reads the system's certificates and no variable that names others.
set -eu
allowed=$1 brokered=$2 refused=$3

call() {
  wget ${WITH_OPTION:+"--ca-certificate=$SSL_CERT_FILE"} "$@"
}

# Its headers come last on its error output, and the status is in the first of them.
status() {
  call -q -S -O /dev/null "$@" 2>&1 | awk '$1 ~ /^HTTP\// { status = $2 } END { print status }'
}

echo "key $KEY"
echo "allowed $(status "$allowed/echo")"
echo "brokered $(status --header="Authorization: Bearer $KEY" "$brokered/echo")"
echo "refused $(call -nv --content-on-error -O - "$refused/" 2>&1 || true)"
