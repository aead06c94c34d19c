#!/bin/bash
# scripts/get_data.sh against a server of its own, with a table of small corpora: what is fetched,
# checked, gone on with, refused and left alone.
set -uo pipefail
command -v curl >/dev/null || command -v wget >/dev/null || exit 77 # as the script says to users
root=$(cd "$(dirname "$0")/../.." && pwd)
sandbox=$(mktemp -d)
trap 'kill $server 2>/dev/null; wait 2>/dev/null; rm -rf "$sandbox"' EXIT
failures=0
clone=$sandbox/a\ clone # the path of a clone may hold a space
mkdir -p "$clone/scripts" "$sandbox/www/epub/7" "$sandbox/www/epub/8" "$sandbox/ptb/data"
cp "$root/scripts/get_data.sh" "$clone/scripts"
cd "$sandbox" || exit 1

# Serves www/ with ranges; a file with a NAME.cut beside it breaks off after so many bytes, one with
# a NAME.norange has no ranges. Writes "PATH RANGE" to requests.
cat >server.py <<'PY'
import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_): pass
    def do_GET(self):
        path = "www" + self.path
        asked = self.headers.get("Range")
        open("requests", "a").write(f"{self.path} {asked}\n")
        if not os.path.isfile(path): return self.send_error(404)
        data, begin = open(path, "rb").read(), 0
        if asked and not os.path.exists(path + ".norange"):
            begin = int(asked.removeprefix("bytes=").removesuffix("-"))
            if begin >= len(data): return self.send_error(416)
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {begin}-{len(data) - 1}/{len(data)}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(data) - begin))
        self.end_headers()
        cut = path + ".cut"
        self.wfile.write(data[begin : int(open(cut).read()) if os.path.exists(cut) else len(data)])
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
open("port.new", "w").write(str(server.server_port))
os.rename("port.new", "port")
server.serve_forever()
PY
python3 server.py &
server=$!
for _ in $(seq 100); do [ -e port ] && break || sleep 0.05; done
home=http://127.0.0.1:$(cat port)

# The corpora.
python3 - <<'PY'
import random, zipfile
random.seed(1)
words = lambda n: " ".join(random.choice("abcdefgh") * random.randint(1, 9) for _ in range(n))
with zipfile.ZipFile("www/wiki.zip", "w") as archive:  # stored, so that its size is not tiny
    for part, lines in (("train", 900), ("valid", 40), ("test", 50)):
        archive.writestr(f"w/wiki.{part}.tokens", "".join(words(20) + "\n" for _ in range(lines)))
book = ("\ufeffThe Project Gutenberg eBook of {0}\r\n\r\nTitle: {0}\r\n\r\n"
        "*** START OF THE PROJECT GUTENBERG EBOOK {0} ***\r\n\r\n\r\nChapter 1 é\r\n{1}\r\n"
        "*** END OF THE PROJECT GUTENBERG EBOOK {0} ***\r\nLicence\r\n")
for number, title in ((7, "The  First Book"), (8, "Second")):
    text = book.format(title, "\r\n".join(words(10) for _ in range(40)))
    open(f"www/epub/{number}/pg{number}.txt", "w", encoding="utf-8", newline="").write(text)
for part, lines in (("train", 30), ("valid", 5), ("test", 6)):
    open(f"ptb/data/ptb.{part}.txt", "w").write("".join(f" {words(7)} \n" for _ in range(lines)))
PY
sum() { "$1sum" <"$2" | cut -d' ' -f1; }
mkdir unzipped && python3 -m zipfile -e www/wiki.zip unzipped
row() { (IFS=$'\t' && echo "$*") >>"$clone/scripts/get_data.tsv"; }
row wiki about 'a small wiki'
row wiki licence 'of nobody'
row wiki base http://127.0.0.1:9/dead # nobody listens there: the next one is tried
row wiki base "$home"
row wiki zip wiki.zip "md5=$(sum md5 www/wiki.zip),sha1=$(sum sha1 www/wiki.zip)"
for part in train valid test; do
  row wiki member $part.txt w/wiki.$part.tokens "sha1=$(sum sha1 unzipped/w/wiki.$part.tokens)"
