#!/usr/bin/env bash
# need_packages, as run.sh and test.sh call it, with stand-ins for dpkg-query, id, sudo and apt-get: what it does on machines where something is
# missing, which the machine that runs this test is not.
#   packages.sh SOURCE_FOLDER
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
bash=$(command -v bash)

stand_in() { # NAME, then what it does
    printf '#!%s\n%s\n' "$bash" "$2" >"$folder/bin/$1"
    chmod +x "$folder/bin/$1"
}
start() { # USER_ID SUDO_STATUS: of two packages one is missing
    rm -rf "$folder/bin"
    mkdir "$folder/bin"
    for tool in grep tail mktemp rm env touch; do ln -s "$(command -v $tool)" "$folder/bin/$tool"; done
    # shellcheck disable=SC2016
    stand_in dpkg-query 'case ${@: -1} in there) echo "ii " ;; *) [ -e "'"$folder"'/installed" ] && echo "ii " ;; esac'
    stand_in id "echo $1"
    stand_in sudo '[ "$2" = true ] && exit '"$2"'; shift; exec "$@"'
    stand_in apt-get 'echo "apt-get $*" >>"'"$folder"'/calls"; [ "$1" = update ] || touch "'"$folder"'/installed"'
    rm -f "$folder/calls" "$folder/installed"
    touch "$folder/calls"
}
need() { # STATUS: expected; what is said goes to $folder/said
    status=0
    PATH=$folder/bin "$bash" -c '. "$0/.ci/packages.sh"; need_packages there gone; echo goes on' "$1" >"$folder/said" 2>&1 </dev/null || status=$?
    [ $status = "$2" ] || { echo "expected status $2, found $status:"; cat "$folder/said"; exit 1; }
}
expect() { # FILE LINE
    grep -qxF -- "$2" "$folder/$1" || { echo "expected in $1: $2"; echo "found:"; cat "$folder/$1"; exit 1; }
}
install="apt-get install -y --no-install-recommends gone"

start 1000 1 # neither root nor sudo: says what to type, and stops
need "$1" 1
expect said "  sudo apt-get update && sudo $install"
[ ! -s "$folder/calls" ] || { echo "apt-get was called without a right to"; exit 1; }

for user in "0 1" "1000 0"; do # root, or sudo without a password: installs what is missing and nothing else, once
    # shellcheck disable=SC2086
    start $user
    need "$1" 0
    expect calls "apt-get update"
    expect calls "$install"
    expect said "goes on"
    : >"$folder/calls"
    need "$1" 0
    [ ! -s "$folder/calls" ] || { echo "apt-get was called with everything installed"; exit 1; }
done

start 0 1 # what apt-get cannot do is said
stand_in apt-get '[ "$1" = update ] || { echo "E: no network"; exit 100; }'
need "$1" 1
expect said "E: no network"

start 0 1 # another system, without a compiler
rm "$folder/bin/dpkg-query"
need "$1" 1
expect said "  there gone"
