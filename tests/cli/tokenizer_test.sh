#!/bin/bash
# End to end: `tokenizer train|encode|decode|info`, and `info` on what is a tokenizer or is not.
# usage: tokenizer_test.sh SLUICE
source "$(dirname "$0")/harness.bash"
make_tiny_corpus
printf 'to be or  not\tto be\n\n caf\xc3\xa9 \xe2\x82\xac\r\nlast' >text.txt

# --- train
for type in word byte char; do
  succeeds tokenizer train train.txt valid.txt text.txt --out $type.tok --type $type
  [ "$(cat "$out")" = $type.tok ] || fail "train $type: stdout: $(cat "$out")"
  grep -q "^$type tokenizer: vocabulary of [0-9]" "$err" || fail "train $type: $(cat "$err")"
done
succeeds tokenizer train train.txt --out quiet.tok --type word -q --min-count 2 --vocab-size 50
[ -s "$err" ] && fail "-q is not quiet: $(cat "$err")"
refuses 73 '^error: word\.tok: exists; --overwrite' tokenizer train text.txt --out word.tok --type word
before=$(sha256sum <byte.tok)
succeeds tokenizer train text.txt --out byte.tok --type char --overwrite
[ "$(sha256sum <byte.tok)" = "$before" ] && fail "--overwrite did not replace"
succeeds tokenizer train text.txt --out byte.tok --type byte --overwrite
refuses 2 '^error: --out: "text\.txt" is the text itself' \
  tokenizer train text.txt --out text.txt --type word --overwrite
refuses 2 '--out: expected the file' tokenizer train text.txt --type word
refuses 2 '--out: expected the file .*found ""' tokenizer train text.txt --type word --out=
refuses 2 '--type: expected one of .*found "chars".*did you mean "char"' \
  tokenizer train text.txt --out new --type chars
refuses 2 '--algorithm: belongs to --type sentencepiece \(found --type word\)' \
  tokenizer train text.txt --out new --type word --algorithm bpe
refuses 2 '--vocab-size: belongs to .*found --type byte' \
  tokenizer train text.txt --out new --type byte --vocab-size 300
refuses 2 '--min-count: belongs to' tokenizer train text.txt --out new --type byte --min-count 2
refuses 2 '--unk-in-text: belongs to' tokenizer train text.txt --out new --type char --unk-in-text
refuses 2 '--vocab-size: expected an integer' \
  tokenizer train text.txt --out new --type word --vocab-size many
refuses 2 '--vocab-size: expected an integer' \
  tokenizer train text.txt --out new --type word --vocab-size 1
refuses 2 'FILE is required' tokenizer train --out new
refuses 66 'missing\.txt' tokenizer train missing.txt --out new --type word
refuses 66 'read only once' tokenizer train - --out new --type word
refuses 74 'cannot be written' tokenizer train text.txt --out missing/new --type word
refuses 74 'cannot be written' tokenizer train text.txt --out . --type word --overwrite
: >empty.txt
refuses 65 'empty\.txt' tokenizer train empty.txt --out new --type word
printf 'a\xffb\n' >invalid.txt
refuses 65 'invalid\.txt: offset 1' tokenizer train invalid.txt --out new --type char
for type in char word; do
  refuses 2 "^error: --invalid-utf8: --type $type has no tokens for bytes that are not UTF-8" \
    tokenizer train invalid.txt --out new --type $type --invalid-utf8 bytes
  refuses 2 "^error: --invalid-utf8: the $type tokenizer has no tokens for bytes" \
    tokenizer encode $type.tok invalid.txt --invalid-utf8 bytes
done
[ -e new ] && fail 'a tokenizer that cannot be is there'
refuses 2 '^error: --vocab-size: no room .*expected 300 or more, found 299' \
  tokenizer train text.txt --out new --vocab-size 299
refuses 2 '^error: --vocab-size: no room beside </s>' \
  tokenizer train text.txt --out new --type word --vocab-size 2
succeeds tokenizer train text.txt --out auto.tok --type word --vocab-size auto
"$sluice" tokenizer train text.txt --out full --type word >/dev/full 2>"$err"
[ $? = 74 ] || fail "train to a full stdout: $(cat "$err")"

# --- encode and decode: the identity for lossless tokenizers, whatever the last line ends in.
for type in byte char; do
  for text in text.txt train.txt valid.txt; do
    succeeds tokenizer encode $type.tok $text
    cp "$out" ids
    [ "$(wc -l <ids)" = "$(wc -l <$text)" ] || fail "$type: $text: $(wc -l <ids) lines of ids"
    succeeds tokenizer decode $type.tok ids
    cmp -s "$out" $text || fail "$type: decode(encode($text)) differs"
    "$sluice" tokenizer encode $type.tok <$text 2>"$err" | "$sluice" tokenizer decode $type.tok - |
      cmp -s - $text || fail "$type: through pipes $text differs: $(cat "$err")"
  done
