# Source this in a script at the project's root: `wheels FOLDER PACKAGE==VERSION ...` installs Python
# wheels into target/FOLDER, unless they are there, in a virtual environment of their own.
wheels() {
    local folder=target/$1
    shift
    [ ! -e "$folder/complete" ] || return 0
    command -v python3 >/dev/null ||
        { echo "${0##*/}: python3 is missing, and with it $folder" >&2; exit 1; }
    echo "${0##*/}: fetching ${*%%==*} into $folder" >&2
    rm -rf "$folder"
    python3 -m venv "$folder" >&2 ||
        { echo "${0##*/}: python3 cannot make a virtual environment: install python3-venv" >&2; exit 1; }
    "$folder/bin/pip" install --quiet --disable-pip-version-check "$@" >&2
    touch "$folder/complete"
}
