#!/bin/sh
# git: a clone, a look at a repository that wants a key, and one at a host that may not be called.
set -eu
allowed=$1 brokered=$2 refused=$3

echo "key $KEY"
git clone -q "$allowed/repository.git" clone
echo "allowed $(git -C clone log --format=%s)"
basic=$(printf 'x-access-token:%s' "$KEY" | base64 -w0)
echo "brokered $(git -c "http.extraHeader=Authorization: Basic $basic" ls-remote "$brokered/repository.git" HEAD | cut -f2)"
echo "refused $(git ls-remote "$refused/repository.git" 2>&1 || true)"
