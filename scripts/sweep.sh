#!/usr/bin/env bash
# Many experiments on many machines: one git remote, one DVC remote and one cache in a folder that all of them see.
#   docs/sweep.sh start FOLDER                       once, in a committed project: what it holds goes to the remotes
#   docs/sweep.sh run FOLDER NAME -S KEY=VALUE ...   on any machine, side by side: a clone runs `dvc exp run` and pushes
#   docs/sweep.sh table FOLDER [--csv ...]           in the project again: a row for each experiment pushed so far
set -euo pipefail
[ $# -ge 2 ] || { sed -n 's/^# //p' "$0" >&2; exit 2; }
order=$1 folder=$(realpath -m "$2")
shift 2

case $order in
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
    if [ ! -d "$folder/clones/$name" ]; then # else it was stopped, and goes on
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
    dvc exp pull --quiet --no-cache "$folder/git" # their small files alone
    dvc exp show --only-changed "$@"
    ;;
*)
    echo "expected start, run or table, got $order" >&2
    exit 2
    ;;
esac