done
row books about 'two books'
row books licence 'public domain'
row books base "$home/epub"
row books book train.txt 7 'first book' 1 9
row books book valid.txt 8 Second 1 9
row own about 'your own'
row own licence 'not free'
for part in train valid test; do
  file=ptb/data/ptb.$part.txt
  row own own $part.txt ptb.$part.txt \
    "lines=$(wc -l <$file),words=$(wc -w <$file),types=$(tr ' ' '\n' <$file | grep . | sort -u | wc -l)" \
    "$(sum md5 $file)"
done

fail() {
  echo "FAILED ($case): $1" && cat out err
  failures=$((failures + 1))
}
get() { # STATUS ARGUMENT...
  local wanted=$1 status=0
  shift
  rm -f requests && touch requests
  timeout 60 "$clone/scripts/get_data.sh" "$@" >out 2>err </dev/null || status=$?
  [ $status -eq "$wanted" ] || fail "exit status $status, expected $wanted"
}
says() { grep -qE -- "$1" out err || fail "does not say '$1'"; }
names() { ls -A "$1" 2>/dev/null | paste -sd ' '; }
leaves() { # NAME...: all that is in data/
  [ "$(names "$clone/data")" = "$*" ] || fail "data/ has: $(names "$clone/data"), expected: $*"
}

case="a download: checked, unpacked, with its source"
get 0 wiki
leaves wiki
for part in train valid test; do
  cmp -s "$clone/data/wiki/$part.txt" unzipped/w/wiki.$part.tokens || fail "$part.txt differs"
done
[ "$(names "$clone/data/wiki")" = "SHA256SUMS SOURCE test.txt train.txt valid.txt" ] ||
  fail "more or less than expected"
says '^licence: of nobody$' && grep -q "$home" "$clone/data/wiki/SOURCE" || fail "SOURCE"

case="a second run leaves it alone and asks nobody"
get 0 wiki
says 'already there' && says '^licence: of nobody$'
[ -s requests ] && fail "something was fetched"

case="what was changed since is neither taken for good nor replaced"
echo more >>"$clone/data/wiki/valid.txt"
get 1 wiki
says 'valid.txt: FAILED' && says 'remove the folder'
tail -n 1 "$clone/data/wiki/valid.txt" | grep -qx more || fail "it was replaced"
rm -r "$clone/data/wiki"

case="somebody else's folder is not touched"
mkdir -p "$clone/data/wiki" && echo mine >"$clone/data/wiki/notes"
get 1 wiki
says 'not made by this script'
[ "$(ls -A "$clone/data/wiki")" = notes ] && [ ! -s requests ] || fail "it was touched"
rm "$clone/data/wiki/notes" # an empty one is taken
get 0 wiki
rm -r "$clone/data/wiki"

case="an interrupted download goes on where it stopped"
echo 5000 >www/wiki.zip.cut
get 1 wiki
leaves wiki.partial
[ "$(stat -c %s "$clone/data/wiki.partial/wiki.zip.part")" = 5000 ] || fail "not 5000 bytes"
[ "$(ls -A "$clone/data/wiki.partial")" = wiki.zip.part ] || fail "more is left than the part"
rm www/wiki.zip.cut
get 0 wiki
grep -qx '/wiki.zip bytes=5000-' requests || fail "it began anew: $(cat requests)"
leaves wiki
rm -r "$clone/data/wiki"

case="... or begins anew where the server cannot, or all was there"
touch www/wiki.zip.norange
mkdir "$clone/data/wiki.partial" && head -c 5000 www/wiki.zip >"$clone/data/wiki.partial/wiki.zip.part"
get 0 wiki
rm -r "$clone/data/wiki" www/wiki.zip.norange
mkdir "$clone/data/wiki.partial" && cp www/wiki.zip "$clone/data/wiki.partial/wiki.zip.part"
get 0 wiki
leaves wiki
rm -r "$clone/data/wiki"

case="what another run left half unpacked is swept"
mkdir -p "$clone/data/wiki.partial/out" && echo half >"$clone/data/wiki.partial/out/old.txt"
get 0 wiki
leaves wiki
[ -e "$clone/data/wiki/old.txt" ] && fail "old.txt is still there"
rm -r "$clone/data/wiki"

case="two at once: one of them gives way"
mkdir "$clone/data/wiki.partial" && touch "$clone/data/wiki.partial/lock"
(exec 9>"$clone/data/wiki.partial/lock" && flock 9 && touch held && exec sleep 30) &
holder=$!
for _ in $(seq 100); do [ -e held ] && break || sleep 0.05; done
get 1 wiki
says 'another process'
kill $holder && wait $holder 2>/dev/null
rm -rf "$clone/data/wiki.partial"

