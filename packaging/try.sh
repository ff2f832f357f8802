#!/usr/bin/env bash
# Installs the packages of one format in a copy of this system, uses them, upgrades and removes them, and checks what is there after
# each. Called by `cargo xtask package --try` in a mount namespace of its own: try.sh deb|rpm CLIENT_PORT PEER_PORT FILE...
set -euo pipefail
format=$1 client=$2 peer=$3
shift 3

# The copy: whatever is written to it lies in memory and goes with the namespace.
stage=$(mktemp -d)
trap 'umount -l "$stage" && rmdir "$stage"' EXIT
mount -t tmpfs none "$stage"
mkdir "$stage/upper" "$stage/work" "$stage/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$stage/upper,workdir=$stage/work" "$stage/root"
mkdir "$stage/root/packages"
cp "$@" "$stage/root/packages/"
mount -t proc proc "$stage/root/proc"
mount --rbind /dev "$stage/root/dev"

cat > "$stage/root/trial" <<'TRIAL'
set -euo pipefail
format=$1 client=$2 peer=$3
say() { echo "package: $format: $*"; }
fail() { say "FAILED: $*" >&2; exit 1; }
has() { # path, mode, owner
    local found
    found=$(stat -c '%a %U:%G' "$1") || fail "$1 is missing"
    [ "$found" = "$2 $3" ] || fail "$1 is $found, not $2 $3"
}
install_all() { if [ "$format" = deb ]; then dpkg -i /packages/*.deb; else rpm -Uvh --force --nodeps /packages/*.rpm; fi; }
endpoint=http://127.0.0.1:$client

[ "$format" = deb ] || { mkdir -p /var/lib/rpm && rpm --initdb; }
install_all
say "installed: files, modes, owners, account"
for program in quorate-server quoratectl quorate-tui quorate-backup-agent; do
    has "/usr/bin/$program" 755 root:root
    "$program" --version > /dev/null
    bash -n "/usr/share/bash-completion/completions/$program"
    page=$(ls "/usr/share/man/man1/$program.1.gz" "/usr/share/man/man8/$program.8.gz" 2> /dev/null) || true
    [ -n "$page" ] || fail "$program has no man page"
    gunzip -c $page | grep '^\.SH SYNOPSIS' > /dev/null || fail "$page is no man page"
    has "/usr/share/fish/vendor_completions.d/$program.fish" 644 root:root
    zsh=/usr/share/zsh/vendor-completions
    [ "$format" = deb ] || zsh=/usr/share/zsh/site-functions
    grep -q "^#compdef $program" "$zsh/_$program" || fail "$program has no completion for zsh"
done
[ "$(ls /usr/share/man/man1/quoratectl-*.1.gz | wc -l)" -gt 50 ] || fail "man pages of commands are missing"
has /etc/default/quorate-server 640 root:root
has /usr/lib/systemd/system/quorate-server.service 644 root:root
has /var/lib/quorate 700 quorate:quorate
getent passwd quorate | grep ':/var/lib/quorate:.*nologin' > /dev/null || fail "no account quorate without a shell"
systemd-analyze verify --man=no /usr/lib/systemd/system/quorate-server.service 2>&1 | grep -i quorate && fail "the unit is not sound"

say "the unit's program runs as the account, with its settings"
cat >> /etc/default/quorate-server <<SETTINGS
ETCD_NAME=tried
ETCD_LISTEN_CLIENT_URLS=$endpoint
ETCD_ADVERTISE_CLIENT_URLS=$endpoint
ETCD_LISTEN_PEER_URLS=http://127.0.0.1:$peer
ETCD_INITIAL_ADVERTISE_PEER_URLS=http://127.0.0.1:$peer
ETCD_INITIAL_CLUSTER=tried=http://127.0.0.1:$peer
SETTINGS
unit=/usr/lib/systemd/system/quorate-server.service
start() {
    # What systemd does with Environment=, EnvironmentFile=, User= and ExecStart=.
    (
        set -a
        ETCD_DATA_DIR=$(sed -n 's/^Environment=ETCD_DATA_DIR=//p' "$unit")
        . /etc/default/quorate-server
        exec setpriv --reuid quorate --regid quorate --clear-groups --no-new-privs "$(sed -n 's/^ExecStart=//p' "$unit")"
    ) > /tmp/server.log 2>&1 &
    server=$!
    for _ in $(seq 300); do
        if quoratectl --endpoints "$endpoint" --command-timeout 1s endpoint health > /dev/null 2>&1; then return; fi
        kill -0 "$server" 2> /dev/null || break
        sleep 0.1
    done
    cat /tmp/server.log >&2
    fail "the server does not serve"
}
stop() { kill "$server"; wait "$server" || fail "the server ended with $?"; }
start
[ "$(quoratectl --endpoints "$endpoint" put tried yes)" = OK ] || fail "no write"
quorate-tui --endpoints "$endpoint" --once | grep tried > /dev/null || fail "the dashboard does not show the member"
quoratectl --endpoints "$endpoint" snapshot save /tmp/saved.db > /dev/null 2>&1
stop

say "an upgrade keeps settings and data"
install_all
grep -q '^ETCD_NAME=tried' /etc/default/quorate-server || fail "the settings are gone"
start
[ "$(quoratectl --endpoints "$endpoint" get tried --print-value-only)" = yes ] || fail "the write is gone"
stop

say "removing leaves the data"
if [ "$format" = deb ]; then
    dpkg -r quorate-server quorate-tools
    [ -e /etc/default/quorate-server ] || fail "a removal that is no purge deletes settings"
    dpkg -P quorate-server quorate-tools | grep 'the data in /var/lib/quorate was left' > /dev/null || fail "a purge does not tell of the data"
    [ ! -e /etc/default/quorate-server ] || fail "a purge leaves settings"
else
    rpm -V --nodeps quorate-tools || fail "rpm finds the tools changed"
    rpm -e quorate-server quorate-tools | grep 'the data in /var/lib/quorate was left' > /dev/null || fail "a removal does not tell of the data"
    [ -e /etc/default/quorate-server.rpmsave ] || fail "edited settings are not kept"
fi
[ -d /var/lib/quorate/data/member ] || fail "the data is gone"
left=$(find /usr/bin /usr/lib/systemd /usr/share -name '*quorate*' ! -path '*/quorate-*/target/*' | head -5)
[ -z "$left" ] || fail "left behind: $left"
say "all well"
TRIAL
chroot "$stage/root" bash /trial "$format" "$client" "$peer"
