# Runs inside the machine of test_boot.py: installs a station as docs/operations/install.md says, docks one recorder,
# and writes what it saw to /station/out, one file per question.
set -eu
exec >/station/out/log 2>&1
say() { cat >"/station/out/$1"; }
as() { name=$1; shift; setpriv --reuid "sealdock-$name" --regid "sealdock-$name" --init-groups -- "$@"; }
sealdock=/opt/sealdock/.venv/bin/sealdock
cd /opt/sealdock/systemd || exit

install -m 0644 sysusers.d/sealdock.conf /usr/lib/sysusers.d/
install -m 0644 tmpfiles.d/sealdock.conf /usr/lib/tmpfiles.d/
install -m 0644 ./*.service ./*.socket ./*.target /etc/systemd/system/
systemd-sysusers && systemd-tmpfiles --create sealdock.conf
install -m 0640 -g sealdock /station/sealdock.toml /etc/sealdock/sealdock.toml
echo 'a passphrase for one minute' >/root/passphrase
$sealdock vault init /srv/sealdock/vault --keys /etc/sealdock/keys --passphrase-file /root/passphrase \
  --recovery-out /root/recovery.key
$sealdock db upgrade
systemd-tmpfiles --create /opt/sealdock/systemd/adopt.conf
cp -r /station/plugs /srv/plugs && chmod -R a+rX /srv/plugs

set +e
systemctl daemon-reload
systemctl start --no-block sealdock.target
sleep_until() { for _ in $(seq 200); do "$@" && return; sleep 0.1; done; echo "gave up waiting for: $*"; false; }
running() { [ "$(systemctl is-active 'sealdock-*.service' | sort -u)" = active ]; }
give_up() { cat /var/lib/sealdock/run/dock.json; journalctl --no-pager -o cat -u 'sealdock-*' | tail -100; exit 1; }
sleep_until running || give_up
$sealdock keyd unlock --passphrase-file /root/passphrase
cp /station/recorder.json /srv/plugs/recorder.json
is_sealed() { grep -q '"sealed"' /var/lib/sealdock/run/dock.json; }
sleep_until is_sealed || give_up
console() { /opt/sealdock/.venv/bin/python -c '
import urllib.request; print(urllib.request.urlopen("http://127.0.0.1:8443/", timeout=5).status)' 2>&1; }
sleep_until eval 'console | grep -q 200'
is_indexed() { [ -n "$(find /var/lib/sealdock/derived -name "*.age" | head -1)" ]; }
sleep_until is_indexed || journalctl --no-pager -o cat -u sealdock-worker

for name in keyd vaultd dockd worker console anchord sealer; do
  pid=$(systemctl show --property=MainPID --value "sealdock-$name")
  grep -E '^(Uid|CapEff|CapBnd|NoNewPrivs|Seccomp):' "/proc/$pid/status" | say "status-$name"
  systemctl show --property=NRestarts "sealdock-$name" | say "show-$name"
  journalctl --no-pager -o cat -u "sealdock-$name" | say "journal-$name"
done
$sealdock dock status --json | say dock
console | say console
$sealdock vault verify /srv/sealdock/vault --json | say verify
find /srv/sealdock/vault /var/lib/sealdock /etc/sealdock -printf '%m %u %g %y %P\n' | sort -k5 | say tree
object=$(find /srv/sealdock/vault/objects -type f | head -1)
slots=$(find /srv/sealdock/vault/keys/slots -type f | head -1)
bucket=$(find /srv/sealdock/vault/keys/buckets -name identity.age | head -1)
derived=$(find /var/lib/sealdock/derived -type f | head -1)
for name in keyd vaultd dockd worker console anchord sealer; do
  for file in "$object" "$slots" "$bucket" "$derived" /srv/sealdock/vault/log/checkpoint \
    /var/lib/sealdock/database/sealdock.db /etc/sealdock/sealdock.toml /etc/sealdock/keys/root.age \
    /etc/sealdock/keys/log.key /etc/sealdock/keys/{vaultd,dockd,worker,console,anchord,sealer,bureau}.key; do
    as "$name" test -r "$file" && echo "$name reads ${file/$object/OBJECT}"
    as "$name" test -w "$file" && echo "$name writes ${file/$object/OBJECT}"
  done
done | sed -e "s#$slots#SLOTS#; s#$bucket#BUCKET#; s#$derived#DERIVED#" | say reach
systemctl stop sealdock.target 'sealdock-*.service'
systemctl show --property=Result,ExecMainStatus sealdock-{keyd,vaultd,dockd,worker,console} | say stopped
systemctl list-units --all 'sealdock*' --no-pager | cat
