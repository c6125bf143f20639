#!/usr/bin/env bash
# Fuzzes what reads files that others wrote, on the stable toolchain: tests/fuzz/run.sh [SECONDS of each target] [TARGET…]
#
# What cargo-fuzz does with nightly, without a sanitizer: LLVM's coverage is switched on by hand, libFuzzer comes with libfuzzer-sys (needs a C++
# compiler). A finding is left in tests/fuzz/artifacts; what covers something new in tests/fuzz/found. Both are not committed; a finding that was
# mended goes, made small, into tests/fuzz/corpus, which the tests replay (tests/it/fuzzing.rs). A target goes on after a finding until its time is
# over, or until it finds the same again. With RUST_BACKTRACE=1 a panic says where it comes from. Ends with a table, and with 1 if anything was found.
set -euo pipefail
cd "$(dirname "$0")"

# What an input may cost. libFuzzer counts what was touched, once a second. What is only asked for, it would see with a sanitizer alone
# (-malloc_limit_mb): so the address space has a limit, and an allocation beyond it aborts, which is a finding.
touched_mb=2048
address_space_kb=$((4 << 20))
input_seconds=10

usage() {
    echo "usage: tests/fuzz/run.sh [SECONDS of each target] [TARGET…], of: $(ls corpus | xargs)" >&2
    exit 2
}
seconds=${1:-60}
[[ $seconds =~ ^[1-9][0-9]*$ ]] || usage
targets=("${@:2}")
[[ ${#targets[@]} -gt 0 ]] || mapfile -t targets < <(ls corpus)
for target in "${targets[@]}"; do
    [[ -d corpus/$target ]] || usage
done

export RUSTFLAGS="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 --cfg fuzzing"
# An explicit target keeps build scripts and macros free of the instrumentation.
host=$(rustc -vV | sed -n 's/^host: //p')
cargo build --release --locked --target "$host" --target-dir target
fuzz=target/$host/release/fuzz

# Files in memory: the disk is not what is tested.
PIPELINE_FUZZ_DESK=$(mktemp -d /dev/shm/pipeline-fuzz-XXXXXX)
export PIPELINE_FUZZ_DESK
log=$PIPELINE_FUZZ_DESK.log
row='%-16s %12s %8s %9s %8s\n'
table=$(printf "$row" target executions seconds coverage crashes)

# Also where it is interrupted.
finish() {
    rm -rf "$PIPELINE_FUZZ_DESK" "$log" "$log.begin"
    printf '\n%s\n' "$table"
}
trap finish EXIT

# What this run has found of a target; an input that is slow and no more is nothing wrong.
findings() {
    find "artifacts/$1" -type f -newer "$log.begin" ! -name 'slow-unit-*'
}

failed=0
for target in "${targets[@]}"; do
    mkdir -p "found/$target" "artifacts/$target"
    echo "== $target, $seconds s"
    touch "$log.begin"
    begin=$SECONDS executions=0 coverage=- crashes=0
    while left=$((seconds - SECONDS + begin)) && ((left > 0)); do
        status=0
        (
            ulimit -v "$address_space_kb"
            PIPELINE_FUZZ=$target exec "$fuzz" "found/$target" "corpus/$target" -max_total_time="$left" -max_len=16384 \
                -rss_limit_mb="$touched_mb" -timeout="$input_seconds" -artifact_prefix="artifacts/$target/" -print_final_stats=1
        ) >"$log" 2>&1 || status=$?
        count=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log" | tail -n 1)
        executions=$((executions + ${count:-0}))
        now=$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$log" | tail -n 1)
        coverage=${now:-$coverage}
        [[ $status -eq 0 ]] && break
        failed=1
        found=$(findings "$target" | wc -l)
        if [[ $found -eq $crashes ]]; then
            # The same again, or no finding: it did not start.
            echo "   ended with $status and nothing new:"
            tail -n 20 "$log"
            break
        fi
        crashes=$found
        grep -E -m 3 'panicked at|memory allocation of|ERROR: libFuzzer' "$log" | sed 's/^/   /' || true
        sed -n 's/.*Test unit written to /   /p' "$log"
    done
    table+=$'\n'$(printf "$row" "$target" "$executions" $((SECONDS - begin)) "$coverage" "$crashes")
done
exit $failed
