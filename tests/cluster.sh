#!/usr/bin/env bash
# A private Slurm cluster on this machine, for the tests: munged, slurmctld and some slurmd ("nodes") on the loopback interface, all run by one user,
# without systemd, cgroups or a database.
#
#   cluster.sh up FOLDER FIRST-PORT [NODES]    start what does not run, wait until the nodes are idle; FOLDER/slurm.conf is for SLURM_CONF
#   cluster.sh lose FOLDER NODE                the node dies, as far as Slurm can see; what ran on it goes on
#   cluster.sh down FOLDER                     stop exactly what was started in FOLDER
set -euo pipefail
verb=$1
lab=$(mkdir -p "$2" && cd "$2" && pwd)
export PATH=$PATH:/usr/sbin:/sbin SLURM_CONF=$lab/slurm.conf
user=$(id -un)

# Our own process by its pid file: its command line names the folder.
alive() {
    local pid
    pid=$(cat "$lab/$1.pid" 2>/dev/null) && [[ -r /proc/$pid/cmdline ]] && tr '\0' ' ' <"/proc/$pid/cmdline" | grep -qF -- "$lab/" && echo "$pid"
}

configure() {
    local first=$1 nodes=$2 host
    host=$(hostname -s)
    mkdir -p "$lab"/{state,spool}
    chmod 755 "$lab"
    if [[ ! -s $lab/munge.key ]]; then
        (umask 077 && head -c 1024 /dev/urandom >"$lab/munge.key")
    fi
    cat >"$lab/slurm.conf" <<CONF
ClusterName=tests
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$first
SlurmUser=$user
SlurmdUser=$user
AuthType=auth/munge
CredType=cred/munge
# cred_expire is also how long a requeued job waits before it may start again: two minutes by default, and where it is set below 5.
AuthInfo=socket=$lab/munge.socket,cred_expire=5
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
StateSaveLocation=$lab/state
SlurmdSpoolDir=$lab/spool/%n
SlurmctldPidFile=$lab/slurmctld.pid
SlurmdPidFile=$lab/slurmd-%n.pid
SlurmctldLogFile=$lab/slurmctld.log
SlurmdLogFile=$lab/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=2,sched_interval=2,batch_sched_delay=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobRequeue=1
MaxArraySize=1001
KillWait=3
ReturnToService=2
Waittime=0
MinJobAge=86400
AccountingStorageType=accounting_storage/none
SlurmdParameters=config_overrides
NodeName=n[1-$nodes] NodeHostname=$host NodeAddr=127.0.0.1 Port=[$((first + 1))-$((first + nodes))] CPUs=2 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES DefaultTime=00:10:00 PriorityTier=10 PreemptMode=OFF State=UP
PartitionName=spot Nodes=ALL DefaultTime=00:10:00 PriorityTier=1 PreemptMode=REQUEUE State=UP
CONF
}

up() {
    local nodes=${2:-2} node
    [[ -s $lab/slurm.conf ]] || configure "$1" "$nodes"
    if ! alive munged >/dev/null; then
        munged --key-file="$lab/munge.key" --socket="$lab/munge.socket" --pid-file="$lab/munged.pid" --log-file="$lab/munged.log" \
            --seed-file="$lab/munge.seed" --num-threads=2 --force
    fi
    alive slurmctld >/dev/null || slurmctld -f "$lab/slurm.conf"
    for node in $(seq "$nodes"); do
        alive "slurmd-n$node" >/dev/null || slurmd -N "n$node" -f "$lab/slurm.conf"
    done
    for _ in $(seq 150); do
        [[ $(sinfo --noheader --Node --partition=main --format=%t 2>/dev/null | grep -c '^idle$') == "$nodes" ]] && return
        sleep 0.2
    done
    echo "cluster.sh: the nodes do not become idle; see $lab/*.log" >&2
    return 1
}

down() {
    local name pid
    for name in "$lab"/slurmd-*.pid "$lab"/slurmctld.pid "$lab"/munged.pid; do
        name=$(basename "$name" .pid)
        if pid=$(alive "$name"); then
            kill "$pid"
            for _ in $(seq 50); do
                kill -0 "$pid" 2>/dev/null || break
                sleep 0.1
            done
            kill -9 "$pid" 2>/dev/null || true
        fi
    done
    # Steps outlive their daemon; theirs is this configuration.
    for pid in $(pgrep slurmstepd || true); do
        if tr '\0' '\n' <"/proc/$pid/environ" 2>/dev/null | grep -qxF "SLURM_CONF=$lab/slurm.conf"; then
            kill -9 "$pid" || true
        fi
    done
}

case $verb in
    up) up "$3" "${4:-2}" ;;
    lose)
        kill -9 "$(alive "slurmd-$3")"
        scontrol update "NodeName=$3" State=DOWN Reason=lost
        ;;
    down) down ;;
esac
