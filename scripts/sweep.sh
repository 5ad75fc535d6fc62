#!/usr/bin/env bash
# Many experiments on many machines, through one folder that all see: a git remote, a DVC remote and a DVC cache.
#   scripts/sweep.sh start FOLDER                       once, in a committed project: pushes its commit and its data
#   scripts/sweep.sh run FOLDER NAME -S KEY=VALUE ...   on any machine: a new clone runs `dvc exp run` and pushes the result
#   scripts/sweep.sh table FOLDER [--csv ...]           in the project: one row for each experiment pushed so far
set -euo pipefail
[ $# -ge 2 ] || { sed -n 's/^# //p' "$0" >&2; exit 2; }
action=$1 folder=$(realpath -m "$2")
shift 2

case $action in
start)
    git diff --quiet HEAD || { echo "expected every change to be committed, got" $(git diff --name-only HEAD) >&2; exit 1; }
    git init --quiet --bare --initial-branch study "$folder/git"
    git push --quiet --force "$folder/git" HEAD:refs/heads/study
    dvc remote add --local --force sweep "$folder/store"
    dvc push --quiet --run-cache --remote sweep
    ;;
run)
    name=$1
    shift
    if [ ! -d "$folder/clones/$name" ]; then # an existing clone continues an experiment that was stopped
        git clone --quiet "$folder/git" "$folder/clones/$name"
    fi
    cd "$folder/clones/$name"
    dvc cache dir --local "$folder/cache"
    dvc remote add --local --default --force sweep "$folder/store"
    dvc pull --quiet
    dvc exp run --name "$name" "$@"
    dvc exp push origin "$name"
    ;;
table)
    dvc exp pull --quiet --no-cache "$folder/git" # the small files in git; the data stay in the cache
    dvc exp show --only-changed "$@"
    ;;
*)
    echo "expected start, run or table, got $action" >&2
    exit 2
    ;;
esac
