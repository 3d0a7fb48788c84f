#!/bin/sh
# Makes the man page: docs/man/aval.1.in, with commands, options and environment as the program itself tells them, so that they stay true.
#   make.sh PROGRAM aval.1.in OUT
set -eu
program=$1 page=$2 out=$3
parts=$(mktemp -d)
trap 'rm -rf "$parts"' EXIT

# Text made safe for roff: backslashes and hyphens are themselves, and no line is taken for a request.
plain='function plain(s) { gsub(/\\/, "\\e", s); gsub(/-/, "\\-", s); if (s ~ /^[.\047]/) s = "\\&" s; return s }'

# options TITLE FILE: the paragraphs of one part of a command's help.  A line that starts an option has it within the first columns, and its
# description behind two spaces or more; other lines go on with a description.
options() {
    awk -v title="$1" "$plain"'
        /^[^ ].*:$/ { inside = $0 == title; next }
        !inside || /^$/ { next }
        /^  (-.,|   ) --/ {
            line = $0
            sub(/^ +/, "", line)
            at = match(line, /  +/)
            print ".TP\n.B " plain(at ? substr(line, 1, at - 1) : line)
            if (at) print plain(substr(line, at + RLENGTH))
            next
        }
        { sub(/^ +/, ""); print plain($0) }' "$2"
}

"$program" help >"$parts/help"
sed -n -e '/^Environment:/q' -e 's/^  \([a-z][a-z-]*\) .*/\1/p' "$parts/help" >"$parts/names"
[ -s "$parts/names" ] || { echo "$program help lists no commands" >&2; exit 1; }

while read -r name; do
    "$program" "$name" --help >"$parts/$name.help"
    [ "$name" = help ] && sed -n 's/^  help *\(\[[A-Z]*\]\) *\(.*\)/aval help: \2\nUsage: aval help \1/p' "$parts/help" >"$parts/help.help"
    usage=$(sed -n 's/^Usage: //p' "$parts/$name.help")
    about=$(sed -n "1s/^aval $name: //p" "$parts/$name.help")
    printf '%s\n%s\n' "$usage" "$about" | awk "$plain"'NR == 1 { print ".SS " plain($0) } NR == 2 { print plain(toupper(substr($0, 1, 1)) substr($0, 2)) "." }'
    options "Options of this command:" "$parts/$name.help"
done <"$parts/names" >"$parts/commands"
options "Options of all commands:" "$parts/$(head -n 1 "$parts/names").help" >"$parts/options"
sed -n '/^Environment:/,$s/^  \([A-Z_]*\) *\(.*\)/\1 \2/p' "$parts/help" |
    awk "$plain"'{ name = $1; sub(/^[^ ]+ /, ""); print ".TP\n.B " name "\n" plain($0) }' >"$parts/environment"
for part in commands options environment; do
    [ -s "$parts/$part" ] || { echo "$program help tells no $part in the form that $0 reads" >&2; exit 1; }
done

version=$("$program" --version)
sed -e "s/@VERSION@/$version/" -e "/^@COMMANDS@\$/{r $parts/commands
d}" -e "/^@OPTIONS@\$/{r $parts/options
d}" -e "/^@ENVIRONMENT@\$/{r $parts/environment
d}" "$page" >"$parts/page"
cp "$parts/page" "$out"
