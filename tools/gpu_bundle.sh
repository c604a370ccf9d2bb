#!/bin/sh
# Gather into one folder what a run needs on a GPU machine without a network, where Python 3.12 and PyTorch are.
#
#   tools/gpu_bundle.sh [OPTION …] [FOLDER]        FOLDER: build/gpu-bundle
#
#   --models "NAME …"   the weights to take along: names of folders in model_cards (sslhsic-r18), or none
#   --data DIR          a folder of data, which is packed into one file; may be given several times
#   --with-faiss        take faiss-cpu along, which only benchmarks use (18 MB)
#   --no-wheels         no packages at all: the machine has them
#   --python VERSION    of the machine (3.12)
#   --limit MIB         the largest bundle that is made (48)
#   --tar FILE          also make one archive of the folder; compressed where FILE ends in .gz or .tgz
#   --list              print the wheels with their versions, and stop
#
# The folder can be copied as it is; there, `./run.sh python3 tools/gpu_check.py` does the rest. Its parts:
#   wheels/   packages of tools/gpu_bundle.txt for x86-64 Linux, in the versions of constraints.txt
#   code/     the library as its own wheel would hold it, tools/, benchmarks/ and tests/
#   data.tar  what --data named
# Wheels that are there are not fetched again. PYTHON names the interpreter whose pip and setuptools do the work (that of
# .venv); for Detectron2 it must have torch.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
folder=$root/build/gpu-bundle
models=sslhsic-r18 wheels=yes faiss=no version=3.12 limit=48 archive='' list=no
if [ -z "${PYTHON:-}" ]; then
    PYTHON=$root/.venv/bin/python
    [ -x "$PYTHON" ] || PYTHON=python3
fi
temporary=$(mktemp -d)
trap 'rm -rf "$temporary"' EXIT
trap 'exit 1' HUP INT TERM
: >"$temporary/data"

fail() {
    echo "gpu_bundle.sh: $*" >&2
    exit 1
}

usage() {
    sed -n '2,/^set -eu/s/^# \{0,1\}//p' "$0"
}

absolute() {
    case $1 in /*) echo "$1" ;; *) echo "$PWD/$1" ;; esac
}

add_data() {
    (cd "$1" && pwd) >>"$temporary/data" 2>/dev/null || fail "--data $1 is not a folder"
}

read_options() {
    while [ $# -gt 0 ]; do
        case $1 in
            --models | --data | --python | --limit | --tar) [ $# -gt 1 ] || fail "$1 needs a value; see --help" ;;
        esac
        case $1 in
            --models) models=$2 && shift ;;
            --data) add_data "$2" && shift ;;
            --python) version=$2 && shift ;;
            --limit) limit=$2 && shift ;;
            --tar) archive=$(absolute "$2") && shift ;;
            --with-faiss) faiss=yes ;;
            --no-wheels) wheels=no ;;
            --list) list=yes ;;
            -h | --help) usage && exit 0 ;;
            -*) fail "there is no option $1; see --help" ;;
            *) folder=$(absolute "${1%/}") ;;
        esac
        shift
    done
    [ "$models" != none ] || models=''
    case $limit in '' | *[!0-9]*) fail "--limit takes whole MiB, not '$limit'" ;; esac
}

# Nothing that is not ours is removed: a folder is either new, or a bundle of before.
check_choices() {
    if [ -e "$folder" ] && [ ! -f "$folder/.gpu-bundle" ] && [ -n "$(ls -A "$folder")" ]; then
        fail "$folder is not empty and not a bundle of before: name another folder"
    fi
    for model in $models; do
        [ -f "$root/model_cards/$model/model.safetensors" ] ||
            fail "no weights in model_cards/$model; there are: $(cd "$root/model_cards" && echo */)"
    done
    twice=$(sed 's|.*/||' "$temporary/data" | sort | uniq -d)
    [ -z "$twice" ] || fail "two folders of --data are called $twice: they would become one"
}