case="another archive than was promised is refused, and nothing is left"
cp www/wiki.zip good.zip && printf x | dd of=www/wiki.zip bs=1 seek=3000 conv=notrunc 2>/dev/null
get 1 wiki
says '^error: wiki.zip: not the file that was expected \(expected md5=.*, found'
leaves
case="... and so is a download that goes on from damage"
cp good.zip www/wiki.zip
mkdir "$clone/data/wiki.partial" && head -c 4000 /dev/zero >"$clone/data/wiki.partial/wiki.zip.part"
get 1 wiki
says 'not the file' && leaves
case="... or one whose member is another"
cp "$clone/scripts/get_data.tsv" table
sed -i '/valid.txt/s/sha1=.*/sha1=0000/' "$clone/scripts/get_data.tsv"
get 1 wiki
says 'wiki.valid.tokens: not the file .*expected sha1=0000' && leaves
case="... or not in it"
sed 's/wiki.test.tokens/wiki.tset.tokens/' table >"$clone/scripts/get_data.tsv"
get 1 wiki
says '^error: wiki.zip: .*w/wiki.tset.tokens' && leaves
cp table "$clone/scripts/get_data.tsv"

case="a file that no home has"
mv www/wiki.zip gone.zip
get 1 wiki
says '404' && says '^error: wiki.zip: could not be fetched from http://127.0.0.1:9/dead http'
leaves
mv gone.zip www/wiki.zip

case="a mirror instead: nobody else is asked, the checks stay"
mkdir www/mirror && cp www/wiki.zip www/mirror
SLUICE_DATA_MIRROR=$home/mirror/ get 0 wiki "$sandbox/elsewhere/wiki"
grep -qx '/mirror/wiki.zip .*' requests && [ "$(wc -l <requests)" = 1 ] || fail "$(cat requests)"
[ -s elsewhere/wiki/train.txt ] && leaves
grep -q "source: $home/mirror/" elsewhere/wiki/SOURCE || fail "SOURCE"
printf x | dd of=www/mirror/wiki.zip bs=1 seek=3000 conv=notrunc 2>/dev/null
SLUICE_DATA_MIRROR=$home/mirror get 1 wiki
says 'not the file' && leaves

case="without curl: wget"
mkdir bin
for program in awk basename bash cat chmod cut dirname env find flock grep head ls md5sum mkdir mv \
  paste rm rmdir sha1sum sha256sum sleep sort tar timeout touch tr wc wget; do
  path=$(type -P $program) && ln -s "$path" bin/$program
done
ln -s "$(python3 -c 'import sys; print(sys.executable)')" bin/python3 # no shim, which needs more
if [ -e bin/wget ]; then
  PATH=$sandbox/bin get 0 wiki
  cmp -s "$clone/data/wiki/train.txt" unzipped/w/wiki.train.tokens || fail "train.txt differs"
  rm -r "$clone/data/wiki"
fi
case="with neither"
rm -f bin/wget
PATH=$sandbox/bin get 1 wiki
says 'neither curl nor wget' && leaves

case="books: the text between the marks, the last for validation"
SLUICE_DATA_MIRROR=$home/epub get 0 books
head -n 1 "$clone/data/books/train.txt" | grep -qx 'Chapter 1 é' || fail "train.txt begins otherwise"
grep -qE 'Licence|Gutenberg|\*\*\*' "$clone"/data/books/*.txt && fail "what is around the text is in it"
grep -q $'\r' "$clone"/data/books/*.txt && fail "CR in it"
[ -s "$clone/data/books/valid.txt" ] || fail "no valid.txt"
get 0 books
says 'already there'
rm -r "$clone/data/books"
bad_book() { # PATTERN SED: book 8 changed
  cp www/epub/8/pg8.txt good.txt
  sed -i "$2" www/epub/8/pg8.txt
  SLUICE_DATA_MIRROR=$home/epub get 1 books
  says "^error: pg8.txt: $1" && leaves
  cp good.txt www/epub/8/pg8.txt
}
case="books: what one home breaks off is not gone on with at the next"
cp "$clone/scripts/get_data.tsv" table
mkdir www/first && cp -r www/epub/* www/first
for book in www/first/*/*.txt; do sed -i 's/é/È/' "$book" && echo 150 >"$book.cut"; done
sed -i "s,^books\tbase\t.*,books\tbase\t$home/first\n&," "$clone/scripts/get_data.tsv"
get 0 books
leaves books
grep -q '/epub/.*bytes=' requests && fail "it went on: $(cat requests)"
[ "$(grep -c /first/ requests)" -ge 2 ] && [ "$(grep -c /epub/ requests)" = 2 ] || fail "$(cat requests)"
head -n 1 "$clone/data/books/train.txt" | grep -qx 'Chapter 1 é' || fail "train.txt begins otherwise"
rm -r "$clone/data/books"
cp table "$clone/scripts/get_data.tsv"
case="books that are not what they should be"
bad_book 'another book .*Third' 's/^Title: .*/Title: Third/'
bad_book 'no marks' 's/^\*\*\* END OF/END OF/'
bad_book 'implausible size .*found 0' '/START OF/,/END OF/{/\*\*\*/!d}'
bad_book 'not UTF-8' $'s/Chapter/\xff/'