done
encodes() { # EXPECTED TEXT ARGUMENTS...
  local expected=$1 text=$2
  shift 2
  printf '%b' "$text" | "$sluice" tokenizer encode "$@" >"$out" 2>"$err" || fail "$*: $(cat "$err")"
  [ "$(printf '%b.' "$expected")" = "$(cat "$out" && printf .)" ] ||
    fail "encode $*: expected '$expected', found '$(cat "$out")'"
}
encodes '97 98\n\n99\n' 'ab\n\nc\n' byte.tok
encodes '97 98\n\n99' 'ab\n\nc' byte.tok --ids
encodes '0x61 0x62\n' 'ab\n' byte.tok --pieces -
encodes 'a U+0020 <unk>\n' 'a \xe2\x99\xa5\n' char.tok --pieces
encodes 'to be\n<unk> or' ' to  be\nxyzzy or' word.tok --pieces
encodes '97' '\xef\xbb\xbfa' byte.tok
printf 'a' >a.txt
succeeds tokenizer train a.txt --out a.tok --type char
grep -q 'vocabulary of 3, lossless for text of these forms alone' "$err" || fail "char: $(cat "$err")"
succeeds tokenizer encode a.tok train.txt # is told once what was lost
grep -qE '^warning: [0-9]+ of [0-9]+ tokens are <unk>, for forms outside' "$err" && [ "$(wc -l <"$err")" = 1 ] ||
  fail "encode with unknown forms: $(cat "$err")"
succeeds tokenizer encode a.tok a.txt
[ -s "$err" ] && fail "encode is not quiet: $(cat "$err")"
encodes '97\n97 98\n' 'ab\n' byte.tok a.txt - # in between a line ends
succeeds tokenizer encode byte.tok a.txt a.txt
[ "$(wc -l <"$out")" = 2 ] || fail "two files without a last line end: $(cat "$out")"
refuses 2 'found both' tokenizer encode byte.tok a.txt --ids --pieces
refuses 2 'TOKENIZER is required' tokenizer encode
refuses 2 '--invalid-utf8: expected one of error, replace, bytes' \
  tokenizer encode byte.tok a.txt --invalid-utf8 drop
refuses 66 'missing' tokenizer encode byte.tok missing
refuses 65 'invalid\.txt: offset 1' tokenizer encode byte.tok invalid.txt

decodes() { # EXPECTED IDS ARGUMENTS...
  local expected=$1 ids=$2
  shift 2
  printf '%b' "$ids" | "$sluice" tokenizer decode "$@" >"$out" 2>"$err" || fail "$*: $(cat "$err")"
  [ "$(printf '%b.' "$expected")" = "$(cat "$out" && printf .)" ] ||
    fail "decode '$ids': expected '$expected', found '$(cat "$out")'"
}
decodes 'ab\n\nc' '97 98\n\n99' byte.tok
decodes 'ab\n' '  97\t098 \n' byte.tok -
decodes '' '' byte.tok
decodes 'a\nb\n' '97 10 98\n' byte.tok # </s> is a line end
decodes '\xff\n' '255\n' byte.tok
# Words come back apart by one space, and none where a line begins.
succeeds tokenizer encode word.tok text.txt
cp "$out" ids
succeeds tokenizer decode word.tok ids
[ "$(cat "$out")" = "$(printf 'to be or not to be\n\ncaf\xc3\xa9 \xe2\x82\xac\nlast')" ] ||
  fail "words: $(cat "$out")"
wrong() { # LINE COLUMN FOUND IDS
  printf '%b' "$4" >ids
  refuses 65 "^error: ids: line $1: column $2: not a token id \(expected an integer from 0 to 255, found \"$3\"\)$" \
    tokenizer decode byte.tok ids
}
wrong 1 1 256 '256\n'
wrong 1 4 x7 '97 x7\n'
wrong 3 2 -1 '1\n\n -1 5\n'
wrong 2 1 1.5 '1\n1.5'
wrong 1 1 0x10 '0x10\n'
wrong 1 1 99999999999999999999 '99999999999999999999\n'
wrong 1 3 '7\\r' '7 7\r\n'
wrong 1 1 "$(printf '9%.0s' $(seq 40))" "$(printf '9%.0s' $(seq 100))"
run "$sluice" tokenizer decode byte.tok # stdin is empty
[ "$code" = 0 ] && [ ! -s "$out" ] || fail "decode of nothing: $code $(cat "$err")"
refuses 66 'missing: cannot open' tokenizer decode byte.tok missing
refuses 66 'Is a directory' tokenizer decode byte.tok .
# Blocks of 64 kB may end in the middle of a number.
python3 -c 'print(" ".join(str(100 + i % 100) for i in range(100000)))' >long
succeeds tokenizer decode byte.tok long
python3 -c '
import sys
sys.stdout.buffer.write(bytes(100 + i % 100 for i in range(100000)) + b"\n")' | cmp -s - "$out" ||
  fail "a long line decodes wrongly"
# An answer comes before the input ends.
mkfifo questions answers
"$sluice" tokenizer decode byte.tok <questions >answers 2>"$err" &
exec 8>questions 9<answers
echo '104 105' >&8
read -r -t 10 answer <&9
[ "$answer" = hi ] || fail "no answer while the input is open: '$answer'"
exec 8>&- 9<&-
wait

