#!/bin/bash
# scripts/install_deps.sh with fake system programs: who it becomes, what it runs, when it stops.
set -uo pipefail
script=$(cd "$(dirname "$0")/../.." && pwd)/scripts/install_deps.sh
bash=$(command -v bash)
sandbox=$(mktemp -d)
trap 'rm -rf "$sandbox"' EXIT
failures=0

fake() { # NAME BODY: a program that only this test sees
  printf '#!%s\n%s\n' "$bash" "$2" >"$sandbox/bin/$1"
  chmod +x "$sandbox/bin/$1"
}
fresh() { # a machine without Sluice's packages; $1 = user id
  rm -rf "$sandbox"/* && mkdir "$sandbox/bin"
  for program in cat env grep; do ln -s "$(command -v $program)" "$sandbox/bin/$program"; done
  fake id "echo $1"
  fake dpkg-query "grep -qx -- \"\${@: -1}\" $sandbox/installed 2>/dev/null && echo installed"
  fake apt-get "echo \"apt-get \$*\" >>$sandbox/calls"
}
run() { # STATUS [ARGUMENT...]: runs the script without a terminal and checks its exit status
  local wanted=$1 status=0
  shift
  PATH=$sandbox/bin "$bash" "$script" "$@" </dev/null >"$sandbox/out" 2>"$sandbox/err" || status=$?
  [ $status -eq "$wanted" ] || fail "exit status $status, expected $wanted"
}
fail() {
  echo "FAILED ($case): $1" && cat "$sandbox/out" "$sandbox/err"
  failures=$((failures + 1))
}
holds() { grep -q -- "$2" "$sandbox/$1" 2>/dev/null || fail "$1 lacks: $2"; }
lacks() { ! grep -q -- "$2" "$sandbox/$1" 2>/dev/null || fail "$1 has: $2"; }

case="root installs what is missing"
fresh 0 && echo g++ >"$sandbox/installed" && run 0
holds calls 'apt-get .*update$'
holds calls 'install -y --no-install-recommends cmake ninja-build '
lacks calls ' g++'

case="nothing missing needs neither root nor apt"
fresh 1000
fake dpkg-query 'echo installed'
fake apt-get "echo called >>$sandbox/calls; exit 100" && run 0
lacks calls called

case="a removed package with configuration left counts as missing"
fresh 0 && fake dpkg-query 'echo config-files' && run 0
holds calls 'install .* g++ '

case="without root and sudo the line to run is printed"
fresh 1000 && run 1
holds err 'apt-get update && apt-get install -y --no-install-recommends g++ cmake'
lacks calls apt-get

case="sudo that asks nothing is used"
fresh 1000 && fake true 'exit 0'
fake sudo "echo \"sudo \$*\" >>$sandbox/calls; shift; \"\$@\"" && run 0
holds calls 'sudo -n env .*apt-get .*install -y'
holds calls '^apt-get .*install -y'

case="sudo that wants a password, and nobody there"
fresh 1000 && fake sudo 'exit 1' && run 1
holds err 'sudo needs a password'
holds err 'apt-get update && apt-get install'
lacks calls apt-get

case="a failing update does not stop, a failing installation does"
fresh 0 && fake apt-get '[[ "$*" != *update* ]]' && run 0
holds err 'warning: apt-get update failed'
fresh 0 && fake apt-get '[[ "$*" == *update* ]]' && run 1
holds err 'apt-get update && apt-get install'

case="another system is told the packages"
fresh 0 && rm "$sandbox/bin/dpkg-query" && run 1
holds err 'not Debian'
holds err 'Highway 1.0.3 or newer'
holds err 'libeigen3-dev'

case="--dev and --ci add packages, anything else is refused"
fresh 0 && run 0 --dev
holds calls 'python3-torch'
fresh 0 && run 0 --ci
holds calls 'clang-format'
lacks calls 'python3-torch'
fresh 0 && run 2 --everything
fresh 0 && run 2 --ci --dev

[ $failures -eq 0 ] && echo "install_deps: all cases hold"
exit $((failures > 0))