case="your own copy: a folder, or an archive"
get 0 own --from ptb
leaves own
tar -czf ptb.tgz ptb
for source in ptb ptb.tgz; do
  [ $source = ptb ] || get 0 own --from $source
  for part in train valid test; do
    cmp -s "$clone/data/own/$part.txt" ptb/data/ptb.$part.txt || fail "$source: $part.txt differs"
  done
  grep -qx "source: $source" "$clone/data/own/SOURCE" || fail "$source: $(cat "$clone/data/own/SOURCE")"
  rm -r "$clone/data/own"
done
case="your own copy: other spaces are said, other words refused"
cp ptb/data/ptb.valid.txt good.txt && sed -i 's/^ //' ptb/data/ptb.valid.txt
get 0 own --from ptb
says '^warning: ptb.valid.txt: .*not the usual bytes'
rm -r "$clone/data/own"
sed -i '1s/$/ more/' ptb/data/ptb.valid.txt
get 1 own --from ptb
says '^error: ptb.valid.txt: not the file .*expected words=' && leaves
cp good.txt ptb/data/ptb.valid.txt && tr a b <good.txt >/dev/null
sed -i '1s/[a-h]\+/zzzz/' ptb/data/ptb.train.txt
get 1 own --from ptb
says 'expected types=' && leaves
rm ptb/data/ptb.test.txt
get 1 own --from ptb
says 'no ptb.test.txt|expected types=' && leaves

case="usage"
get 2 && says '^usage: '
get 0 --help && says '^usage: '
get 2 nonsense && says 'expected one of wiki books own'
get 2 own && says 'not free; with it: .*--from'
get 2 wiki --from ptb && says '^error: --from: only'
get 2 wiki a b && says 'too many'
get 2 --nonsense && says 'unknown option'
get 2 own --from && says 'expected a folder'
get 1 own --from missing && says 'missing: not there'
leaves

case="the real table: every corpus has what it needs"
check='NF < 3 || !/^[a-z]/ { next } { kinds[$1 " " $2]++ }
  $2 == "zip" && ($4 !~ /^md5=[0-9a-f]+,sha1=[0-9a-f]+$/ || length($4) != 4 + 32 + 6 + 40) { print "bad sums: " $0 }
  $2 == "member" && ($5 !~ /^sha1=[0-9a-f]+$/ || length($5) != 5 + 40) { print "bad sum: " $0 }
  $2 == "own" && ($6 !~ /^[0-9a-f]+$/ || length($6) != 32) { print "bad sum: " $0 }
  $2 == "book" && ($4 !~ /^[0-9]+$/ || $6 >= $7) { print "bad book: " $0 }
  $2 == "base" && $3 !~ /^https:\/\// { print "not https: " $0 }
  END { for (kind in kinds) print kind, kinds[kind] }'
awk -F'\t' "$check" "$root/scripts/get_data.tsv" | LC_ALL=C sort >out
: >err
cat >expected <<'TEXT'
gutenberg about 1
gutenberg base 2
gutenberg book 24
gutenberg licence 1
ptb about 1
ptb licence 1
ptb own 3
wikitext-103 about 1
wikitext-103 base 1
wikitext-103 licence 1
wikitext-103 member 3
wikitext-103 zip 1
wikitext-2 about 1
wikitext-2 base 1
wikitext-2 licence 1
wikitext-2 member 3
wikitext-2 zip 1
TEXT
cmp -s out expected || fail "$(diff out expected)"

if [ $failures -gt 0 ]; then
  echo "$failures failures"
  exit 1
fi
echo "all as it should be"