# --- info
succeeds train tiny.json --out runs/a --max-steps 1
for tokenizer in runs/a runs/a/best.safetensors; do
  succeeds tokenizer info $tokenizer --json
  python3 - "$out" 2>"$scratch/python" <<'PY' || fail "$tokenizer: $(tail -n 2 "$scratch/python")"
import json, sys
info = json.load(open(sys.argv[1]))
assert info["type"] == "char" and info["lossless"] and info["unknown"] == 1, info
assert info["end_of_line"] == 0 and info["vocab_size"] > 20 and info["bytes"] > 50, info
assert info["file"] == "runs/a/best.safetensors" and len(info["tokenizer_hash"]) == 16, info
PY
done
hash=$("$sluice" info runs/a | awk '$1 == "tokenizer_hash" { print $2 }')
succeeds tokenizer train train.txt --out same.tok --type char
succeeds tokenizer info same.tok
grep -qx "tokenizer_hash    $hash" "$out" || fail "not the hash of the model's: $(cat "$out")"
grep -qx 'unknown           1' "$out" && grep -qx 'lossless          true' "$out" ||
  fail "info: $(cat "$out")"
cp "$out" facts
succeeds info same.tok # the same by either command
cmp -s "$out" facts || fail "info and tokenizer info differ"
succeeds tokenizer info byte.tok
grep -qx 'unknown           null' "$out" || fail "a byte tokenizer knows all: $(cat "$out")"
succeeds tokenizer info byte.tok --list
[ "$(wc -l <"$out")" = 256 ] && grep -qx $'10\t</s>' "$out" && grep -qx $'65\t0x41' "$out" ||
  fail "--list: $(head -n 70 "$out" | tail -n 10)"
refuses 2 'found both' tokenizer info byte.tok --list --json
refuses 65 'text\.txt' tokenizer info text.txt
refuses 66 'missing' tokenizer info missing
mkdir notes
refuses 66 'notes: not a run' tokenizer info notes
# A run that has not validated yet has its tokenizer in a checkpoint.
mkdir -p runs/young && cp -a runs/a/. runs/young && rm runs/young/best.safetensors
succeeds tokenizer info runs/young
grep -q '^file  *runs/young/checkpoints/' "$out" || fail "a young run: $(cat "$out")"
succeeds info runs/young
grep -qx 'best              null' "$out" && grep -qx 'kind              checkpoint' "$out" &&
  grep -qx 'steps_done        1' "$out" || fail "info of a young run: $(cat "$out")"
refuses 66 'no best model yet' info runs/young --which best

# --- SentencePiece: trained here, and the library's own file.
for algorithm in unigram bpe; do
  succeeds tokenizer train train.txt valid.txt --out $algorithm.tok --vocab-size 350 \
    --algorithm $algorithm
  python3 - $algorithm <<'PY' # what follows the two lines of ours
import sys
stored = open(sys.argv[1] + ".tok", "rb").read()
open(sys.argv[1] + ".model", "wb").write(stored.split(b"\n", 2)[2])
PY
  for tokenizer in $algorithm.tok $algorithm.model; do
    succeeds info $tokenizer
    grep -qx "algorithm         $algorithm" "$out" && grep -qx 'vocab_size        350' "$out" &&
      grep -qx 'lossless          true' "$out" || fail "info $tokenizer: $(cat "$out")"
    for text in text.txt train.txt; do # text.txt has characters that it never saw
      succeeds tokenizer encode $tokenizer $text
      cp "$out" ids
      succeeds tokenizer decode $tokenizer ids
      cmp -s "$out" $text || fail "$tokenizer: decode(encode($text)) differs"
    done
  done
done
succeeds verify bpe.tok bpe.model
grep -q '^ok SentencePiece model bpe.model (' "$out" || fail "verify: $(cat "$out")"
head -c 3000 bpe.model >cut.model
refuses 65 '^error: cut\.model: offset ' info cut.model
refuses 2 '--min-count: belongs to --type word or char \(found --type sentencepiece\)' \
  tokenizer train text.txt --out new --min-count 2

# info says what else a file is, and which command serves.
refuses 65 '^error: text\.txt: .*found text\); "sluice data info"' info text.txt
gzip -c text.txt >text.gz
refuses 65 '^error: text\.gz: .*found a compressed file\); "sluice data info"' info text.gz
refuses 65 '^error: tiny\.json: .*found JSON\); "sluice info --config"' info tiny.json
refuses 65 '^error: empty\.txt: .*found an empty file\)$' info empty.txt
head -c 3000 "$sluice" >binary
refuses 65 '^error: binary: .*found no format that Sluice knows\)$' info binary
printf 'sluice tokenizer word 1\nunk_in_text maybe\n' >broken.tok
refuses 65 '^error: broken\.tok: offset 24: ' info broken.tok
refuses 65 '^error: broken\.tok: offset 24: ' tokenizer encode broken.tok text.txt

finish
