#!/usr/bin/env bash
# The page of `aval check --html` in a real browser: headless Chromium loads it, runs its script, and what it made of the page is looked at.
#   html.sh PROGRAM LAYER.so    status 77: left out, for want of Chromium
set -u
program=$1 layer=$2
here=$(dirname "$(readlink -f "$0")")
browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome) || {
    echo "left out: no Chromium is installed (Debian's package chromium), so --html is not seen in a browser"
    exit 77
}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder" || exit 1
bad=0
complain() {
    echo "html: $1"
    bad=1
}
# dom FILE HASH: what the browser has after the page's script
dom() {
    HOME=$folder timeout 120 "$browser" --headless --no-sandbox --disable-gpu --user-data-dir="$folder/profile" --virtual-time-budget=4000 --dump-dom \
        "file://$folder/$1#$2" 2>/dev/null
}
count() { grep -o -- "$1" | wc -l; }
expect() { # TEXT-OF-DOM NUMBER PATTERN WHAT
    found=$(printf '%s' "$1" | count "$3")
    [ "$found" = "$2" ] || complain "$4: expected $2 of $3, found $found"
}

# Two devices, one of which lies and has a name that would be a script where texts were put into the page as they are.
export OCL_ICD_VENDORS=/etc/OpenCL/vendors/pocl.icd AVAL_CACHE_DIR=$folder/cache OPENCL_LAYERS=$layer AVAL_LAYER_SPLIT=1 AVAL_LAYER_LIE=off:7
export AVAL_LAYER_NAME="</script><script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\">&amp; Ω"
"$program" check Tanh Identity mlp --steps 1 --all-devices --quick --quiet --html page.html >out.txt 2>err.txt
[ $? = 1 ] || complain "a lying device: exit code 1 was expected: $(cat out.txt err.txt)"
[ "$(count '</script>' <page.html)" = 2 ] || complain "a foreign text ends a script element"
[ "$(head -c 15 page.html)" = '<!DOCTYPE html>' ] || complain "the page begins with: $(head -n 1 page.html)"
grep -qE '(src|href)="?(https?:)?//' page.html && complain "the page loads something"

page=$(dom page.html "")
expect "$page" 1 'data-ready="1"' "the script ends"
expect "$page" 1 '<title>aval check</title>' "the device's name stays a text"
expect "$page" 2 '<script' "the device's name makes no element"
expect "$page" 6 'class="cell ' "three rows of two devices"
printf '%s' "$page" | grep -q 'all 3 operators' || complain "how many are shown is not said"
printf '%s' "$page" | grep -q 'aria-label="Tanh on device 1: [0-9]* failed' || complain "a cell is not told to screen readers"
printf '%s' "$page" | grep -q 'aval check Tanh Identity mlp --steps 1' || complain "the command is not shown"

expect "$(dom page.html q=tan)" 2 'class="cell ' "the filter by name"
expect "$(dom page.html 'device=1')" 3 'class="cell ' "the filter by device"
expect "$(dom page.html 'kind=state')" 0 'data-op="Tanh"' "the filter by kind"
expect "$(dom page.html 'failures=1&q=tanh')" 2 'class="cell ' "the filter by failures keeps what failed"
expect "$(dom page.html 'theme=dark')" 1 '<html[^>]*data-theme="dark"' "the dark theme"
opened=$(dom page.html 'open=Tanh,1')
for text in 'What did not pass' 'this device is wrong' 'aval check --seed 0 --quick Tanh --device 1' 'What passed'; do
    printf '%s' "$opened" | grep -q -- "$text" || complain "the details of a failure do not say: $text"
done

# Used with mouse and keyboard, by a script behind the page's own; what it finds becomes the title.
used() { # NAME THEME
    python3 - "$1" "$here/html_use.js" <<'P'
import sys
page = open("page.html").read()
open(sys.argv[1], "w").write(page.replace("</body>", "<script>" + open(sys.argv[2]).read() + "</script></body>"))
P
    dom "$1" "theme=$2" | grep -o '<title>[^<]*</title>'
}
for theme in light dark; do
    found=$(used used.html $theme)
    [ "$found" = "<title>all is well</title>" ] || complain "used in the $theme theme: $found"
done

# 250 operators by 5 devices
python3 - <<'P'
import json, re
page = open("page.html").read()
data = json.loads(re.search(r'id="data">(.*?)</script>', page, re.S).group(1))
cell = {"passed": [["float", "forward y", 9, 0.3, 2.5], ["double", "gradient dy/dx", 9, 0.01, 1]], "problems": []}
data["devices"] = [dict(data["devices"][0], number=d) for d in range(5)]
data["ops"] = [{"name": f"Operator{i}", "again": "aval check", "cells": {str(d): cell for d in range(5)}} for i in range(250)]
open("large.html", "w").write(page.replace(page[page.index('id="data">') + 10:page.index("</script>")], json.dumps(data).replace("<", "\\u003c")))
P
expect "$(dom large.html '')" 1250 'class="cell ' "250 operators by 5 devices"
[ $bad = 0 ] && echo "the page was seen in $("$browser" --version 2>/dev/null)"
exit $bad