# Lines "name==version kind": of the list, with versions from constraints.txt; kind is wheel, source or optional.
required() {
    awk '
        function key(name) { gsub(/[-_.]+/, "-", name); return tolower(name) }
        { sub(/#.*/, "") }
        NF == 0 { next }
        FILENAME == ARGV[1] { split($1, pin, "=="); versions[key(pin[1])] = pin[2]; next }
        {
            split($1, wanted, "==")
            found = versions[key(wanted[1])]
            if (found == "") found = wanted[2]
            if (found == "") { print "no version of " $1 " in constraints.txt" > "/dev/stderr"; exit 1 }
            print wanted[1] "==" found, ($2 == "" ? "wheel" : $2)
        }
    ' "$root/constraints.txt" "$root/tools/gpu_bundle.txt"
}

pip() {
    command=$1
    shift
    "$PYTHON" -m pip "$command" --quiet --disable-pip-version-check --no-deps "$@" </dev/null ||
        fail "pip $command failed. Is a package index within reach? --no-wheels makes a bundle without packages"
}

# The wheel of a name and version, if it is there.
wheel_of() {
    find "$1" -iname "$(echo "$2" | tr '.-' '__')-$3-*.whl"
}

fetch() {
    case $3 in
        source) pip wheel --wheel-dir "$temporary/wheels" "$1==$2" ;;
        *)
            pip download --only-binary=:all: --python-version "$version" --implementation cp \
                --platform manylinux_2_28_x86_64 --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 \
                --dest "$temporary/wheels" "$1==$2"
            ;;
    esac
}

# The sdist's own build compiles; adapters/detectron2/install.py knows a build that does not.
make_detectron2() {
    about='import pathlib, sys; sys.path.insert(0, sys.argv[1]); import install'
    "$PYTHON" -B -c "$about; print(f'{install.REQUIREMENT} --hash=sha256:{install.SHA256}')" \
        "$root/adapters/detectron2" >"$temporary/detectron2.txt"
    pip download --no-build-isolation --no-binary :all: --dest "$temporary/detectron2" \
        --requirement "$temporary/detectron2.txt"
    tree=$("$PYTHON" -B -c "$about; print(install.make_pure(pathlib.Path(sys.argv[2])))" \
        "$root/adapters/detectron2" "$temporary"/detectron2/*.tar.gz)
    pip wheel --no-build-isolation --wheel-dir "$temporary/wheels" "$tree"
}

# One version of each: two would stop the whole installation.
gather_wheels() {
    mkdir -p "$folder/wheels" "$temporary/wheels"
    if [ "$version" != "$(cat "$folder/wheels/PYTHON" 2>/dev/null)" ]; then rm -f "$folder"/wheels/*; fi
    echo "$version" >"$folder/wheels/PYTHON"
    echo "PYTHON" >"$temporary/kept"
    pure=$(sed -n 's/^version = "\(.*\)"/\1/p' "$root/adapters/detectron2/install.py")
    { required && echo "detectron2==$pure detectron2"; } >"$temporary/required"
    while read -r requirement kind; do
        if [ "$kind" = optional ] && [ "$faiss" = no ]; then continue; fi
        name=${requirement%%==*} number=${requirement#*==}
        if [ -z "$(wheel_of "$folder/wheels" "$name" "$number")" ]; then
            echo "fetching $requirement"
            if [ "$kind" = detectron2 ]; then make_detectron2; else fetch "$name" "$number" "$kind"; fi
            wheel=$(wheel_of "$temporary/wheels" "$name" "$number")
            case $kind,$wheel in
                *,'') fail "pip has saved $requirement under a name that is not expected: $(ls "$temporary/wheels")" ;;
                wheel,* | optional,* | *-none-any.whl) mv "$wheel" "$folder/wheels" ;;
                *) fail "$requirement was compiled for this machine: it must be pure Python, or published as a wheel" ;;
            esac
        fi
        basename "$(wheel_of "$folder/wheels" "$name" "$number")" >>"$temporary/kept"
    done <"$temporary/required"
    for wheel in "$folder"/wheels/*; do
        grep -qxF "$(basename "$wheel")" "$temporary/kept" || rm "$wheel"
    done
}

# As a wheel of the library would hold it, but for the weights that were not chosen.
gather_code() {
    rm -rf "$folder/code" "$folder/bin"
    mkdir -p "$folder/code" "$folder/bin"
    (cd "$root" && "$PYTHON" -c 'import setuptools; setuptools.setup()' -q build_py --build-lib "$folder/code") \
        >"$temporary/log" 2>&1 || fail "the library cannot be gathered: $(cat "$temporary/log")"
    for card in "$folder"/code/sslhsic_transfer/model_cards/*/; do
        case " $models " in *" $(basename "$card") "*) ;; *) rm -r "$card" ;; esac
    done
    (cd "$root" && tar -cf - --exclude=__pycache__ benchmarks tests tools constraints.txt pyproject.toml LICENSE) |
        tar -xf - -C "$folder/code"
    cat >"$folder/bin/sslhsic" <<'COMMAND'
