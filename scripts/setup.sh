# Set-up shared by scripts/test and scripts/demo; sourced, with `root` set to the repository.
#
#   choose_python            sets `python` (from $PYTHON, or the newest python3 that will do)
#   make_venv FOLDER NAME... makes a virtual environment, and sets `venv`; has Debian's packages
#                            installed, all at once, that it and the commands (or paths) named
#                            come from
#   install_locked FILE      installs a lock file into it, hashes checked, when it has changed;
#                            test.txt and ldap.txt need build.txt installed
#   install_npm FOLDER       installs a folder of tests/peers and its packages with npm, into the
#                            environment, when it has changed
#   install_asterisk         unpacks Asterisk of Debian unstable and its libraries into the environment,
#                            once; nothing of it is installed on the machine
#   install_wheel            builds the wheel and installs it, when the sources have changed;
#                            needs requirements/build.txt installed
#   install_editable         installs the working tree itself, when pyproject.toml has changed
#   lint                     runs ruff, mypy and the import contracts, each as a step
#   step TITLE COMMAND...    runs a command; a failure is noted and does not end the script
#   names_a_path ARGUMENT... tells whether an argument is a file or folder (or a test in one)
#   finish                   ends the script, with an error that names the failed steps, if any

# Store bytecode: otherwise each process that the tests start compiles all modules again.
unset PYTHONDONTWRITEBYTECODE

say() { printf '\033[1m==>\033[0m %s\n' "$*" >&2; }
die() { printf 'error: %s\n' "$1" >&2; [ -z "${2:-}" ] || printf 'hint: %s\n' "$2" >&2; exit 1; }

# A command or path, and the Debian packages that give it.
package_of() {
  case "$1" in
    /usr/share/doc/*) basename "$1" ;; # a library
    */c2sp.org/CCTV/age) echo golang-github-c2sp-cctv-dev ;;
    */Python.h) echo "python$version-dev" ;;
    */ldap.h) echo libldap-dev ;;
    */sasl.h) echo libsasl2-dev ;;
    fc-match) echo fontconfig fonts-dejavu-core ;;
    sipp) echo sip-tester ;;
    node) echo nodejs ;;
    systemd-analyze) echo systemd ;;
    ldapsearch) echo ldap-utils ;;
    kamailio) echo kamailio-tls-modules ;; # and what that depends on
    linphone-daemon) echo linphone-cli ;;
    losetup) echo mount ;;
    mkfs.ext4) echo e2fsprogs ;;
    pg_ctlcluster) echo postgresql ;;
    rtpengine) echo rtpengine-daemon ;;
    */Net/SIP.pm) echo libnet-sip-perl ;;
    */Lemonldap/NG/Portal/Main.pm) # its FastCGI server, which is not used, keeps apt from installing Apache
      echo liblemonldap-ng-portal-perl lemonldap-ng-fastcgi-server libcrypt-jwt-perl \
        libemail-sender-perl libio-string-perl libmime-tools-perl libstring-random-perl ;;
    rt-setup-database-5) # Request Tracker; msmtp-mta keeps it from installing a mail server
      echo request-tracker5 rt5-standalone rt5-db-sqlite msmtp-mta ;;
    *) echo "$1" ;;
  esac
}

# What compiles python-ldap for `python`, as make_venv names it.
compiler_and_headers() {
  compiler=(gcc /usr/include/ldap.h /usr/include/sasl/sasl.h)
  compiler+=("$("$python" -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h")
}

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

can_be_root() {
  [ "$(id -u)" = 0 ] || { command -v sudo >/dev/null && sudo -n true 2>/dev/null; }
}

apt_install() {
  command -v apt-get >/dev/null || die "missing: $*" "install what gives these on your system"
  can_be_root || die "missing: $*" "as root: apt-get update; apt-get install --no-install-recommends $*"
  say "installing $*"
  as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq update >&2
  (
    # Unless this file forbids it, Debian starts the services of new packages, such as slapd.
    if [ ! -e /usr/sbin/policy-rc.d ]; then
      trap 'as_root rm -f /usr/sbin/policy-rc.d' EXIT
      printf '#!/bin/sh\nexit 101\n' | as_root install -m 0755 /dev/stdin /usr/sbin/policy-rc.d
    fi
    as_root env DEBIAN_FRONTEND=noninteractive \
      apt-get -qq install -y --no-install-recommends "$@" >&2
  )
}

choose_python() {
  local candidate
  for candidate in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      python=$(command -v "$candidate")
      version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
      return
    fi
  done
  [ -z "${PYTHON:-}" ] || die "$PYTHON is no Python of 3.11 or later" "PYTHON=python3.13 $0"
  apt_install python3
  python=$(command -v python3)
  version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
}

