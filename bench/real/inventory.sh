#!/bin/bash
# A small job of bash: counts what a list of lines holds, and prints what it found, sorted.
declare -A count=()
total=0
words=(stone wall arch joint mortar quarry chisel course corner lintel vault pier)

note() {
  local word=$1 size=$2
  count[$word]=$((${count[$word]:-0} + size))
  total=$((total + size))
}

for number in {1..60}; do
  word=${words[number * 7 % ${#words[@]}]}
  line="$number:${word^^}:$((number * number % 97)):left at the ${words[number % 12]}"
  IFS=: read -r _ name size place <<<"$line"
  [[ $place =~ ^left\ at\ the\ (.+)$ ]] && note "${name,,}-${BASH_REMATCH[1]}" "$size"
done
for word in "${!count[@]}"; do
  printf -v line '%-24s %5d' "$word" "${count[$word]}"
  lines+=("${line//-/ }")
done
for ((i = 1; i < ${#lines[@]}; ++i)); do
  for ((j = i; j > 0; --j)); do
    [[ ${lines[j]} < ${lines[j - 1]} ]] || break
    line=${lines[j]} lines[j]=${lines[j - 1]} lines[j - 1]=$line
  done
done
printf '%s\n' "${lines[@]}" "$total in all"