#!/bin/sh
exec "${PYTHON:-python3}" -c 'import sys; from sslhsic_transfer.cli import main; sys.exit(main())' "$@"
COMMAND
    chmod +x "$folder/bin/sslhsic"
}

pack_data() {
    while read -r data; do
        tar -rhf "$folder/data.tar" -C "$(dirname "$data")" "$(basename "$data")"
    done <"$temporary/data"
}

# The sizes of the parts, of which data may not be packed yet; an error where they are more than the limit together.
measure() {
    "$PYTHON" - "$folder" "$limit" "$temporary/data" <<'PROGRAM'
import sys
from pathlib import Path

folder, limit = Path(sys.argv[1]), int(sys.argv[2])
code, packed = folder / "code", folder / "data.tar"


def size(path, block=1, head=0):
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(head + -(-file.stat().st_size // block) * block for file in files)


parts = {f"--models {card.name}": size(card) for card in (code / "sslhsic_transfer/model_cards").glob("*/")}
parts |= {"code": size(code) - sum(parts.values()), "wheels": size(folder / "wheels")}
named = Path(sys.argv[3]).read_text(encoding="utf-8").splitlines()
data = {f"--data {name}": size(Path(name), block=512, head=512) for name in named}  # as tar will write them
parts |= {f"data.tar ({' '.join(data)})": size(packed)} if packed.exists() else data
lines = [f"{value / 2**20:8.1f} MiB  {part}" for part, value in sorted(parts.items(), key=lambda row: -row[1]) if value]
total = sum(parts.values()) / 2**20
print(*lines, f"{total:8.1f} MiB  in all, of {limit} (--limit)", sep="\n")
if total > limit:
    sys.exit(
        f"gpu_bundle.sh: the bundle would have {total:.1f} MiB, and --limit is {limit}. Leave out what is largest above "
        "and not needed (--models none or fewer names, fewer or smaller folders of --data, no --with-faiss), or raise --limit."
    )
PROGRAM
}

describe() {
    commit=$(git -C "$root" describe --always --dirty --abbrev=40 --exclude='*' 2>/dev/null) || commit=unknown
    cat <<TEXT
sslhsic-transfer for a GPU machine without a network: x86-64 Linux with Python $version and PyTorch.

Copy this folder there as it is, and run

    ./run.sh python3 tools/gpu_check.py

What the command writes stays in \$OUT, or in ./out where that is not set; run.sh says at its head what else it does.

commit $commit
$(cat "$temporary/sizes")

$(cd "$folder" && ls wheels/*.whl 2>/dev/null)
TEXT
}

write_archive() {
    case $archive in *.gz | *.tgz) compress=z ;; *) compress='' ;; esac
    mkdir -p "$(dirname "$archive")"
    tar "-c${compress}f" "$archive.part" -C "$(dirname "$folder")" "$(basename "$folder")"
    mv "$archive.part" "$archive"
    echo "$archive: $(wc -c <"$archive") bytes"
}

read_options "$@"
if [ "$list" = yes ]; then
    required
    exit
fi
check_choices
mkdir -p "$folder"
touch "$folder/.gpu-bundle"
rm -f "$folder/run.sh" "$folder/data.tar" # not a whole bundle until run.sh is back
gather_code
measure >"$temporary/sizes" || { cat "$temporary/sizes" && exit 1; }
if [ "$wheels" = yes ]; then gather_wheels; else rm -rf "$folder/wheels"; fi
pack_data
measure >"$temporary/sizes" || { cat "$temporary/sizes" && exit 1; }
describe >"$folder/README.txt"
cp "$root/tools/gpu_bundle_run.sh" "$folder/run.sh"
chmod +x "$folder/run.sh"
cat "$temporary/sizes"
echo "The bundle: $folder"
if [ -n "$archive" ]; then write_archive; fi
