# shellcheck shell=bash
# What the scripts share: finding what a build needs, and keeping the dear parts of it outside the checkout.
#
# Sourced, never run. Everything it makes lies under $BELFRY_CACHE (default: ~/.cache/belfry) and can be
# deleted at any time. All messages go to stderr; stdout belongs to whoever asked for a value.

BELFRY_TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
: "${BELFRY_CACHE:=${XDG_CACHE_HOME:-$HOME/.cache}/belfry}"
export BELFRY_TOP BELFRY_CACHE

# RocksDB's C++ is built from source, and its bindings need libclang.
BUILD_PACKAGES=(clang libclang-dev cmake pkg-config)
PYTHON_PACKAGES=(taxii2-client==2.3.0 stix2==3.0.2 stix2-validator==3.3.2 pymisp==2.5.34.4 misp-stix==2026.10.12)
# Judges of exports and of what is pushed, from Debian or its backports; tests that miss one say so and skip.
OPTIONAL_PACKAGES=(bind9-utils suricata rsyslog poppler-utils yara)

# say TEXT…: one line about what goes on.
say() { printf '    %s\n' "$*" >&2; }

# step TEXT…: the heading of what comes next.
step() { printf '\n==> %s\n' "$*" >&2; }

# die TEXT…: what is wrong and how to mend it.
die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# need_rust: cargo, at least the version of Cargo.toml.
need_rust() {
    local wanted found
    # shellcheck disable=SC1091
    command -v cargo >/dev/null || [[ ! -f $HOME/.cargo/env ]] || . "$HOME/.cargo/env"
    wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$BELFRY_TOP/Cargo.toml" | head -n 1)
    command -v cargo >/dev/null ||
        die "cargo is not installed; get Rust $wanted or newer from https://rustup.rs"
    found=$(rustc_version)
    [[ $(printf '%s\n' "$wanted" "$found" | sort -V | head -n 1) == "$wanted" ]] ||
        die "rustc is $found, belfry needs $wanted or newer; run: rustup update stable"
}

rustc_version() { (cd "$BELFRY_TOP" && rustc --version) | awk '{ print $2 }'; }

