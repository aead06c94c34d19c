#!/bin/bash
# End to end: texts of every kind, what is told of them, and what training and evaluation make of them.
# usage: data_test.sh SLUICE
source "$(dirname "$0")/harness.bash"
make_tiny_corpus

# figures KEY...: of the JSON object that was printed, a path like train.total.bytes for each.
figures() {
  python3 - "$out" "$@" <<'PY'
import json, sys
values = []
for path in sys.argv[2:]:
    value = json.load(open(sys.argv[1]))
    for key in path.split("."):
        value = value[int(key)] if isinstance(value, list) else value[key]
    values.append(str(value))
print(" ".join(values))
PY
}
expect() { # TEXT NAME KEY...
  local expected=$1 name=$2
  shift 2
  [ "$(figures "$@")" = "$expected" ] || fail "$name: $* is $(figures "$@"), not $expected"
}

# --- data info: of files, patterns, gzip files and standard input.
mkdir books
printf 'one two\n\nthree\n' >books/b.txt
printf '\xef\xbb\xbfcaf\xc3\xa9 au lait' >books/B.txt
gzip -c books/b.txt >books/b.gz
keys=(files.0.bytes files.0.chars files.0.lines files.0.words files.0.longest_line
  files.0.distinct_chars files.0.malformed files.0.bom)
succeeds data info books/b.txt --json
expect '15 15 3 3 7 8 0 0' plain "${keys[@]}"
plain=$(figures data_hash)
succeeds data info books/b.gz --json
expect '15 15 3 3 7 8 0 0' gzip "${keys[@]}"
expect "$plain" gzip data_hash
succeeds data info books/B.txt --json
expect '16 13 1 3 13 9 0 1' 'byte order mark' "${keys[@]}"
succeeds data info 'books/?.txt' --json
expect 'books/B.txt books/b.txt 31 28 4 6 13 15' pattern files.0.file files.1.file total.bytes \
  total.chars total.lines total.words total.longest_line total.distinct_chars
for file in books/b.txt books/b.gz; do
  "$sluice" data info - --json <$file >"$out" || fail "standard input from $file"
  expect "- 15 3 $plain" "standard input from $file" files.0.file total.bytes total.words data_hash
  mkfifo pipe && cat $file >pipe &
  until [ -p pipe ]; do sleep 0.01; done
  succeeds data info pipe --json
  expect '15 3' "pipe from $file" total.bytes total.words
  wait && rm pipe
done
succeeds data info books/b.txt books/B.txt
[ "$(wc -l <"$out")" = 4 ] || fail "data info: not a line for each file and two: $(cat "$out")"
sed -n 4p "$out" | grep -qE '^ *31 .* total$' || fail "data info: no total: $(cat "$out")"
refuses 66 '^error: books/c\*: no such file' data info 'books/c*'
refuses 66 '^error: missing: ' data info missing
: >empty.txt
refuses 65 'empty corpus' data info empty.txt
head -c 30 books/b.gz >cut.gz
refuses 65 '^error: cut\.gz: offset 30: gzip data cut short' data info cut.gz
(cat books/b.gz && echo rubbish) >tail.gz
refuses 65 '^error: tail\.gz: offset [0-9]+: corrupt gzip data' data info tail.gz

# --- Malformed bytes: an error that counts them, a replacement, or bytes.
printf 'ab\xe9c\nd\xff\xfe\n\xe2\x82 \xc0\x80 \xf5\n' >bad.txt
refuses 65 '^error: bad\.txt: offset 2: .*0xe9; malformed bytes: 8, at 2, 6, 7, 9, 10, \.\.\.\)' \
  data info bad.txt
refuses 2 '^error: --invalid-utf8: expected one of error, replace, bytes, found "skip"' data info bad.txt \
  --invalid-utf8 skip
for mode in replace bytes; do
  succeeds data info bad.txt --json --invalid-utf8 $mode
  expect '17 17 8' "data info $mode" total.bytes total.chars total.malformed
