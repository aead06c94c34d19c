#!/bin/bash
# Fetches a corpus from its public home, checks it and lays it out as train.txt, valid.txt, test.txt.
# What is known of each corpus, and from where, stands in get_data.tsv beside this script.
set -euo pipefail
scripts=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
table=$scripts/get_data.tsv

usage() {
  cat <<'TEXT'
usage: scripts/get_data.sh NAME [DIR]
       scripts/get_data.sh ptb --from DIR|TGZ [DIR]

Puts a corpus into DIR (data/NAME): train.txt, valid.txt and mostly test.txt, with SOURCE and
SHA256SUMS. What is there already is checked and left alone. A download that was interrupted goes on
where it stopped.

  wikitext-2     4 MB to fetch      wikitext-103   190 MB to fetch
  gutenberg      24 novels, 25 MB, one after the other with a pause
  ptb            your own copy of Mikolov's files, which may not be passed on

SLUICE_DATA_MIRROR=URL fetches from there instead; the checks stay the same.

Example: scripts/get_data.sh wikitext-2 && sluice train --train data/wikitext-2/train.txt
TEXT
}

die() {
  echo "error: $1" >&2
  exit "${2-1}"
}

name='' dir='' from=''
while [ $# -gt 0 ]; do
  case $1 in
    -h | --help) usage && exit 0 ;;
    --from)
      [ -n "${2-}" ] || die "--from: expected a folder or a .tgz (see --help)" 2
      from=$2 && shift ;;
    -*) die "unknown option $1 (see --help)" 2 ;;
    *) if [ -z "$name" ]; then name=$1; elif [ -z "$dir" ]; then dir=$1; else
      die "too many arguments: $1 (see --help)" 2; fi ;;
  esac
  shift
done

# rows KIND: the columns of the corpus's rows of that kind, behind the kind.
rows() { awk -F'\t' -v OFS='\t' -v name="$name" -v kind="$1" \
  '$1 == name && $2 == kind { for (i = 3; i < NF; ++i) printf "%s\t", $i; print $NF }' "$table"; }

[ -n "$name" ] || { usage >&2 && exit 2; }
[ -n "$(rows about)" ] || die "$name: unknown corpus (expected one of $(
  awk -F'\t' '$2 == "about" { print $1 }' "$table" | paste -sd ' '))" 2
own=$(rows own)
[ -z "$own" ] || [ -n "$from" ] ||
  die "$name: $(rows licence); with it: scripts/get_data.sh $name --from DIR_OR_TGZ" 2
[ -n "$own" ] || [ -z "$from" ] || die "--from: only for a corpus that cannot be fetched" 2
dir=${dir:-$(dirname "$scripts")/data/$name}
dir=${dir%/}

# check FILE FACTS NAME: whether FILE is what "md5=...,lines=..." says.
check() {
  local fact found
  for fact in ${2//,/ }; do
    case ${fact%%=*} in
      md5 | sha1 | sha256) found=$("${fact%%=*}sum" <"$1" | cut -d' ' -f1) ;;
      lines) found=$(wc -l <"$1") ;;
      words) found=$(LC_ALL=C wc -w <"$1") ;;
      types) found=$(LC_ALL=C tr -s '[:space:]' '[\n*]' <"$1" | LC_ALL=C sort -u | grep -c .) ;;
      *) die "get_data.tsv: $fact: unknown kind of check" ;;
    esac
    [ "$found" = "${fact#*=}" ] ||
      complain "$3: not the file that was expected (expected $fact, found $found)" || return 1
  done
}
complain() {
  echo "error: $1" >&2
  return 1
}

say_source() {
  printf '%s\nlicence: %s\n' "$(rows about)" "$(rows licence)"
}

# There already?
if [ -e "$dir/SHA256SUMS" ]; then
  (cd "$dir" && sha256sum --check --quiet --strict SHA256SUMS >&2) ||
    die "$dir: files changed since they were fetched; remove the folder to fetch them again"
  echo "$dir: already there, and as it was fetched"
  say_source
  exit 0
