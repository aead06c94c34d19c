#!/bin/bash
# End to end: runs on pieces, and tokenizers taken from files.
# usage: sentencepiece_test.sh SLUICE
source "$(dirname "$0")/harness.bash"
make_tiny_corpus
head -c 60000 "$source_dir/data/shakespeare/train.txt" >train.txt
pieces=(--set tokenizer.type=sentencepiece --set tokenizer.algorithm=bpe)

value() { python3 -c 'import json, sys; print(json.load(open(sys.argv[2]))[sys.argv[1]])' "$@"; }
tokenizer_hash() { # MODEL
  succeeds info "$1" --json
  value tokenizer_hash "$out"
}
unpack() { # MODEL FILE: the bytes of its tokenizer
  python3 - "$1" "$2" <<'PY'
import json, struct, sys
file = open(sys.argv[1], "rb").read()
(length,) = struct.unpack("<Q", file[:8])
begin, end = json.loads(file[8 : 8 + length])["sluice.tokenizer"]["data_offsets"]
open(sys.argv[2], "wb").write(file[8 + length + begin : 8 + length + end])
PY
}

# --- train, eval, generate and resume on pieces
succeeds train tiny.json --out runs/a "${pieces[@]}" --max-steps 20
grep -q '^vocab_size: 1000 pieces (auto, for 0.06 MB); tokenizer.vocab_size sets another$' "$err" ||
  fail "the size is not told: $(cat "$err")"
succeeds eval runs/a valid.txt --json
[ "$(value lossless "$out")" = True ] || fail "not lossless: $(cat "$out")"
[ "$(value oov "$out")" = 0 ] || fail "unknown pieces: $(cat "$out")"
[ "$(value bytes "$out")" = "$(wc -c <valid.txt)" ] || fail "bytes: $(cat "$out")"
succeeds generate runs/a --prompt 'The ' -n 20 --seed 1
succeeds train tiny.json --out runs/halves "${pieces[@]}" --max-steps 10
succeeds train --resume --out runs/halves --max-steps 20
grep -q '"step": *20' runs/halves/metrics.jsonl || fail "resume: $(tail -n 2 runs/halves/metrics.jsonl)"

# --- the library's progress, warnings and errors are not ours
[ "$(grep -c 'LOG(\|\.cc(' "$err")" = 0 ] || fail "the library talks: $(cat "$err")"

# --- tokenizer.file: a run, a model, what they hold, and the .model inside
hash=$(tokenizer_hash runs/a)
unpack runs/a/best.safetensors stored.tokenizer
tail -n +3 stored.tokenizer >pieces.model
for file in runs/a runs/a/best.safetensors stored.tokenizer pieces.model; do
  succeeds train tiny.json --out "runs/$(basename $file).2" --max-steps 2 --set tokenizer.file=$file
  [ "$(tokenizer_hash "runs/$(basename $file).2")" = "$hash" ] || fail "$file: another tokenizer"
done
grep -q "\"file\": \"$work/pieces.model\"" runs/pieces.model.2/config.json ||
  fail "the path of the tokenizer is not kept whole: $(cat runs/pieces.model.2/config.json)"
head -c 300 pieces.model >cut.model
mkfifo pipe
mkdir empty
start=(train tiny.json --out runs/none --set)
refuses 65 'cut\.model: offset [0-9]+: not a SentencePiece model' "${start[@]}" tokenizer.file=cut.model
refuses 65 'train\.txt: offset 0: not a SentencePiece model' "${start[@]}" tokenizer.file=train.txt
refuses 66 'missing\.model' "${start[@]}" tokenizer.file=missing.model
refuses 66 'pipe' "${start[@]}" tokenizer.file=pipe
refuses 66 'empty: not a run' "${start[@]}" tokenizer.file=empty
refuses 65 'tokenizer.vocab_size 20000 is too high for this text. Please set it to a value <= [0-9]+' \
  "${start[@]}" tokenizer.vocab_size=20000 "${pieces[@]}"
refuses 2 '^error: tokenizer\.vocab_size: no room .*expected 300 or more, found 100' \
  "${start[@]}" tokenizer.vocab_size=100 "${pieces[@]}"

# --- keys without effect are said
grep -v '"tokenizer":' tiny.json >plain.json # whose type would be one
idle() { # KEY SETTING...
  local key=$1 arguments=()
  shift
  for setting in "$@"; do arguments+=(--set "$setting"); done
  succeeds train plain.json --out runs/idle --overwrite --max-steps 1 "${arguments[@]}"
  [ "$(sed -n 's/^warning: \([^ ]*\) does nothing here: .*/\1/p' "$err")" = "$key" ] ||
    fail "idle $*: $(grep '^warning' "$err")"
}
idle '' tokenizer.type=sentencepiece tokenizer.algorithm=bpe tokenizer.vocab_size=400
idle tokenizer.algorithm tokenizer.type=byte tokenizer.algorithm=bpe
idle tokenizer.min_count tokenizer.type=sentencepiece tokenizer.algorithm=char tokenizer.min_count=2
idle data.unk_in_text tokenizer.type=sentencepiece tokenizer.algorithm=char data.unk_in_text=true
idle '' tokenizer.type=sentencepiece tokenizer.file=pieces.model
idle tokenizer.vocab_size tokenizer.type=sentencepiece tokenizer.file=pieces.model tokenizer.vocab_size=400
idle tokenizer.algorithm tokenizer.type=sentencepiece tokenizer.file=pieces.model tokenizer.algorithm=bpe
idle tokenizer.min_count tokenizer.type=sentencepiece tokenizer.file=pieces.model tokenizer.min_count=2
idle data.unk_in_text tokenizer.type=sentencepiece tokenizer.file=pieces.model data.unk_in_text=true

finish