done
build() { succeeds data build tiny.json --json "$@"; }
build --train bad.txt --set tokenizer.type=byte --invalid-utf8 bytes
expect '17 17 0 8 0' bytes train.total.bytes train.total.tokens train.total.replaced \
  train.total.malformed train.total.skipped
bytes=$(figures train.token_file)
build --train bad.txt --set tokenizer.type=byte --set data.invalid_utf8=replace
expect '17 33 8 0' replace train.total.bytes train.total.tokens train.total.replaced \
  train.total.malformed
[ "$(figures train.token_file)" != "$bytes" ] || fail "replace and bytes share a token file"
build --train bad.txt --set tokenizer.type=word --invalid-utf8 replace
for type in char word; do
  refuses 2 "^error: data\.invalid_utf8: tokenizer\.type $type " data build tiny.json \
    --train bad.txt --set tokenizer.type=$type --invalid-utf8 bytes
  refuses 2 "^error: data\.invalid_utf8: tokenizer\.type $type " train tiny.json --out new \
    --train bad.txt --set tokenizer.type=$type --invalid-utf8 bytes
done
refuses 65 'bad\.txt: offset 2: ' data build tiny.json --train bad.txt --set tokenizer.type=byte

# --- data build: the files add up to their sizes; a second time the cache is used; gzip is the same.
mkdir parts
head -c 2000 train.txt >parts/1.txt
tail -c +2001 train.txt | gzip >parts/2.txt.gz
cat books/B.txt >parts/3.txt
build --train 'parts/*' --set tokenizer.type=byte
python3 - "$out" <<'PY' || fail "data build: the files do not add up: $(cat "$out")"
import gzip, json, os, sys
train = json.load(open(sys.argv[1]))["train"]
names = [os.path.basename(row["file"]) for row in train["files"]]
assert names == ["1.txt", "2.txt.gz", "3.txt"], names
assert all(os.path.isabs(row["file"]) for row in train["files"])
for row in train["files"]:
    data = open(row["file"], "rb").read()
    data = gzip.decompress(data) if row["file"].endswith(".gz") else data
    assert row["bytes"] == len(data), row
    assert row["words"] == len(data.split()), row
    assert row["chars"] == len(data.decode()), row
for key, total in train["total"].items():
    assert total == sum(row[key] for row in train["files"]), key
    assert total > 0 or key in ("oov", "unk_literal", "replaced", "malformed", "skipped"), key
PY
tokens=$(figures train.token_file)
made=$(stat -c %Y.%i "$tokens")
for threads in 1 3; do
  build --train 'parts/*' --set tokenizer.type=byte --threads $threads
  [ "$(stat -c %Y.%i "$tokens")" = "$made" ] || fail "data build: the cache was not used"
  sum=$(sha256sum <"$tokens")
  rm "$tokens"
  build --train 'parts/*' --set tokenizer.type=byte --threads $threads
  [ "$(sha256sum <"$tokens")" = "$sum" ] || fail "data build: $threads threads write other bytes"
  made=$(stat -c %Y.%i "$tokens")
done
gunzip -c parts/2.txt.gz >parts/2.txt && rm parts/2.txt.gz
build --train 'parts/*' --set tokenizer.type=byte
expect "$tokens" 'unpacked' train.token_file
succeeds data build tiny.json --set 'data.valid=[]'
grep -q '^training text$' "$out" || fail "data build: no table: $(cat "$out")"
grep -q '^no validation text: ' "$err" || fail "data build: no note of the split: $(cat "$err")"
succeeds info "$(sed -n 's/^token file  //p' "$out" | head -1)"
grep -q '^kind *tokens$' "$out" || fail "info: not a token file: $(cat "$out")"
refuses 2 'no training text' data build --set train.max_steps=1
refuses 66 'missing' data build tiny.json --train missing

