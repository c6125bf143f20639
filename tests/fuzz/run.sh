#!/usr/bin/env bash
# Fuzzes what reads files that others wrote, on the stable toolchain: tests/fuzz/run.sh [SECONDS of each target] [TARGET…]
#
# What cargo-fuzz does with nightly, without a sanitizer: LLVM's coverage is switched on by hand, libFuzzer comes with libfuzzer-sys (needs a C++
# compiler). A finding is left in tests/fuzz/artifacts; what covers something new in tests/fuzz/found. Both are not committed; a finding that was
# mended goes, made small, into tests/fuzz/corpus, which the tests replay (tests/it/fuzzing.rs).
set -euo pipefail
cd "$(dirname "$0")"
seconds=${1:-60}
shift || true
targets=("$@")
[[ ${#targets[@]} -gt 0 ]] || targets=($(ls corpus))

export RUSTFLAGS="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 --cfg fuzzing"
# An explicit target keeps build scripts and macros free of the instrumentation.
host=$(rustc -vV | sed -n 's/^host: //p')
cargo build --release --locked --target "$host"

failed=0
for target in "${targets[@]}"; do
    mkdir -p "found/$target" "artifacts/$target"
    echo "== $target, $seconds s"
    PIPELINE_FUZZ=$target "target/$host/release/fuzz" "found/$target" "corpus/$target" \
        -max_total_time="$seconds" -max_len=16384 -rss_limit_mb=2048 -malloc_limit_mb=512 -timeout=10 \
        -artifact_prefix="artifacts/$target/" -print_final_stats=1 -verbosity=0 || failed=1
    rm -rf /dev/shm/pipeline-fuzz-*
done
exit $failed
