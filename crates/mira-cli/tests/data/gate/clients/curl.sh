#!/bin/sh
# curl, told of nothing: what it is called with, it would be called with anywhere.
set -eu
allowed=$1 brokered=$2 refused=$3

echo "key $KEY"
echo "allowed $(curl -sS -o /dev/null -w '%{http_code}' "$allowed/echo")"
echo "brokered $(curl -sS -o /dev/null -w '%{http_code}' -H "Authorization: Bearer $KEY" "$brokered/echo")"

curl -sSN "$brokered/sse" | while read -r line; do
  case $line in
    "data: "*)
      echo "event ${line#data: }"
      curl -sS -o /dev/null "$allowed/echo?ack=${line#data: }"
      ;;
  esac
done

echo "refused $(curl -sS -w ' %{http_code}' "$refused/" 2>&1 || true)"