make_venv() {
  local missing=() packages=() name
  venv=$1
  shift
  for name in "$@"; do
    if ! command -v "$name" >/dev/null && ! [ -e "$name" ]; then
      read -ra packages <<<"$(package_of "$name")"
      missing+=("${packages[@]}")
    fi
  done
  if [ ! -x "$venv/bin/pip" ] && ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    missing+=("python$version-venv")
  fi
  [ ${#missing[@]} = 0 ] || apt_install "${missing[@]}"
  if [ ! -x "$venv/bin/pip" ]; then
    say "making $venv"
    "$python" -m venv --clear "$venv"
  fi
}

install_locked() {
  local lock=$1 stamp
  stamp="$venv/$(basename "$lock").installed"
  cmp -s "$lock" "$stamp" && return
  say "installing $(basename "$lock") for Python $version"
  # A lock names every package that is needed. --no-deps keeps pip from choosing any itself: an old
  # pip takes the newest release for a requirement with an extra (coverage[toml]), pinned or not.
  # There are no wheels of python-ldap and bagit, so they are built here, with the locked setuptools.
  "$venv/bin/pip" install --quiet --disable-pip-version-check \
    --no-deps --only-binary :all: --no-binary python-ldap,bagit --no-build-isolation \
    --require-hashes -r "$lock"
  cp "$lock" "$stamp"
}

install_npm() {
  local source="$root/tests/peers/$1" target="$venv/$1"
  [ -d "$target/node_modules" ] &&
    diff -rq --exclude=node_modules "$source" "$target" >/dev/null && return
  say "installing tests/peers/$1 with npm"
  rm -rf "$target" "$target.new"
  cp -r "$source" "$target.new"
  (cd "$target.new" && npm ci --silent --no-audit --no-fund --ignore-scripts)
  mv "$target.new" "$target"
}

# Debian 13 has no Asterisk. That of unstable runs from a folder, with all the libraries it was built for.
install_asterisk() {
  local target="$venv/asterisk" apt="$venv/asterisk.apt" site key option package
  [ -d "$target" ] && return
  say "unpacking Asterisk of Debian unstable"
  rm -rf "$apt" "$target.new"
  mkdir -p "$apt/lists/partial" "$apt/archives/partial" "$target.new"
  : >"$apt/status"
  read -r site key < <(apt-get indextargets --format '$(SITE) $(SIGNED_BY)' \
    'Identifier: Packages' 'Origin: Debian') || true
  [ -n "${site:-}" ] || die "apt has no package source of Debian" "this needs a Debian system"
  echo "deb [signed-by=$key] $site unstable main" >"$apt/sources.list"
  for option in Etc::SourceList="$apt/sources.list" Etc::SourceParts=/dev/null State="$apt" \
    State::Lists="$apt/lists" State::Status="$apt/status" Cache="$apt" Cache::Archives="$apt/archives"; do
    echo "Dir::${option/=/ \"}\";"
  done >"$apt/apt.conf"
  echo 'APT::Install-Recommends "false"; APT::Sandbox::User "root";' >>"$apt/apt.conf"
  APT_CONFIG="$apt/apt.conf" apt-get -qq update >&2
  APT_CONFIG="$apt/apt.conf" apt-get -qq install -y --download-only asterisk >&2
  for package in "$apt"/archives/*.deb; do
    dpkg-deb --extract "$package" "$target.new"
  done
  rm -rf "$apt"
  mv "$target.new" "$target"
}

sources_digest() {
  (cd "$root" && find galwad telephony recording callerid config net pyproject.toml README.md LICENSE \
    -type f ! -path '*/__pycache__/*' -print0 | sort -z | xargs -0 sha256sum | sha256sum)
}

install_wheel() {
  local stamp="$venv/wheel.installed" digest
  digest=$(sources_digest)
  [ "$(cat "$stamp" 2>/dev/null)" = "$digest" ] && return
  say "building the wheel"
  rm -rf "$venv/wheel"
  "$venv/bin/pip" wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation \
    --wheel-dir "$venv/wheel" "$root"
  "$venv/bin/pip" install --quiet --disable-pip-version-check --no-deps --force-reinstall \
    "$venv"/wheel/galwad-*.whl
  printf '%s' "$digest" >"$stamp"
}

install_editable() {
  local stamp="$venv/editable.installed"
  cmp -s "$root/pyproject.toml" "$stamp" && return
  say "installing the working tree"
  "$venv/bin/pip" install --quiet --disable-pip-version-check --no-deps --no-build-isolation \
    --editable "$root"
  cp "$root/pyproject.toml" "$stamp"
}

names_a_path() {
  local argument
  for argument in "$@"; do
    [ ! -e "${argument%%::*}" ] || return 0
  done
  return 1
}

failed=()
step() {
  local title=$1
  say "$title"
  shift
  "$@" || failed+=("$title")
}

lint() {
  local report contracts
  report=$(mktemp)
  "$venv/bin/lint-imports" >"$report" 2>&1 & # beside mypy, which uses one core
  contracts=$!
  step "ruff check" "$venv/bin/ruff" check .
  step "ruff format" "$venv/bin/ruff" format --check .
  step "mypy" "$venv/bin/mypy" --python-executable "$venv/bin/python"
  step "import contracts" wait "$contracts"
  cat "$report"
  rm "$report"
}

finish() {
  [ ${#failed[@]} = 0 ] || die "failed: $(printf '%s; ' "${failed[@]}")"
  say "all is well on Python $version"
}