# need_apt PACKAGE…: installs those that are missing.
need_apt() {
    local package missing=() root=()
    if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
        say "no apt on this system: see to it that these are installed: $*"
        return
    fi
    for package in "$@"; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
    done
    ((${#missing[@]})) || return 0
    if ((EUID != 0)); then
        command -v sudo >/dev/null ||
            die "these packages are missing, and you are neither root nor is there sudo: ${missing[*]}
       mend: as root, apt-get install ${missing[*]}"
        root=(sudo)
        [[ -t 0 ]] || root+=(-n)
    fi
    local apt=("${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o Acquire::Retries=3 -o Dpkg::Use-Pty=0)
    say "installing ${missing[*]}"
    if [[ -z ${apt_updated:-} ]]; then
        "${apt[@]}" update </dev/null >&2 || die "apt-get update does not work; see above"
        apt_updated=yes
    fi
    "${apt[@]}" install --no-install-recommends "${missing[@]}" </dev/null >&2 ||
        die "apt-get cannot install ${missing[*]}; see above"
}

# offer_apt PACKAGE…: installs those that apt has, as far as it may; none of them is needed.
offer_apt() {
    local package
    command -v apt-cache >/dev/null || return 0
    for package in "$@"; do
        if apt-cache policy "$package" 2>/dev/null | grep -q 'Candidate: [^(]'; then
            (need_apt "$package") || say "without $package; what asks it is skipped"
        else
            say "apt has no $package here; what asks it is skipped"
        fi
    done
}

# build_env: everything cargo needs for this workspace.
build_env() {
    need_rust
    need_apt "${BUILD_PACKAGES[@]}"
    export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$BELFRY_CACHE/target}
    rocksdb_cache
}

# locked_version PACKAGE: its version in Cargo.lock.
locked_version() {
    awk -v name="\"$1\"" '$1 == "name" { found = $3 == name } found && $1 == "version" { gsub(/"/, "", $3); print $3; exit }' \
        "$BELFRY_TOP/Cargo.lock"
}

# rocksdb_cache: builds RocksDB's library once per version and compiler, and makes cargo link that one.
#
# Left to cargo, its 300 C++ files would be built anew for every profile and every target folder, a quarter
# of an hour each on two cores.
rocksdb_cache() {
    if [[ -n ${ROCKSDB_LIB_DIR:-} && -f ${ROCKSDB_LIB_DIR:-}/librocksdb.a ]]; then
        export ROCKSDB_LIB_DIR ROCKSDB_STATIC=1
        return
    fi
    local sys dir
    sys=$(locked_version librocksdb-sys)
    [[ -n $sys ]] || die "no librocksdb-sys in $BELFRY_TOP/Cargo.lock"
    dir=$BELFRY_CACHE/rocksdb-$sys-$(rustc_version)
    mkdir -p "$dir"
    if [[ ! -f $dir/librocksdb.a ]]; then
        # Two scripts at once: the second waits and finds the library made.
        (
            flock 9
            [[ -f $dir/librocksdb.a ]] || rocksdb_build "$dir"
        ) 9>"$dir/lock" || die "RocksDB does not build; the log is $dir/log"
        rm -rf "$dir/build"
    fi
    export ROCKSDB_LIB_DIR=$dir ROCKSDB_STATIC=1
}

# rocksdb_build DIR: an empty crate with the one dependency, at the versions of our Cargo.lock.
rocksdb_build() {
    local dir=$1 build=$1/build total=0 cargo started library
    rm -rf "$build"
    mkdir -p "$build/src"
    : >"$build/src/lib.rs"
    cp "$BELFRY_TOP/Cargo.lock" "$build/"
    cat >"$build/Cargo.toml" <<TOML
[package]
name = "rocksdb-once"
version = "0.0.0"
edition = "2024"

[dependencies]
rocksdb = { version = "=$(locked_version rocksdb)", default-features = false, features = ["bindgen-runtime"] }

[workspace]
TOML
    step "building RocksDB once, into $dir (a quarter of an hour on two cores)"
    (
        cd "$build" || exit
        unset ROCKSDB_LIB_DIR ROCKSDB_STATIC
        exec setsid cargo build --release --target-dir "$build/target"
    ) </dev/null >"$dir/log" 2>&1 9>&- &
    cargo=$!
    # Without this, Ctrl-C here would leave compilers running for minutes.
    # shellcheck disable=SC2064
    trap "kill -- -$cargo 2>/dev/null" EXIT
    started=$SECONDS
    while kill -0 "$cargo" 2>/dev/null; do
        sleep 1
        (((SECONDS - started) % 15)) && continue
        ((total)) || total=$(rocksdb_sources "$sys")
        say "$(printf '%2d:%02d  %s of about %s files compiled' $(((SECONDS - started) / 60)) \
            $(((SECONDS - started) % 60)) "$(find "$build/target" -path '*librocksdb-sys*' -name '*.o' | wc -l)" "$total")"
    done
    wait "$cargo" || { tail -n 20 "$dir/log" >&2; return 1; }
    trap - EXIT
    library=$(find "$build/target" -path '*librocksdb-sys*/out/librocksdb.a' -print -quit)
    [[ -n $library ]] || { say "cargo built no librocksdb.a"; return 1; }
    # Whole or not at all: a half-copied archive would be linked for ever.
    cp "$library" "$dir/librocksdb.a.new" && mv "$dir/librocksdb.a.new" "$dir/librocksdb.a"
}

# rocksdb_sources VERSION: how many C++ files the crate lists.
rocksdb_sources() {
    local list
    list=$(find "${CARGO_HOME:-$HOME/.cargo}/registry/src" -maxdepth 3 \
        -path "*/librocksdb-sys-$1/rocksdb_lib_sources.txt" -print -quit 2>/dev/null)
    if [[ -n $list ]]; then wc -w <"$list"; else echo 300; fi
}

# python_venv [PACKAGE…]: prints the python of a virtual environment that holds these, else the outside clients of the tests.
python_venv() {
    local dir try packages=("$@")
    ((${#packages[@]})) || packages=("${PYTHON_PACKAGES[@]}")
    need_apt python3-venv
    command -v python3 >/dev/null || die "python3 is not installed"
    dir=$BELFRY_CACHE/python-$(printf '%s ' "${packages[@]}" "$(python3 --version)" | cksum | cut -d ' ' -f 1)
    mkdir -p "$dir"
    (
        flock 9
        [[ ! -f $dir/complete ]] || exit 0
        say "making a virtual environment with ${packages[*]}"
        python3 -m venv --clear "$dir/venv" >&2 || exit
        for try in 1 2 3; do
            if "$dir/venv/bin/python" -m pip install --quiet --disable-pip-version-check --retries 5 \
                "${packages[@]}" </dev/null >&2; then
                touch "$dir/complete"
                exit 0
            fi
            say "pip did not get through (try $try of 3)"
            sleep $((5 * try))
        done
        exit 1
    ) 9>"$dir/lock" || die "the Python clients cannot be installed; is PyPI within reach?"
    printf '%s\n' "$dir/venv/bin/python"
}