fi
[ ! -e "$dir" ] || { [ -d "$dir" ] && [ -z "$(ls -A "$dir")" ]; } ||
  die "$dir: exists and was not made by this script; name another folder"

# Everything happens in a folder beside the target, which gets its name at the end. Of a run that
# did not come so far only parts of downloads (*.part) stay, for the next one.
mkdir -p "$(dirname "$dir")"
work=$dir.partial
mkdir -p "$work"
exec 9>"$work/lock"
flock -n 9 || die "$dir: another process is fetching it"
clean_up() {
  find "$work" -mindepth 1 -maxdepth 1 ! -name '*.part' -exec rm -rf {} +
  rmdir "$work" 2>/dev/null || true
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
rm -rf "$work/out"
mkdir "$work/out"

# download URL PART: goes on with what is in PART, or begins anew where the server cannot.
download() {
  local status=0 had=''
  [ ! -s "$2" ] || had=yes
  if command -v curl >/dev/null; then
    local options=(--fail --location --retry 3 --connect-timeout 30 --speed-limit 1000
      --speed-time 60 --user-agent sluice-get-data --show-error)
    if [ -t 2 ]; then options+=(--progress-bar); else options+=(--silent); fi
    curl "${options[@]}" --continue-at - --output "$2" "$1" || status=$?
    # 33: no ranges; 22 of a file that is there in part: it is there already, or an error as before.
    if [ $status -eq 33 ] || { [ $status -eq 22 ] && [ -n "$had" ]; }; then
      rm -f "$2" && status=0
      curl "${options[@]}" --output "$2" "$1" || status=$?
    fi
  elif command -v wget >/dev/null; then
    local options=(--tries 3 --timeout 60 --user-agent sluice-get-data --no-verbose)
    wget "${options[@]}" --continue --output-document "$2" "$1" || status=$?
    if [ -n "$had" ] && { [ $status -eq 8 ] || [ $status -eq 1 ]; }; then # as above
      rm -f "$2" && status=0
      wget "${options[@]}" --output-document "$2" "$1" || status=$?
    fi
  else
    die "neither curl nor wget is here; install one: apt-get install curl"
  fi
  [ -s "$2" ] || rm -f "$2"
  return $status
}

# fetch PATH [whole]: leaves the file as $work/NAME.part, from the first home that has it. whole: no
# checksum will tell that halves of two homes or days do not fit, so none is gone on with.
fetch() {
  local path=$1 whole=${2-} part
  part=$work/$(basename "$path").part
  local bases=()
  mapfile -t bases < <(rows base)
  [ -z "${SLUICE_DATA_MIRROR-}" ] || bases=("${SLUICE_DATA_MIRROR%/}")
  for base in "${bases[@]}"; do
    [ -z "$whole" ] || rm -f "$part"
    if download "$base/$path" "$part" 9>&-; then return 0; fi
  done
  die "$path: could not be fetched from ${bases[*]} (the reason is above); try again, or set \
SLUICE_DATA_MIRROR to the URL of a folder that has it"
}

unpack_zip() { # ARCHIVE MEMBER FILE
  python3 - "$@" <<'PY'
import shutil, sys, zipfile
archive, member, target = sys.argv[1:]
try:
    with zipfile.ZipFile(archive).open(member) as source, open(target, "wb") as out:
        shutil.copyfileobj(source, out)
except (KeyError, OSError, zipfile.BadZipFile) as problem:
    sys.exit(f"error: {archive.rsplit('/', 1)[-1].removesuffix('.part')}: {problem}")
PY
}

get_zip() {
  local archive facts file member
  IFS=$'\t' read -r archive facts < <(rows zip)
  fetch "$archive"
  local part=$work/$archive.part
  check "$part" "$facts" "$archive" || { rm -f "$part" && exit 1; }
  while IFS=$'\t' read -r file member facts; do
    { unpack_zip "$part" "$member" "$work/out/$file" &&
      check "$work/out/$file" "$facts" "$member"; } || { rm -f "$part" && exit 1; }
  done < <(rows member)
  rm -f "$part"
}

# The text between the marks of a book, with LF, at the end of FILE.
add_book() { # BOOK TITLE LEAST MOST FILE
  python3 - "$@" <<'PY'
import re, sys
path, title, least, most, target = sys.argv[1:]
def refuse(what):
    sys.exit(f"error: {path.rsplit('/', 1)[-1].removesuffix('.part')}: {what}")
try:
    whole = open(path, "rb").read().decode("utf-8-sig").replace("\r\n", "\n")
except UnicodeDecodeError as problem:
    refuse(f"not UTF-8 ({problem})")
begin = re.search(r"^\*\*\* ?START OF TH(E|IS) PROJECT GUTENBERG EBOOK.*\n", whole, re.M)
end = re.search(r"^\*\*\* ?END OF TH(E|IS) PROJECT GUTENBERG EBOOK", whole, re.M)
if not begin or not end or end.start() < begin.end():
    refuse("no marks around the text (expected *** START OF ... and *** END OF ...)")
named = re.search(r"^Title:.*", whole[:begin.start()], re.M)
if not named or title.lower() not in " ".join(named[0].split()).lower():
    refuse(f"another book (expected {title!r} in its title, found {named[0] if named else 'none'!r})")
text = whole[begin.end():end.start()].strip("\n") + "\n\n"
kilobytes = len(text.encode()) / 1000
if not int(least) <= kilobytes <= int(most):
    refuse(f"implausible size (expected {least} to {most} kB, found {kilobytes:.0f})")
with open(target, "a", encoding="utf-8", newline="") as out:
    out.write(text)
PY
}

get_books() {
  local file number title least most part first=yes
  while IFS=$'\t' read -r file number title least most; do
    # Two seconds between books, as the mirrors ask for.
    [ $first = yes ] || [ -n "${SLUICE_DATA_MIRROR-}" ] || sleep 2
    first=no
    echo "$title" >&2
    part=$work/pg$number.txt.part
    fetch "$number/pg$number.txt" whole
    add_book "$part" "$title" "$least" "$most" "$work/out/$file" || { rm -f "$part" && exit 1; }
    rm -f "$part"
  done < <(rows book)
}

get_own() {
  local file source facts usual found folder=$from
  [ -e "$from" ] || die "$from: not there"
  if [ ! -d "$from" ]; then
    folder=$work/unpacked
    mkdir "$folder"
    tar -xf "$from" -C "$folder" || die "$from: expected a folder or a tar archive"
  fi
  while IFS=$'\t' read -r file source facts usual; do
    found=$(find -L "$folder" -type f -name "$source" | LC_ALL=C sort | head -n 1)
    [ -n "$found" ] || die "$from: no $source in it"
    check "$found" "$facts" "$source" || exit 1
    [ "$(md5sum <"$found" | cut -d' ' -f1)" = "$usual" ] ||
      echo "warning: $source: the usual lines and words, but not the usual bytes" >&2
    cp "$found" "$work/out/$file"
  done <<<"$own"
}

if [ -n "$own" ]; then
  get_own
  source=$from
elif [ -n "$(rows zip)" ]; then
  get_zip
else
  get_books
fi
{
  say_source
  echo "source: ${SLUICE_DATA_MIRROR:-${source:-$(rows base | paste -sd ' ')}}"
} >"$work/out/SOURCE"
(cd "$work/out" && sha256sum -- *.txt SOURCE >SHA256SUMS)
chmod 644 "$work"/out/*
mv -T "$work/out" "$dir"
(cd "$dir" && wc -lwc -- *.txt)
cat "$dir/SOURCE"
