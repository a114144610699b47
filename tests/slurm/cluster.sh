#!/usr/bin/env bash
# A Slurm cluster of one node, this machine, for tests: munged, slurmctld and slurmd of Debian's slurm-wlm and munge.
#   apt-get install --no-install-recommends slurm-wlm munge
#   tests/slurm/cluster.sh start FOLDER; export SLURM_CONF=FOLDER/slurm.conf; srun hostname; tests/slurm/cluster.sh stop FOLDER
# No systemd, no cgroups, no accounts. Root only: slurmd starts jobs as their owners.
set -euo pipefail
verb=${1:?expected start or stop}
folder=$(realpath -m "${2:?expected a folder}")
here=$(dirname "$(realpath "$0")")

ended() { # wait until a daemon has gone
    for _ in $(seq 50); do kill -0 "$1" 2>/dev/null || return 0; sleep .1; done
    kill -KILL "$1" 2>/dev/null || true
}

case $verb in
start)
    mkdir -p "$folder"/{state,spool,log,munge}
    chmod 755 "$folder"
    chmod 700 "$folder/munge"
    (umask 077 && head -c 128 /dev/urandom > "$folder/munge/key")
    # --force: munged would refuse a folder whose parent others may write, as /tmp is
    munged --force --key-file="$folder/munge/key" --socket="$folder/munge.socket" --pid-file="$folder/munge/pid" \
        --seed-file="$folder/munge/seed" --log-file="$folder/munge/log" 2>/dev/null
    megabytes=$(awk '/MemTotal/ {print int($2 / 1024 * 0.9)}' /proc/meminfo)
    sed -e "s|@FOLDER@|$folder|g" -e "s|@HOST@|$(hostname -s)|g" -e "s|@CPUS@|$(nproc)|g" -e "s|@MEGABYTES@|$megabytes|g" \
        "$here/slurm.conf" > "$folder/slurm.conf"
    export SLURM_CONF="$folder/slurm.conf"
    slurmctld -c -f "$SLURM_CONF"
    slurmd -c -f "$SLURM_CONF"
    for _ in $(seq 100); do
        [ "$(sinfo -h -p main -o %t 2>/dev/null)" = idle ] && exit 0
        sleep .2
    done
    echo "error: the node is not idle after 20 s: $(sinfo -h -o '%P %t' 2>&1); see $folder/log" >&2
    exit 1
    ;;
stop)
    for daemon in "$folder"/slurmd.pid "$folder"/slurmctld.pid "$folder"/munge/pid; do
        [ -s "$daemon" ] || continue
        process=$(cat "$daemon")
        kill "$process" 2>/dev/null || continue
        ended "$process"
    done
    ;;
*)
    echo "error: $verb: expected start or stop" >&2
    exit 2
    ;;
esac