# --- Training takes patterns and gzip files, and evaluation what training took.
mkdir zipped
for part in aa ab; do gzip -c train.txt >zipped/$part.gz; done
succeeds train tiny.json --train 'zipped/*.gz' --out runs/zipped --max-steps 2
grep -q "\"$work/zipped/aa.gz\"" runs/zipped/config.json || fail "config.json: the files are not listed"
succeeds train --resume --out runs/zipped --max-steps 4
gzip -c valid.txt >valid.gz
succeeds eval runs/zipped valid.txt --json
plain=$(figures perplexity bytes data_hash)
succeeds eval runs/zipped 'valid.g[z]' --json
expect "$plain" 'eval of gzip' perplexity bytes data_hash
expect valid.gz 'eval of a pattern' files.0
succeeds train tiny.json --set tokenizer.type=byte --train bad.txt --valid train.txt --out runs/bytes \
  --max-steps 1 --set data.tokens_per_sample=4 --set data.batch_size=1 --invalid-utf8 bytes
succeeds eval runs/bytes bad.txt --json
expect '17 17' 'the mode of the model' tokens bytes
refuses 65 'bad\.txt: offset 2' eval runs/bytes bad.txt --invalid-utf8 error
refuses 65 'bad\.txt: offset 2' eval runs/zipped bad.txt
refuses 2 'data\.invalid_utf8' eval runs/zipped bad.txt --invalid-utf8 bytes
succeeds eval runs/zipped bad.txt --invalid-utf8 replace --json
refuses 2 'data\.invalid_utf8: cannot change' train --resume --out runs/bytes --invalid-utf8 replace

# --- Tokens of a stored tokenizer, or of a model's.
printf 'sluice tokenizer word 1\nunk_in_text true\nentries 2\ntwo\none\n' >words.tokenizer
printf 'one two <unk>\nfour' >four.txt
succeeds data info four.txt --tokenizer words.tokenizer --json
expect '6 1 1' 'tokens of words' total.tokens total.oov total.unk_literal
[ "$(figures total.tokens_per_char)" = 0.3333333333333333 ] || fail "tokens per character: $(cat "$out")"
succeeds data info four.txt --tokenizer runs/bytes --json
expect '19 0' 'tokens of bytes' total.tokens total.oov
refuses 2 '--invalid-utf8: the word tokenizer' data info bad.txt --tokenizer words.tokenizer \
  --invalid-utf8 bytes
build --train four.txt --tokenizer words.tokenizer
expect 'word 6 1 1' 'data build --tokenizer' tokenizer train.total.tokens train.total.oov \
  train.total.unk_literal
refuses 66 'missing' data build tiny.json --tokenizer missing

# --- A text that changes during a run: said once, and the run goes on with what it began with.
cp train.txt moving.txt
hold() { # a run of moving.txt that has begun, its pid in $busy
  "$sluice" train tiny.json --train moving.txt --out runs/moving --max-steps 100000000 >/dev/null \
    2>"$scratch/moving" &
  busy=$!
  until [ -s runs/moving/metrics.jsonl ]; do sleep 0.05; done
}
hold
echo more >>moving.txt
for _ in $(seq 200); do
  grep -q 'moving\.txt changed since this run began' "$scratch/moving" && break
  sleep 0.05
done
sleep 0.3
kill -TERM $busy
wait $busy
[ $? = 75 ] || fail "a text that changed ended the run: $(cat "$scratch/moving")"
[ "$(grep -c 'changed since' "$scratch/moving")" = 1 ] ||
  fail "a text that changed: not told once: $(grep 'changed since' "$scratch/moving" | head -3)"
refuses 65 'moving\.txt: the training text is not the one' train --resume --out runs/moving

# --- A token file that is cut short under a run: an error that names it, and the checkpoint is kept.
rm -rf "$scratch/cache" runs/moving
cp train.txt moving.txt
hold
for file in "$scratch"/cache/sluice/tokens-*; do truncate -s 600 "$file"; done
wait $busy
[ $? = 65 ] || fail "a token file cut short: exit $?: $(tail -1 "$scratch/moving")"
tail -1 "$scratch/moving" | grep -qE '^error: .*tokens-[0-9a-f]+\.safetensors: offset [0-9]+: ' ||
  fail "a token file cut short: $(tail -1 "$scratch/moving")"
succeeds info runs/moving --which last

finish
